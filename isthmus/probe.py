"""What a fitted model knows, as named arrays: pictures draw these, and nothing else is computed for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from isthmus.data.images import Images
from isthmus.errors import RequestError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import encode, reconstruct


def reconstructions(models: dict[str, Any], images: Images, x_in: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Images in and out, each (n, c, h, w): "original", "input" if x_in is given, and one entry for each model.

    x_in: (n, n_features), what the models are given in place of the images.
    """
    x = images.floats()
    shape = (len(images), *images.shape)
    rows = {"original": x.reshape(shape)}
    if x_in is not None:
        rows["input"] = x_in.reshape(shape)
    given = x if x_in is None else x_in
    return rows | {name: reconstruct(model, given).reshape(shape) for name, model in models.items()}


def code_scatter(model: Any, images: Images) -> dict[str, np.ndarray]:
    """{"code": (n, 2), "labels": (n,)}: the first two numbers of each image's code, and what the image is."""
    code = encode(model, images)
    if code.shape[1] < 2:
        raise RequestError(f"a scatter needs codes of at least 2 numbers, got {code.shape[1]}")
    labels = np.zeros(len(images), np.int64) if images.labels is None else images.labels
    return {"code": code[:, :2], "labels": labels}


def encoder_filters(model: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """What each unit of the first layer looks for, as images: (n_units, c, h, w); of a PCA, its components."""
    if isinstance(model, Pipeline):
        model = model.steps[0][1]
    if isinstance(model, PCA):
        return model.components_.reshape(-1, *shape)
    if isinstance(model, Autoencoder):
        first: Any = model.network_.encoder
        return first.layers[0].weight.detach().cpu().numpy().reshape(-1, *shape)
    raise RequestError(f"a {type(model).__name__} has no filters")
