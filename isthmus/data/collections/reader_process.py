"""A worker process that reads pieces of a collection."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from types import TracebackType

from isthmus.data.collections.pieces import Piece, Reading, answer, ask
from isthmus.data.framing import Framing
from isthmus.machine import worker


class ReaderProcess:
    """Reads the pieces that it is pending for, in order, while it is entered.

    inbox: where it puts itself with each `Reading`, and with None when it has ended, killed for example.
    pending: the pieces that it still owes. The first has no files: its reading says that the process is up.
    """

    def __init__(self, framing: Framing, inbox: queue.SimpleQueue[tuple[ReaderProcess, Reading | None]]) -> None:
        self._framing, self._inbox = framing, inbox
        self.pending: deque[Piece] = deque()
        self._process = worker("isthmus.data.collections.pieces:main")
        self._thread = threading.Thread(target=self._receive, daemon=True)

    def __enter__(self) -> ReaderProcess:
        self._thread.start()
        self.ask(Piece(-1, 0, ()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it has nothing to tidy up, and this ends a stopped one too
        self._thread.join()
        with contextlib.suppress(OSError), self._process:  # a pipe that is broken cannot be flushed when it is closed
            pass

    def ask(self, piece: Piece) -> None:
        """Have a piece read."""
        assert self._process.stdin
        self.pending.append(piece)
        with contextlib.suppress(OSError):  # it has ended, which `_receive` reports
            ask(self._process.stdin, piece, self._framing)

    def _receive(self) -> None:
        assert self._process.stdout
        while (reading := answer(self._process.stdout)) is not None:
            self._inbox.put((self, reading))
        self._inbox.put((self, None))
