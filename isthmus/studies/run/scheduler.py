"""Scheduler of studies: which model is fitted and measured next. What is finished and unchanged is not fitted again."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence

from isthmus.errors import IsthmusError, RunError
from isthmus.studies.plan.context import Request
from isthmus.studies.results.results_json import RESULTS, Results
from isthmus.studies.run.job import Job
from isthmus.studies.run.pool import Pool
from isthmus.studies.run.progress import Listener
from isthmus.studies.run.task import Task
from isthmus.studies.spec.study import Study

_OPEN = 3  # studies under way at once, each with its images in memory


def run_study(study: Study, request: Request, listener: Listener) -> Results:
    """Train what is not trained yet, measure everything, and write models, figures' arrays and results.json.

    Raises RequestError before anything is trained if the request cannot be met; RunError if training fails. Whoever
    interrupts it keeps every finished model.
    """
    (results,) = run_studies([study], request, listener)
    return results


def run_studies(studies: Sequence[Study], request: Request, listener: Listener) -> Generator[Results, None, None]:
    """`run_study` for one after the other: results in this order, each when its study is over.

    Where a study leaves a core without work, the next one is begun. What the results of a study say does not depend on
    those that it is run with, and an error of one study is raised when those before it are over.
    """
    coming = deque(studies)
    with contextlib.ExitStack() as locks:

        def opened() -> Job | None:
            return Job(coming.popleft(), request, listener, locks, named=len(studies) > 1) if coming else None

        run = opened()
        while run:
            run.begin()
            if run.waiting:
                with Pool(run.context) as pool:
                    run = yield from _beside([run], pool, opened)
                run = run or opened()
            else:
                yield run.close()
                run = opened()


def _beside(runs: list[Job], pool: Pool, opened: Callable[[], Job | None]) -> Generator[Results, None, Job | None]:
    """Run a study and, where processes have nothing to do, those after it; return the first that cannot be beside."""
    alone: Job | None = None
    late: IsthmusError | None = None
    more = True
    while runs:
        _give(pool, runs, tasks=0)
        while more and pool.can_take() and len(runs) < _OPEN:
            try:
                run = opened()
                more = run is not None and run.can_be_beside(pool)
                if run and more:
                    run.begin()
                    runs.append(run)
                    _give(pool, runs, tasks=0)
                else:
                    alone = run
            except IsthmusError as error:  # which is not to spoil those before
                late, more = error, False
        if pool.at_work:
            task, answer = pool.hear()
            next(run for run in runs if run.context is task.context).hear(task, answer)
        elif not runs[0].over:  # nobody is left to train it
            ended = RunError("the processes that train were ended; what is finished is kept")
            raise next((run.failed for run in runs if run.failed), ended)
        if runs[0].failed:
            raise runs[0].failed
        while runs and runs[0].over:
            _give(pool, runs, tasks=1)  # closing takes seconds, in which nobody listens
            yield runs.pop(0).close()
    if late:
        raise late
    return alone


def _give(pool: Pool, runs: list[Job], tasks: int) -> None:
    """Give processes that have so many tasks one more each, as far as there are any, those of earlier studies first."""
    while pool.can_take(tasks) and (task := _next_task(runs)):
        pool.give(task, tasks)


def _next_task(runs: list[Job]) -> Task | None:
    for run in runs:
        if run.failed:  # what comes after it will not be asked for
            return None
        if task := run.next_task():
            return task
    return None


__all__ = ["RESULTS", "Listener", "Request", "run_studies", "run_study"]
