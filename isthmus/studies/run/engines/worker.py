"""What runs the tasks of an engine: in any process that has isthmus, or as a process of its own.

`python -m isthmus.studies.run.engines.worker` takes tasks as lines of JSON on stdin and gives messages as lines on
stdout, so that nothing is unpickled. It ends as soon as stdin does. {"check": ...} is answered by {"checked": ...}: ""
if it is on the same disk and like the process that asks, else a sentence, with which it ends. {"beat": seconds} has it
say {"beat": true} from then on, as often as that, at once for the first time.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from isthmus import kinds
from isthmus.errors import RequestError
from isthmus.fingerprints import differing
from isthmus.studies.plan.context import Context, Request
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.run.engines.alike import kept_equal
from isthmus.studies.run.engines.engine import ERRORS, Message, Task, failure
from isthmus.studies.run.model_run import run_model
from isthmus.studies.run.progress import Sender
from isthmus.studies.spec.parser import parse_study
from isthmus.training.hardware import using_threads_everywhere

_PATIENCE = 10.0  # seconds until a folder that was made on another machine must be seen


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
            self._context, self._head = prepared(task), head
        return self._context


def prepared(task: Task) -> Context:
    """The context of a task's study in this process, with the task's own plan and the kinds that it names."""
    kinds.register_all(task.registered)
    paths = {name: Path(task.request[name]) if task.request[name] else None for name in ("out", "data_dir")}
    request = Request(**{**task.request, **paths, **{name: tuple(task.request[name]) for name in ("only", "hosts")}})
    context, _ = prepare(parse_study(task.text, task.study, f"{task.study}.toml"), request)
    context.n_parallel, *plans = task.plan
    context.plans = tuple(plans)
    return context


def main() -> None:
    """Run the tasks that come on stdin, and end when it does."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what prints must not come between the lines
    lines: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()

    whole = threading.Lock()

    def send(message: Message) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            with whole:
                out.write(line)
                out.flush()
        except OSError:
            os._exit(0)  # nobody listens: the run was killed

    def beat(seconds: float) -> None:
        while True:
            send({"beat": True})
            time.sleep(seconds)

    worker = Worker()
    while True:
        line = lines.get()
        if "check" in line:
            send({"checked": (sentence := _unlike(**line["check"]))})
            if sentence:
                return  # before the task that waits behind it: another version would write other numbers
        elif "beat" in line:
            threading.Thread(target=beat, args=(line["beat"],), daemon=True).start()
        else:
            worker.run(Task(**line), send)


def _unlike(folder: str, held: str, equal: dict[str, str], device: str = "auto") -> str:
    """Why this process cannot run the tasks of one that is in `folder`, and whose sign of a lock is `held`; ""."""
    try:
        present = kept_equal(device)
    except RequestError as error:
        return str(error)
    if other := differing(equal, present):
        return "it has " + ", ".join(f"{name} {present.get(name)} in place of {equal.get(name)}" for name in other)
    try:
        os.chdir(folder)
    except OSError as error:
        return f"it does not have the folder {folder}, in which the command was given ({error.strerror})"
    until = time.monotonic() + _PATIENCE
    while not os.path.exists(held):  # a shared disk shows what is new after a while
        if time.monotonic() > until:
            return f"{Path(held).parents[1].absolute()} is not the folder of this run there; all must share a disk"
        time.sleep(0.1)
    return ""


def _read_lines(lines: queue.SimpleQueue[Message]) -> None:
    for line in sys.stdin.buffer:
        lines.put(json.loads(line))
    os._exit(0)  # the run is over, or was killed: also in the middle of a step, for files are written whole


if __name__ == "__main__":
    main()
