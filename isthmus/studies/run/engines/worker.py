"""What runs the tasks of an engine: in any process that has isthmus, or as a process of its own.

`python -m isthmus.studies.run.engines.worker` takes tasks as lines of JSON on stdin and gives messages as lines on
stdout, so that nothing is unpickled. It ends as soon as stdin does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from isthmus import kinds
from isthmus.studies.plan.context import Context, Request
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.run.engines.engine import ERRORS, Message, Task, failure
from isthmus.studies.run.model_run import run_model
from isthmus.studies.run.progress import Sender
from isthmus.studies.spec.parser import parse_study
from isthmus.training.hardware import using_threads_everywhere


class Worker:
    """Runs one task after another, and keeps the images of one study in memory between them."""

    def __init__(self) -> None:
        self._head: Message = {}
        self._context: Context | None = None

    def run(self, task: Task, send: Callable[[Message], None]) -> None:
        """Fit and measure a model; send its progress, and at the end what was measured, or the error."""
        try:
            context = self._context_of(task)
            with using_threads_everywhere(task.threads):
                outcome = run_model(context, context.study.model(task.model), task.seed, Sender(send), again=True)
            send({"done": outcome.table()})
        except ERRORS as error:
            send(failure(str(error), error))
        finally:
            if self._context:
                self._context.fitted.clear()  # bounded memory, however many models there are
                self._context.errors.clear()

    def _context_of(self, task: Task) -> Context:
        head = {**task.table(), "model": None, "seed": None}
        if self._context is None or head != self._head:
            self._context = None  # before the images of another study are read
            self._context, self._head = _prepared(task), head
        return self._context


def _prepared(task: Task) -> Context:
    kinds.register_all(task.registered)
    paths = {name: Path(task.request[name]) if task.request[name] else None for name in ("out", "data_dir")}
    request = Request(**{**task.request, **paths, "only": tuple(task.request["only"])})
    context, _ = prepare(parse_study(task.text, task.study, f"{task.study}.toml"), request)
    context.n_parallel, *plans = task.plan
    context.plans = tuple(plans)
    return context


def main() -> None:
    """Run the tasks that come on stdin, and end when it does."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what prints must not come between the lines
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()

    def send(message: Message) -> None:
        try:
            out.write(json.dumps(message).encode() + b"\n")
            out.flush()
        except OSError:
            os._exit(0)  # nobody listens: the run was killed

    worker = Worker()
    while True:
        worker.run(tasks.get(), send)


def _read_tasks(tasks: queue.SimpleQueue[Task]) -> None:
    for line in sys.stdin.buffer:
        tasks.put(Task(**json.loads(line)))
    os._exit(0)  # the run is over, or was killed: also in the middle of a step, for files are written whole


if __name__ == "__main__":
    main()
