"""A pool of workers: processes of few threads that fit and measure models side by side, of one study after another.

Two processes of one thread do more than one of two threads, and two processes of two threads far less than either.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections import deque
from typing import Any

from isthmus.machine import worker
from isthmus.studies.plan.context import Context
from isthmus.studies.run.task import Task
from isthmus.studies.run.worker import order

Answer = dict[str, Any]


class Pool:
    """The processes: as many as a study's models train at once, with as many threads each. Leaving it ends them.

    A process does its tasks one after the other. One that has failed, or was ended, is given none any more.
    """

    def __init__(self, context: Context) -> None:
        self.side_by_side, self.threads_each = context.side_by_side, context.threads_each
        self._said: queue.SimpleQueue[tuple[_Process, Answer]] = queue.SimpleQueue()
        self._processes: list[_Process] = []

    def __enter__(self) -> Pool:
        with contextlib.ExitStack() as stack:
            for _ in range(self.side_by_side):
                self._processes.append(stack.enter_context(_Process(self.threads_each, self._said)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def can_take(self, tasks: int = 0) -> bool:
        """Whether a process has so many tasks, and so can be given one more."""
        return any(len(process.tasks) == tasks and not process.failed for process in self._processes)

    @property
    def at_work(self) -> bool:
        """Whether there is something to be heard."""
        return any(process.tasks and not process.failed for process in self._processes)

    def give(self, task: Task, tasks: int = 0) -> None:
        """Have a task done by a process that has so many."""
        next(one for one in self._processes if len(one.tasks) == tasks and not one.failed).give(task)

    def hear(self) -> tuple[Task, Answer]:
        """Wait for what a process says of the task that it is at."""
        while True:
            process, answer = self._said.get()
            process.failed |= "error" in answer or "ended" in answer
            if process.tasks:  # else it was ended when it had done its part
                done = "done" in answer
                return process.tasks.popleft() if done else process.tasks[0], answer


class _Process:
    """A process that fits and measures one model after another. tasks: what it is to do, first what it does now."""

    def __init__(self, threads: int, said: queue.SimpleQueue[tuple[_Process, Answer]]) -> None:
        self.threads, self.said = threads, said
        self.tasks: deque[Task] = deque()
        self.failed = False

    def __enter__(self) -> _Process:
        # a pool of threads is as large as this from its birth, and one that waits must not keep another from its core
        environment = {"OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = worker("isthmus.studies.run.worker:serve", environment)
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        return self

    def give(self, task: Task) -> None:
        self.tasks.append(task)
        assert self.process.stdin
        with contextlib.suppress(OSError):  # that it is gone is seen where its answers are read
            self.process.stdin.write(json.dumps(order(task.context, task.pair)).encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # the last line of a process that was killed
                self.said.put((self, json.loads(line)))
        self.said.put((self, {"ended": self.process.wait()}))

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # at which it ends
        self.process.terminate()
        self.reader.join()
        assert self.process.stdout
        self.process.stdout.close()
