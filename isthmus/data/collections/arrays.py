"""Read .npy and .npz files with checks, and arrays as images.

A header is checked against the length of the file before anything is allocated, a member of an archive against its size
before it is unpacked. Arrays of Python objects, which would be pickles, are never loaded.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from isthmus.data.sources.idx import BOMB_BYTES, BOMB_RATIO, MAX_BYTES
from isthmus.data.stored.npy_header import read_header
from isthmus.data.torch_datasets import is_torch_data, read_samples
from isthmus.errors import DataError, one_line
from isthmus.files import open_regular

_PIECE = 1 << 20
_IMAGE_KEYS, _LABEL_KEYS = ("images", "x", "X", "arr_0"), ("labels", "y")
_UNPACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what numpy.savez writes; others have unbounded windows


def read_npy(path: Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array of a .npy file. Raises DataError with the path, the fault and the way out."""
    try:
        with open_regular(path) as file:
            return _read_array(str(path), file, os.fstat(file.fileno()).st_size, max_bytes)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def read_npz(path: Path, *, max_bytes: int = MAX_BYTES) -> tuple[np.ndarray, np.ndarray | None]:
    """The images of a .npz file and their labels, numbers or text, or None.

    Images are called images, x, X or arr_0, or are the only array of numbers with three axes or more; labels are called
    labels or y. Other arrays are not read. Raises DataError with the path, the fault and the way out.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            labels = next((name for name in _LABEL_KEYS if name in members), None)
            others = [name for name in members if name not in _LABEL_KEYS]
            likely = others if len(others) == 1 else [name for name in others if _rank(archive, members[name]) > 2]
            images = next((name for name in _IMAGE_KEYS if name in members), likely[0] if len(likely) == 1 else None)
            if images is None:
                held = one_line(", ".join(sorted(members)[:8])) or "nothing"
                raise DataError(f'{path} holds {held}, and no array called "images"; save it with images=...')
            pixels = _read_member(path, archive, members[images], max_bytes)
            if labels is None:
                return pixels, None
            return pixels, _read_member(path, archive, members[labels], max_bytes, labels)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    # zipfile has many exceptions: RuntimeError for encryption, NotImplementedError for an unknown method
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError, LookupError) as error:
        reason = one_line(error) or type(error).__name__
        raise DataError(f"{path} is not a whole .npz file ({reason}); save it again with numpy.savez") from None


def _rank(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """The number of axes of an array of numbers; 0 for anything else."""
    try:
        with archive.open(info) as file:
            return len(read_header(info.filename, file)[1])
    except DataError:
        return 0


def _read_member(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int, labels: str = ""
) -> np.ndarray:
    where = f"{path}, {one_line(info.filename[:100])},"
    if info.compress_type not in _UNPACKED:
        raise DataError(f"{where} is packed in a way that NumPy does not use; save it again with numpy.savez")
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * max(1, info.compress_size):
        raise DataError(
            f"{where} would grow from {info.compress_size:,} to {info.file_size:,} bytes, more than {BOMB_RATIO} "
            "times: a decompression bomb, not images; save it again with numpy.savez"
        )
    with archive.open(info) as file:
        return _read_array(where, file, info.file_size, max_bytes, labels)


def _read_array(where: str, file: IO[bytes], size: int, max_bytes: int, labels: str = "") -> np.ndarray:
    """One array in NumPy's format from a stream of `size` bytes."""
    dtype, shape, is_fortran, before = read_header(where, file, labels)
    expected, dims = prod(shape) * dtype.itemsize, "×".join(map(str, shape)) or "one number"
    held = size - before
    if expected > max_bytes:
        raise DataError(f"{where} promises {dims} {dtype} = {expected:,} bytes; the limit is {max_bytes:,}")
    if expected != held:
        raise DataError(f"{where} promises {dims} {dtype} = {expected:,} bytes and holds {held:,}; save it again")
    data = _fill(where, file, expected)
    order = shape[::-1] if is_fortran else shape
    try:
        array = np.frombuffer(data, dtype).reshape(order)
    except ValueError as error:  # no bytes, and sizes whose product overflows all the same
        raise DataError(f"{where} promises {dims}, which no array can hold ({error})") from None
    array = array.T if is_fortran else array
    return array.astype(dtype.newbyteorder("="), copy=False)


def _fill(where: str, file: IO[bytes], expected: int) -> bytearray:
    """`expected` bytes of the stream, in pieces: a wrong length allocates no more than there is."""
    data = bytearray()
    while len(data) < expected and (piece := file.read(min(_PIECE, expected - len(data)))):
        data += piece
    if len(data) < expected or (isinstance(file, zipfile.ZipExtFile | io.BufferedReader) and file.read(1)):
        raise DataError(f"{where} promises {expected:,} bytes of numbers and holds others; save it again")
    return data


# --- what an array means ---


def as_pixels(pixels: np.ndarray, source: str) -> np.ndarray:
    """uint8 or float32 in [0, 1] of an array of images.

    uint8 is taken as it is, uint16 divided by 65535, True is white; floats must lie in [0, 1] (`Images` checks that).
    Raises DataError for other types, with the way out.
    """
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint16:
        return np.divide(pixels, np.float32(65535), dtype=np.float32)
    if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(
            f"{source}: pixels must be uint8, uint16, bool or float in [0, 1], got {pixels.dtype}; "
            'for 0 to 255, use x.astype("uint8"), or say what is black and white with --range LOW:HIGH'
        )
    return pixels


def range_of_array(array: np.ndarray, source: str) -> tuple[float, float]:
    """The smallest and the largest number of an array. Raises DataError if there are no two."""
    low, high = range_of(array) if array.size else (np.nan, np.nan)
    return checked_ends(low, high, source)


def range_of(array: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest number, except for NaN."""
    return float(np.fmin.reduce(array, axis=None)), float(np.fmax.reduce(array, axis=None))


def checked_ends(low: float, high: float, source: str) -> tuple[float, float]:
    """Raise DataError unless these are two finite numbers, the second the larger."""
    if not -np.inf < low < high < np.inf:
        raise DataError(f"{source}: its numbers go from {low:g} to {high:g}; say --range LOW:HIGH in place of auto")
    return low, high


def channels_first(array: np.ndarray, source: str) -> np.ndarray:
    """(n, c, h, w) of an array (n, h, w), (n, c, h, w) or (n, h, w, c), c being 1 or 3.

    Raises DataError for other shapes, and for shapes that can be read in two ways, with the way out.
    """
    shape = array.shape
    if array.ndim == 3:
        if shape[2] in (1, 3):
            raise DataError(
                f"{source}: {shape} may be {shape[0]} grey images or one with {shape[2]} channels; "
                "give x[:, None] for grey images, x[None] for one image"
            )
        return array[:, None]
    if array.ndim != 4:
        raise DataError(
            f"{source}: images must be (n, h, w), (n, c, h, w) or (n, h, w, c), got {shape}; "
            "one grey image is x[None], rows of pixels are x.reshape(n, h, w)"
        )
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last and shape[1:] != (1, 1, 1):
        raise DataError(
            f"{source}: {shape} may have its channels first or last; build Images(x) with channels first, "
            "or Images(x.transpose(0, 3, 1, 2)) if they are last"
        )
    if not first and not last:
        raise DataError(
            f"{source}: images have 1 or 3 channels, and neither end of {shape[1:]} has; "
            "save each channel by itself, or in Python build Images(x) with (n, channels, h, w)"
        )
    return array if first else np.ascontiguousarray(array.transpose(0, 3, 1, 2))


# Neighbours on the last axis differ by so much more than on either other: of images one after the other at most 1.4 (a
# still scene), of images along the last axis 1.9 to 10; of tiny ones, 8×8, no more than 0.8.
_ROUGH, _LONG, _BLOCK = 1.7, 20, 64


def last_axis_doubt(array: np.ndarray, source: str) -> str | None:
    """The sentence for an array that looks like (h, w, n), as other programs write stacks, not (n, h, w); or None."""
    if array.ndim != 3 or min(array.shape) < 2:
        return None
    middle = tuple(slice(max(0, (n - _BLOCK) // 2), (n + _BLOCK) // 2) for n in array.shape)
    block = array[middle].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        down, across, last = (np.abs(np.diff(block, axis=axis)).mean() for axis in range(3))
    n, h, w = array.shape
    if not (last > _ROUGH * max(down, across) or (n == h and w > _LONG * h)):
        return None
    return (
        f"{source}: {array.shape} is read as {n} images of {h}×{w}, and looks like {w} images of {n}×{h} along the "
        "last axis; if they are, give x.transpose(2, 0, 1)"
    )


def from_any(source: Any) -> np.ndarray | None:
    """The NumPy array of an array, a torch tensor or a list of images, without a copy where there need be none.

    None for others. Raises DataError as `stacked`.
    """
    source = stacked(source, "the list")
    if isinstance(source, np.ndarray):
        return source
    if type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach"):
        tensor = source.detach().cpu()
        return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
    return None


def stacked(source: Any, name: str) -> Any:
    """The array of a list of images, or of torch's Dataset or DataLoader; anything else as it is.

    Raises DataError for images of several shapes.
    """
    if is_torch_data(source):
        return read_samples(source, name)[0]
    if not isinstance(source, list | tuple):
        return source
    shapes = [np.shape(image) for image in source]
    if len(min(shapes, key=len, default=())) < 2:
        return source
    if other := next((i for i, shape in enumerate(shapes) if shape != shapes[0]), 0):
        raise DataError(
            f"{name}: images of one shape are needed, got {shapes[0]} and, in position {other}, {shapes[other]}; bring "
            "them to one size, as open_images(folder, resize=(height, width)) does with files"
        )
    return np.stack([np.asarray(image) for image in source])
