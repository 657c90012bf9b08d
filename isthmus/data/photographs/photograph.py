"""Photographs whose pixels are read when they are needed, and that are sliced like arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from isthmus.data.formats.page import Page, ValueRange, grey_of
from isthmus.fingerprints import table_fingerprint

Shape = tuple[int, int, int]
Rows = Callable[[int, int], np.ndarray]  # (first, stop) → these rows of all channels, (c, stop - first, w)


@dataclass(frozen=True, eq=False)
class Photograph:
    """A page of an image file, (c, h, w); what is read of it is scaled as `Page.scaled` does, to uint8 or float32.

    rows: reads it as it is stored, in numbers of so many bits. stored: its shape there. sha256: of what is stored.
    channels: of what it becomes, where grey ones are made colour. as_floats: it lies among others of more than 8 bits.
    """

    rows: Rows
    stored: Shape
    dtype: np.dtype
    bits: int
    sha256: str
    value_range: ValueRange | None = None
    grey: bool = False
    channels: int = 1
    as_floats: bool = False

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of what is read."""
        return (self.channels, *self.stored[1:])

    @property
    def is_8_bit(self) -> bool:
        """Whether what is stored becomes uint8."""
        return self.value_range is None and self.dtype.kind in "ub" and self.bits in (1, 2, 4, 8)

    def __getitem__(self, key: Any, /) -> np.ndarray:
        _, rows, columns = key
        first, stop, _ = rows.indices(self.stored[1])
        image = Page(self.rows(first, stop)[..., columns], self.bits).scaled(self.value_range)
        image = grey_of(image) if self.grey else image
        image = image if len(image) == self.channels else np.repeat(image, self.channels, axis=0)
        return image / np.float32(255) if self.as_floats and image.dtype == np.uint8 else image

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :, :], dtype)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the pixels and of what is made of them."""
        facts = (self.sha256, self.stored, self.dtype.str, self.bits, self.value_range, self.grey)
        return table_fingerprint([*facts, self.channels, self.as_floats])


@dataclass(frozen=True, eq=False)
class Pair:
    """Two photographs of a scene, or arrays, the channels of the one after those of the other.

    units: what each is multiplied by, where they differ; then it is float32.
    """

    first: Any
    second: Any
    units: tuple[float, float] | None = None

    @property
    def shape(self) -> Shape:
        """(channels of both, height, width)."""
        return (self.first.shape[0] + self.second.shape[0], *self.first.shape[1:])

    def __getitem__(self, key: Any, /) -> np.ndarray:
        both = [self.first[key], self.second[key]]
        if self.units is not None:
            both = [
                np.multiply(x, np.float32(unit), dtype=np.float32) for x, unit in zip(both, self.units, strict=True)
            ]
        return np.concatenate(both)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :, :], dtype)

    @property
    def fingerprint(self) -> str:
        """sha256 of both photographs."""
        return table_fingerprint([self.first.fingerprint, self.second.fingerprint])
