"""Where the rows of photographs come from: memory, shards, a mapped file of decoded pixels, or the image files again.

Each has `rows(i, first, stop)`: these rows of all channels of the i-th page, (c, stop - first, w), as they are stored.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import warnings
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.formats.image_file import iterate_pages, quiet_readers
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.errors import DataError, DoubtWarning
from isthmus.files import remove

BLOCK = 1 << 20  # bytes of a page that have a checksum of their own
AHEAD = 256 << 20  # bytes of pixels that are decoded before they are needed, or kept after it


@dataclass(frozen=True, eq=False)
class InMemory:
    pixels: list[np.ndarray]

    def rows(self, i: int, first: int, stop: int) -> np.ndarray:
        return self.pixels[i][:, first:stop]


@dataclass(frozen=True, eq=False)
class Stored:
    """Images of one size on the disk, of which nothing but these rows is read."""

    pixels: StoredPixels

    def rows(self, i: int, first: int, stop: int) -> np.ndarray:
        return self.pixels.lines(i, first, stop)


class Decoder:
    """Decodes a file when one of its pages is needed, and keeps the latest."""

    def __init__(self, paths: Sequence[str], pages: list[dict[str, Any]]) -> None:
        self.paths, self.pages = paths, pages
        self.latest: OrderedDict[int, list[np.ndarray]] = OrderedDict()

    def rows(self, i: int, first: int, stop: int) -> np.ndarray:
        page = self.pages[i]
        pixels = self._file(page["file"])
        at = page["page"]
        if at >= len(pixels) or (list(pixels[at].shape), pixels[at].dtype.str) != (list(page["shape"]), page["dtype"]):
            raise DataError(f"{self.paths[page['file']]} has changed since it was first read; begin again")
        return pixels[at][:, first:stop]

    def _file(self, number: int) -> list[np.ndarray]:
        if number not in self.latest:
            with quiet_readers():
                self.latest[number] = [page.pixels for page in iterate_pages(self.paths[number])]
            while len(self.latest) > 1 and sum(p.nbytes for pages in self.latest.values() for p in pages) > AHEAD:
                self.latest.popitem(last=False)
        self.latest.move_to_end(number)
        return self.latest[number]


class PixelFile:
    """The pixels of an entry. What is read for the first time is held against its checksums; a damaged entry is
    removed, and what was to come from it is decoded."""

    def __init__(self, path: Path, pages: list[dict[str, Any]], decoder: Decoder, is_sound: bool) -> None:
        self.entry, self.pages, self.decoder, self.is_whole = path.parent, pages, decoder, True
        self.descriptor = os.open(path, os.O_RDONLY)  # it stays readable if another process removes it
        weakref.finalize(self, os.close, self.descriptor)
        self.firsts = np.cumsum([0, *(len(page["crc"]) for page in pages)])
        self.sound = np.full(self.firsts[-1], is_sound)

    def rows(self, i: int, first: int, stop: int) -> np.ndarray:
        page = self.pages[i]
        shape, dtype, offset = page["shape"], np.dtype(page["dtype"]), page["offset"]
        size = int(np.prod(shape)) * dtype.itemsize
        before = offset % mmap.ALLOCATIONGRANULARITY
        # a map of one page at a time: what is mapped counts as the process' memory until it is given back
        try:
            mapped = mmap.mmap(self.descriptor, before + size, access=mmap.ACCESS_READ, offset=offset - before)
            flat = np.frombuffer(mapped, np.uint8, size, before)
            self._check(i, flat, shape[1], shape[2] * dtype.itemsize, first, stop)
        except (OSError, ValueError):  # ValueError: it is shorter than it was, or differs
            self._discard()
            return self.decoder.rows(i, first, stop)
        return flat.view(dtype).reshape(shape)[:, first:stop]

    def _check(self, i: int, flat: np.ndarray, height: int, line: int, first: int, stop: int) -> None:
        start, sums = self.firsts[i], self.pages[i]["crc"]
        for top in range(0, len(flat), height * line):
            for block in range((top + first * line) // BLOCK, -(-(top + stop * line) // BLOCK)):
                if not self.sound[start + block]:
                    if zlib.crc32(flat[block * BLOCK : (block + 1) * BLOCK].data) != sums[block]:
                        raise ValueError
                    self.sound[start + block] = True

    def _discard(self) -> None:
        if self.is_whole:
            self.is_whole = False
            warnings.warn(f"{self.entry} is damaged, and was removed: the next fit makes it again", DoubtWarning, 2)
            with contextlib.suppress(OSError):
                remove(self.entry)
