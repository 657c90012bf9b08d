"""The engine of one machine: worker processes of few threads, which fit and measure models side by side.

Two processes of one thread do more than one of two threads, and two processes of two threads far less than either.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from typing import IO, Protocol

from isthmus.machine import worker
from isthmus.studies.run.engines.engine import Message, Task, failure, is_last


class Runner(Protocol):
    """What runs the tasks of one slot, one after the other."""

    def run(self, task: Task) -> Iterator[Message]:
        """What is said of a task, to the last message; nothing after `stop`."""

    def stop(self) -> None:
        """End whatever is run, and run nothing more."""

    def close(self) -> None:
        """Let go of what has ended."""


class Local:
    """As many worker processes as the plan trains models at once; none where that is one."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[tuple[Task, Message]] = queue.SimpleQueue()

    def slots(self, tasks: int, planned: int) -> int:
        return planned if min(tasks, planned) > 1 else 0

    @contextlib.contextmanager
    def open(self, slots: int, threads: int) -> Iterator[None]:
        self._tasks, self._messages = queue.SimpleQueue(), queue.SimpleQueue()
        workers: list[Runner] = []
        feeders: list[threading.Thread] = []
        try:
            for place in range(slots):
                workers.append(self.process(place, threads))
                feeders.append(threading.Thread(target=self._feed, args=(workers[-1],), daemon=True))
                feeders[-1].start()
            yield
        finally:
            for worker in workers:
                worker.stop()
            for _ in feeders:
                self._tasks.put(None)
            for feeder in feeders:
                feeder.join()
            for worker in workers:
                worker.close()

    def submit(self, task: Task) -> None:
        self._tasks.put(task)

    def receive(self) -> tuple[Task, Message]:
        return self._messages.get()

    def process(self, place: int, threads: int) -> Runner:
        """What runs the tasks of one of the slots."""
        return Process(threads)

    def _feed(self, worker: Runner) -> None:
        while task := self._tasks.get():
            for message in worker.run(task):
                self._messages.put((task, message))


def environment_of(threads: int) -> dict[str, str]:
    """The variables of a process that trains with so many threads."""
    # a pool of threads is as large as this from its birth, and one that waits must not keep another from its core
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


class Process:
    """A process that runs tasks, and after it was lost another one."""

    def __init__(self, threads: int) -> None:
        self._environment = environment_of(threads)
        self._stopped, self._lock = False, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return worker("isthmus.studies.run.engines.worker:main", self._environment)

    def run(self, task: Task) -> Iterator[Message]:
        """What the process says of a task, to the last message; nothing after `stop`."""
        with self._lock:
            if self._stopped:
                return
            if self._process and self._process.poll() is not None:
                self.close()
            self._process = self._process or self._start()
            process = self._process
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(OSError, ValueError):  # that it is gone is seen where its messages are read
            for line in self._lines(task):
                process.stdin.write(line + b"\n")
            process.stdin.flush()
        for line in process.stdout:
            message = message_of(line)
            if message is None:
                continue
            yield message
            if is_last(message):
                return
        code = process.wait()
        self.close()
        yield failure(lost(task.model, code))

    def _lines(self, task: Task) -> Iterator[bytes]:
        """What the process is told of a task."""
        yield json.dumps(task.table()).encode()

    def stop(self) -> None:
        """End the process, whatever it does, and start no other."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.terminate()
                # where that was another one's start, on another machine, it ends when nobody tells it anything more
                _close(self._process.stdin)

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        if self._process is not None:
            _close(self._process.stdin)
            _close(self._process.stdout)
            self._process.wait()
            self._process = None


def message_of(line: bytes) -> Message | None:
    """What a line says; None of the last one of a process that was killed, or of the greeting of a login."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _close(pipe: IO[bytes] | None) -> None:
    with contextlib.suppress(OSError):  # what was not read is lost with it
        if pipe is not None:
            pipe.close()


def lost(model: str, code: int) -> str:
    """That a process which trained a model has ended with this code, in words."""
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    why = "; the machine may be out of memory: --threads 1 trains one model at a time" if code == -9 else ""
    return f"{model}: the process that trained it was ended {how}{why}"
