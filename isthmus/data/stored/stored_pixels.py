"""Pixels that stay on the disk, in place of an array of `Images`: what is indexed is read."""

from __future__ import annotations

import hashlib
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from isthmus.data.stored.array_file import ArrayFile, Readers
from isthmus.fingerprints import table_fingerprint
from isthmus.rng import content_seeds

_GAP, _SPAN = 64 << 10, 16 << 20  # bytes between two rows that are read through; bytes that are read at once
_CHUNK = 4 << 20  # bytes of images that are looked at together


class StoredPixels:
    """(n, c, h, w) in files, one after the other; of these all rows, or some in any order.

    As of an array there are shape, ndim, dtype, nbytes, len, indexing by positions or a slice, iteration, min and max.
    What is indexed is read into a new array; `part` reads nothing. digest: sha256 of the files' numbers.

    files: their rows are images, (c, h, w) or (h, w), uint8, float16 or float32. which: positions in all of them.
    ends: the least and the largest number of the files, where they are known.
    """

    ndim = 4

    def __init__(
        self,
        files: Sequence[ArrayFile],
        image_shape: tuple[int, int, int],
        digest: str,
        which: np.ndarray | None = None,
        ends: tuple[float, float] | None = None,
    ) -> None:
        self.files, self.digest, self.which = tuple(files), digest, which
        self.ends = ends if which is None else None
        self.dtype, self.image_shape = files[0].dtype, image_shape
        self.starts = np.cumsum([0, *map(len, files)])  # of each file among all rows
        self.edges: list[int] = self.starts.tolist()
        self.readers = Readers()
        self._seeds: dict[tuple[int, str], np.ndarray] = {}

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, channels, height, width)."""
        return (len(self), *self.image_shape)

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.which is None else len(self.which)

    @property
    def row_bytes(self) -> int:
        """Of an image."""
        return math.prod(self.image_shape) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Of all images, on the disk."""
        return len(self) * self.row_bytes

    def __getitem__(self, which: Any) -> np.ndarray:
        if isinstance(which, int | np.integer):
            return self.rows(self._positions(np.array([which])))[0]
        return self.rows(self._positions(which))

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in self.chunks():
            yield from chunk

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def chunks(self) -> Iterator[np.ndarray]:
        """All images, a few megabytes at a time."""
        n = max(1, _CHUNK // self.row_bytes)
        return (self[start : start + n] for start in range(0, len(self), n))

    def min(self) -> float:
        """The smallest number; NaN if any is. All are read for it, unless it is known."""
        return self._ends()[0]

    def max(self) -> float:
        """The largest number, likewise."""
        return self._ends()[1]

    def _ends(self) -> tuple[float, float]:
        if self.ends is None:
            ends = np.array([(chunk.min(), chunk.max()) for chunk in self.chunks()], np.float64)
            self.ends = float(ends[:, 0].min()), float(ends[:, 1].max())
        return self.ends

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the files' own, of how they are read, and of which of their rows these are."""
        which = None if self.which is None else hashlib.sha256(np.asarray(self.which, "<i8").data).hexdigest()
        return table_fingerprint([self.digest, str(self.dtype), self.image_shape, which])

    def content_seeds(self, seed: int, purpose: str) -> np.ndarray:
        """(n,) int64, of each image's numbers as `rng.content_seeds` has them; all are read for it once, in pieces."""
        if (seed, purpose) not in self._seeds:
            seeds = (number for x in self.chunks() for number in content_seeds(seed, purpose, x.reshape(len(x), -1)))
            self._seeds[seed, purpose] = np.fromiter(seeds, np.int64, len(self))
        return self._seeds[seed, purpose]

    def part(self, which: np.ndarray | slice) -> StoredPixels:
        """The images at these positions, of which nothing is read."""
        return self._with(self._positions(which))

    def followed_by(self, other: StoredPixels) -> StoredPixels | None:
        """These, then others, of the same files or of more, of which nothing is read; None if they are of other numbers
        or of another shape.
        """
        rows, others = self._positions(slice(None)), other._positions(slice(None))
        if other.files == self.files:
            return self._with(np.concatenate([rows, others]))
        if (other.dtype, other.image_shape) != (self.dtype, self.image_shape):
            return None
        is_whole = self.which is None and other.which is None
        which = None if is_whole else np.concatenate([rows, others + self.edges[-1]])
        digest = table_fingerprint([self.digest, other.digest])
        known = [pixels.ends for pixels in (self, other) if pixels.ends is not None]
        ends = (min(low for low, _ in known), max(high for _, high in known)) if len(known) == 2 else None
        return StoredPixels((*self.files, *other.files), self.image_shape, digest, which, ends)

    def _with(self, which: np.ndarray) -> StoredPixels:
        return StoredPixels(self.files, self.image_shape, self.digest, which)

    def _positions(self, which: Any) -> np.ndarray:
        """Rows of the files. Raises IndexError for a position that is none."""
        if self.which is not None:
            return self.which[which]
        if isinstance(which, slice):
            return np.arange(*which.indices(len(self)))
        which = np.asarray(which)
        which = np.flatnonzero(which) if which.dtype == np.bool_ else which.astype(np.int64, copy=False)
        low, high = (int(which.min()), int(which.max())) if len(which) else (0, 0)
        if not -len(self) <= low <= high < len(self):
            raise IndexError(f"a position beyond {len(self):,} images")
        return which if low >= 0 else np.where(which < 0, which + len(self), which)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """(k, c, h, w) of these rows of the files: neighbours are read together, in the order of the disk."""
        shape = (len(rows), math.prod(self.image_shape))
        order = None if (np.diff(rows) > 0).all() else np.argsort(rows, kind="stable")
        sorted_rows = rows if order is None else rows[order]
        result = np.empty(shape, self.dtype)
        for begin, end, file, first in self._runs(sorted_rows):
            span = int(sorted_rows[end - 1] - sorted_rows[begin]) + 1
            is_whole = order is None and span == end - begin
            read = result[begin:end] if is_whole else np.empty((span, shape[1]), self.dtype)
            self.readers.read(file, first, read.reshape(-1).view(np.uint8).data)
            if not is_whole:
                places = slice(begin, end) if order is None else order[begin:end]
                result[places] = read[sorted_rows[begin:end] - sorted_rows[begin]]
        return result.reshape(-1, *self.image_shape)

    def lines(self, position: int, first: int, stop: int) -> np.ndarray:
        """(c, stop - first, w): these lines of an image, of which no others are read."""
        (c, h, w), (row,) = self.image_shape, self._positions(np.array([position])).tolist()
        if (first, stop) == (0, h):
            return self.rows(np.array([row]))[0]
        number = bisect_right(self.edges, row) - 1
        file, image = self.files[number], row - self.edges[number]
        of_lines = replace(file, shape=(len(file) * c * h, w))
        result = np.empty((c, stop - first, w), self.dtype)
        for channel, lines in enumerate(result):
            start = (image * c + channel) * h + first
            self.readers.read(of_lines, start, lines.reshape(-1).view(np.uint8).data)
        return result

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Images from a position on, as many as there are rows, (k, n_features): of whole files without any copy."""
        if self.which is not None:
            rows[:] = self[start : start + len(rows)].reshape(rows.shape)
            return
        for begin, end, file, first in self._neighbours(start, start + len(rows)):
            self.readers.read(file, first, rows[begin:end].reshape(-1).view(np.uint8).data)

    def announce(self, start: int, stop: int) -> None:
        """Have the system read images ahead, where it can."""
        if self.which is None:
            for begin, end, file, first in self._neighbours(start, min(stop, len(self))):
                self.readers.announce(file, first, end - begin)

    def _neighbours(self, start: int, stop: int) -> Iterator[tuple[int, int, ArrayFile, int]]:
        """As `_runs` of rows that follow each other, without an array of them."""
        number, begin = bisect_right(self.edges, start) - 1, start
        while begin < stop:
            end = min(stop, self.edges[number + 1])
            yield begin - start, end - start, self.files[number], begin - self.edges[number]
            number, begin = number + 1, end

    def _runs(self, rows: np.ndarray) -> Iterator[tuple[int, int, ArrayFile, int]]:
        """Runs of sorted rows that are read at once: from where to where, of which file, from which of its rows on."""
        if not len(rows):
            return
        number = np.searchsorted(self.starts, rows, side="right") - 1
        most = max(1, _SPAN // self.row_bytes)
        is_new = (np.diff(number) > 0) | (np.diff(rows) > 1 + _GAP // self.row_bytes)
        is_new |= np.diff((rows - rows[0]) // most) > 0
        edges = [0, *(np.flatnonzero(is_new) + 1).tolist(), len(rows)]
        for begin, end in itertools.pairwise(edges):
            file = int(number[begin])
            yield begin, end, self.files[file], int(rows[begin] - self.starts[file])
