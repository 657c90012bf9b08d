"""Images on the disk as a list of photographs, each made when it is asked for: a million take no memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from isthmus.data.photographs.photograph import Pair, Photograph
from isthmus.data.photographs.pixel_sources import Stored
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.fingerprints import table_fingerprint


@dataclass(frozen=True, eq=False)
class StoredList(Sequence[Photograph]):
    """Stored pixels, (n, c, h, w), as n photographs."""

    pixels: StoredPixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: Any, /) -> Any:
        """The i-th photograph, of which nothing is read; or, by a slice, a list of some."""
        if isinstance(i, slice):
            return self.part(i)
        i, pixels = range(len(self))[i], self.pixels
        dtype, shape = pixels.dtype, pixels.image_shape
        rows = partial(Stored(pixels).rows, i)
        return Photograph(rows, shape, dtype, 8 * dtype.itemsize, f"{i} of {self.fingerprint}", channels=shape[0])

    @property
    def fingerprint(self) -> str:
        """sha256 of the pixels."""
        return self.pixels.fingerprint

    def part(self, which: np.ndarray | slice) -> StoredList:
        """The photographs at these positions."""
        return StoredList(self.pixels.part(which))

    def every(self, step: int) -> np.ndarray:
        """Each step-th number of each photograph, one after the other: all are read, in pieces."""
        return np.concatenate([x.reshape(len(x), -1)[:, ::step].ravel() for x in self.pixels.chunks()])


@dataclass(frozen=True, eq=False)
class PairList(Sequence[Pair]):
    """The images of two `ImageList`s, pair by pair. units: as of `Pair`."""

    first: Any
    second: Any
    units: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, i: Any, /) -> Any:
        if isinstance(i, slice):
            return self.part(i)
        return Pair(self.first.arrays[i], self.second.arrays[i], self.units)

    @property
    def fingerprint(self) -> str:
        """sha256 of both."""
        return table_fingerprint([self.first.fingerprint, self.second.fingerprint])

    def part(self, which: np.ndarray | slice) -> PairList:
        """The pairs at these positions."""
        return PairList(self.first.take(which), self.second.take(which), self.units)
