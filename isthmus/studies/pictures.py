"""From a figure of a study to the arrays that draw it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from isthmus import probe
from isthmus.data.images import Images
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import CHUNK
from isthmus.studies.measure import corrupted
from isthmus.studies.study import Figure


def figure_arrays(figure: Figure, models: dict[str, Any], images: Images) -> dict[str, np.ndarray]:
    """The named arrays of a figure, in the order in which they are drawn."""
    match figure.kind:
        case "curves":
            return _curves(models)
        case "filters":
            return {name: probe.encoder_filters(model, images.shape) for name, model in models.items()}
        case "scatter":
            first = images.take(slice(0, figure.n))
            (model,) = models.values()
            return probe.code_scatter(model, first)
        case "images":
            return _with_labels(probe.reconstructions({}, images.take(np.array(figure.images))), figure, images)
        case "reconstructions":
            return _with_labels(probe.reconstructions(models, images.take(np.array(figure.images))), figure, images)
        case "denoising":
            x_in = _corrupted_at(figure, images)
            return _with_labels(
                probe.reconstructions(models, images.take(np.array(figure.images)), x_in), figure, images
            )
    raise AssertionError(figure.kind)


def _with_labels(rows: dict[str, np.ndarray], figure: Figure, images: Images) -> dict[str, np.ndarray]:
    positions = np.array(figure.images)
    labels = {} if images.labels is None else {"labels": images.labels[positions]}
    return rows | labels | {"positions": positions}


def _curves(models: dict[str, Any]) -> dict[str, np.ndarray]:
    """The loss of each epoch; and the validation loss, where there is one, as "<model> (validation)"."""
    rows = {}
    for name, model in models.items():
        model = model[-1] if isinstance(model, Pipeline) else model
        if isinstance(model, Autoencoder):
            rows[name] = model.history_.losses
            if np.isfinite(model.history_.validation_losses).all():
                rows[f"{name} (validation)"] = model.history_.validation_losses
    return rows


def _corrupted_at(figure: Figure, images: Images) -> np.ndarray:
    """The figure's images with the very noise under which they are measured, (n, n_features)."""
    (part,) = figure.corruptions()
    rows = []
    for position in figure.images:
        number, within = divmod(position, CHUNK)
        which = slice(number * CHUNK, min((number + 1) * CHUNK, len(images)))
        rows.append(corrupted(images, part, number, which)[within])
    return np.stack(rows)
