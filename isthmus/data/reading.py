"""Many image files read in order by several threads, while the caller takes what is ready."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from isthmus.data.framing import Framing
from isthmus.data.image_file import read_image, read_shape
from isthmus.errors import DataError

# A file's framed pixels and the kinds of notes on it, or what is wrong with it
Block = tuple[np.ndarray, tuple[str, ...]] | DataError
_PIECE = 32  # files handed to a thread at once


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_all(paths: list[Path], framing: Framing, threads: int) -> Iterator[Block]:
    """Each file's block, in order. What is wrong with a file comes as a value; too small an image is raised."""

    def read(start: int) -> list[Block]:
        return [_block(path, framing, start + i) for i, path in enumerate(paths[start : start + _PIECE])]

    starts = iter(range(0, len(paths), _PIECE))
    with quiet_pillow():
        if threads == 1 or len(paths) == 1:
            for start in starts:
                yield from read(start)
            return
        with ThreadPoolExecutor(threads) as pool:
            # no further ahead than this: what is decoded and not yet taken is held in memory twice
            ahead: deque[Future[list[Block]]] = deque()
            try:
                for start in starts:
                    ahead.append(pool.submit(read, start))
                    if len(ahead) > 2 * threads:
                        yield from ahead.popleft().result()
                while ahead:
                    yield from ahead.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)


def _block(path: Path, framing: Framing, index: int) -> Block:
    try:
        image = read_image(path)
    except DataError as error:
        return error
    return framing(image.pixels, index, str(path)), image.notes


def read_shapes(paths: list[Path]) -> list[tuple[int, int, int] | DataError]:
    """Each file's (channels, height, width), from its header, or what is wrong with it."""

    def read(path: Path) -> tuple[int, int, int] | DataError:
        try:
            return read_shape(path)
        except DataError as error:
            return error

    with quiet_pillow():
        return [read(path) for path in paths]


class quiet_pillow(warnings.catch_warnings):  # noqa: N801
    """Within it, Pillow's own warnings are not shown: what matters in them is an error or a note here."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module=r"PIL\.")
