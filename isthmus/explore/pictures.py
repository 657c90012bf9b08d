"""Drawings and uploaded pictures made like the data: same size, same place, bright on dark where the data is.

Hand-drawn digits are placed as MNIST's were: the strokes are scaled into a box, and the box is moved until the centre
of mass is where the data has it (LeCun, Cortes, Burges, "The MNIST database").
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, ImageStat, UnidentifiedImageError

from isthmus.data.formats import png
from isthmus.data.formats.page import STUMBLES
from isthmus.data.images import Images
from isthmus.errors import DataError, one_line

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
MOST_PIXELS = 1 << 24  # that are decoded: of a JPEG fewer than it has, for it can be read at an eighth of its size
MOST_IN_JPEG = 1 << 26
MOST_SIDE = 20_000
MOST_WHOLE = 300_000  # pixels of a picture that goes through a model of patches
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


def read_picture(
    data: bytes, shape: tuple[int, int, int], manner: Manner, *, whole: bool = False
) -> tuple[np.ndarray, str]:
    """An uploaded file as an image of the data, (c, h, w) float32, and what was done to it, in words.

    whole: for models of patches of this shape: all of the picture, (c, H, W), scaled down to MOST_WHOLE pixels if it
    has more. Raises DataError for what is no picture, is damaged, or has too many pixels.
    """
    picture, size = _decoded(data, 2048 if whole else 512)
    c, h, w = shape
    if whole:
        wide, high = _whole_size(picture.size, (w, h))
        small = picture if picture.size == (wide, high) else picture.resize((wide, high), Image.Resampling.BOX)
        scaled = "as it is" if size == f"{wide}×{high}" else f"scaled to {wide}×{high}"
        return _channels(small, c), f"{size}, {scaled}"
    if not manner.plain:
        short = min(picture.width / w, picture.height / h)
        half = (short * w / 2, short * h / 2)
        middle = (picture.width / 2, picture.height / 2)
        box = (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])
        pixels = _channels(picture.resize((w, h), Image.Resampling.BOX, box=box), c)
        cropped = "" if (picture.width * h == picture.height * w) else "cropped to the middle and "
        return pixels, f"{size}, {cropped}scaled to {w}×{h}"
    picture.thumbnail((512, 512), Image.Resampling.BOX)
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    if (picture.height, picture.width) == (h, w) and np.median(_border(grey)) < 0.5:
        return np.broadcast_to(grey, shape).copy(), f"{size}, as it is"
    strokes, inverted = _strokes(grey)
    peak = float(np.quantile(strokes, 0.995))
    strokes = np.clip((strokes - 0.15) / max(peak - 0.15, 0.05), 0, 1)  # paper is never quite even
    turned = "dark on light turned to light on dark, " if inverted else ""
    return place(strokes, shape, manner), f"{size}, {turned}scaled and centred like the data"


def _channels(picture: Image.Image, c: int) -> np.ndarray:
    """(c, h, w) float32 in [0, 1]."""
    pixels = np.asarray(picture.convert("L" if c == 1 else "RGB"), np.float32) / 255
    pixels = pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
    if len(pixels) != c:
        raise DataError(f"these models take images of {c} channels; a picture has 1 or 3")
    return pixels.copy()


def _whole_size(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a picture with at most MOST_WHOLE pixels, and at least a patch each way."""
    share = min(1.0, (MOST_WHOLE / (size[0] * size[1])) ** 0.5)
    share = max(share, *(side / length for side, length in zip(least, size, strict=True)))
    wide, high = (max(side, int(share * length)) for side, length in zip(least, size, strict=True))
    if wide * high > 2 * MOST_WHOLE:
        raise DataError(f"the picture is a strip of {size[0]}×{size[1]} pixels; cut a wider piece out of it")
    return wide, high


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


def check(data: bytes) -> None:
    """Look at the header alone. Raises DataError for what is no picture, and for one of more pixels than are read."""
    with _opened(data):
        pass


def _decoded(data: bytes, side: int) -> tuple[Image.Image, str]:
    """The picture, upright, and its width×height; of a JPEG no more is decoded than its sides need to be `side`."""
    with _opened(data) as picture:
        if picture.format == "PNG":
            for _ in png.chunks(data):  # which holds their checksums against them
                pass
        width, height = picture.size
        picture.draft("RGB", (side, side))
        picture.load()
        upright = _upright(picture)
        if upright.size != picture.size:  # it lay on its side
            width, height = height, width
        return _opaque(upright), f"{width}×{height}"


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The picture, of which nothing is decoded yet. What goes wrong with it, here and within, is a DataError."""
    if not data:
        raise DataError("the file is empty; choose a picture")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture)
            yield picture
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"the picture has too many pixels; at most {MOST_PIXELS / 1e6:.0f} million are read") from None
    except UnidentifiedImageError:
        raise DataError(f"this is not a picture that can be read; known: {', '.join(FORMATS)}") from None
    except STUMBLES as error:
        reason = one_line(error) or type(error).__name__
        raise DataError(f"the picture is damaged: {reason}; choose another") from None


def _check_size(picture: Image.Image) -> None:
    """Raise DataError for more pixels than are decoded: a file of kilobytes can hold a picture of gigabytes."""
    width, height = picture.size
    most = MOST_IN_JPEG if picture.format in ("JPEG", "MPO") else MOST_PIXELS
    if width * height > most or max(width, height) > MOST_SIDE:
        raise DataError(
            f"the picture has {width}×{height} pixels; at most {most / 1e6:.0f} million are read, {MOST_SIDE:,} a "
            "side: make it smaller"
        )


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as the camera's orientation (EXIF) says; a photograph whose EXIF is damaged is one all the same."""
    try:
        return ImageOps.exif_transpose(picture)
    except STUMBLES:
        return picture


def _opaque(picture: Image.Image) -> Image.Image:
    """In eight bits, and what is see-through on white paper, or on black if all that can be seen is light."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).astype(np.float32) / 257).clip(0, 255).astype(np.uint8))
    if picture.mode == "F":  # numbers in [0, 1], as the library's own reader takes them
        return Image.fromarray((np.nan_to_num(np.asarray(picture)) * 255).clip(0, 255).astype(np.uint8))
    if "A" in picture.mode or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        alpha = clear.getchannel("A")
        light = alpha.getbbox() is not None and ImageStat.Stat(clear.convert("L"), alpha).mean[0] > 127
        paper = Image.new("RGBA", clear.size, "black" if light else "white")
        return Image.alpha_composite(paper, clear).convert("RGB")
    return picture.convert("RGB")
