"""Digests of arrays on the disk, and how far their numbers go: computed once, and kept while a file does not change.

What is kept lies in the user's cache folder, by a file's path, and is valid for its size and times. It includes ctime:
nothing can set that. A cache that cannot be written is not an error.

Blocks are hashed side by side, but a file is what is known or not: its times do not say which of its blocks has
changed, and that is not seen without a look at all of them. So a file that has changed at all is read to its end: of a
folder of shards that is one shard, of a single array all of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.stored.array_file import ArrayFile, Readers
from isthmus.errors import DataError
from isthmus.files import cache_folder, write_json
from isthmus.machine import cores

_BLOCK = 64 << 20  # bytes that are hashed at once, and in memory for it
_FORMAT = 1
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Digest:
    """sha256: of the digests of a file's blocks of 64 MiB, or of less at its end. low, high: its numbers go from there
    to there; NaN if any is.
    """

    sha256: str
    low: float
    high: float


def digest_of(numbers: np.ndarray) -> Digest:
    """Of an array, as of a file that holds it."""
    flat = numbers.reshape(-1)
    n = max(1, _BLOCK // flat.itemsize)
    return _joined([_of_block(flat[start : start + n]) for start in range(0, len(flat), n)])


def digests_of(files: Sequence[ArrayFile], on_progress: OnProgress | None = None) -> list[Digest]:
    """Of each file: kept ones, and others read on all cores. on_progress: called with bytes, done and all of them."""
    known = [_cached(file) for file in files]
    todo = [file for file, digest in zip(files, known, strict=True) if digest is None]
    if not todo:
        return [digest for digest in known if digest]
    total, done, readers = sum(file.n_bytes for file in todo), 0, Readers()
    blocks = [(file, start) for file in todo for start in range(0, file.n_bytes, _BLOCK)]
    of_file: dict[Path, list[Digest]] = {file.path: [] for file in todo}
    with ThreadPoolExecutor(min(cores(), 4)) as pool:
        try:
            for (file, start), digest in zip(
                blocks, pool.map(lambda block: _read(readers, *block), blocks), strict=True
            ):
                of_file[file.path].append(digest)
                done += min(_BLOCK, file.n_bytes - start)
                if on_progress:
                    on_progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for file in todo:
        _cache(file, _joined(of_file[file.path]))
    return [digest or _joined(of_file[file.path]) for file, digest in zip(files, known, strict=True)]


def _read(readers: Readers, file: ArrayFile, start: int) -> Digest:
    numbers = np.empty(min(_BLOCK, file.n_bytes - start) // file.dtype.itemsize, file.dtype)
    flat = ArrayFile(file.path, file.dtype, (file.n_bytes // file.dtype.itemsize,), file.offset, file.stamp)
    readers.read(flat, start // file.dtype.itemsize, numbers.view(np.uint8).data)
    return _of_block(numbers)


def _of_block(numbers: np.ndarray) -> Digest:
    return Digest(hashlib.sha256(numbers.view(np.uint8).data).hexdigest(), float(numbers.min()), float(numbers.max()))


def _joined(blocks: Sequence[Digest]) -> Digest:
    digest = hashlib.sha256("".join(block.sha256 for block in blocks).encode()).hexdigest()
    lows, highs = [block.low for block in blocks], [block.high for block in blocks]
    return Digest(digest, float(np.min(lows)), float(np.max(highs)))  # which are NaN if any is, as Python's are not


def _entry(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
    return cache_folder("digests") / f"{name}.json"


def _times(path: Path) -> list[int]:
    facts = os.stat(path)
    return [_FORMAT, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def _cached(file: ArrayFile) -> Digest | None:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        table: Any = json.loads(_entry(file.path).read_bytes())
        if table["of"] == [*_times(file.path), file.offset, str(file.dtype)]:
            return Digest(str(table["sha256"]), float(table["low"]), float(table["high"]))
    return None


def _cache(file: ArrayFile, digest: Digest) -> None:
    if not math.isfinite(digest.high - digest.low):  # which is refused, and has no place in JSON
        return
    with contextlib.suppress(OSError):
        entry = _entry(file.path)
        entry.parent.mkdir(parents=True, exist_ok=True)
        of = [*_times(file.path), file.offset, str(file.dtype)]
        write_json(entry, {"of": of, "sha256": digest.sha256, "low": digest.low, "high": digest.high})


def check_range(digest: Digest, dtype: np.dtype, where: str) -> None:
    """Raise DataError for floats that are no pixels in [0, 1]."""
    if dtype.kind == "f" and not (digest.low >= 0 and digest.high <= 1):
        held = "NaN" if math.isnan(digest.low) or math.isnan(digest.high) else f"{digest.low:g} to {digest.high:g}"
        raise DataError(
            f"{where}: float pixels must lie in [0, 1], got {held}; `isthmus data convert` takes --range LOW:HIGH"
        )
