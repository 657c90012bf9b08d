"""An array in a .npy file, of which rows are read when they are needed: no memory map, which ends the program where a
file is cut short behind it, and whose pages look like memory that is used.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from isthmus.data.stored.npy_header import read_header
from isthmus.errors import DataError
from isthmus.files import open_regular

DTYPES = (np.dtype(np.uint8), np.dtype(np.float16), np.dtype(np.float32))  # of pixels that can stay on the disk
_OPEN = 64  # files at a time

Stamp = tuple[int, int]


@dataclass(frozen=True)
class ArrayFile:
    """Where an array's rows are. A row is all that belongs to one position on the first axis.

    offset: the bytes before the first row. stamp: the file's size, and the time of its last change.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    stamp: Stamp

    @classmethod
    def open(cls, path: Path) -> ArrayFile:
        """Of a file whose length is as its header says. Raises DataError with the path, the fault and the way out."""
        try:
            with open_regular(path) as file:
                stamp = _stamp(file.fileno())
                dtype, shape, is_fortran, offset = read_header(str(path), file)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from None
        expected, held = prod(shape) * dtype.itemsize, stamp[0] - offset
        if expected != held:
            dims = "×".join(map(str, shape)) or "one number"
            raise DataError(f"{path} promises {dims} {dtype} = {expected:,} bytes and holds {held:,}; save it again")
        if is_fortran and len(shape) > 1:
            raise DataError(f"{path} is in Fortran's order, in which an image is spread over all of it; save it in C's")
        return cls(path, dtype, shape, offset, stamp)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def n_bytes(self) -> int:
        """Of its numbers."""
        return self.stamp[0] - self.offset

    @property
    def row_bytes(self) -> int:
        """Of a row."""
        return prod(self.shape[1:]) * self.dtype.itemsize


class Readers:
    """Open files, the latest of them; what is read is held against the file as it was when its rows were found.

    Safe for threads. What is copied, or sent to another process, opens its own.
    """

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), OrderedDict[Path, int]()

    def __reduce__(self) -> tuple[type[Readers], tuple[()]]:
        return Readers, ()

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def read(self, file: ArrayFile, first: int, into: memoryview) -> None:
        """Rows from `first` on, as many bytes as `into` has. Raises DataError if the file has changed since."""
        start = file.offset + first * file.row_bytes
        try:
            with self._lock:
                descriptor = self._descriptor(file)
                is_same = _stamp(descriptor) == file.stamp
                done = 0
                while is_same and done < len(into):
                    n = os.preadv(descriptor, [into[done:]], start + done)
                    if not n:
                        break
                    done += n
        except OSError as error:
            raise DataError(f"cannot read {file.path}: {error.strerror or error}") from None
        if not is_same or done < len(into):
            raise DataError(f"{file.path} was changed while it was being read; begin again with the file as it is now")

    def announce(self, file: ArrayFile, first: int, n: int) -> None:
        """Have the system read rows ahead, where it can."""
        if hasattr(os, "posix_fadvise"):
            with self._lock:
                start = file.offset + first * file.row_bytes
                os.posix_fadvise(self._descriptor(file), start, n * file.row_bytes, os.POSIX_FADV_WILLNEED)

    def _descriptor(self, file: ArrayFile) -> int:
        if (descriptor := self._open.get(file.path)) is None:
            if len(self._open) >= _OPEN:
                os.close(self._open.popitem(last=False)[1])
            descriptor = os.open(file.path, os.O_RDONLY)
            self._open[file.path] = descriptor
        self._open.move_to_end(file.path)
        return descriptor


def _stamp(descriptor: int) -> Stamp:
    facts = os.fstat(descriptor)
    return facts.st_size, facts.st_mtime_ns
