"""Scheduler of studies: which model is fitted and measured next. What is finished and unchanged is not fitted again."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence

from isthmus.errors import IsthmusError
from isthmus.studies.plan.context import Request
from isthmus.studies.results.results_json import RESULTS, Results
from isthmus.studies.run import engines
from isthmus.studies.run.engines import Engine
from isthmus.studies.run.job import Job
from isthmus.studies.run.progress import Progress
from isthmus.studies.spec.study import Study

_MOST_JOBS = 3  # at once, each with its images in memory


def run_study(study: Study, request: Request, progress: Progress, engine: Engine | None = None) -> Results:
    """Train what is not trained yet, measure everything, and write models, figures' arrays and results.json.

    Raises RequestError before anything is trained if the request cannot be met; RunError if training fails. Every
    finished model is kept, also when it is interrupted. engine: that of the request, if it is made already.
    """
    (results,) = run_studies([study], request, progress, engine)
    return results


def run_studies(
    studies: Sequence[Study], request: Request, progress: Progress, engine: Engine | None = None
) -> Generator[Results, None, None]:
    """`run_study` for one after the other: results in this order, each when its study is over.

    Where a study leaves a slot of the engine without work, the next one is begun. The results of a study do not depend
    on those that it is run with, and an error of one study is raised when those before it are over.
    """
    coming = deque(studies)
    engine = engine or engines.engine_of(request)
    with contextlib.ExitStack() as locks:

        def next_job() -> Job | None:
            named = len(studies) > 1
            return Job(coming.popleft(), request, progress, locks, engine, named=named) if coming else None

        job = next_job()
        while job:
            job.begin()
            if job.waiting:
                with engine.open(job.slots, job.context.threads_each):
                    job = yield from _run_together([job], engine, next_job)
                job = job or next_job()
            else:
                yield job.close()
                job = next_job()


def _run_together(
    jobs: list[Job], engine: Engine, next_job: Callable[[], Job | None]
) -> Generator[Results, None, Job | None]:
    """Run a study and, where slots are free, those after it; return the first that cannot be run beside it."""
    slots, threads = jobs[0].slots, jobs[0].context.threads_each  # which all must share
    refused: Job | None = None
    late: IsthmusError | None = None
    more = True
    while jobs:
        _submit(engine, jobs, slots)
        while more and _running(jobs) < slots and len(jobs) < _MOST_JOBS:
            try:
                job = next_job()
                more = (
                    job is not None and bool(job.waiting) and (job.slots, job.context.threads_each) == (slots, threads)
                )
                if job and more:
                    job.begin()
                    jobs.append(job)
                    _submit(engine, jobs, slots)
                else:
                    refused = job
            except IsthmusError as error:  # must not spoil the studies before
                late, more = error, False
        if _running(jobs):
            task, message = engine.receive()
            next(job for job in jobs if job.study.name == task.study).receive(task, message)
        if jobs[0].failed:
            raise jobs[0].failed
        while jobs and jobs[0].over:
            _submit(engine, jobs, 2 * slots)  # closing takes seconds, in which nothing is submitted
            yield jobs.pop(0).close()
    if late:
        raise late
    return refused


def _running(jobs: list[Job]) -> int:
    return sum(len(job.running) for job in jobs)


def _submit(engine: Engine, jobs: list[Job], most: int) -> None:
    """Have tasks run until there are so many, those of earlier studies first."""
    for job in jobs:
        while _running(jobs) < most and (task := job.next_task()):
            engine.submit(task)
        if job.failed:  # results of those after it will not be asked for
            return


__all__ = ["RESULTS", "Progress", "Request", "run_studies", "run_study"]
