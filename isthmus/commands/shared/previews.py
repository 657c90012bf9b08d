"""Small pictures of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from isthmus.data.sizes import cropped
from isthmus.files import atomic_file

_SIDE = 160  # pixels: larger images are scaled down
_DIM = 0.5  # images without a brighter pixel are stretched: 12 bits in a range of 16 are nearly black


def write_preview(path: Path, rows: dict[str, np.ndarray], labels: Sequence[str] = (), *, white: float = 1.0) -> None:
    """Write a PNG of rows of images by name, each (n, c, h, w) in [0, 1]. labels: above the columns.

    white: the value that is shown as white, which the captions then state.
    """
    from isthmus.report.figures import figure_png  # Matplotlib, 20 MiB, when large images are not there any more

    rows = {captioned(name, white): stretched(row, white) for name, row in rows.items()}
    arrays = {**rows, "labels": np.array(labels)} if labels else rows
    with atomic_file(path) as file:
        file.write(figure_png({"kind": "reconstructions", "rows": list(rows)}, arrays))


def white_of(originals: Iterable[np.ndarray]) -> float:
    """The value to show as white: 1, or for dim images their brightest pixel."""
    brightest = max(float(image.max()) for image in originals)
    return brightest if 0 < brightest < _DIM else 1.0


def captioned(name: str, white: float) -> str:
    """A caption that states the value of white, if it is not 1."""
    return name if white == 1 else f"{name}\n(white: {white:.2g})"


def stretched(images: np.ndarray, white: float) -> np.ndarray:
    """Images divided by `white` and clipped at 1."""
    return images if white == 1 else np.minimum(images / white, 1)


def stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images (c, h, w) of any size as one array (n, c, h, w): large ones scaled down, small ones centred on white."""
    channels = max(len(image) for image in images)
    small = [smaller(np.broadcast_to(image, (channels, *image.shape[1:]))) for image in images]
    h, w = (max(image.shape[axis] for image in small) for axis in (1, 2))
    page = np.ones((len(small), channels, h, w), np.float32)
    for place, image in zip(page, small, strict=True):
        top, left = (h - image.shape[1]) // 2, (w - image.shape[2]) // 2
        place[:, top : top + image.shape[1], left : left + image.shape[2]] = image
    return page


def middle(image: np.ndarray) -> np.ndarray:
    """The middle of a large image (c, h, w), at its own size."""
    return cropped(image, (min(image.shape[1], _SIDE), min(image.shape[2], _SIDE)))


def smaller(image: np.ndarray) -> np.ndarray:
    """An image (c, h, w), scaled down if it is large."""
    h, w = image.shape[1:]
    share = _SIDE / max(h, w)
    if share >= 1:
        return image
    to = (max(1, round(w * share)), max(1, round(h * share)))
    planes = (Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in image)
    return np.stack([np.asarray(plane.resize(to, Image.Resampling.BOX)) for plane in planes])
