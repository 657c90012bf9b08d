"""Pages of image files as they are stored, and the scaling of their numbers."""

from __future__ import annotations

import io
import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus.errors import one_line

ValueRange = tuple[float, float]
_BAND = 1 << 20  # numbers: 8 MB in float64, of which there are several at a time
MAX_PIXELS = 178_956_970  # where Pillow itself refuses; a larger limit here would be its limit all the same
# An image of more than BOMB_BYTES that was BOMB_RATIO times smaller is no photograph: deflate reaches 1,030
BOMB_RATIO, BOMB_BYTES = 200, 64 << 20
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's own conversion to grey
# Exceptions of parsers on unexpected bytes
STUMBLES = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
    EOFError, NotImplementedError, RuntimeError, MemoryError, struct.error, zlib.error,
)  # fmt: skip

# kind of note -> the sentence for n files
NOTES = {
    "alpha": "{n}: an alpha channel was ignored",
    "extra": "{n}: channels beyond red, green and blue were dropped",
    "turned": "{n}: turned upright, as the camera's orientation (EXIF) says",
    "cmyk": "{n}: converted from CMYK to RGB",
    "reduced": "{n}: smaller copies and masks beside the pictures were left out",
    "clipped": "{n}: values outside --range became black or white",
    "cut": "{n}: values outside --range became black or white, more than a tenth of all",
    "dim": "{n}: of too few bits for --range, so that nothing is bright; leave them out, or say another --range",
    "faint": "{n}: no pixel reaches a hundredth of what --range says is white; say another, or --range auto",
}


_MUCH = 0.1  # of the values, outside a range: more than a few hot pixels
_FAINT = 0.01  # of a range: images of its numbers are hardly ever that dim, and fractions of white always
DARK = 0.25  # of white: images of more than 8 bits that stay below it use a part of their numbers


class Refused(Exception):  # noqa: N818
    """Why a file is not read: the end of a sentence that starts with its path."""


def unread(kind: str, why: str) -> Refused:
    """The error for a valid file that is not supported."""
    return Refused(f"is a valid {kind} of a kind that is not read: {why}")


def as_file(data: Any) -> Any:
    """A file's bytes, or a map of it, to be read from the start as a file is."""
    if not isinstance(data, mmap.mmap):
        return io.BytesIO(data)
    data.seek(0)
    return data


def forget(data: Any) -> None:
    """Let what was looked at of a map no longer take memory; it is read again where it is needed."""
    if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)


def copied(pixels: np.ndarray, data: Any) -> np.ndarray:
    """Pixels (c, h, w) in the order of their axes; of a file's map a copy, beside which no more of it takes memory."""
    if not isinstance(data, mmap.mmap) or not np.may_share_memory(pixels, np.frombuffer(data, np.uint8)):
        return np.ascontiguousarray(pixels)
    result = np.empty(pixels.shape, pixels.dtype)
    for rows in bands(pixels.shape):
        result[:, rows] = pixels[:, rows]
        forget(data)
    return result


def full_scale_of(dtype: np.dtype) -> int:
    """The number that is white in pixels of files of 8 or 16 bits, as they are stored; 1 in floats."""
    return int(np.iinfo(dtype).max) if dtype in (np.uint8, np.uint16) else 1


@dataclass(frozen=True)
class Form:
    """How a page is stored. channels: 1 or 3, as it is read. bits: of a number."""

    channels: int
    dtype: np.dtype
    bits: int

    @property
    def white(self) -> int | None:
        """The integer that is white; None where the type does not say, as of floats and signed numbers."""
        return 2**self.bits - 1 if self.dtype.kind in "ub" and self.bits <= 16 else None


@dataclass(frozen=True)
class Page:
    """A picture as its file stores it.

    pixels: (c, h, w), c being 1 (grey) or 3 (RGB), of the file's own type. bits: of a number; unsigned integers of so
    many bits are white at 2**bits - 1. notes: the kinds of `NOTES` that hold for it.
    """

    pixels: np.ndarray
    bits: int
    notes: tuple[str, ...] = field(default=())

    @property
    def form(self) -> Form:
        """How it is stored."""
        return Form(len(self.pixels), self.pixels.dtype, self.bits)

    @property
    def white(self) -> int | None:
        """The integer that is white, as of its form."""
        return self.form.white

    def values(self) -> str:
        """What the numbers are: "8 bits", "12 of 16 bits", "32-bit floats", "signed 16 bits"."""
        kind = self.pixels.dtype.kind
        return f"{self.bits}-bit floats" if kind == "f" else f"{'signed ' if kind == 'i' else ''}{self.bits} bits"

    def scaled(self, value_range: ValueRange | None = None, *, integers: bool = False) -> np.ndarray:
        """The pixels as models see them: uint8 in 0..255, or float32 in [0, 1].

        integers: those of 16 bits stay uint16, which takes half the memory. value_range: the numbers that are black and
        white; what lies outside is clipped. Without it, unsigned integers of up to 16 bits are divided by `white`, and
        floats must lie in [0, 1]. Raises Refused for other numbers, and for NaN.
        """
        pixels = self.pixels
        if value_range is None and self.bits == 8 and pixels.dtype == np.uint8:
            return pixels
        if integers and value_range is None and self.white == 65535:
            return pixels
        if value_range is not None:
            self._refuse_nan()
            return stretched(pixels, value_range)
        if (white := self.white) is not None:
            if 255 % white == 0:  # 1, 2 and 4 bits
                return np.multiply(pixels, np.uint8(255 // white), dtype=np.uint8)
            done = np.divide(pixels, np.float32(white), dtype=np.float32)
            return done.clip(0, 1, out=done)
        if pixels.dtype.kind == "f":
            self._refuse_nan()
            low, high = float(pixels.min()), float(pixels.max())
            if low >= 0 and high <= 1:
                return pixels.astype(np.float32)
            problem = f"has float pixels from {low:g} to {high:g}, which must lie in [0, 1]"
        else:
            low, high = int(pixels.min()), int(pixels.max())
            problem = f"has {self.values()} a pixel, from {low} to {high}, which do not say what is black and white"
        if low == high or not np.isfinite([low, high]).all():
            raise Refused(f"{problem}; say it with --range LOW:HIGH, or leave it out")
        raise Refused(f"{problem}; say it with {range_option((low, high))}, or --range auto")

    def _refuse_nan(self) -> None:
        if self.pixels.dtype.kind == "f" and np.isnan(self.pixels.min()):
            n = int(np.isnan(self.pixels).sum())
            raise Refused(f"has {n:,} of {self.pixels.size:,} pixels that are NaN; repair it, or leave it out")


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of images (..., h, w) in bands of bounded size, so that no large image is whole in float64.

    >>> [(band.start, band.stop) for band in bands((1, 3000, 1000))]
    [(0, 1048), (1048, 2096), (2096, 3000)]
    """
    height = shape[-2]
    rows = max(1, _BAND * height // math.prod(shape))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def stretched(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Numbers as float32 in [0, 1], black and white being the two of the range; what lies outside is clipped."""
    low, high = value_range
    result = np.empty(values.shape, np.float32)
    for rows in bands(values.shape):
        done = (values[..., rows, :].astype(np.float64) - low) / (high - low)
        result[..., rows, :] = np.clip(done, 0, 1, out=done)
    return result


def misfits(pixels: np.ndarray, white: int | None, value_range: ValueRange) -> tuple[str, ...]:
    """The kinds of `NOTES` on numbers that a range does not fit: they are clipped, or far below its white.

    white: the largest number of their bits; None for floats and signed numbers.
    """
    low, high = value_range
    notes = []
    if pixels.min() < low or pixels.max() > high:
        outside = np.count_nonzero((pixels < low) | (pixels > high))
        notes.append("cut" if outside > _MUCH * pixels.size else "clipped")
    if white is not None and white - low <= DARK * (high - low):
        notes.append("dim")
    elif low < pixels.max() <= low + _FAINT * (high - low):
        notes.append("faint")
    return tuple(notes)


def range_option(value_range: ValueRange) -> str:
    """As the command line takes it.

    >>> range_option((0, 4095.0)), range_option((-1.5, 2))
    ('--range 0:4095', '--range=-1.5:2')
    """
    low, high = value_range
    return f"--range{'=' if low < 0 else ' '}{low:.9g}:{high:.9g}"


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """(1, h, w) of an image (3, h, w), of its own type; a grey one as it is."""
    if len(pixels) == 1:
        return pixels
    result = np.empty((1, *pixels.shape[1:]), pixels.dtype)
    for rows in bands(pixels.shape):
        grey = np.tensordot(LUMA, pixels[:, rows].astype(np.float64), 1)
        result[0, rows] = np.rint(grey) if pixels.dtype.kind == "u" else grey
    return result


def without_alpha(values: np.ndarray, *, associated: bool) -> np.ndarray:
    """The colours of (h, w, colours + 1); an alpha that they were multiplied with (`associated`) is divided out."""
    colours, alpha = values[..., :-1], values[..., -1:]
    if not associated:
        return colours
    full = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    divided = np.divide(colours * float(full), alpha, out=np.zeros(colours.shape), where=alpha != 0)
    return np.rint(divided.clip(0, full)).astype(values.dtype) if full > 1 else divided.astype(values.dtype)


def multiplied(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (c, h, w) times their alpha (1, h, w), as `without_alpha` divides them."""
    full = np.iinfo(colours.dtype).max if colours.dtype.kind in "ui" else 1
    product = colours * (alpha / full)
    return np.rint(product).astype(colours.dtype) if full > 1 else product.astype(colours.dtype)


def from_cmyk(values: np.ndarray) -> np.ndarray:
    """RGB of unsigned (h, w, 4): cyan, magenta, yellow and black, each of no ink to full ink, without a profile."""
    full = np.iinfo(values.dtype).max
    ink = values.astype(np.float64) / full
    return np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * full).astype(values.dtype)


def with_palette(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(c, h, w) of indices (h, w) into a palette (n, 3); grey if all of its colours are."""
    colours = palette[:, :1] if is_grey(palette) else palette
    return np.ascontiguousarray(colours[indices].transpose(2, 0, 1))


def is_grey(palette: np.ndarray) -> bool:
    """Whether all colours (n, 3) are grey."""
    return bool((palette == palette[:, :1]).all())


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(c, h, w) pixels, turned and mirrored as an EXIF orientation from 1 to 8 asks."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(1, 2)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[:, ::down, ::across]


def check_size(width: int, height: int, samples: int, pages: int, stored: int) -> None:
    """Raise Refused for pictures without pixels, with too many, and for decompression bombs.

    samples: bytes of a pixel. pages: of this size. stored: the bytes of the file.
    """
    if width < 1 or height < 1:
        raise Refused(f"is an image of {height}×{width}, without pixels; leave it out")
    if width * height > MAX_PIXELS:
        raise Refused(f"promises {height}×{width} pixels; the limit is {MAX_PIXELS:,}, so cut it or leave it out")
    decoded = width * height * samples * pages
    if decoded > BOMB_BYTES and decoded > BOMB_RATIO * stored:
        raise Refused(
            f"would grow from {stored:,} to {decoded:,} bytes, more than {BOMB_RATIO} times: "
            "a decompression bomb, not a photograph; leave it out"
        )


def reason_of(error: BaseException) -> str:
    """A parser's error message, short."""
    return one_line(error)[:200] or type(error).__name__
