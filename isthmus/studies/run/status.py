"""Status of a study before it is run: the plan, and the results of earlier runs for models that have not changed."""

from __future__ import annotations

import dataclasses
from typing import Any

from isthmus.errors import DataError, RequestError
from isthmus.files import remove
from isthmus.parts import doubt
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.facts import changed, finished
from isthmus.studies.results.results_json import Results, environment, read_results
from isthmus.studies.run.progress import Progress
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.study import Model


def known_results(context: Context, progress: Progress) -> Results:
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
            **dataset.place,
        },
        plan=[context.plan_row(model, seed) for seed in context.seeds for model in context.models],
        models=[_facts(context, model) for model in study.models],
        traps=[dataclasses.asdict(trap) for trap in study.traps],
        sections=[{**dataclasses.asdict(section), "models": study.named(section.models)} for section in study.sections],
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
    same = {(name, seed) for name, seed in pairs if finished(context, known[name], seed)}
    running = {(model.name, seed) for model in context.models for seed in context.seeds}
    if lost := sorted({name for name, _ in pairs - same - running}):
        progress.note(f"left out, because the study or its options have changed since: {', '.join(lost)}")
    results.rows = [row for row in before.rows if (row.model, row.seed) in same]
    results.timings = [timing for timing in before.timings if (timing["model"], timing["seed"]) in same]
    results.searches = [search for search in before.searches if (search["model"], search["seed"]) in same]
    collapsed = {facts["name"]: facts["collapsed"] for facts in before.models}
    for facts in results.models:
        if (facts["name"], study.seed) in same:
            facts["collapsed"] = collapsed.get(facts["name"])
    return results


def forget(context: Context, progress: Progress) -> None:
    """Say which finished models are trained again and what has changed of them, and with --fresh drop checkpoints."""
    every = [(model, seed) for seed in context.seeds for model in context.models]
    if context.request.fresh:
        for model, seed in every:
            remove(context.checkpoint_folder(model, seed))
        return
    others: dict[str, list[str]] = {}
    for model, seed in every:
        if differing := ", ".join(changed(context, model, seed)):
            others.setdefault(differing, []).append(context.label(model.name, seed))
    for differing, labels in others.items():
        progress.note(f"trained again: {', '.join(labels)} (different: {differing})")


def _facts(context: Context, model: Model) -> dict[str, Any]:
    """What the report says of a model, whether it is trained or not. collapsed: known when it was measured."""
    corruption, part = model.arguments.get("corruption"), model.part
    idle = part is not None and (part.any_size or not part.learns)  # without a code
    unfitted = estimator(model, context.study.seed, context.device.type)
    targets = unfitted.part("loss").targets(in_nats=unfitted.part("code").in_nats) if model.part is None else ""
    return {
        "name": model.name,
        "label": model.label,
        "note": model.note,
        "of": model.of,
        "fitted_on": context.fit_split(model),
        "code": " ".join(repr(unfitted).split()),
        **({"targets": targets} if targets else {}),
        "corruption": corruption.label if corruption else None,
        "doubt": doubt(model.network, model.arguments.get("penalty"), model.code) if model.part is None else None,
        "units": None if idle else context.code_width(model),
        "collapsed": None,
    }
