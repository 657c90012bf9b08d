"""Drawings, and pictures of drawings, made like the data: same size, same place, bright on dark.

Hand-drawn digits are placed as MNIST's were: the strokes are scaled into a box, and the box is moved until the centre
of mass is where the data has it (LeCun, Cortes, Burges, "The MNIST database").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from isthmus.data.formats.page import grey_of
from isthmus.data.images import Images

_SIDE = 512  # of a picture in which strokes are looked for
_WINDOW = 0.35  # of the picture's shorter side: wider than any stroke, and narrower than a shadow
_DARK = 0.25  # a ground darker than this is no paper
_INK = 0.2  # a pixel that is further from the ground than this is part of what is drawn
_ASK = 1000  # images that are looked at to learn what the data is like


Extreme = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Manner:
    """How the data's images are laid out.

    plain: they stand on a dark, even ground, like digits, and what is drawn can be moved and scaled. box: the longer
    side of what is drawn, as a share of the image. centre: (row, column) of its centre of mass, as shares.
    """

    plain: bool
    box: float
    centre: tuple[float, float]


def manner_of(images: Images | None, shape: tuple[int, int, int]) -> Manner:
    """How images are laid out, from the first of them; without images, as MNIST's are if they have one channel."""
    usual = Manner(shape[0] == 1, 20 / 28, (0.5, 0.5))
    if images is None:
        return usual
    x = images.floats(slice(0, _ASK)).reshape(-1, *images.shape).mean(axis=1)
    h, w = images.shape[1:]
    edge = np.concatenate([x[:, 0], x[:, -1]], axis=1)
    if shape[0] != 1 or np.median(edge) > _INK:
        return Manner(False, usual.box, usual.centre)
    ink = x > _INK
    height, width = (_extent(ink.any(axis=axis)) for axis in (2, 1))
    mass = np.maximum(x.sum(axis=(1, 2)), 1e-9)
    rows = (x.sum(axis=2) * (np.arange(h) + 0.5)).sum(axis=1) / mass / h
    columns = (x.sum(axis=1) * (np.arange(w) + 0.5)).sum(axis=1) / mass / w
    box = float(np.median(np.maximum(height, width)) / max(h, w))
    return Manner(True, box, (float(np.median(rows)), float(np.median(columns))))


def _extent(touched: np.ndarray) -> np.ndarray:
    """From the first to the last True of each row, (n, length) → (n,)."""
    last = touched.shape[1] - np.argmax(touched[:, ::-1], axis=1)
    return np.where(touched.any(axis=1), last - np.argmax(touched, axis=1), 0)


def place(drawing: np.ndarray, shape: tuple[int, int, int], manner: Manner) -> np.ndarray:
    """Bright strokes on a dark ground, (height, width) in [0, 1], as an image of the data, (c, h, w) float32.

    An empty drawing is a dark image.
    """
    c, h, w = shape
    page = np.zeros((h, w), np.float32)
    rows, columns = (np.flatnonzero((drawing > 0.1).any(axis=axis)) for axis in (1, 0))
    if len(rows):
        cut = drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = manner.box * max(h, w) / max(cut.shape)
        size = [max(1, min(side, round(length * scale))) for side, length in zip((h, w), cut.shape, strict=True)]
        small = _resize(cut, (size[0], size[1]))
        small = small / max(float(small.max()), 1e-9)  # a thin stroke is as bright as the data's
        mass = max(float(small.sum()), 1e-9)
        centre = [float((small.sum(axis=1 - a) * (np.arange(size[a]) + 0.5)).sum()) / mass for a in (0, 1)]
        wanted = (manner.centre[0] * h, manner.centre[1] * w)
        # moved by whole pixels, and never so far that a part of it is lost
        top, left = (
            min(max(0, round(want - have)), side - length)
            for want, have, side, length in zip(wanted, centre, (h, w), size, strict=True)
        )
        page[top : top + size[0], left : left + size[1]] = small
    return np.broadcast_to(page, (c, h, w)).copy()


def _resize(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(height, width) in [0, 1] to another size: each new pixel is the mean of what it covers."""
    picture = Image.fromarray(np.ascontiguousarray(x, np.float32))
    method = Image.Resampling.BOX if max(x.shape) > max(size) else Image.Resampling.BILINEAR
    return np.clip(np.asarray(picture.resize((size[1], size[0]), method), np.float32), 0, 1)


def strokes_of(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """Bright strokes on a dark ground, (height, width) in [0, 1], of a picture of a drawing, and whether it was ink.

    image: (1 or 3, h, w), uint8 or float32 in [0, 1]. Ink is darker than its paper, and is turned to light.
    """
    share = min(1.0, _SIDE / max(image.shape[1:]))
    size = max(1, round(share * image.shape[1])), max(1, round(share * image.shape[2]))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in image]
    small = np.stack([np.asarray(plane.resize((size[1], size[0]), Image.Resampling.BOX)) for plane in planes])
    strokes, inverted = _strokes(grey_of(unit(small))[0])
    peak = float(np.quantile(strokes, 0.995))
    return np.clip((strokes - 0.15) / max(peak - 0.15, 0.05), 0, 1), inverted  # paper is never quite even


def is_light_on_dark(image: np.ndarray) -> bool:
    """Whether the border of an image (1 or 3, h, w) is dark."""
    return bool(np.median(_border(grey_of(unit(image))[0])) < 0.5)


def unit(image: np.ndarray) -> np.ndarray:
    """An image of uint8 or float32 as float32 in [0, 1], as `Images.floats` gives it."""
    return Images(image[None]).floats().reshape(image.shape)


def _strokes(grey: np.ndarray) -> tuple[np.ndarray, bool]:
    """How far each pixel is from the ground, in [0, 1], and whether it is darker: ink on paper.

    A shadow on paper is wider than a pen, so a closing (the least of the largest of a wide window around each pixel)
    shows paper and shadow without ink.
    """
    ground = float(np.median(_border(grey)))
    darkest, brightest = np.quantile(grey, (0.005, 0.995))
    # by what stands out, for paper in a dim room is not bright
    inverted = bool(ground - darkest > brightest - ground)
    window = max(1, round(_WINDOW * min(grey.shape)))
    paper = _filtered(grey, window, np.maximum, np.minimum)
    ink = np.clip((paper - grey) / np.maximum(paper, 1e-3), 0, 1)
    if not inverted and ground > _DARK:  # the border may lie in the shadow, and the light part of the paper stand out
        board = _filtered(grey, window, np.minimum, np.maximum)
        inverted = bool(np.quantile(ink, 0.995) > np.quantile((grey - board) / np.maximum(1 - board, 1e-3), 0.995))
    if not inverted:
        return np.clip((grey - ground) / max(1 - ground, 1e-3), 0, 1), False
    if np.quantile(ink, 0.995) > _INK:
        return ink, True
    return np.clip((ground - grey) / max(ground, 1e-3), 0, 1), True  # thicker than the window: an area, not strokes


def _filtered(x: np.ndarray, size: int, first: Extreme, second: Extreme) -> np.ndarray:
    """Of every square of size×size the `first` extreme, and of these the `second`: a closing or an opening.

    Beyond its border the picture goes on as it comes in, or a slope that ends there would not stay as it is.
    """
    x = np.pad(x, size, mode="reflect", reflect_type="odd")
    for of in (first, second):
        for axis in (0, 1):
            rows, length = np.moveaxis(x, axis, 0), 1
            while length < size:  # windows double as they grow
                step = min(length, size - length)
                rows, length = of(rows[:-step], rows[step:]), length + step
            x = np.moveaxis(rows, 0, axis)
    return x[1:-1, 1:-1]


def _border(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])
