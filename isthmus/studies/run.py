"""Run a study: the only loop over models. What is finished and still the same is not trained again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import threadpoolctl

from isthmus import persistence
from isthmus.data.sources import load as load_dataset
from isthmus.errors import DataError, RequestError
from isthmus.files import lock, prepare_folder, remove, sweep
from isthmus.parts import doubt
from isthmus.studies.checks import check_sizes, other_images
from isthmus.studies.context import Context, Request, code_width, network_of, split_for
from isthmus.studies.fitting import estimator, fit, keep
from isthmus.studies.listener import Listener
from isthmus.studies.pictures import write_figures
from isthmus.studies.results import RESULTS, Results, environment, over_seeds, read_results
from isthmus.studies.rows import compare, judge, measure_model
from isthmus.studies.study import Model, Study
from isthmus.training.hardware import resolve_device, using_threads

# Results, pictures and the report; models' weights come on top: what must be free before anything is trained.
_ROOM = 64 << 20


def run_study(study: Study, request: Request, listener: Listener) -> Results:
    """Train what is not trained yet, measure everything, and write models, figures' arrays and results.json.

    Raises RequestError before anything is trained if the request cannot be met; RunError if training fails. Whoever
    interrupts it keeps every finished model.
    """
    device = resolve_device(request.device)
    dataset = load_dataset(study.data.name, request.data_dir)
    if request.quick:
        study = study.quick(len(dataset.train))
    models = study.only(request.only)
    splits = split_for(study, dataset, models)
    if request.quick:
        study = study.within({name: len(images) for name, images in splits.items()})
    untold: list[str] = []
    others = other_images(study, request.data_dir, untold.append)
    check_sizes(study, splits, others, models)
    context = Context(study, request, dataset, splits, device, others)
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
        for note in (*dataset.notes, *untold, *doubts):
            listener.note(note)
        results.write(context.folder)
        for seed in context.seeds:
            for model in models:
                _fit_and_measure(context, model, seed, results, listener, again=(model.name, seed) not in finished)
                results.write(context.folder)  # a run that is stopped has told what it found so far
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


# --- one model ---


def _fit_and_measure(
    context: Context, model: Model, seed: int, results: Results, listener: Listener, *, again: bool
) -> None:
    """Have the model fitted, from its folder or by training it, and replace its rows and timings."""
    label, folder = context.label(model.name, seed), context.model_folder(model, seed)
    own = None
    if not again:
        try:
            own = persistence.load(folder)
            timing = persistence.read_config(folder)["extra"]["timing"]
        except DataError as error:
            listener.note(f"{error}; training it again")
    how = "finished before"
    if own is None:
        own, timing = fit(context, model, seed, listener)
        persistence.save(own, folder, extra={**context.noted(model, seed), "timing": timing})
        how = f"fitted in {timing['seconds']:.1f} s"
    remove(context.checkpoint_folder(model, seed))  # the model is safe
    with contextlib.suppress(OSError):
        (context.folder / "checkpoints").rmdir()  # unless others are in it
    keep(context, model, seed, own)
    results.rows = [row for row in results.rows if (row.model, row.seed) != (model.name, seed)]
    results.timings = [t for t in results.timings if (t["model"], t["seed"]) != (model.name, seed)]
    found = measure_model(context, model, seed)
    collapse, seconds = found.collapse, found.seconds
    results.rows += found.rows
    results.searches = [s for s in results.searches if (s["model"], s["seed"]) != (model.name, seed)] + found.searches
    if collapse and not context.request.quick:  # one epoch leaves many a network at the mean image
        listener.note(f"{label} {collapse}")
        if seed == context.study.seed:
            next(facts for facts in results.models if facts["name"] == model.name)["collapsed"] = collapse.table()
    reconstruct = {"phase": "reconstruct", "seconds": seconds, "samples": len(context.splits["test"])}
    alone = {"epochs": None, "precision": "float32", "threads": context.request.threads}
    results.timings += [timing, {**timing, **reconstruct, **alone}]
    mse = results.value(model.name, "mse", "test", seed)
    listener.finished(label, f"{how}, test MSE {mse:.6f}" if mse is not None else how)


__all__ = ["RESULTS", "Listener", "Request", "run_study"]
