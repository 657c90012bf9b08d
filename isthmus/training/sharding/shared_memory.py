"""Numbers that processes of one machine add up in memory which both have mapped.

Through sockets eleven megabytes, the gradient of 2.8 million weights, took 6.8 ms with all the copying on the way.
"""

from __future__ import annotations

import contextlib
import os
import select
import uuid
import weakref

import torch
import torch.distributed as dist

_NAME = "isthmus-gradient"  # of files, which are in no folder


class SharedVector:
    """Numbers of this process, zeros at first, that others of the same machine map, if they can."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        self._size, self._word, self._file = n * dtype.itemsize, uuid.uuid4().bytes, -1
        try:
            self._file = os.memfd_create(_NAME)  # in no folder: it goes with the last process that has mapped it
            weakref.finalize(self, os.close, self._file)
            os.pwrite(self._file, self._word, self._size)
            self.numbers = _mapped(f"/proc/self/fd/{self._file}", n, dtype)
        except (AttributeError, OSError, RuntimeError):  # not on Linux, not allowed, or without /proc
            self._file = -1  # no partner is to map one that the numbers are not in
            self.numbers = torch.zeros(n, dtype=dtype)

    def link(self, partner: int, seconds: float) -> Link | None:
        """To the same numbers of a process of this rank, which asks for this one's too; None where they share nothing.

        seconds: that one waits for the other.
        """
        with contextlib.ExitStack() as on_failure:
            reading, writing = os.pipe()
            on_failure.callback(os.close, reading)
            try:
                place = torch.tensor([os.getpid(), self._file, writing, *self._word])
                pid, file, pipe, *word = exchanged(place, partner).tolist()
                opened = self._opened(f"/proc/{pid}/fd/", file, pipe, bytes(word))
                if opened is not None:
                    on_failure.callback(os.close, opened[1])
                other_has = exchanged(torch.tensor([opened is not None]), partner).item()
            finally:
                os.close(writing)  # the partner's is the only one then: when it is gone, reading ends
            if opened is None or not other_has:
                return None
            on_failure.pop_all()
        return Link(self.numbers, *opened, reading, is_first=partner > dist.get_rank(), seconds=seconds)

    def _opened(self, folder: str, file: int, pipe: int, word: bytes) -> tuple[torch.Tensor, int] | None:
        """Another process's numbers, and its pipe; None where they are out of reach.

        Of a process on another machine, or in a container of its own, there is no such file, or a stranger's.
        """
        try:
            if not os.readlink(f"{folder}{file}").startswith(f"/memfd:{_NAME}"):
                return None
            with open(f"{folder}{file}", "rb") as content:
                content.seek(self._size)
                if content.read(len(word) + 1) != word:
                    return None
            numbers = _mapped(f"{folder}{file}", len(self.numbers), self.numbers.dtype)
            return numbers, os.open(f"{folder}{pipe}", os.O_WRONLY)
        except (OSError, RuntimeError):
            return None


class Link:
    """Two processes that have each other's numbers. is_first: of the two, this one adds up the first half."""

    def __init__(
        self, here: torch.Tensor, there: torch.Tensor, writing: int, reading: int, *, is_first: bool, seconds: float
    ) -> None:
        half = len(here) // 2
        place = slice(0, half) if is_first else slice(half, len(here))
        self._here, self._there = here[place], there[place]
        self._writing, self._reading, self._seconds = writing, reading, seconds
        self._poll = select.poll()  # `select` itself knows no files beyond the 1,024th
        self._poll.register(reading, select.POLLIN)
        for pipe in (writing, reading):
            weakref.finalize(self, os.close, pipe)

    def add_up(self) -> None:
        """Add the partner's numbers to these, in both processes, of which each does half."""
        self._meet()
        self._there.copy_(self._here.add_(self._there))
        self._meet()

    def _meet(self) -> None:
        """Wait until the partner is here too. Raises ConnectionError if it is gone, TimeoutError if it stays away."""
        os.write(self._writing, b".")
        if not self._poll.poll(1000 * self._seconds):
            raise TimeoutError
        if not os.read(self._reading, 1):
            raise ConnectionError


def exchanged(x: torch.Tensor, partner: int, received: torch.Tensor | None = None) -> torch.Tensor:
    """The same tensor of another process, by the process group. received: where to write it."""
    received = torch.empty_like(x) if received is None else received
    for work in dist.batch_isend_irecv([dist.P2POp(dist.isend, x, partner), dist.P2POp(dist.irecv, received, partner)]):
        work.wait()
    return received


def _mapped(path: str, n: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_file(path, shared=True, size=n, dtype=dtype)
