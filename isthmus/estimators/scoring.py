"""A scikit-learn scorer for denoising: every candidate is shown the same noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.data.layouts import as_channels_first
from isthmus.errors import RequestError
from isthmus.estimators.adapters import chunks, reconstruct
from isthmus.estimators.samples import FLOATS
from isthmus.parts import CORRUPTIONS, Corruption


class DenoisingScorer:
    """Minus the mean squared error between clean samples and what a model makes of their corrupted versions.

    Called with (estimator, X, y=None), as scikit-learn's model selection does. Make it with `denoising_scorer`.
    """

    def __init__(self, corruption: Corruption, seed: int) -> None:
        self.corruption, self.seed = corruption, seed

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """X: clean samples, `Images` or arrays of rows or of images. y is ignored."""
        if isinstance(X, Images) and X.are_stored:
            parts = [X.take(which) for which in chunks(len(X))]
            errors = [self._error(estimator, part.floats().reshape(-1, *X.shape)) for part in parts]
            return -float(np.average(errors, weights=[len(part) for part in parts]))
        images = isinstance(X, Images)
        x = X.floats().reshape(len(X), *X.shape) if images else check_array(X, dtype=FLOATS, allow_nd=True)
        if not images and x.ndim in (3, 4):
            fitted = getattr(estimator, "autoencoder_", estimator)
            x = as_channels_first(x, getattr(fitted, "image_shape_", None))
        return -self._error(estimator, x)

    def _error(self, estimator: Any, x: np.ndarray) -> float:
        """The mean squared error of samples, (n, n_features) or (n, c, h, w)."""
        flat, shape = x.reshape(len(x), -1), x.shape[1:] if x.ndim == 4 else None
        x_noisy = noisy_version(flat, self.corruption, shape, seed=self.seed)
        x_hat = reconstruct(estimator, x_noisy.reshape(x.shape).astype(x.dtype, copy=False))
        return float(np.square(x_hat.astype(np.float64) - flat).mean())

    def __repr__(self) -> str:
        return f"denoising_scorer({self.corruption!r}, seed={self.seed})"


def denoising_scorer(corruption: Corruption, *, seed: int = 0) -> DenoisingScorer:
    """Make a scorer for `GridSearchCV` or `cross_validate`: how well a model undoes this corruption.

    corruption: what the samples are judged under, whatever a candidate was trained with. seed: of the noise, which
    depends on it and on an image's own bytes alone, so that it is the same for every candidate, split and order. The
    score is -mean_i mean_j (x_hat_ij - x_ij)², x_hat of the corrupted and x the clean samples: greater is better.

    An `Autoencoder` is asked to `reconstruct`, a `DecoderPrior` to `denoise`, any other model, and a pipeline, for its
    `inverse_transform` of `transform`. Raises RequestError for what is no corruption.

    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from isthmus import Autoencoder, Dense, GaussianNoise, denoising_scorer
    >>> X = np.random.default_rng(0).random((60, 8), np.float32)
    >>> model = Autoencoder(Dense(bottleneck=2), corruption=GaussianNoise(0.1), epochs=2, random_state=0)
    >>> judged = denoising_scorer(GaussianNoise(0.3))
    >>> search = GridSearchCV(model, {"corruption__sigma": [0.1, 0.3]}, scoring=judged, cv=2).fit(X)
    >>> bool(search.best_score_ < 0)
    True
    """
    if not isinstance(corruption, tuple(CORRUPTIONS.values())):
        known = ", ".join(kind.__name__ for kind in CORRUPTIONS.values())
        raise RequestError(f"corruption must be one of isthmus' parts {known}, got {corruption!r}")
    return DenoisingScorer(corruption, seed)
