"""The engine of a Ray cluster: actors, each of which starts the same worker process on the node where Ray has room.

The nodes have isthmus, and share a disk: the folder of the run and that in which the command is given have the same
path on all. Ray itself is an extra.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from isthmus.errors import RequestError, RunError, counted, one_line
from isthmus.machine import cores, worker
from isthmus.studies.run.engines.engine import Message, Task, failure, is_last
from isthmus.studies.run.engines.launched import carried, checking, refusal
from isthmus.studies.run.engines.local import Local, Runner, ended, environment_of, message_of

_PATIENCE = 10.0  # seconds in which a cluster must answer
_LOOKS = 1.0  # seconds until a slot that waits for a node looks whether the run has ended
_GONE = 15.0  # seconds without any node that has the cores for a model, after which none is waited for


class OnRay(Local):
    """An actor for each slot. address: of a cluster, as `ray start` prints it; "" for $RAY_ADDRESS, or one that is
    started here with the cores of this machine, and ends with the run. option: that gave the address, for errors."""

    def __init__(self, address: str = "", option: str = "--address") -> None:
        super().__init__()
        self.address = address or os.environ.get("RAY_ADDRESS", "")
        self.option = option if address else "RAY_ADDRESS"
        if "://" in self.address:
            raise RequestError(
                f"{self.option} {self.address}: a client of Ray cannot run models; on a machine of the cluster, give "
                "the address of the cluster itself, HOST:6379, as `ray start` prints it"
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it is imported
        try:
            import ray
        except ImportError:
            raise RequestError('engine "ray" needs Ray: pip install "isthmus[ray]"') from None
        self.ray: Any = ray

    def slots(self, tasks: int, planned: int) -> int:
        self._connect()
        if not (n_cores := sum(self._cores_of_nodes())):  # and with no slots all would be trained here
            raise RequestError("the Ray cluster has no node with a core for a model; start some of its nodes first")
        return min(tasks, n_cores)

    @contextlib.contextmanager
    def open(self, slots: int, threads: int) -> Iterator[None]:
        try:
            self._connect()
            room = sum(n // threads for n in self._cores_of_nodes())
            if not room:
                most = max(self._cores_of_nodes(), default=0)
                raise RequestError(f"each model has {threads} threads, and no node of the cluster has more than {most}")
            with super().open(min(slots, room), threads):
                yield
        finally:
            self.ray.shutdown()

    def process(self, place: int, threads: int) -> Runner:
        return _Actor(self.ray, threads)

    def _nodes(self, workers: list[Runner]) -> dict[int, str]:
        return {}  # a place may wait for a node for as long as the run takes

    def _feed(self, place: int, worker: Any) -> None:
        while worker.ready():
            self._queue.join(place, worker.node)
            if (task := self._queue.next_for(place)) is None:
                return
            if not self._run(place, worker, task):
                self._queue.leave(place)

    def _cores_of_nodes(self) -> list[int]:
        return _cores(self.ray)

    def _connect(self) -> None:
        if self.ray.is_initialized():
            return
        self._reach()
        quiet = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
        # "local", for Ray would join a cluster of somebody else that runs here, and refuse to be told of its cores
        where: dict[str, Any] = {"address": self.address or "local"}
        if not self.address:
            where |= {"num_cpus": cores(), "include_dashboard": False}
        on_term = signal.getsignal(signal.SIGTERM)
        try:
            self.ray.init(**where, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:  # none there; one of other versions; no address
            at = f"{self.option} {self.address}: " if self.address else ""
            raise RequestError(f"{at}no Ray cluster can be used: {one_line(error)}") from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_term)  # which leaves things whole, as Ray's own would not

    def _reach(self) -> None:
        """Raise RequestError where nobody listens: Ray itself would try for minutes."""
        host, _, port = self.address.rpartition(":")
        if not (host and port.isdecimal()):
            return
        try:
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
        except OSError as error:
            reason = error.strerror or "no answer"
            raise RequestError(f"{self.option} {self.address}: no Ray cluster can be used there: {reason}") from None


def _cores(ray: Any) -> list[int]:
    """Of each node that is there."""
    return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]


class _Host:
    """In an actor: a worker process on its node, and what it says. It ends with the actor, which closes its stdin."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._process = worker("isthmus.studies.run.engines.worker:main", variables)

    def ready(self) -> str:
        """The node, once the process is started."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, model: str, lines: list[bytes]) -> Iterator[Message]:
        """What the process says to these lines, to its last message."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(OSError):  # that it is gone is seen where its messages are read
            self._process.stdin.writelines(line + b"\n" for line in lines)
            self._process.stdin.flush()
        for line in self._process.stdout:
            if (message := message_of(line)) is not None:
                yield message
                if is_last(message):
                    return
        yield failure(f"{model}: the process that trained it {ended(self._process.wait())}")


class _Actor:
    """Runs tasks in an actor, and after it was lost in another one, where a node has room for it."""

    def __init__(self, ray: Any, threads: int) -> None:
        self._ray, self._threads = ray, threads
        self._stopped, self._lock, self._is_checked = False, threading.Lock(), False
        self._actor: Any = None
        self.node = ""
        self._is_alone = False  # no node is left that could have an actor

    def ready(self) -> bool:
        """Wait for an actor; False after `stop`. Until then no task is taken, for others may have room for it.

        Where no node is left that could have one, the next task is taken all the same: to say so.
        """
        last_seen = time.monotonic()
        while True:
            with self._lock:
                if self._stopped:
                    return False
                if self._actor is not None:
                    return True
                remote = self._ray.remote(_Host).options(num_cpus=self._threads, max_restarts=0)
                coming, self._is_checked = remote.remote({**environment_of(self._threads), **carried()}), False
            begun = coming.ready.remote()
            try:
                while not self._ray.wait([begun], timeout=_LOOKS)[0]:
                    if max(_cores(self._ray), default=0) >= self._threads:
                        last_seen = time.monotonic()
                    self._is_alone = time.monotonic() - last_seen > _GONE
                    if self._stopped or self._is_alone:
                        self._ray.kill(coming)
                        return self._is_alone
                self.node = self._ray.get(begun)
                with self._lock:
                    self._actor = coming
            except self._ray.exceptions.RayError:  # its node has gone meanwhile
                time.sleep(_LOOKS)

    def run(self, task: Task) -> Iterator[Message]:
        """What the actor says of a task, to the last message; nothing after `stop`."""
        lines = [json.dumps(task.table()).encode()]
        if self._is_alone:
            wanted = counted(self._threads, "core")
            yield failure(f"{task.model}: no node of the Ray cluster is left that has {wanted}", RunError())
            return
        with self._lock:
            actor = self._actor
            if self._stopped or actor is None:
                return
            if not self._is_checked:
                self._is_checked, lines = True, [checking(task), *lines]
        try:
            for reference in actor.run.options(num_returns="streaming").remote(task.model, lines):
                message = self._ray.get(reference)
                if (reason := refusal(message)) is None:
                    yield message
                elif reason:
                    yield failure(f"a worker on Ray cannot be used: {reason}", RequestError())
                    return
                if is_last(message) and message.get("lost"):
                    self.close()
        except self._ray.exceptions.RayError as error:
            self.close()
            if not self._stopped:
                how = type(error).__name__
                yield failure(f"{task.model}: the Ray actor that trained it, or its node, was lost ({how})")

    def stop(self) -> None:
        """End the actor, whatever it does, and start no other."""
        with self._lock:
            self._stopped = True
        self.close()

    def close(self) -> None:
        """End the actor, if there is one."""
        with self._lock:
            actor, self._actor = self._actor, None
        if actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.kill(actor)
