"""What every fitted estimator can be asked, isthmus' own or scikit-learn's: a code, a reconstruction, its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import Pipeline

from isthmus.data.images import Images
from isthmus.errors import require
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.estimators.inference import infer

CHUNK = 500  # images at a time: bounded memory, and the arrays of one chunk stay in the cache


def chunks(n: int) -> list[slice]:
    """The slices that cut n samples into chunks."""
    return [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]


def reconstruct(model: Any, x: np.ndarray) -> np.ndarray:
    """x_hat for samples (n, n_features), flat."""
    if isinstance(model, Autoencoder):
        return model.reconstruct(x).reshape(len(x), -1)
    if isinstance(model, DecoderPrior):
        return model.drawn(model.search(x))
    if isinstance(model, MiniBatchDictionaryLearning):
        return model.transform(x) @ model.components_.astype(x.dtype)
    return model.inverse_transform(model.transform(x)).reshape(len(x), -1)


def reconstruct_each(models: Sequence[Any], x: np.ndarray) -> np.ndarray:
    """x_hat of each of several models for the same few samples: float32 (n, n_features) → (n_models, n, n_features).

    The same numbers as `reconstruct`'s. x must be finite; it is held against a model's number of features and no more:
    for one image, scikit-learn's checks of an array take longer than a dense network does.
    """
    x_hat = np.empty((len(models), *x.shape), np.float32)
    for model, drawn in zip(models, x_hat, strict=True):
        if isinstance(model, Autoencoder):
            require(x.shape[1] == model.n_features_in_, "x", f"of {model.n_features_in_} columns", x.shape[1])
            drawn[:] = infer(model, x, lambda network, part: network(part)[0])
        else:
            drawn[:] = reconstruct(model, x)
    return x_hat


def reconstruct_code_only(model: Any, x: np.ndarray) -> np.ndarray | None:
    """x_hat from the code alone, for an autoencoder whose decoder otherwise sees more; None for any other model."""
    if not isinstance(model, Autoencoder) or model.network_.n_switches == 0:
        return None
    return model.inverse_transform(model.transform(x)).reshape(len(x), -1)


def last_step(model: Any) -> Any:
    """The model itself; of a pipeline, as a model of another's codes is one, its last step."""
    return model[-1] if isinstance(model, Pipeline) else model


def has_code(model: Any) -> bool:
    """Whether a model has a code that it makes at once: the identity has none, a `DecoderPrior` searches for it."""
    return isinstance(last_step(model), Autoencoder | PCA | MiniBatchDictionaryLearning)


def encode(model: Any, images: Images) -> np.ndarray:
    """The codes of all images, (n, code_size)."""
    return np.concatenate([model.transform(images.floats(which)) for which in chunks(len(images))])


def n_parameters(model: Any) -> int:
    """Numbers that were learned: weights and biases; a PCA's components and mean; of a pipeline, all its steps'."""
    if isinstance(model, Pipeline):
        return sum(n_parameters(step) for _, step in model.steps)
    if isinstance(model, Autoencoder):
        return model.n_parameters_
    if isinstance(model, DecoderPrior):
        network: Any = model.autoencoder_.network_
        return sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in network.encoder.parameters())
    if isinstance(model, MiniBatchDictionaryLearning):
        return model.components_.size
    return model.components_.size + model.mean_.size if isinstance(model, PCA) else 0


def code_size(model: Any, n_features: int) -> int:
    """Numbers that are kept of one sample: its code, and the switches that an unpooling decoder sees beside it."""
    model = last_step(model)
    if isinstance(model, Autoencoder):
        return model.network_.code_size + model.network_.n_switches
    if isinstance(model, DecoderPrior):
        return model.autoencoder_.network_.code_size
    if isinstance(model, MiniBatchDictionaryLearning):
        return len(model.components_)
    return int(model.n_components_) if isinstance(model, PCA) else n_features
