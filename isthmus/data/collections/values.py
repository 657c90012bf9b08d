"""Values of a collection's pixels: range, percentiles, and bits in use."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from isthmus.data.formats.page import Page

PERCENTILES = (1, 50, 99)
_DISTINCT = 2**20  # numbers that are counted one by one; of more, the nearest are counted as one


@dataclass
class Values:
    """The numbers of pages of one type, gathered page by page.

    low, high: of all, infinities and NaN aside. bits: of the type.
    """

    dtype: np.dtype
    bits: int
    pages: int = 0
    low: float = np.inf
    high: float = -np.inf
    _distinct: np.ndarray = field(default_factory=lambda: np.zeros(0))  # in order
    _counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # of each
    _union: int = 0

    def add(self, page: Page) -> None:
        """Take a page of this type into account."""
        self.pages += 1
        numbers = page.pixels.ravel()
        if self.dtype.kind == "f":
            numbers = numbers[np.isfinite(numbers)]
        if not numbers.size:
            return
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        if self.dtype.kind == "f" or self.dtype.itemsize > 2:
            self._count(*np.unique(numbers, return_counts=True))
        else:  # faster than to sort them
            least = int(np.iinfo(self.dtype).min)
            counts = np.bincount(numbers.astype(np.int64) - least)
            self._count(np.flatnonzero(counts) + least, counts[counts > 0])
        if self.dtype.kind == "u":
            self._union |= int(np.bitwise_or.reduce(numbers))

    def _count(self, numbers: np.ndarray, counts: np.ndarray) -> None:
        self._distinct, places = np.unique(np.concatenate([self._distinct, numbers]), return_inverse=True)
        self._counts = np.bincount(places, np.concatenate([self._counts, counts])).astype(np.int64)
        if len(self._distinct) > _DISTINCT:
            pairs = np.arange(0, len(self._distinct), 2)
            self._distinct, self._counts = self._distinct[pairs], np.add.reduceat(self._counts, pairs)

    def merge(self, other: Values) -> None:
        """Take another's pages into account."""
        self.pages += other.pages
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._count(other._distinct, other._counts)
        self._union |= other._union

    @property
    def used_bits(self) -> int | None:
        """From the lowest to the highest bit that is set in any number; None for floats and signed numbers."""
        if self.dtype.kind != "u":
            return None
        lowest = (self._union & -self._union).bit_length() - 1
        return self._union.bit_length() - lowest if self._union else 0

    def percentiles(self) -> list[float]:
        """Those of `PERCENTILES`: the least number that so many are not above."""
        if not len(self._counts):
            return [np.nan] * len(PERCENTILES)
        ends = np.cumsum(self._counts)
        ranks = [max(1, np.ceil(share / 100 * ends[-1])) for share in PERCENTILES]
        return [float(self._distinct[np.searchsorted(ends, rank)]) for rank in ranks]

    def words(self) -> str:
        """One line: how many pages, from where to where, percentiles, bits in use."""
        if self.low > self.high:
            return "no finite numbers"
        text = f"from {self.low:,.6g} to {self.high:,.6g}"
        shares = zip(PERCENTILES, self.percentiles(), strict=True)
        text += f" ({', '.join(f'{share} %: {value:,.6g}' for share, value in shares)})"
        if self.used_bits is not None:
            text += f", {self.used_bits} of {self.bits} bits in use"
        return text


def values_by_kind(pages: list[Page]) -> dict[str, Values]:
    """The numbers of pages, by what `Page.values` calls them."""
    by_kind: dict[str, Values] = {}
    for page in pages:
        by_kind.setdefault(page.values(), Values(page.pixels.dtype, page.bits)).add(page)
    return by_kind
