"""The noisy input that a question asks for, and images in the shelf's shape."""

from __future__ import annotations

import numpy as np

from isthmus.explore.answers import noise
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Shape, Shelf


def noisy(shelf: Shelf, query: Query, x: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """x, (n, n_features), with the noise that the question's kind, level and draw say."""
    part = noise.part_of(query.text("kind", "gaussian"), query.number("level", 0, 1e6, 0.0))
    return noise.noisy(part, x, shape or shelf.shape, query.integer("draw", 0, noise.MOST_DRAWS, 0))


def in_shape(shelf: Shelf, rows: np.ndarray) -> np.ndarray:
    """Rows as images, (n, c, h, w)."""
    return np.ascontiguousarray(rows, np.float32).reshape(len(rows), *shelf.shape)
