"""What every fitted estimator can be asked, isthmus' own or scikit-learn's: a code, a reconstruction, its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.data.images import Images
from isthmus.estimators.adapters import adapter_of

CHUNK = 500  # images at a time: bounded memory, and the arrays of one chunk stay in the cache


def chunks(n: int) -> list[slice]:
    """The slices that cut n samples into chunks."""
    return [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]


def reconstruct(model: Any, x: np.ndarray) -> np.ndarray:
    """x_hat for samples (n, n_features), flat."""
    return adapter_of(model).reconstruct(x)


def reconstruct_each(models: Sequence[Any], x: np.ndarray) -> np.ndarray:
    """x_hat of each of several models for the same few samples: float32 (n, n_features) → (n_models, n, n_features).

    The same numbers as `reconstruct`'s. x must be finite; it is held against a model's number of features and no more:
    for one image, scikit-learn's checks of an array take longer than a dense network does.
    """
    x_hat = np.empty((len(models), *x.shape), np.float32)
    for model, rows in zip(models, x_hat, strict=True):
        rows[:] = adapter_of(model).reconstruct_few(x)
    return x_hat


def reconstruct_code_only(model: Any, x: np.ndarray) -> np.ndarray | None:
    """x_hat from the code alone, for an autoencoder whose decoder otherwise sees more; None for any other model."""
    if not adapter_of(model).n_switches:
        return None
    return model.inverse_transform(model.transform(x)).reshape(len(x), -1)


def last_step(model: Any) -> Any:
    """The model itself; of a pipeline, as a model of another's codes is one, its last step."""
    return adapter_of(model).last.model


def has_code(model: Any) -> bool:
    """Whether a model has a code that it makes at once: the identity has none, a `DecoderPrior` searches for it."""
    return adapter_of(model).has_code


def encode(model: Any, images: Images) -> np.ndarray:
    """The codes of all images, (n, code_size)."""
    return np.concatenate([model.transform(images.floats(which)) for which in chunks(len(images))])


def n_parameters(model: Any) -> int:
    """Numbers that were learned: weights and biases; a PCA's components and mean; of a pipeline, all its steps'."""
    return adapter_of(model).n_parameters


def code_size(model: Any, n_features: int) -> int:
    """Numbers that are kept of one sample: its code, and the switches that an unpooling decoder sees beside it."""
    return adapter_of(model).code_size(n_features)
