"""A trained decoder as a prior: an image is denoised by the code whose decoded image is nearest to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted

from isthmus.data.batches import floats
from isthmus.errors import DoubtWarning, RequestError, one_of, require
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import for_inference
from isthmus.estimators.parameters import parameters_kept
from isthmus.estimators.samples import FLOATS, samples_of
from isthmus.estimators.saving import Savable, Saved
from isthmus.networks import Network
from isthmus.networks.accelerators import decoder_of
from isthmus.networks.decoders import Decoder
from isthmus.parts import checks
from isthmus.rng import content_seeds, seed_from
from isthmus.solvers.latent_search import REASONS, SOLVERS, Search, search

_CHUNK = 500  # images that are searched at a time, at most
_NUMBERS = 2**25  # of their Jacobians, which are what takes memory: with a decoder's maps some 20 times as many
STARTS = ("encoder", "random")


@dataclass(frozen=True)
class SearchResult:
    """What was found for n images.

    code: (n, k). x_hat: (n, n_features), decoded. objective: (n,), mean squared difference between x_hat and what was
    given. n_iter: (n,), steps over all starts. reason: (n,), "converged" (a full step promises less than `tol`),
    "stalled" (no step keeps what it promises), "iterations" (the limit) or "diverged".
    """

    code: np.ndarray
    x_hat: np.ndarray
    objective: np.ndarray
    n_iter: np.ndarray
    reason: np.ndarray


class DecoderPrior(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Savable):
    """Denoise by searching the code of a trained decoder: x_hat = decoder(argmin_z ‖decoder(z) - y‖²).

    What a decoder of k numbers can draw is a surface of k dimensions among all images; the point on it that is nearest
    to a noisy image has lost all noise but the part along the surface, k/n of it for n pixels (Bora, Jalal, Price,
    Dimakis 2017; Heckel, Huang, Hand, Voroninski 2021). Searched for many images at once; each search ends in a local
    minimum, of which more starts find better ones.

    Parameters
    ----------
    autoencoder : the `Autoencoder` whose decoder is searched. `fit` fits a clone of it; a trained one is kept as it is
        inside scikit-learn's `FrozenEstimator`.
    solver : "gauss-newton" (damped), "gradient-descent" or "adam".
    start : "encoder" begins at the code of the noisy image itself, "random" at a code between 0 and 1, which depends on
        the image and the seed alone: not on the images beside it.
    n_starts : searches for each image; the best is kept. Those after the first begin at random.
    lower : the least that each number of a code may be: "auto" is 0 where the codes come from a ReLU, else none; a
        number; or None for no bound.
    max_iter : steps of one search.
    tol : a search has converged when a step without damping promises less than this share of its objective
        ("gauss-newton"). The others end when a step changes it by less than tol itself, and have converged if such a
        step promises no more than that.
    learning_rate : of the first-order solvers, on the mean squared difference.
    clip : whether what `denoise` returns is cut to [0, 1].
    verbose : 1 prints how far a long search has come.
    random_state : the seed of random starts.

    Attributes
    ----------
    autoencoder_ : the fitted `Autoencoder`. n_features_in_ : numbers in a sample. n_iter_ : epochs of the autoencoder's
    training, which are the iterations of `fit`; the steps of a search are told by `search`.

    >>> import numpy as np
    >>> from isthmus import Autoencoder, DecoderPrior, Dense
    >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    >>> prior = DecoderPrior(Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0)).fit(X)
    >>> prior.denoise(X).shape
    (64, 5)
    """

    def __init__(
        self,
        autoencoder: Any = None,
        *,
        solver: str = "gauss-newton",
        start: str = "encoder",
        n_starts: int = 1,
        lower: float | str | None = "auto",
        max_iter: int = 50,
        tol: float = 1e-4,
        learning_rate: float = 1.0,
        clip: bool = False,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.solver = solver
        self.start = start
        self.n_starts = n_starts
        self.lower = lower
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.clip = clip
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> DecoderPrior:
        """Fit a clone of the autoencoder to X; a frozen one is kept. y is ignored.

        fit_params: the keywords of `Autoencoder.fit`, `validation` and `checkpoint`.
        """
        self._check()
        given = clone(Autoencoder() if self.autoencoder is None else self.autoencoder)
        if isinstance(given, FrozenEstimator):
            return self.of(given.estimator)
        return self.of(_with_decoder(given).fit(X, **fit_params))

    def of(self, autoencoder: Any) -> DecoderPrior:
        """Take a fitted autoencoder as it is; `self`, fitted. Raises RequestError for what has no decoder."""
        self._check()
        check_is_fitted(_with_decoder(autoencoder))
        self.autoencoder_: Autoencoder = autoencoder
        self.n_features_in_ = autoencoder.n_features_in_
        self.seed_ = seed_from(self.random_state)
        size = autoencoder.network_.code_size
        if size > self.n_features_in_:
            warning = f"the code has {size} numbers for {self.n_features_in_} features: it can reproduce the noise too"
            warnings.warn(warning, DoubtWarning, stacklevel=3)
        return self

    def _check(self) -> None:
        one_of("solver", self.solver, SOLVERS)
        one_of("start", self.start, STARTS)
        for name in ("n_starts", "max_iter"):
            checks.count(name, checks.python(getattr(self, name)))
        for name in ("tol", "learning_rate"):
            checks.positive(name, checks.python(getattr(self, name)))
        bound = self.lower in (None, "auto") or checks.is_finite(checks.python(self.lower))
        require(bound, "lower", '"auto", a number or None', self.lower)

    @property
    def n_iter_(self) -> int:
        """Epochs of the autoencoder's training."""
        return len(self.autoencoder_.history_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "autoencoder_")

    def saved(self) -> Saved:
        """What of the fitted model is written: that of its autoencoder, and how it is searched."""
        saved = self.autoencoder_.saved()
        autoencoder = {"parameters": parameters_kept(self.autoencoder_), "fitted": saved.fitted}
        return replace(saved, fitted={"autoencoder": autoencoder, "seed_": self.seed_})

    # --- using ---

    def search(
        self,
        Y: Any,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        on_step: Callable[[np.ndarray, np.ndarray], None] | None = None,
    ) -> SearchResult:
        """Search codes whose images are near noisy samples Y, like those that `fit` saw, and how each search ended.

        on_progress: called with (images done, images) after each part of a long batch. on_step: called after each step
        of each start with the codes, (n, k), and objectives, (n,), of the part that is being searched.
        """
        check_is_fitted(self)
        self._check()
        Y, _ = samples_of(self.autoencoder_, Y, reset=False)
        network, device, dtype = for_inference(self.autoencoder_, Y)
        decoder, parts, images = decoder_of(network, dtype), [], []
        chunk = max(1, min(_CHUNK, _NUMBERS // (network.code_size * self.autoencoder_.n_features_in_)))
        with torch.no_grad():
            for begin in range(0, len(Y), chunk):
                which = slice(begin, min(begin + chunk, len(Y)))
                result = self._search(network, decoder, floats(Y, which).to(device, dtype), on_step)
                parts.append(result)
                images.append(decoder.decode(result.code))
                self._report(min(begin + chunk, len(Y)), len(Y), on_progress)
        whole, x_hat = Search.join(parts), torch.cat(images)
        code, decoded, objective, n_iter, reason = (
            array.cpu().numpy() for array in (whole.code, x_hat, whole.objective, whole.n_iter, whole.reason)
        )
        return SearchResult(code, decoded, objective, n_iter, np.array(REASONS)[reason])

    def _search(
        self,
        network: Network,
        decoder: Decoder,
        y: torch.Tensor,
        on_step: Callable[[np.ndarray, np.ndarray], None] | None = None,
    ) -> Search:
        """All starts for one part of the images."""
        options: dict[str, Any] = {
            "solver": self.solver,
            "lower": self._lower(),
            "max_iter": int(self.max_iter),
            "tol": float(self.tol),
            "learning_rate": float(self.learning_rate),
        }
        if on_step is not None:
            options["on_step"] = lambda code, objective: on_step(code.cpu().numpy(), objective.cpu().numpy())
        starts = [network.code_of(y)] if self.start == "encoder" else []
        starts += self._random_starts(y, int(self.n_starts) - len(starts), network.code_size)
        best = None
        for z in starts:
            result = search(decoder, y, z, **options)
            best = result if best is None else best.better_of(result)
        assert best is not None
        return best

    def _random_starts(self, y: torch.Tensor, n_starts: int, code_size: int) -> list[torch.Tensor]:
        """Codes between 0 and 1, (n, code_size) for each start: an image's are a function of its own bytes."""
        rows, stream = np.ascontiguousarray(y.cpu().numpy(), np.float32), torch.Generator()
        z = torch.empty(n_starts, len(y), code_size)
        if n_starts:
            for i, seed in enumerate(content_seeds(self.seed_, "latent", rows)):
                z[:, i] = torch.rand((n_starts, code_size), generator=stream.manual_seed(seed))
        return list(z.to(y.device, y.dtype))

    def _lower(self) -> float | None:
        if self.lower != "auto":
            return None if self.lower is None else float(self.lower)
        network = self.autoencoder_.network_
        return 0.0 if network.code_part.output(network.part) == "relu" else None

    def _report(self, done: int, n: int, on_progress: Callable[[int, int], None] | None) -> None:
        if on_progress is not None:
            on_progress(done, n)
        if self.verbose and n > _CHUNK:
            print(f"searched {done:,} of {n:,} images")

    def denoise(self, Y: Any) -> np.ndarray:
        """The decoded images that `search` finds for noisy samples Y, cut to [0, 1] if `clip`; channels are first."""
        check_is_fitted(self)
        samples, shape = samples_of(self.autoencoder_, Y, reset=False)
        x_hat = self.decoded(self.search(Y if shape is None else samples))
        return x_hat if shape is None else x_hat.reshape(-1, *shape)

    def decoded(self, result: SearchResult) -> np.ndarray:
        """The images of a search, (n, n_features), cut to [0, 1] if `clip`."""
        return np.clip(result.x_hat, 0, 1) if self.clip else result.x_hat

    def transform(self, X: Any) -> np.ndarray:
        """The codes that `search` finds, (n, k)."""
        return self.search(X).code

    def inverse_transform(self, code: Any) -> np.ndarray:
        """What the decoder makes of codes, as `denoise` returns it."""
        check_is_fitted(self)
        x_hat = self.autoencoder_.inverse_transform(check_array(code, dtype=FLOATS, input_name="code"))
        return np.clip(x_hat, 0, 1) if self.clip else x_hat

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean objective: how near decoded images come to X itself.

        It says nothing of noise: to choose what denoises best, give grid search a `denoising_scorer`.
        """
        return -float(np.mean(self.search(X).objective, dtype=np.float64))

    @property
    def _n_features_out(self) -> int:
        return self.autoencoder_.network_.code_size

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _with_decoder(model: Any) -> Autoencoder:
    if not isinstance(model, Autoencoder):
        name = type(model).__name__
        raise RequestError(f"autoencoder must be an Autoencoder, whose decoder can be searched, got a {name}")
    return model


__all__ = ["DecoderPrior", "SearchResult"]
