"""As many processes as a run trains models in at once, which measure a model's steps at the same time.

A training that has the machine for itself is faster than one beside others, which share its memory and its caches.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from isthmus import kinds
from isthmus.commands.planning.step_timer import StepTime, resident, step_time
from isthmus.errors import IsthmusError, RunError
from isthmus.machine import worker
from isthmus.studies.plan.context import Context
from isthmus.studies.run.engines.engine import ERRORS, Message, Task, error_of, failure
from isthmus.studies.run.engines.local import environment_of
from isthmus.studies.run.engines.worker import prepared
from isthmus.studies.spec.study import Model

OnProgress = Callable[..., None]  # (done, total, words)


@dataclass
class Measured:
    """Step times by the model's name. start: seconds until a process is ready.

    resident: the bytes that it has before it trains; on a GPU those of the images.
    """

    steps: dict[str, StepTime] = field(default_factory=dict)
    start: float = 0.0
    resident: int = 0

    @property
    def share(self) -> float:
        """The part of its cores that a training had, by the median of all models."""
        return statistics.median([1.0] if not self.steps else [timed.share for timed in self.steps.values()])


def measure(context: Context, models: Sequence[Model], seconds: float, on_progress: OnProgress) -> Measured:
    """Measure the steps of models, each in all processes of the crew at once; of these the median counts.

    seconds: see `step_time`. Raises RunError where a training cannot be.
    """
    crew = _in_processes(context) if models and at_once(context) > 1 else _in_this_process(context)
    with crew as (measured, ask):
        for i, model in enumerate(models):
            on_progress(i, len(models), f", {model.name}")
            answers = ask(model, seconds)
            measured.steps[model.name] = StepTime(
                statistics.median(answer.step for answer in answers),
                statistics.median(answer.pass_ for answer in answers),
                min(answer.steps for answer in answers),
                max(answer.memory for answer in answers),
                statistics.median(answer.share for answer in answers),
            )
    return measured


def at_once(context: Context) -> int:
    """How many models a run trains at once: one where no other process can know the study."""
    text = context.study.text
    return context.n_parallel if text and not any(word in text for word in kinds.unreachable()) else 1


Ask = Callable[[Model, float], list[StepTime]]


@contextlib.contextmanager
def _in_this_process(context: Context) -> Iterator[tuple[Measured, Ask]]:
    on_cpu = context.device.type == "cpu"
    at_rest = resident() if on_cpu else int(context.splits["train"].n_bytes)
    yield Measured(resident=at_rest), lambda model, seconds: [step_time(context, model, seconds)]


@contextlib.contextmanager
def _in_processes(context: Context) -> Iterator[tuple[Measured, Ask]]:
    """Processes as those of the local engine; they end when their input does."""
    task = Task.of(context, (context.models[0].name, context.study.seed))
    began = time.perf_counter()
    processes = [
        worker("isthmus.commands.planning.crew:main", environment_of(task.threads)) for _ in range(context.n_parallel)
    ]

    def ask(model: Model, seconds: float) -> list[StepTime]:
        answers = _all(processes, {"model": model.name, "seconds": seconds})
        return [StepTime(**answer) for answer in answers]

    try:
        ready = _all(processes, task.table())
        yield Measured(start=time.perf_counter() - began, resident=max(answer["resident"] for answer in ready)), ask
    finally:
        for process in processes:
            process.terminate()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            process.wait()


def _all(processes: Sequence[subprocess.Popen[bytes]], message: Message) -> list[Message]:
    """What all answer. Raises the error of the first that fails."""
    line = json.dumps(message).encode() + b"\n"
    for process in processes:
        assert process.stdin
        with contextlib.suppress(OSError):  # that it is gone is seen below
            process.stdin.write(line)
            process.stdin.flush()
    answers = []
    for process in processes:
        assert process.stdout
        answer: dict[str, Any] = json.loads(process.stdout.readline() or b"null") or {}
        if not answer:
            raise RunError(f"a process that measured steps was ended with exit code {process.wait()}")
        if "error" in answer:
            raise error_of(answer)
        answers.append(answer)
    return answers


def main() -> None:
    """Measure what is asked for on stdin, a line of JSON for each answer, until it ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what prints must not come between the lines
    context: Context | None = None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        try:
            if context is None:
                context = prepared(Task(**message))
                answer: Message = {"resident": resident()}
            else:
                answer = asdict(step_time(context, context.study.model(message["model"]), message["seconds"]))
        except ERRORS as error:
            answer = failure(str(error), error if isinstance(error, IsthmusError) else None)
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()
