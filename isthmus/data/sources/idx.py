"""Read IDX files with checks.

IDX, the format of MNIST: two zero bytes, a type byte, a rank byte, `rank` big-endian uint32 sizes, then the
elements in C order (LeCun, Cortes, Burges, "The MNIST database"). A file may be gzip-compressed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from isthmus.errors import DataError
from isthmus.files import open_regular

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 2 << 30
# Real images shrink 2 to 20 times. What shrinks more than BOMB_RATIO times is refused once it is large.
BOMB_RATIO, BOMB_BYTES = 100, 64 << 20
MAX_RANK = 64  # NumPy's own limit
_PIECE = 1 << 20


@dataclass(frozen=True)
class IdxFile:
    """What an IDX file holds: its array, and the sha256 of its uncompressed bytes."""

    array: np.ndarray
    sha256: str


def read_idx(path: Path, *, max_bytes: int = MAX_BYTES) -> IdxFile:
    """Read an IDX file of any rank and type, compressed (by its first bytes, not its name) or not.

    Nothing is allocated for what the header promises before the file's length was held against it, and at most
    one byte more than promised is decompressed. Raises DataError with the path, the fault and the way out.
    """
    try:
        with open_regular(path) as raw:
            size = os.fstat(raw.fileno()).st_size
            if size == 0:
                raise DataError(f"{path} is empty; fetch it again")
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not compressed:
                if path.suffix == ".gz":
                    raise DataError(f"{path} is named .gz and is not gzip; rename it, or fetch it again")
                return _read(path, raw, size, False, max_bytes)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _read(path, stream, size, True, max_bytes)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _read(path: Path, stream: IO[bytes], size_on_disk: int, compressed: bool, max_bytes: int) -> IdxFile:
    digest = hashlib.sha256()

    def read(n: int) -> bytes:
        data = stream.read(n)
        digest.update(data)
        return data

    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or magic[3] == 0:
        start = magic.hex(" ") or "nothing"
        raise DataError(
            f"{path} is not an IDX file: it starts with {start}, not with 00 00 <type> <rank>; fetch it again"
        )
    rank, dtype = magic[3], np.dtype(IDX_TYPES[magic[2]])
    if rank > MAX_RANK:
        raise DataError(f"{path} promises {rank} dimensions; the limit is {MAX_RANK}, so fetch it again")
    sizes = read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{path} ends within its header; fetch it again")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    expected = prod(shape) * dtype.itemsize
    header = 4 + 4 * rank
    dims = "×".join(map(str, shape))
    if expected > max_bytes:
        raise DataError(f"{path} promises {dims} = {expected:,} bytes; the limit is {max_bytes:,}, so fetch it again")
    if not compressed and size_on_disk != header + expected:
        raise DataError(
            f"{path} promises {dims} = {expected:,} bytes and holds {size_on_disk - header:,}; fetch it again"
        )
    if compressed and expected > BOMB_BYTES and expected > BOMB_RATIO * size_on_disk:
        raise DataError(
            f"{path} would grow from {size_on_disk:,} to {expected:,} bytes, more than {BOMB_RATIO} times: "
            "a decompression bomb, not images; fetch it again"
        )
    data = bytearray()
    while len(data) < expected and (piece := read(min(_PIECE, expected - len(data)))):
        data += piece
    if len(data) < expected:
        raise DataError(f"{path} promises {dims} = {expected:,} bytes and ends after {len(data):,}; fetch it again")
    if stream.read(1):
        raise DataError(f"{path} goes on after the {dims} = {expected:,} bytes that it promises; fetch it again")
    try:
        array = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # 0×4294967295×4294967295 has no bytes, and NumPy refuses it all the same
        raise DataError(f"{path} promises {dims}, which no array can hold ({error}); fetch it again") from None
    return IdxFile(array.astype(dtype.newbyteorder("="), copy=False), digest.hexdigest())
