"""A job: one study of a run, from its lock to its results; its models are begun one after the other."""

from __future__ import annotations

import contextlib

from isthmus import kinds
from isthmus.errors import IsthmusError
from isthmus.files import prepare_folder, sweep
from isthmus.locks import lock
from isthmus.studies.plan.context import Request
from isthmus.studies.plan.facts import finished as is_finished
from isthmus.studies.plan.model_states import room_for_states, stateless
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.plan.workload import Pair, longest_first, ready
from isthmus.studies.results.cache import cached
from isthmus.studies.results.examples import write_examples
from isthmus.studies.results.figure_files import write_figures
from isthmus.studies.results.outcome import Outcome
from isthmus.studies.results.results_json import Results, over_seeds
from isthmus.studies.results.rows import compare
from isthmus.studies.results.verdict import judge
from isthmus.studies.run.engines.engine import Engine, Message, Task, error_of
from isthmus.studies.run.model_run import run_model
from isthmus.studies.run.progress import Progress, prefixed, replay
from isthmus.studies.run.status import forget, known_results
from isthmus.studies.spec.study import Study
from isthmus.training.hardware import using_threads_everywhere

# Bytes for results, pictures and the report; models' weights come on top. They must be free before anything is trained.
_ROOM = 64 << 20


class Job:
    """A study whose folder is locked and whose plan is written.

    slots: how many of its models the engine trains at once; 0 if all are trained in this process. waiting, running:
    those of the engine that are not done. failed: the error that keeps the study from being finished.
    """

    def __init__(
        self,
        study: Study,
        request: Request,
        progress: Progress,
        locks: contextlib.ExitStack,
        engine: Engine,
        *,
        named: bool,
    ) -> None:
        """Raise RequestError if the request cannot be met, before anything is trained.

        locks: gets the lock, which `close` gives back. named: say the study's name before each model's.
        """
        context, notes = prepare(study, request)
        self.context, self.study = context, context.study
        self.progress = prefixed(progress, f"{study.name}/") if named else progress
        self.failed: IsthmusError | None = None
        prepare_folder(context.folder, _ROOM + context.room() + room_for_states(context))
        self._lock = locks.enter_context(contextlib.ExitStack())
        self._lock.enter_context(lock(context.folder))
        sweep(context.folder)
        self.results = known_results(context, progress)
        pairs = [(model.name, seed) for seed in context.seeds for model in context.models]
        finished = {
            (name, seed)
            for name, seed in pairs
            if not request.fresh and is_finished(context, context.study.model(name), seed)
        }
        progress.planned(self.results, finished)
        forget(context, progress)
        doubts = [f"{facts['name']}: {facts['doubt']}" for facts in self.results.models if facts["doubt"]]
        for note in (*notes, *doubts):
            progress.note(note)
        if labels := stateless(context, finished):
            progress.note(f"finished without states: {', '.join(labels)}; --fresh trains again, and keeps them")
        self.results.write(context.folder)
        missing: list[Pair] = []
        for name, seed in pairs:  # where the model that one is of is missing, it is trained again
            if (name, seed) not in finished or (self.study.model(name).of, seed) in missing:
                missing.append((name, seed))
        self.slots = engine.slots(len(missing), context.n_parallel) if missing and self._can_be_sent() else 0
        submitted = missing if self.slots else []
        self._here = [(pair, pair in missing) for pair in pairs if pair not in submitted]
        works = [context.work(self.study.model(name), seed) for name, seed in submitted]
        self._works = {work.pair: work for work in works}
        self.waiting, self.running = longest_first(works, context.threads_each), set[Pair]()
        self._lost = set[Pair]()

    def _can_be_sent(self) -> bool:
        """Whether another process can know the study: by its text, with the kinds that are named there."""
        for word, path in kinds.unreachable().items():
            if word in self.study.text:
                self.progress.note(f"all models are trained in this process: no other one can import {path}")
                return False
        return bool(self.study.text)  # one that was made in Python has none

    def begin(self) -> None:
        """Train and measure here what the engine does not: what is finished is measured, if it has to be."""
        with using_threads_everywhere(self.context.threads_each):
            for (name, seed), again in self._here:
                self._record(run_model(self.context, self.study.model(name), seed, self.progress, again=again))

    def next_task(self) -> Task | None:
        """The next task for the engine; None if none is ready."""
        if self.failed or not (work := ready(self.waiting, self.running)):
            return None
        self.waiting.remove(work)
        self.running.add(work.pair)
        return Task.of(self.context, work.pair)

    def receive(self, task: Task, message: Message) -> None:
        """Take a message of the engine about a task of this study."""
        if "call" in message:
            replay(self.progress, message)
            return
        self.running.discard(task.pair)
        if "done" in message:
            self._record(Outcome.from_table(message["done"]))
        elif message.get("lost") and task.pair not in self._lost:  # perhaps not by its fault
            self._lost.add(task.pair)
            self.waiting.insert(0, self._works[task.pair])
            self.progress.note(f"{message['message']}; another one takes it up, at its last checkpoint if there is one")
        elif message.get("lost"):
            again = f"{message['message']}; it was the second time, and what is finished is kept"
            self.failed = error_of({**message, "message": again})
        else:
            self.failed = error_of(message)

    @property
    def over(self) -> bool:
        """Whether all models are fitted and measured."""
        return not (self.waiting or self.running or self.failed)

    def close(self) -> Results:
        """Compare, judge, compute the figures' arrays, and write the results for good."""
        context, results = self.context, self.results
        with self._lock, using_threads_everywhere(context.threads_each):
            results.rows += over_seeds(results.rows)
            self._recall_errors()
            results.comparisons = [row for pair in self.study.compares for row in compare(pair, context)]
            results.references = [judge(reference, context, results) for reference in self.study.references]
            results.figures = write_figures(context, results)
            write_examples(context, results)
            measured = {row.model for row in results.rows if row.seed == self.study.seed}
            results.complete = measured == {model.name for model in self.study.models}
            results.write(context.folder)
        return results

    def _recall_errors(self) -> None:
        """Have the errors of what is compared, also of models that this run is not about and an earlier one was."""
        context, seed = self.context, self.study.seed
        known = {model for model, *_ in context.errors}
        for name in {name for pair in self.study.compares for name in pair.models} - known:
            model = self.study.model(name)
            if is_finished(context, model, seed) and (before := cached(context, model, seed)):
                context.errors |= before.errors

    def _record(self, outcome: Outcome) -> None:
        outcome.put_into(self.results)
        self.results.write(self.context.folder)  # a run that is stopped leaves what it has measured so far
        self.context.errors |= outcome.errors
        self.progress.finished(self.context.label(outcome.model, outcome.seed), outcome.how)
