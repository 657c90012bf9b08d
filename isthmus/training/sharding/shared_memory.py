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


class SharedVector:
    """Numbers of this process, zeros at first, that others of the same machine map, if they can."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        self._size, self._word = n * dtype.itemsize, uuid.uuid4().bytes
        try:
            self._file = os.memfd_create("isthmus")  # in no folder: it goes with the last process that has mapped it
        except (AttributeError, OSError):  # not on Linux, or not allowed
            self._file, self.numbers = -1, torch.zeros(n, dtype=dtype)
        else:
            weakref.finalize(self, os.close, self._file)
            os.pwrite(self._file, self._word, self._size)
            self.numbers = _mapped(f"/proc/self/fd/{self._file}", n, dtype)

    def link(self, partner: int, seconds: float) -> Link | None:
        """To the same numbers of a process of this rank, which asks for this one's too; None where they share nothing.

        seconds: that one waits for the other.
        """
        opened, (reading, writing) = None, os.pipe()
        try:
            place = torch.tensor([os.getpid(), self._file, writing, *self._word])
            pid, file, pipe, *word = exchanged(place, partner).tolist()
            # of a process on another machine, or in a container of its own, there is no such file, or another one
            with contextlib.suppress(OSError, RuntimeError):
                opened = self._opened(f"/proc/{pid}/fd/", file, pipe, bytes(word))
            other_has = exchanged(torch.tensor([opened is not None]), partner).item()
        finally:
            os.close(writing)  # the partner's is the only one then: when it is gone, reading ends
        if opened is not None and other_has:
            return Link(self.numbers, *opened, reading, is_first=partner > dist.get_rank(), seconds=seconds)
        os.close(reading)
        if opened is not None:
            os.close(opened[1])
        return None

    def _opened(self, folder: str, file: int, pipe: int, word: bytes) -> tuple[torch.Tensor, int] | None:
        """Another process's numbers, and its pipe."""
        with open(f"{folder}{file}", "rb") as content:
            content.seek(self._size)
            if content.read() != word:
                return None
        numbers = _mapped(f"{folder}{file}", len(self.numbers), self.numbers.dtype)
        return numbers, os.open(f"{folder}{pipe}", os.O_WRONLY)


class Link:
    """Two processes that have each other's numbers. is_first: of the two, this one adds up the first half."""

    def __init__(
        self, here: torch.Tensor, there: torch.Tensor, writing: int, reading: int, *, is_first: bool, seconds: float
    ) -> None:
        half = len(here) // 2
        place = slice(0, half) if is_first else slice(half, len(here))
        self._here, self._there = here[place], there[place]
        self._writing, self._reading, self._seconds = writing, reading, seconds
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
        if not select.select([self._reading], [], [], self._seconds)[0]:
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
