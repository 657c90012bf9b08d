"""Write images in the form of their original files: format, colours, bits, compression, metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from isthmus.data.formats import png
from isthmus.data.formats.image_file import bytes_or_map, faults_named, format_of, quiet_readers
from isthmus.data.formats.page import LUMA, Form, ValueRange, bands, full_scale_of
from isthmus.errors import RequestError
from isthmus.files import atomic_file


def write_like(
    original: Path | None,
    images: np.ndarray | Sequence[np.ndarray],
    target: Path,
    *,
    value_range: ValueRange | None = None,
    grey: bool = False,
    clip: bool = False,
    bits: int = 8,
) -> tuple[str, ...]:
    """Write images to `target`, whole or not at all, in the form of `original`; as PNG of so many bits if that is None.

    images: one, or one for each page of the original, (c, h, w) floats in [0, 1], uint8 or uint16, c being 1 or 3. The
    original's format is kept, with its type of numbers, its resolution, EXIF, description and colour profile, a TIFF's
    compression and layout, a JPEG's subsampling (at quality 95), and whether a WebP is lossless. value_range: what 0
    and 1 are in the original's numbers. grey: a grey image of a colour file stays grey, without colours and their
    profile. Folders on the way to `target` are made. clip: without a note on the values that are clipped. bits: 8 or
    16, where there is no original; of 16 value_range holds too, if `fits_16_bits`.

    Returns sentences on what could not be kept, and on values that had to be clipped. Raises RequestError for an
    array that is no such image, DataError if the original cannot be read.
    """
    many = [np.asarray(image) for image in ([images] if isinstance(images, np.ndarray) else images)]
    notes = []
    for image in many:
        if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
            raise RequestError(f"an image to write must be (1 or 3, height, width), got {image.shape}")
        if not all(np.isfinite(image[:, rows]).all() for rows in bands(image.shape)):
            raise RequestError(f"cannot write {target}: the image has values that are NaN or infinite")
    if outside := 0 if clip else sum(int(((image < 0) | (image > 1)).sum()) for image in many):
        total = sum(image.size for image in many)
        notes.append(f"{outside:,} of {total:,} values lay outside [0, 1] and were clipped")
    if original is None:
        with _made(target) as file:
            full, dtype = 2**bits - 1, np.dtype(f"uint{bits}")
            file.write(png.encoded(_stored(many[0], len(many[0]), dtype, full, value_range)))
    else:
        data = bytes_or_map(original)
        with quiet_readers():
            with faults_named(original):
                module = format_of(original, data)
                # without their pixels, which of a large image would be there twice
                known: Any = getattr(module, "forms", None)
                forms = [page.form for page in module.pages(data)] if known is None else known(data)
            if len(forms) != len(many):
                raise RequestError(f"{original} has {len(forms)} pages, and {len(many)} images are to take their place")
            stored = []
            for form, image in zip(forms, many, strict=True):
                keep_grey = grey and len(image) == 1
                if keep_grey and form.channels == 3:
                    notes.append("colours are not kept: written as grey, as --grey made them")
                dtype, white = _stored_type(form, getattr(module, "KEEPS_BITS", False), notes)
                stored.append(_stored(image, 1 if keep_grey else form.channels, dtype, white, value_range))
            with _made(target) as file:
                notes += module.write(file, data, stored)
    return tuple(dict.fromkeys(notes))


def fits_16_bits(value_range: ValueRange | None) -> bool:
    """Whether the numbers of a range are whole ones from 0 to 65535, and many enough to be told apart."""
    return value_range is not None and value_range[0] >= 0 and 255 < value_range[1] <= 65535


@contextlib.contextmanager
def _made(target: Path) -> Iterator[IO[bytes]]:
    """The file at `target`, which is there when it is whole, and the folders on the way to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target, "w+b") as file:
        yield file


def _stored(
    image: np.ndarray, channels: int, dtype: np.dtype, white: int | None, value_range: ValueRange | None
) -> np.ndarray:
    """The image, clipped, in the numbers and with as many channels as a file has."""
    full = full_scale_of(image.dtype)
    if (image.dtype, white, value_range, channels) == (dtype, full, None, len(image)):
        return image
    stored = np.empty((channels, *image.shape[1:]), dtype)
    for rows in bands(image.shape):
        part = image[:, rows].astype(np.float64)
        part = part.clip(0, 1) if full == 1 else part / full
        if channels < len(part):  # a grey file that was read beside colour ones
            part = np.tensordot(LUMA, part, 1)[None]
        stored[:, rows] = _numbers(part, dtype, white, value_range)
    return stored


def _stored_type(page: Form, any_bits: bool, notes: list[str]) -> tuple[np.dtype, int | None]:
    """The type in which a page is written, and its white; None for floats."""
    dtype = page.dtype
    if dtype.kind == "f":
        return dtype, None
    if page.white is None:
        return dtype, int(np.iinfo(dtype).max)
    if page.bits <= 8:
        return np.dtype(np.uint8), 255
    if page.bits < 16 and not any_bits:
        notes.append(f"{page.bits} bits a number are written as 16")
    return np.dtype(np.uint16), page.white if any_bits else 65535


def _numbers(image: np.ndarray, dtype: np.dtype, white: int | None, value_range: ValueRange | None) -> np.ndarray:
    """Values in [0, 1] as the numbers of a file."""
    low, high = value_range or (0, 1 if white is None else white)
    values = image * (float(high) - low) + low
    if white is None:
        return values.astype(dtype)
    return np.rint(values).clip(np.iinfo(dtype).min, min(white, np.iinfo(dtype).max)).astype(dtype)
