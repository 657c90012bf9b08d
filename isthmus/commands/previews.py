"""Small pictures that the commands write, for people would rather look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from isthmus.data.sizes import cropped
from isthmus.files import atomic_file
from isthmus.report.figures import draw

_SIDE = 160  # pixels to which a larger image is made smaller


def write_preview(path: Path, rows: dict[str, np.ndarray], labels: Sequence[str] = ()) -> None:
    """Rows of images by name, each (n, c, h, w) in [0, 1], one below the other in a PNG. labels: above the columns."""
    arrays = {**rows, "labels": np.array(labels)} if labels else rows
    with atomic_file(path) as file:
        file.write(draw({"kind": "reconstructions", "rows": list(rows)}, arrays))


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images (c, h, w) of any size as one array (n, c, h, w): large ones made smaller, small ones centred on white."""
    channels = max(len(image) for image in images)
    small = [_smaller(np.broadcast_to(image, (channels, *image.shape[1:]))) for image in images]
    h, w = (max(image.shape[axis] for image in small) for axis in (1, 2))
    page = np.ones((len(small), channels, h, w), np.float32)
    for place, image in zip(page, small, strict=True):
        top, left = (h - image.shape[1]) // 2, (w - image.shape[2]) // 2
        place[:, top : top + image.shape[1], left : left + image.shape[2]] = image
    return page


def middle(image: np.ndarray) -> np.ndarray:
    """The middle of a large image (c, h, w), at its own size."""
    return cropped(image, (min(image.shape[1], _SIDE), min(image.shape[2], _SIDE)))


def _smaller(image: np.ndarray) -> np.ndarray:
    h, w = image.shape[1:]
    share = _SIDE / max(h, w)
    if share >= 1:
        return image
    to = (max(1, round(w * share)), max(1, round(h * share)))
    planes = (Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in image)
    return np.stack([np.asarray(plane.resize(to, Image.Resampling.BOX)) for plane in planes])
