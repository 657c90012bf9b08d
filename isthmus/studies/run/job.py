"""A job: one study of a run, from its lock to its results; its models are begun one after the other."""

from __future__ import annotations

import contextlib
from typing import Any

from isthmus.errors import IsthmusError, RunError
from isthmus.files import lock, prepare_folder, sweep
from isthmus.studies.plan.context import Request
from isthmus.studies.plan.facts import finished as is_finished
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.plan.workload import Pair, longest_first, ready
from isthmus.studies.results.cache import cached
from isthmus.studies.results.figure_arrays import write_figures
from isthmus.studies.results.outcome import Outcome
from isthmus.studies.results.results_json import Results, over_seeds
from isthmus.studies.results.rows import compare
from isthmus.studies.results.verdict import judge
from isthmus.studies.run.pool import Pool
from isthmus.studies.run.progress import Listener, Named
from isthmus.studies.run.status import forget, results_so_far
from isthmus.studies.run.task import Task, finish
from isthmus.studies.run.worker import ERRORS
from isthmus.studies.spec.study import Study
from isthmus.training.hardware import using_threads_everywhere
from isthmus.training.history import Epoch

# Results, pictures and the report; models' weights come on top: what must be free before anything is trained.
_ROOM = 64 << 20


class Job:
    """A study whose folder is locked and whose plan is written. failed: what keeps it from being finished.

    Raises RequestError if the request cannot be met, before anything is trained.
    """

    def __init__(
        self, study: Study, request: Request, listener: Listener, locks: contextlib.ExitStack, *, named: bool
    ) -> None:
        """locks: gets the lock, which `close` gives back. named: say the study's name before each model's."""
        self.context, notes = prepare(study, request)
        self.study, self.listener = self.context.study, Named(listener, f"{study.name}/") if named else listener
        self.failed: IsthmusError | None = None
        context = self.context
        prepare_folder(context.folder, _ROOM + context.room())
        self._lock = locks.enter_context(contextlib.ExitStack())
        self._lock.enter_context(lock(context.folder))
        sweep(context.folder)
        self.results = results_so_far(context, listener)
        pairs = [(model.name, seed) for seed in context.seeds for model in context.models]
        finished = {
            (name, seed)
            for name, seed in pairs
            if not request.fresh and is_finished(context, context.study.model(name), seed)
        }
        listener.planned(self.results, finished)
        forget(context, listener)
        doubts = [f"{facts['name']}: {facts['doubt']}" for facts in self.results.models if facts["doubt"]]
        for note in (*notes, *doubts):
            listener.note(note)
        self.results.write(context.folder)
        self.missing: list[Pair] = []
        for name, seed in pairs:  # what a model is of comes before it, and where that is missing, it is trained again
            if (name, seed) not in finished or (self.study.model(name).of, seed) in self.missing:
                self.missing.append((name, seed))
        many = context.side_by_side > 1 and len(self.missing) > 1 and bool(self.study.text)
        elsewhere = self.missing if many else []
        self.here = [pair for pair in pairs if pair not in elsewhere]
        works = [context.work(self.study.model(name), seed) for name, seed in elsewhere]
        self.waiting, self.busy = longest_first(works, context.threads_each), set[Pair]()

    def begin(self) -> None:
        """Train and measure here what no other process is to: what is finished, and what is few."""
        with using_threads_everywhere(self.context.threads_each):
            for name, seed in self.here:
                again = (name, seed) in self.missing
                self._take(finish(self.context, self.study.model(name), seed, self.listener, again=again))

    def can_be_beside(self, pool: Pool) -> bool:
        """Whether its models can be trained by these processes, and all of them by processes."""
        own = self.context.side_by_side, self.context.threads_each
        return bool(self.waiting) and own == (pool.side_by_side, pool.threads_each)

    def next_task(self) -> Task | None:
        """What a process is to do next; None if nothing can be done now."""
        if self.failed or not (work := ready(self.waiting, self.busy)):
            return None
        self.waiting.remove(work)
        self.busy.add(work.pair)
        return Task(self.context, work.pair)

    def hear(self, task: Task, answer: dict[str, Any]) -> None:
        """Take what a process says of a task of this study."""
        match answer:
            case {"done": table}:
                self.busy.discard(task.pair)
                self._take(Outcome.from_table(table))
            case {"error": kind, "message": message}:
                self.failed = ERRORS[kind](message)
            case {"ended": code}:
                self.failed = RunError(_ended(task.pair[0], code))
            case {"tell": name, "with": arguments}:
                _tell(self.listener, name, arguments)

    @property
    def over(self) -> bool:
        """Whether all models are there."""
        return not (self.waiting or self.busy)

    def close(self) -> Results:
        """Compare, judge, draw, and write the results for good."""
        context, results = self.context, self.results
        with self._lock, using_threads_everywhere(context.threads_each):
            results.rows += over_seeds(results.rows)
            self._recall_errors()
            results.comparisons = [line for one in self.study.compares for line in compare(one, context)]
            results.references = [judge(reference, context, results) for reference in self.study.references]
            results.figures = write_figures(context, results)
            measured = {row.model for row in results.rows if row.seed == self.study.seed}
            results.complete = measured == {model.name for model in self.study.models}
            results.write(context.folder)
        return results

    def _recall_errors(self) -> None:
        """Have the errors of what is compared, also of models that this run is not about and an earlier one was."""
        context, seed = self.context, self.study.seed
        there = {model for model, *_ in context.errors}
        for name in {name for one in self.study.compares for name in one.models} - there:
            model = self.study.model(name)
            if is_finished(context, model, seed) and (before := cached(context, model, seed)):
                context.errors |= before.errors

    def _take(self, found: Outcome) -> None:
        found.put_into(self.results)
        self.results.write(self.context.folder)  # a run that is stopped has told what it found so far
        self.context.errors |= found.errors
        self.listener.finished(self.context.label(found.model, found.seed), found.how)


def _tell(listener: Listener, name: str, arguments: list[Any]) -> None:
    if name == "epoch":
        label, row, epochs = arguments
        arguments = [label, Epoch(**row), epochs]
    getattr(listener, name)(*arguments)


def _ended(model: str, code: int) -> str:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    why = "; the machine may be out of memory: --threads 1 trains one model at a time" if code == -9 else ""
    return f"{model}: the process that trained it was ended {how}{why}; what is finished is kept"
