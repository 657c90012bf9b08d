"""The interface between the scheduler, which decides what is trained next, and an engine, which has it trained."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from isthmus import kinds
from isthmus.errors import DataError, IsthmusError, RequestError, RunError
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.workload import Pair

Message = dict[str, Any]  # plain values, as JSON has them
ERRORS = (DataError, RequestError, RunError)  # the first that fits names a failure


def failure(message: str, error: IsthmusError | None = None) -> Message:
    """The last message of a task that failed; without an error, one that was lost with its process or machine."""
    kind = next(kind for kind in ERRORS if isinstance(error or RunError(), kind))
    return {"error": kind.__name__, "message": message, "lost": error is None}


def error_of(message: Message) -> IsthmusError:
    """The error that `failure` put into a message."""
    return next(kind for kind in ERRORS if kind.__name__ == message["error"])(message["message"])


def is_last(message: Message) -> bool:
    """Whether a task has ended with this message."""
    return "done" in message or "error" in message


@dataclass(frozen=True)
class Task:
    """One model to fit and measure, in plain values: `Task(**json.loads(json.dumps(task.table())))` equals it.

    study: its name. text: its TOML. request: the options of `isthmus run`. plan: how many models train at once, then
    the threads of each. registered: the kinds from outside the package, which whoever runs the task registers too.
    """

    study: str
    text: str
    request: dict[str, Any]
    plan: list[int]
    registered: list[list[str]]
    model: str
    seed: int

    @classmethod
    def of(cls, context: Context, pair: Pair) -> Task:
        """The task of one model of a run."""
        study, request = context.study, asdict(context.request)
        paths = {name: str(request[name]) for name in ("out", "data_dir") if request[name] is not None}
        request |= {**paths, "only": list(request["only"]), "hosts": list(request["hosts"])}
        plan = [context.n_parallel, *context.plans]
        return cls(study.name, study.text, request, plan, kinds.registered(), *pair)

    @property
    def pair(self) -> Pair:
        """The model's name and its seed."""
        return self.model, self.seed

    @property
    def threads(self) -> int:
        """The threads that the model is trained with: a fact of it, so every engine keeps to it."""
        return self.plan[1]

    def table(self) -> Message:
        """Everything, to be sent."""
        return asdict(self)


class Engine(Protocol):
    """Runs tasks, wherever the folder of the run and the data are within reach.

    A process that is to run tasks has isthmus, and calls `Worker().run(task, send)` in `engines.worker`, or is
    `python -m isthmus.studies.run.engines.worker`, with a task as a line of JSON on stdin and messages as lines on
    stdout. Messages are passed on as they come: any number of {"call": ..., "with": [...]}, the progress; at last
    {"done": ...} or what `failure` makes, in words. A task that was lost is submitted once more.
    """

    def slots(self, tasks: int, planned: int) -> int:
        """How many of these tasks to run at once; 0 to have all run in the calling process.

        planned: how many of them this machine trains at once by the study's plan.
        """
        ...

    def open(self, slots: int, threads: int) -> AbstractContextManager[None]:
        """Inside, tasks of so many threads are run, `slots` at once. Leaving it, also by Ctrl-C, stops all of them."""
        ...

    def submit(self, task: Task) -> None:
        """Have a task run, as soon as there is a slot for it. Its model does not wait for that of another task."""
        ...

    def receive(self) -> tuple[Task, Message]:
        """Wait for the next message, and say which task it is of.

        A task that was lost, with its process or machine, ends in `failure(how)`.
        """
        ...
