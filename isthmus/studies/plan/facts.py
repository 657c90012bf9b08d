"""Facts that a fitted model of a study depends on, noted in its folder, and whether they are still the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

from isthmus import persistence
from isthmus.errors import DataError
from isthmus.estimators.parameters import parameters_of, table_of
from isthmus.fingerprints import CODE, differing, facts_of_fit, table_fingerprint
from isthmus.studies.plan.context import Context
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.study import Model
from isthmus.training.hardware import processor_of

Facts = dict[str, Any]


def facts_of(context: Context, model: Model, seed: int, threads_each: int | None = None) -> Facts:
    """All that decides a model of a run and what is measured of it, as JSON has it.

    threads_each: of the plan that it is fitted by; None for this run's.
    """
    unfitted = estimator(model, seed + model.seed_offset, context.device.type)
    split, images = context.fit_split(model), context.splits
    fitted_on = [images["train"].fingerprint, *([images["test"].fingerprint] if split == "all" else [])]
    fit = facts_of_fit(
        {**parameters_of(unfitted, context.shape_of(split)), "arguments": _arguments(model)},
        seed=seed + model.seed_offset,
        samples=table_fingerprint(fitted_on),
        validation=images["validation"].fingerprint if "validation" in images else None,
        device=processor_of(context.device),
        precision=context.precision(model),
        threads=context.threads(model, threads_each),
    )
    return fit | {
        "data": context.dataset.fingerprint,
        "splits": json.loads(json.dumps(dataclasses.asdict(context.study.data) | {"path": None})),
        "of": _of(context, model, seed, threads_each),
    }


def _arguments(model: Model) -> Facts | None:
    """What a study says, with defaults, of an estimator that is not composed of parts."""
    if model.part is None or not model.part.learns:
        return None
    names = {f.name for f in dataclasses.fields(model.part)}
    stated = {name: table_of(value) for name, value in model.part.table().items()}
    return stated | {name: table_of(value) for name, value in model.arguments.items() if name not in names}


def _of(context: Context, model: Model, seed: int, threads_each: int | None) -> str | None:
    """A hash of all that the model depends on of which this one is: as it lies there, or as it will."""
    if model.of is None:
        return None
    upstream = context.study.model(model.of)
    if finished(context, upstream, seed):
        return table_fingerprint(noted(context, upstream, seed))
    return table_fingerprint(facts_of(context, upstream, seed, threads_each))


def finished(context: Context, model: Model, seed: int) -> bool:
    """Whether this very model was finished before, by this run's plan or by that of the whole study."""
    before = noted(context, model, seed)
    return bool(before) and any(before == facts_of(context, model, seed, n) for n in context.plans)


def changed(context: Context, model: Model, seed: int) -> list[str]:
    """The facts in which a model that was finished before differs from this run's, by name."""
    if not context.model_folder(model, seed).exists() or finished(context, model, seed):
        return []
    before = noted(context, model, seed)
    return differing(before, facts_of(context, model, seed)) if before else [CODE]


def noted(context: Context, model: Model, seed: int) -> Facts:
    """What a model's folder says that it depends on; {} if there is none, or one that an older isthmus wrote."""
    with contextlib.suppress(DataError):
        extra = persistence.read_config(context.model_folder(model, seed)).get("extra")
        facts = extra.get("facts") if isinstance(extra, dict) else None
        return facts if isinstance(facts, dict) else {}
    return {}
