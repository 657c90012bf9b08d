"""Stack images into one array; grey and colour, 8 and 16 bits are converted to a common form."""

from __future__ import annotations

import os

import numpy as np

from isthmus.errors import DataError

MAX_PATCH_BYTES = 2 << 30


class SizesDifferError(Exception):
    """A block has another height or width than those before it."""


def mixed_words(*, colours: bool, depths: bool) -> list[str]:
    """Notes on images that were converted to a common form."""
    words = {
        "grey and colour images together: all became RGB": colours,
        "8 and 16 bits together: all became floats": depths,
    }
    return [sentence for sentence, is_so in words.items() if is_so]


class Stack:
    """(n, c, h, w), filled block by block, in order.

    expected: the images that will come; more may. The array is allocated when the first block says what it holds, and
    again if a later one needs colour, floats or more room.
    """

    def __init__(self, expected: int, source: str, cut: bool = False) -> None:
        self._expected, self._source, self._cut = expected, source, cut
        self._array: np.ndarray | None = None
        self._n = 0
        self.mixed_colours = self.mixed_depths = False

    def put(self, block: np.ndarray) -> None:
        """Place a block, (k, c, h, w), uint8 or float32 in [0, 1], after those before it.

        Raises SizesDifferError, and DataError if all blocks together are too large.
        """
        end = self._n + len(block)
        if self._array is None:
            self._array = self._allocate(max(self._expected, end), block.shape[1:], block.dtype)
        if block.shape[2:] != self._array.shape[2:]:
            raise SizesDifferError
        if block.shape[1] != self._array.shape[1] or block.dtype != self._array.dtype:
            self._widen(block)
        if end > len(self._array):
            larger = self._allocate(end, self._array.shape[1:], self._array.dtype, room=end + end // 2)
            larger[: self._n] = self._array[: self._n]
            self._array = larger
        # one grey channel is written to all three of a colour array
        self._array[self._n : end] = _as(block, self._array.dtype)
        self._n = end

    def _widen(self, block: np.ndarray) -> None:
        """Make room for colour if the block or the array has it, and for floats."""
        assert self._array is not None
        self.mixed_depths |= block.dtype != self._array.dtype
        self.mixed_colours |= block.shape[1] != self._array.shape[1]
        dtype = np.result_type(block.dtype, self._array.dtype)
        channels = max(block.shape[1], self._array.shape[1])
        if dtype != self._array.dtype or channels != self._array.shape[1]:
            wider = self._allocate(len(self._array), (channels, *block.shape[2:]), dtype)
            wider[: self._n] = _as(self._array[: self._n], dtype)
            self._array = wider

    def pixels(self) -> np.ndarray:
        """What was placed, in order. Raises DataError if nothing was."""
        if self._array is None:
            raise DataError(f"{self._source}: nothing is left of the images")
        return self._array[: self._n]

    def _allocate(self, n: int, shape: tuple[int, ...], dtype: np.dtype, room: int = 0) -> np.ndarray:
        """Room for n images, or for more, of which no memory is used before they come."""
        total = n * int(np.prod(shape)) * dtype.itemsize
        dims = "×".join(map(str, shape))
        if self._cut and total > MAX_PATCH_BYTES:
            raise DataError(
                f"{self._source}: {n:,} patches of {dims} are {total:,} bytes; the limit is {MAX_PATCH_BYTES:,}, "
                "so take some of each image, at random, with --patches-per-image N"
            )
        if total > (limit := memory_limit()):
            raise DataError(
                f"{self._source}: {n:,} images of {dims} are {total:,} bytes; the limit is {limit:,}, half of this "
                "machine's memory, so make them smaller with --resize HxW, or give fewer"
            )
        return np.empty((max(n, room), *shape), dtype)


def memory_limit() -> int:
    """Half of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _as(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if pixels.dtype == dtype:
        return pixels
    assert pixels.dtype == np.uint8
    return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)
