"""The engine of one machine: worker processes of few threads, which fit and measure models side by side.

Two processes of one thread do more than one of two threads, and two processes of two threads far less than either.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import IO, Protocol

from isthmus.machine import worker
from isthmus.studies.run.engines.engine import Message, Task, failure, is_last
from isthmus.studies.run.engines.task_queue import TaskQueue

_LOOK = 1.0  # seconds between looks whether a process that says nothing is still wanted
_PATIENCE = 5.0  # seconds until a process that is told nothing more, and should end, is killed


class Runner(Protocol):
    """What runs the tasks of one slot, one after the other.

    node: where it is. What runs on one node may be lost together.
    """

    node: str

    def ready(self) -> bool:
        """Wait until it can run a task; False after `stop`, and if it cannot: then `run` says why."""

    def run(self, task: Task) -> Iterator[Message]:
        """What is said of a task, to the last message; nothing after `stop`."""

    def stop(self) -> None:
        """End whatever is run, and run nothing more."""

    def close(self) -> None:
        """Let go of what has ended."""


class Local:
    """As many worker processes as the plan trains models at once; none where that is one."""

    def __init__(self) -> None:
        self._queue = TaskQueue({})
        self._messages: queue.SimpleQueue[tuple[Task, Message]] = queue.SimpleQueue()
        self._order = threading.Lock()  # nothing is said of a task after its last message
        self._running: list[Task] = []  # those without a last message
        self._unsent: list[Message] = []

    def slots(self, tasks: int, planned: int) -> int:
        return planned if min(tasks, planned) > 1 else 0

    @contextlib.contextmanager
    def open(self, slots: int, threads: int) -> Iterator[None]:
        self._messages, self._running, self._unsent = queue.SimpleQueue(), [], []
        workers: list[Runner] = []
        feeders: list[threading.Thread] = []
        try:
            for place in range(slots):
                workers.append(self.process(place, threads))
                feeders.append(threading.Thread(target=self._feed, args=(place, workers[-1]), daemon=True))
            self._queue = TaskQueue(self._nodes(workers))
            for feeder in feeders:
                feeder.start()
            yield
        finally:
            for worker in workers:
                worker.stop()
            self._queue.close()
            for feeder in feeders:
                if feeder.ident is not None:  # else an error came before its start
                    feeder.join()
            for worker in workers:
                worker.close()

    def _nodes(self, workers: list[Runner]) -> dict[int, str]:
        """The nodes of places that tasks may wait for from the beginning."""
        return {place: worker.node for place, worker in enumerate(workers)}

    def submit(self, task: Task) -> None:
        with self._order:
            self._running.append(task)
            while self._unsent:
                self._messages.put((task, self._unsent.pop(0)))
        self._queue.put(task)

    def receive(self) -> tuple[Task, Message]:
        return self._messages.get()

    def process(self, place: int, threads: int) -> Runner:
        """What runs the tasks of one of the slots."""
        return Process(threads)

    def _feed(self, place: int, worker: Runner) -> None:
        while (worker.ready() or self._stays(place, worker)) and (task := self._queue.next_for(place)):
            self._run(place, worker, task)

    def _stays(self, place: int, worker: Runner) -> bool:
        """Whether a place is given tasks although its worker cannot run any."""
        return True

    def _run(self, place: int, worker: Runner, task: Task) -> bool:
        """Pass on what a worker says of a task; False where it was lost."""
        message: Message = {}
        for message in worker.run(task):
            if message.get("lost"):
                self._queue.note_lost(task, place)
            with self._order:
                if is_last(message):
                    self._running.remove(task)
                self._messages.put((task, message))
        return not message.get("lost")

    def _note(self, sentence: str) -> None:
        """Say something of the engine itself, by a message of any task that is not done."""
        message = {"call": "note", "with": [sentence]}
        with self._order:
            if self._running:
                self._messages.put((self._running[0], message))
            else:
                self._unsent.append(message)


def environment_of(threads: int) -> dict[str, str]:
    """The variables of a process that trains with so many threads."""
    # a pool of threads is as large as this from its birth, and one that waits must not keep another from its core
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


class Process:
    """A process that runs tasks, and after it was lost another one.

    name: in sentences on what became of it. patience: seconds without a word after which it is taken for lost, before
    its first one and afterwards.
    """

    node, name, patience = "", "the process that trained it", (math.inf, math.inf)

    def __init__(self, threads: int) -> None:
        self._environment = environment_of(threads)
        self._stopped, self._lock = threading.Event(), threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        self._process = self._started()
        assert self._process.stdout
        self._messages, self._silence = self._messages_of(self._process.stdout), 0.0

    def _started(self) -> subprocess.Popen[bytes]:
        return worker("isthmus.studies.run.engines.worker:main", self._environment)

    def ready(self) -> bool:
        return not self._stopped.is_set()

    def run(self, task: Task) -> Iterator[Message]:
        """What the process says of a task, to the last message; nothing after `stop`."""
        if not self._is_there():
            return
        self._write(*self._lines(task))
        for message in self._messages:
            if "beat" in message:
                continue
            yield message
            if is_last(message):
                return
        yield failure(f"{task.model}: {self.name} {self._end()}")

    def _is_there(self) -> bool:
        """Whether there is a process, which is started if there is none; False after `stop`."""
        with self._lock:
            if self._stopped.is_set():
                return False
            if self._process and self._process.poll() is not None:
                self.close()
            if self._process is None:
                self._start()
            return True

    def _write(self, *lines: bytes) -> None:
        process = self._process
        with contextlib.suppress(OSError, ValueError):  # that it is gone is seen where its messages are read
            if process and process.stdin:
                process.stdin.writelines(line + b"\n" for line in lines)
                process.stdin.flush()

    def _lines(self, task: Task) -> list[bytes]:
        """What the process is told of a task."""
        return [json.dumps(task.table()).encode()]

    def _messages_of(self, pipe: IO[bytes]) -> Iterator[Message]:
        """Messages of a process as they come, to its end, or until it was silent for too long."""
        poll, begun, patience = select.poll(), b"", self.patience[0]
        poll.register(pipe, select.POLLIN)
        while self._silence < patience:
            if not poll.poll(1000 * _LOOK):
                if self._stopped.is_set():
                    return  # what a command has started may outlive it
                self._silence += _LOOK  # no clock: while this process is stopped, as by Ctrl-Z, nothing is counted
                continue
            if not (read := os.read(pipe.fileno(), 1 << 16)):
                return
            *lines, begun = (begun + read).split(b"\n")
            for message in map(message_of, lines):
                if message is not None:
                    self._silence, patience = 0.0, self.patience[1]
                    yield message

    def _end(self) -> str:
        """How a process that says nothing more has ended, in words; one that has not ended is killed."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return "was stopped"
        is_silent = self._silence >= min(self.patience)
        if is_silent:
            process.kill()
        _close(process.stdin)
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        _close(process.stdout)
        return f"said nothing for {self._silence:g} s" if is_silent else self._how(code)

    def _how(self, code: int) -> str:
        return ended(code)

    def stop(self) -> None:
        """End the process, whatever it does, and start no other."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.terminate()
                # where that was another one's start, on another machine, it ends when nobody tells it anything more
                _close(self._process.stdin)

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        self._end()


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


def ended(code: int, advice: str = "--threads 1 trains one model at a time") -> str:
    """That a process has ended with this code, in words. advice: for a machine without memory."""
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    is_killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL)  # the latter is how a shell, or ssh, says it
    return f"was ended {how}{f'; the machine may be out of memory: {advice}' if is_killed else ''}"
