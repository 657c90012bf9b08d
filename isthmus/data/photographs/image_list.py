"""Images of different sizes, as one list of (channels, height, width)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.collections.collection import listing_of
from isthmus.data.collections.pieces import file_of
from isthmus.data.framing import Framing
from isthmus.data.images import Images
from isthmus.data.layouts import as_channels_first
from isthmus.data.photographs.album import Album, open_album
from isthmus.data.photographs.photograph import Pair, Photograph
from isthmus.data.photographs.stored_list import PairList, StoredList
from isthmus.data.torch_datasets import is_torch_data, read_list
from isthmus.errors import DataError, DoubtWarning
from isthmus.files import write_json
from isthmus.fingerprints import array_fingerprint, table_fingerprint

_LOOKED_AT = 1 << 20  # numbers of which the range is found


@dataclass(frozen=True, eq=False)
class ImageList:
    """Images (c, h, w), all of as many channels. unit: what their numbers are multiplied by for the data's units.

    album: what they were read from, if they are of files.
    """

    arrays: Sequence[Any]  # each an array, or a `Photograph` or `Pair`, which is read like one
    unit: float = 1.0
    names: tuple[str, ...] = ()
    album: Album | None = None

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def channels(self) -> int:
        return int(self.arrays[0].shape[0])

    @property
    def shape(self) -> tuple[int, None, None]:
        """(channels, height, width) as `Images` have it: None for what differs."""
        return self.channels, None, None

    @property
    def n_features(self) -> int:
        """Numbers in one image, as `Images` have it: 0, for it differs."""
        return 0

    @property
    def n_bytes(self) -> int:
        """What the pixels take that are in memory."""
        if isinstance(self.arrays, StoredList | PairList):
            return 0
        return sum(array.nbytes for array in self.arrays if isinstance(array, np.ndarray))

    @property
    def marks(self) -> np.ndarray:
        """(n,) uint64, by which each image of a file is known again (`data.identity`); none of arrays."""
        marks = {} if self.album is None else dict(zip(self.album.names, self.album.marks, strict=True))
        return np.array([marks[name] for name in self.names if name in marks], np.uint64)

    @property
    def photographs(self) -> np.ndarray:
        """(n,) integers that tell what is independent, as of `Images`: each image."""
        return np.arange(len(self))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the images."""
        if isinstance(self.arrays, StoredList | PairList):
            return self.arrays.fingerprint
        lazy = (Photograph, Pair)
        return table_fingerprint([x.fingerprint if isinstance(x, lazy) else array_fingerprint(x) for x in self.arrays])

    def take(self, which: np.ndarray | slice) -> ImageList:
        """The images at these positions."""
        which = np.arange(len(self))[which]
        names = tuple(self.names[i] for i in which) if self.names else ()
        if isinstance(self.arrays, StoredList | PairList):
            return ImageList(self.arrays.part(which), self.unit, names, self.album)
        return ImageList(tuple(self.arrays[i] for i in which), self.unit, names, self.album)

    def beside(self, other: ImageList) -> ImageList:
        """Each image and the other list's, the channels of the one after those of the other.

        They go together by their places, so names that are alike must stand at the same. Raises DataError.
        """
        apart = _apart(self.names, other.names)
        if len(self) != len(other):
            way_out = f"{apart}; give a pair of each scene" if apart else "give a pair of each scene"
            raise DataError(f"X has {len(self)} images and Y {len(other)}; {way_out}")
        if apart:
            raise DataError(
                f"{apart}: X and Y go together in the order of their names; give a pair of each scene, "
                "or lists of arrays in the order that is meant"
            )
        for i, (x, y) in enumerate(zip(self.arrays, other.arrays, strict=True)):
            if x.shape != y.shape:
                raise DataError(f"X[{i}] is {x.shape} and Y[{i}] {y.shape}; the two of a pair must have the same shape")
        if any(isinstance(images.arrays, StoredList) for images in (self, other)):
            units = None if self.unit == other.unit else (self.unit, other.unit)
            return ImageList(PairList(self, other, units), 1.0 if units else self.unit, self.names)
        pairs = zip(self.arrays, other.arrays, strict=True)
        if self.album is not None and other.album is not None:
            if self.unit == other.unit:
                return ImageList(tuple(Pair(*pair) for pair in pairs), self.unit, self.names)
            return ImageList(tuple(Pair(*pair, (self.unit, other.unit)) for pair in pairs), 1.0, self.names)
        if self.unit == other.unit and self.arrays[0].dtype == other.arrays[0].dtype:
            return ImageList(tuple(np.concatenate(pair) for pair in pairs), self.unit, self.names)
        each = range(len(self))
        return ImageList(tuple(np.concatenate([self.floats(i), other.floats(i)]) for i in each), 1.0, self.names)

    def floats(self, i: int) -> np.ndarray:
        """The i-th image in float32, in the data's units: a new array."""
        return np.multiply(self.arrays[i], np.float32(self.unit), dtype=np.float32)

    def span(self) -> float:
        """How far the numbers go, in the data's units: from their 0.1 % to their 99.9 % quantile, some of each image.

        1 where all are equal. Numbers of a file are in all its parts, so it is kept beside a cache of them.
        """
        memo = None if self.album is None or self.album.entry is None else self.album.entry / f"{self.fingerprint}.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            if memo is not None and (span := float(json.loads(memo.read_bytes()))) > 0:
                return span
        share = max(1, _LOOKED_AT // len(self))
        if isinstance(self.arrays, StoredList):
            some = self.arrays.every(-(-math.prod(self.arrays[0].shape) // share))
        else:
            arrays = map(np.asarray, self.arrays)
            # a copy: a view would hold all of a photograph
            some = np.concatenate([array.ravel()[:: -(-array.size // share)].copy() for array in arrays])
        low, high = np.quantile(some.astype(np.float64), [0.001, 0.999]) * self.unit
        span = float(high - low) or 1.0
        with contextlib.suppress(OSError):  # a cache that cannot be written, or is gone
            if memo is not None:
                write_json(memo, span)
        return span


def _apart(names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """The first two names at one place that are not alike, but for endings; "" if all are.

    Where no name of the one is among the others, they are simply called otherwise, as x01 and y01.
    """
    stems, other_stems = ([_stem(name) for name in both] for both in (names, others))
    if set(stems).isdisjoint(other_stems):
        return ""
    for i, (stem, other) in enumerate(zip_longest(stems, other_stems)):
        if stem != other:
            name, beside = (of[i] if i < len(of) else "nothing" for of in (names, others))
            return f"{name} beside {beside}"
    return ""


def _stem(name: str) -> str:
    """The name of a page without the ending of its file, in small letters."""
    file = file_of(name)
    return (os.path.splitext(file)[0] + name[len(file) :]).casefold()


def image_list(X: Any, *, name: str = "X", cache: bool = False) -> ImageList:
    """The images that X stands for. Raises DataError for what holds no images, or images that cannot go together.

    X: `Images`; an array (n, c, h, w), (n, h, w) or (n, h, w, c); a list of arrays (c, h, w), (h, w) or (h, w, c) of
    different sizes; a torch Dataset or DataLoader of such, read once; or a folder of image files. Arrays are numbers in
    any range, and stay so; files and `Images` are in [0, 1], and what of these stays on the disk does so here too.
    cache: keep the pixels of a large folder on disk, decoded.
    """
    if isinstance(X, ImageList):
        return X
    if is_torch_data(X):
        X = read_list(X, name)
    if isinstance(X, Images) and X.stored is not None:  # whose numbers were looked at when they were opened
        return ImageList(StoredList(X.stored), 1 / 255 if X.pixels.dtype == np.uint8 else 1.0, X.names)
    if isinstance(X, Images):
        return _checked(tuple(X.pixels), 1 / 255 if X.pixels.dtype == np.uint8 else 1.0, X.names, name)
    if isinstance(X, str | os.PathLike):
        return _of_folder(X, cache)
    if isinstance(X, np.ndarray):
        if X.ndim not in (3, 4):
            raise DataError(f"{name}: images must be (n, c, h, w) or (n, h, w), or a list of arrays, got {X.shape}")
        return _checked(tuple(as_channels_first(X, None)), 1.0, (), name)
    if not isinstance(X, list | tuple) or not len(X):
        given = "no images" if isinstance(X, list | tuple) else type(X).__name__
        raise DataError(f"{name} must be images, arrays or a folder, got {given}")
    return _checked(tuple(_image(np.asarray(x), f"{name}[{i}]") for i, x in enumerate(X)), 1.0, (), name)


def _image(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise DataError(f"{name} must be (c, h, w), (h, w) or (h, w, c), got {array.shape}")
    return as_channels_first(array[None], None)[0]


def _of_folder(path: str | os.PathLike[str], cache: bool) -> ImageList:
    listing = listing_of(Path(path))
    if listing is None:
        raise DataError(f"{path} is no folder of image files")
    album = open_album(listing, Framing(), cache=cache)
    for note in album.notes:
        warnings.warn(note, DoubtWarning, stacklevel=5)
    return of_album(album)


def of_album(album: Album) -> ImageList:
    """The photographs of an album."""
    return ImageList(album.photographs, album.unit, album.names, album)


def _checked(arrays: tuple[np.ndarray, ...], unit: float, names: tuple[str, ...], source: str) -> ImageList:
    if not arrays:
        raise DataError(f"{source} has no images: its length is 0")
    for i, array in enumerate(arrays):
        called = names[i] if names else f"{source}[{i}]"
        if array.size == 0:
            raise DataError(f"{called} has no pixels: its shape is {array.shape}")
        if array.dtype.kind not in "buif":
            raise DataError(f"{called} must be numbers, got {array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{called} contains NaN or infinity; remove or repair it")
        if array.shape[0] != arrays[0].shape[0]:
            first = names[0] if names else f"{source}[0]"
            raise DataError(
                f"{first} has {arrays[0].shape[0]} channels and {called} {array.shape[0]}; make all grey or all colour"
            )
    types = {str(array.dtype) for array in arrays}
    if len(types) > 1 and any(array.dtype.kind in "ui" for array in arrays):
        warnings.warn(
            f"{source} holds numbers of {' and '.join(sorted(types))}, which are taken as they are, in one unit; if "
            "white is not the same number in all of them, divide each by its own",
            DoubtWarning,
            stacklevel=5,
        )
    return ImageList(arrays, unit, names)
