"""The processes that compute one fit: one alone, or those that torchrun started.

Each of them has all samples and all weights, and takes the same steps; only the shards of a batch are divided. What is
written, printed and decided is the first one's.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before there is a group, which its defaults would hold: see `_leave`
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from isthmus.errors import IsthmusError, LostError, RequestError, RunError, require
from isthmus.fingerprints import differing
from isthmus.machine import check_shards, launched
from isthmus.training.sharding.shared_memory import Link, SharedVector, exchanged

MINUTES = 10  # that one process waits for another: rank 0 alone writes checkpoints; torch itself would wait for 30
_TIMEOUT = timedelta(minutes=MINUTES)


class Alone:
    """One process, which waits for nobody. rank: from 0. size: how many there are."""

    rank, size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, prints and decides."""
        return self.rank == 0

    def zeros(self, n: int, like: torch.Tensor) -> torch.Tensor:
        """n zeros to be added up step by step: where processes of one machine share memory, in that.

        Those of the last call are; `add_up` knows the very tensor, and takes others, views of it too, through sockets.
        """
        return like.new_zeros(n)

    def add_up(self, x: torch.Tensor) -> None:
        """Add the same tensor of all processes, in place: those of ranks 0 and 1, of 2 and 3, then these, and so on."""

    def decided(self, decide: Callable[[], Any]) -> Any:
        """What it gives in the first process, where alone it is called. Where that refuses, so do the others."""
        return decide()

    def agree(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Raise RequestError unless all processes have the same facts; named are what differs, and whose it is."""


ALONE = Alone()


class Processes(Alone):
    """Those of torch's process group, a power of two. Raises LostError where another one ends or is silent."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._received: torch.Tensor | None = None
        self._shared: SharedVector | None = None
        self._links: dict[int, Link | None] = {}

    def zeros(self, n: int, like: torch.Tensor) -> torch.Tensor:
        if like.device.type != "cpu":
            return like.new_zeros(n)
        self._shared, self._links = SharedVector(n, like.dtype), {}
        return self._shared.numbers

    def add_up(self, x: torch.Tensor) -> None:
        # with a partner at each distance: a + b is b + a to the bit, so both have the same sum. An all-reduce would add
        # in an order of its own from three processes on, and gathering all takes twice as long from four on
        distance = 1
        with _together():
            while distance < self.size:
                self._add_up_with(self.rank ^ distance, x)
                distance *= 2

    def _add_up_with(self, partner: int, x: torch.Tensor) -> None:
        shared = self._shared if self._shared is not None and x is self._shared.numbers else None
        if shared and partner not in self._links:
            self._links[partner] = shared.link(partner, _patience())
        if shared and (link := self._links[partner]):
            link.add_up()
            return
        if self._received is None or self._received.shape != x.shape or self._received.device != x.device:
            self._received = torch.empty_like(x)
        x.add_(exchanged(x, partner, self._received))

    def decided(self, decide: Callable[[], Any]) -> Any:
        answer: list[Any] = [None]
        if self.is_first:
            try:
                answer = [("", decide())]
            except IsthmusError as error:
                self._broadcast([(type(error).exit_code, str(error))])
                raise
        kind, value = self._broadcast(answer)[0]
        if kind:
            refusal = (RequestError if kind == RequestError.exit_code else RunError)(value)
            refusal.is_known = True  # the first process says it
            raise refusal
        return value

    def _broadcast(self, answer: list[Any]) -> list[Any]:
        with _together():
            dist.broadcast_object_list(answer, src=0)
        return answer

    def agree(self, facts: Callable[[], dict[str, Any]]) -> None:
        each: list[Any] = [None] * self.size
        these = facts()
        with _together():
            dist.all_gather_object(each, these)
        for rank, others in enumerate(each):
            if names := differing(each[0], others):
                name = next((name for name in names if name.endswith("samples")), names[0])
                pair = " and ".join(f"rank {which} has {_shown(each[which].get(name))}" for which in (0, rank))
                rule = "every process must read the same images" if name.endswith("samples") else "all must be alike"
                refusal = RequestError(f"the processes of this fit have different {name}: {pair}; {rule}")
                refusal.is_known = self.rank > 0
                raise refusal


def _shown(fact: Any) -> str:
    return f"{fact[:12]}…" if isinstance(fact, str) and len(fact) == 64 else f"{fact!r}"


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """What torch raises where another process is gone, as a LostError."""
    try:
        yield
    except (RuntimeError, TimeoutError, ConnectionError) as error:
        lost = f"another process of this fit ended, or was not heard of for {MINUTES} minutes"
        raise LostError(f"{lost}; the same command resumes from the last checkpoint") from error


def _patience() -> float:
    """Seconds that one process waits for another: a script that has made the group may have said how many."""
    with contextlib.suppress(AttributeError, RuntimeError):
        options: Any = dist.group.WORLD._get_backend(torch.device("cpu")).options  # type: ignore[union-attr]
        return float(options._timeout.total_seconds())
    return _TIMEOUT.total_seconds()


def processes_for(shards: int) -> Alone:
    """The processes that compute a fit together: those of torchrun, or of a group that a script has made.

    Raises RequestError, before it waits for the others, where the shards cannot be divided among them.
    """
    is_joined = dist.is_available() and dist.is_initialized()
    size = dist.get_world_size() if is_joined else launched()[1]
    check_shards(shards, size)
    if size == 1:
        return ALONE
    if not is_joined:
        _join()
    return Processes(dist.get_rank(), size)


def _join() -> None:
    """Meet the other processes at the place that torchrun has put into the environment."""
    has_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    if has_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    with _together():
        store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
        store = PrefixStore(_agreed_token(store, rank, size), store)
        backend = "cpu:gloo,cuda:nccl" if has_gpus else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    atexit.register(_leave)


def _agreed_token(store: Store, rank: int, size: int) -> str:
    """A word that is new in torchrun's store, for these processes alone.

    torchrun keeps its store when it starts them again, and gloo would read where the former ones were: now and then a
    restarted fit waited for them. So each of the others writes a word of its own, until the first has answered to it.
    """
    token = uuid.uuid4().hex
    if rank > 0:
        store.set(f"asks/{rank}", token)
        answer: str = store.get(f"answer/{token}").decode()
        store.set(f"has/{answer}/{rank}", "")
        return answer
    missing, end = set(range(1, size)), time.monotonic() + _TIMEOUT.total_seconds()
    while missing:
        for other in [other for other in missing if store.check([f"asks/{other}"])]:
            store.set(f"answer/{store.get(f'asks/{other}').decode()}", token)
        missing = {other for other in missing if not store.check([f"has/{token}/{other}"])}
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
    return token


def _leave() -> None:
    """End the threads of the group, which goes with its last reference; one that outlives Python aborts the process."""
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def check_device(device: torch.device, world: Alone) -> None:
    """Raise RequestError unless each process has a device of its own."""
    if world.size == 1 or device.type == "cpu":
        return
    require(device.type == "cuda", "device", "cpu or cuda, for several processes", device.type)
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", world.size)), torch.cuda.device_count()
    if here > gpus:
        raise RequestError(f'{here} processes on this machine, which has {gpus} GPUs: start {gpus}, or device="cpu"')
