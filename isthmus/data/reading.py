"""Many image files read in order on all cores, while the caller takes what is ready.

Large files are read by threads: Pillow lets go of the interpreter while it decodes. Small ones, of which most of the
time is Python, were measured slower with two threads than with one; a second process reads half of them instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from isthmus.data.framing import Framing
from isthmus.data.image_file import quiet_pillow, read_image, read_shape
from isthmus.errors import DataError

# A file's framed pixels and the kinds of notes on it, or what is wrong with it
Block = tuple[np.ndarray, tuple[str, ...]] | DataError
Read = Callable[[list[Path], int], list[Block]]
MANY, SMALL = 2000, 32 << 10  # so many files, of so few bytes, repay the start of a process
_PIECE = 32  # files handed over at once


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_all(paths: list[Path], framing: Framing, threads: int) -> Iterator[Block]:
    """Each file's block, in order. What is wrong with a file comes as a value; too small an image is raised."""
    pieces = iter([(paths[start : start + _PIECE], start) for start in range(0, len(paths), _PIECE)])

    def here(piece: list[Path], first: int) -> list[Block]:
        return [_block(path, framing, first + i) for i, path in enumerate(piece)]

    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_pillow())
        if threads == 1 or len(paths) <= _PIECE:
            for piece in pieces:
                yield from here(*piece)
            return
        readers: queue.SimpleQueue[Read] = queue.SimpleQueue()
        readers.put(here)
        for _ in range(threads - 1):
            readers.put(stack.enter_context(_elsewhere(framing, here)) if _are_small(paths) else here)

        def read(piece: list[Path], first: int) -> list[Block]:
            reader = readers.get()
            try:
                return reader(piece, first)
            finally:
                readers.put(reader)

        pool = ThreadPoolExecutor(threads)
        stack.callback(pool.shutdown, cancel_futures=True)
        # no further ahead than this: what is decoded and not yet taken is held in memory twice
        ahead: deque[Future[list[Block]]] = deque()
        for piece in pieces:
            ahead.append(pool.submit(read, *piece))
            if len(ahead) > 8 * threads:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _block(path: Path, framing: Framing, index: int) -> Block:
    try:
        image = read_image(path)
    except DataError as error:
        return error
    return framing(image.pixels, index, str(path)), image.notes


def _are_small(paths: list[Path]) -> bool:
    some = paths[:: max(1, len(paths) // 50)]
    with contextlib.suppress(OSError):
        return len(paths) >= MANY and sum(path.stat().st_size for path in some) <= SMALL * len(some)
    return False


def read_shapes(paths: list[Path]) -> list[tuple[int, int, int] | DataError]:
    """Each file's (channels, height, width), from its header, or what is wrong with it."""

    def read(path: Path) -> tuple[int, int, int] | DataError:
        try:
            return read_shape(path)
        except DataError as error:
            return error

    with quiet_pillow():
        return [read(path) for path in paths]


# --- a second process ---
#
# One line of JSON asks, one answers, and the pixels follow as bytes. multiprocessing would do it with pickles, and
# would run the caller's script a second time unless it is written for that.

_START = "import sys; sys.path[:] = sys.argv[1:]; from isthmus.data.reading import serve; serve()"


@contextlib.contextmanager
def _elsewhere(framing: Framing, here: Read) -> Iterator[Read]:
    """A reader in a process of its own; what it does not answer, because it was killed, is read here."""
    with subprocess.Popen(
        [sys.executable, "-c", _START, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        requests, answers = process.stdin, process.stdout
        assert requests
        assert answers

        def read(piece: list[Path], first: int) -> list[Block]:
            ask = {"framing": dataclasses.asdict(framing), "first": first, "paths": [os.fspath(path) for path in piece]}
            try:
                requests.write(json.dumps(ask).encode() + b"\n")
                requests.flush()
                blocks = _answered(answers)
            except OSError:
                return here(piece, first)
            return here(piece, first) if blocks is None else blocks

        try:
            yield read
        finally:
            with contextlib.suppress(OSError):
                requests.close()  # which ends the process
            process.terminate()


def _answered(answers: IO[bytes]) -> list[Block] | None:
    """One piece's blocks, or None if the process ended before it gave them."""
    line = answers.readline()
    if not line.endswith(b"\n"):
        return None
    blocks: list[Block] = []
    for said in json.loads(line):
        if "raised" in said:
            raise DataError(said["raised"])
        if "error" in said:
            blocks.append(DataError(said["error"]))
            continue
        array = np.empty(said["shape"], said["dtype"])
        if answers.readinto(array.data.cast("B")) < array.nbytes:  # type: ignore[attr-defined]
            return None
        blocks.append((array, tuple(said["notes"])))
    return blocks


def serve() -> None:
    """Read the files that are asked for on stdin and answer on stdout, until stdin ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, who then closes stdin
    out = sys.stdout.buffer
    with quiet_pillow():
        for line in sys.stdin.buffer:
            ask = json.loads(line)
            framing, blocks = Framing(**ask["framing"]), []
            try:
                blocks = [_block(Path(p), framing, ask["first"] + i) for i, p in enumerate(ask["paths"])]
                said = [_about(block) for block in blocks]
            except DataError as error:
                blocks, said = [], [{"raised": str(error)}]
            out.write(json.dumps(said).encode() + b"\n")
            for block in blocks:
                if not isinstance(block, DataError):
                    out.write(np.ascontiguousarray(block[0]).data)
            out.flush()


def _about(block: Block) -> dict[str, object]:
    if isinstance(block, DataError):
        return {"error": str(block)}
    return {"shape": block[0].shape, "dtype": block[0].dtype.str, "notes": block[1]}
