"""Identities of images: hashes of their pixels, independent of the name, place and format of the file.

An image is hashed as it is stored, upright, before it is made grey, resized or cut. It has the same identity in 8 and
16 bits, as integers, as floats of the same numbers and as floats in [0, 1], in grey and as RGB with equal channels. Any
other change, such as JPEG compression, makes another image. Of large images evenly spaced rows are hashed: all would
take a third of the time in which a photograph is read.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from isthmus.data.formats.page import Page
from isthmus.data.images import Images

_PIXELS = 1 << 18  # that are hashed, or up to twice as many
_SAME = 1e-4  # of a step of 8 bits: what rounding to float32 does to a number of 8 bits, and less than any other step
_AT_A_TIME = 1 << 20
MOST = 100_000  # images whose marks config.json lists, in a megabyte
_DTYPE = "<u8"


def identity_of(page: Page) -> int:
    """The identity of a page, an integer of 64 bits."""
    h, w = page.pixels.shape[1:]
    pixels = page.pixels[:, :: max(1, h * w // _PIXELS)]
    if len(pixels) == 3 and all(np.array_equal(pixels[0, :1], other[:1]) for other in pixels[1:]):
        pixels = pixels[:1] if all(np.array_equal(pixels[0], other) for other in pixels[1:]) else pixels
    if page.white is not None and not (page.bits == 8 and pixels.dtype == np.uint8):
        pixels = np.divide(pixels, np.float32(page.white), dtype=np.float32)
    if pixels.dtype.kind == "f":
        pixels = _normalized(pixels)
    # rows of whole pixels, as nearly all formats have them: then nothing is copied
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    digest = hashlib.blake2b(f"{h} {w} {rows.shape[2]} {rows.dtype.kind}".encode(), digest_size=8)
    digest.update(rows.data)
    return int.from_bytes(digest.digest(), "little")


def identities_of(pixels: np.ndarray) -> np.ndarray:
    """The identities, (n,) uint64, of images (n, c, h, w) in any numbers."""
    bits = pixels.dtype.itemsize * 8
    return np.fromiter((identity_of(Page(image, bits)) for image in pixels), np.uint64, len(pixels))


def marks_of(images: Images) -> np.ndarray | None:
    """(n,) integers, one for each image; patches have that of their photograph. None where that is not known."""
    if images.identities is not None:
        return images.identities
    return None if images.places is not None else identities_of(images.pixels)


def among(few: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Whether each of a few marks is one of many, (n_few,): as `np.isin`, which would sort the many."""
    order = np.argsort(few, kind="stable")
    sorted_few, known = few[order], np.zeros(len(few), bool)
    for start in range(0, len(many) if len(few) else 0, _AT_A_TIME):
        some = many[start : start + _AT_A_TIME]
        first, last = (np.searchsorted(sorted_few, some, side) for side in ("left", "right"))
        hits = np.flatnonzero(first < last)
        for i, j in zip(first[hits].tolist(), last[hits].tolist(), strict=True):
            known[order[i:j]] = True
    return known


def to_text(marks: Iterable[int] | np.ndarray | None) -> str | None:
    """Marks as config.json has them; None for those that are not known, or too many."""
    if marks is None:
        return None
    array = np.asarray(marks, _DTYPE)
    if len(np.unique(array[: 2 * MOST])) > MOST:  # of many millions all need not be sorted for that
        return None
    array = np.unique(array)
    return None if len(array) > MOST else base64.b64encode(array.tobytes()).decode("ascii")


def from_text(text: Any) -> np.ndarray | None:
    """What `to_text` wrote; None for anything else, which is nothing known."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), _DTYPE)
    except (TypeError, ValueError):
        return None


def _normalized(pixels: np.ndarray) -> np.ndarray:
    """Floats as 8 bits where 255ths or whole, or as 16 where whole; else as float32, if that has them exactly."""
    if pixels.itemsize < 4:  # whose largest number is below 65535
        pixels = pixels.astype(np.float32)
    for part in (pixels[:, :1], pixels):  # of nearly all others the first row is enough
        numbers = part * np.float32(255)
        near = np.rint(numbers)
        is_whole = (np.abs(numbers - near) <= _SAME) & (near >= 0) & (near <= 255) & ((near > 0) | (part == 0))
        if not is_whole.all():
            break
    else:
        return near.astype(np.uint8)
    if all(((part >= 0) & (part <= 65535) & (part == np.rint(part))).all() for part in (pixels[:, :1], pixels)):
        if pixels.max() <= 255:
            return pixels.astype(np.uint8)
        return _normalized(np.divide(pixels, np.float32(65535), dtype=np.float32))  # as those of 16 bits are
    short = pixels.astype(np.float32)
    return short if np.array_equal(short, pixels, equal_nan=True) else pixels
