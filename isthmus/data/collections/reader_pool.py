"""Read many image files in order on all cores, ahead of the caller.

Large files are read by threads: decoders release the interpreter lock. For small files most of the time is Python, and
two threads were measured slower than one; worker processes read them instead.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from isthmus.data.collections.pieces import Block, Piece, Reading, read_piece
from isthmus.data.collections.reader_process import ReaderProcess
from isthmus.data.formats.image_file import Shape, quiet_readers, read_shapes
from isthmus.data.framing import Framing
from isthmus.errors import DataError

MANY, SMALL = 2000, 32 << 10  # so many files, of so few bytes, repay the start of a process
_PIECE, _PIECE_BYTES = 32, 16 << 20  # files handed over at once, and their bytes as pixels, unless one has more
# pieces for each core, read and not yet taken, and their bytes as pixels: a few files may grow two hundred times
_AHEAD, _AHEAD_BYTES = 8, 256 << 20
_PENDING = 3  # pieces that a helper owes: it has work while this process reads one


def read_all(paths: Sequence[str], framing: Framing, threads: int) -> Iterator[Block]:
    """Each file's block, in order. Errors are values, not raised."""
    readings: Generator[Reading]
    if helpers := min(threads - 1, _helpers(paths)):
        readings = _with_helpers(list(_pieces(paths, _file_size)), framing, helpers)
    elif threads == 1 or len(paths) == 1:
        readings = (read_piece(piece, framing) for piece in _pieces(paths, _n_bytes))
    else:
        readings = _with_threads(_pieces(paths, _n_bytes), framing, threads)
    with quiet_readers(), contextlib.closing(readings):
        for reading in readings:
            yield from reading


def _pieces(paths: Sequence[str], size_of: Callable[[str], int]) -> Iterator[Piece]:
    """Neighbours, so many or so large that they are worth handing over."""
    number, first, total = 0, 0, 0
    for end, path in enumerate(paths, 1):
        total += size_of(path)
        if end == len(paths) or end - first == _PIECE or total >= _PIECE_BYTES:
            yield Piece(number, first, tuple(paths[first:end]), total)
            number, first, total = number + 1, end, 0


def _file_size(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size
    return 0


def _n_bytes(path: str) -> int:
    """A file's pixels in memory, in float32, by its header; 0 for one that cannot be used."""
    with contextlib.suppress(DataError):
        return sum(4 * math.prod(shape) for shape in read_shapes(path))
    return 0


def _helpers(paths: Sequence[str]) -> int:
    """How many workers these files are worth."""
    some = paths[:: max(1, len(paths) // 50)]
    with contextlib.suppress(OSError):
        if sum(os.stat(path).st_size for path in some) <= SMALL * len(some):
            return len(paths) // MANY
    return 0


def _with_threads(pieces: Iterator[Piece], framing: Framing, threads: int) -> Generator[Reading]:
    pool = ThreadPoolExecutor(threads)
    try:
        ahead: deque[tuple[Future[Reading], int]] = deque()
        for piece in pieces:
            ahead.append((pool.submit(read_piece, piece, framing), piece.size))
            while len(ahead) > _AHEAD * threads or (len(ahead) > 1 and sum(size for _, size in ahead) > _AHEAD_BYTES):
                yield ahead.popleft()[0].result()
        while ahead:
            yield ahead.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _with_helpers(pieces: list[Piece], framing: Framing, n: int) -> Generator[Reading]:
    """This process reads a piece whenever no worker has an answer; workers that are ready get the next ones."""
    inbox: queue.SimpleQueue[tuple[ReaderProcess, Reading | None]] = queue.SimpleQueue()
    todo, done = deque(pieces), dict[int, Reading]()
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            stack.enter_context(ReaderProcess(framing, inbox))
        for piece in pieces:
            while piece.number not in done:
                # a helper has it, unless it is the first that is left; and not too much is read beyond it
                may_read = bool(todo) and (todo[0] is piece or len(done) < _AHEAD * (n + 1))
                try:
                    helper, reading = inbox.get(block=not may_read)
                except queue.Empty:
                    next_piece = todo.popleft()
                    done[next_piece.number] = read_piece(next_piece, framing)
                    continue
                if reading is None:  # it has ended, and others read what it owed
                    todo = deque(
                        sorted([*(unread for unread in helper.pending if unread.paths), *todo], key=lambda p: p.number)
                    )
                    continue
                owed = helper.pending.popleft()
                if owed.paths:
                    done[owed.number] = reading
                while todo and len(helper.pending) < _PENDING:
                    helper.ask(todo.popleft())
            yield done.pop(piece.number)


def all_shapes(paths: Sequence[str]) -> list[list[Shape] | DataError]:
    """The (channels, height, width) of each file's pages, from its header, or what is wrong with it."""

    def read(path: str) -> list[Shape] | DataError:
        try:
            return read_shapes(path)
        except DataError as error:
            return error

    with quiet_readers():
        return [read(path) for path in paths]
