"""Run a study: the only loop over models. What is finished and still the same is not trained again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import threadpoolctl

from isthmus.errors import DataError, RequestError
from isthmus.files import lock, prepare_folder, remove, sweep
from isthmus.parts import doubt
from isthmus.studies.context import Context, Request, code_width, network_of
from isthmus.studies.finish import finish
from isthmus.studies.fitting import estimator
from isthmus.studies.listener import Listener
from isthmus.studies.outcome import Outcome
from isthmus.studies.pictures import write_figures
from isthmus.studies.prepare import prepare
from isthmus.studies.results import RESULTS, Results, environment, over_seeds, read_results
from isthmus.studies.rows import compare, judge
from isthmus.studies.side_by_side import outcomes
from isthmus.studies.study import Model, Study
from isthmus.training.hardware import using_threads

# Results, pictures and the report; models' weights come on top: what must be free before anything is trained.
_ROOM = 64 << 20


def run_study(study: Study, request: Request, listener: Listener) -> Results:
    """Train what is not trained yet, measure everything, and write models, figures' arrays and results.json.

    Raises RequestError before anything is trained if the request cannot be met; RunError if training fails. Whoever
    interrupts it keeps every finished model.
    """
    context, notes = prepare(study, request)
    study, models = context.study, context.models
    prepare_folder(context.folder, _ROOM + context.room())
    with lock(context.folder), _threads(request.threads):
        sweep(context.folder)
        results = _results_so_far(context, listener)
        finished = {
            (model.name, seed)
            for seed in context.seeds
            for model in models
            if not request.fresh and context.finished(model, seed)
        }
        listener.planned(results, finished)
        _forget(context, listener)
        doubts = [f"{facts['name']}: {facts['doubt']}" for facts in results.models if facts["doubt"]]
        for note in (*notes, *doubts):
            listener.note(note)
        results.write(context.folder)
        for found in _outcomes(context, finished, listener):
            found.put_into(results)
            results.write(context.folder)  # a run that is stopped has told what it found so far
            context.errors |= found.errors
            listener.finished(context.label(found.model, found.seed), found.how)
        results.rows += over_seeds(results.rows)
        results.comparisons = [line for one in study.compares for line in compare(one, context)]
        results.references = [judge(reference, context, results) for reference in study.references]
        results.figures = write_figures(context, results)
        measured = {row.model for row in results.rows if row.seed == study.seed}
        results.complete = measured == {model.name for model in study.models}
        results.write(context.folder)
    return results


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Torch and BLAS use n threads inside, and what they used before outside."""
    with threadpoolctl.threadpool_limits(n), using_threads(n):
        yield


# --- the results, before anything is trained ---


def _results_so_far(context: Context, listener: Listener) -> Results:
    """What is known before this run: the plan, and what earlier runs measured on models that are still the same."""
    study, request, dataset = context.study, context.request, context.dataset
    results = Results(
        study=study.name,
        title=study.title,
        question=study.question,
        seed=study.seed,
        quick=request.quick,
        complete=False,
        environment=environment(str(context.device), request.threads, request.command),
        data={
            "name": dataset.name,
            "title": dataset.title,
            "sha256": dataset.fingerprint,
            "splits": {name: len(images) for name, images in context.splits.items()},
            "image_shape": list(dataset.train.shape),
            "classes": list(study.data.classes) if study.data.classes else None,
            "files": dataset.files,
            "notes": list(dataset.notes),
        },
        plan=[context.plan_row(model, seed) for seed in context.seeds for model in context.models],
        models=[_facts(context, model) for model in study.models],
        traps=[dataclasses.asdict(trap) for trap in study.traps],
        sections=[{**dataclasses.asdict(one), "models": study.named(one.models)} for one in study.sections],
    )
    try:
        before = read_results(context.folder)
    except DataError:  # there are none, or another version's
        return results
    if request.quick and not before.quick and not request.fresh:
        raise RequestError(
            f"{context.folder} holds a full run, which --quick would replace; choose another --out, or add --fresh"
        )
    known = {model.name: model for model in study.models}
    pairs = {(row.model, row.seed) for row in before.rows if row.seed is not None and row.model in known}
    same = {(name, seed) for name, seed in pairs if context.finished(known[name], seed)}
    running = {(model.name, seed) for model in context.models for seed in context.seeds}
    if lost := sorted({name for name, _ in pairs - same - running}):
        listener.note(f"left out, for the study or its options have changed since they were trained: {', '.join(lost)}")
    results.rows = [row for row in before.rows if (row.model, row.seed) in same]
    results.timings = [timing for timing in before.timings if (timing["model"], timing["seed"]) in same]
    results.searches = [found for found in before.searches if (found["model"], found["seed"]) in same]
    collapsed = {facts["name"]: facts["collapsed"] for facts in before.models}
    for facts in results.models:
        if (facts["name"], study.seed) in same:
            facts["collapsed"] = collapsed.get(facts["name"])
    return results


def _forget(context: Context, listener: Listener) -> None:
    """Say which finished models are trained again for isthmus itself has changed, and with --fresh drop checkpoints."""
    every = [(model, seed) for seed in context.seeds for model in context.models]
    if context.request.fresh:
        for model, seed in every:
            remove(context.checkpoint_folder(model, seed))
    elif old := [context.label(model.name, seed) for model, seed in every if context.outdated(model, seed)]:
        listener.note(
            f"isthmus' own code has changed since these were trained, so they are trained again: {', '.join(old)}"
        )


def _facts(context: Context, model: Model) -> dict[str, Any]:
    """What the report says of a model, whether it is trained or not. collapsed: known when it was measured."""
    corruption = model.arguments.get("corruption")
    return {
        "name": model.name,
        "label": model.label,
        "note": model.note,
        "of": model.of,
        "fitted_on": context.fit_split(model),
        "code": " ".join(repr(estimator(context, model, context.study.seed)).split()),
        "corruption": corruption.label if corruption else None,
        "doubt": doubt(network_of(model), model.arguments.get("penalty")) if model.training else None,
        "units": None if model.estimator == "identity" else code_width(context.study, model, context.shape),
        "collapsed": None,
    }


# --- the models ---


def _outcomes(context: Context, finished: set[tuple[str, int]], listener: Listener) -> Iterator[Outcome]:
    """Each model's, those that are finished and those that are few here, the others side by side."""
    pairs = [(model.name, seed) for seed in context.seeds for model in context.models]
    missing: list[tuple[str, int]] = []
    for name, seed in pairs:  # what a model is of comes before it, and where that is missing, it is trained again too
        if (name, seed) not in finished or (context.study.model(name).of, seed) in missing:
            missing.append((name, seed))
    elsewhere = missing if context.side_by_side > 1 and len(missing) > 1 and context.study.text else []
    for name, seed in pairs:
        if (name, seed) not in elsewhere:
            again = (name, seed) in missing
            yield finish(context, context.study.model(name), seed, listener, again=again)
    yield from outcomes(context, elsewhere, listener)


__all__ = ["RESULTS", "Listener", "Request", "run_study"]
