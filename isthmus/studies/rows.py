"""From a fitted model to its rows of results.json, and from published numbers to what was measured beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.collapse import Collapse, diagnose
from isthmus.estimators.common import code_size, last_step, n_parameters
from isthmus.studies.context import Context
from isthmus.studies.fitting import available
from isthmus.studies.measure import measure, per_image
from isthmus.studies.results import Results, Row, row_of
from isthmus.studies.study import (
    CODE_METRICS,
    CODE_ONLY,
    COUNTS,
    ERROR_METRICS,
    PUBLISHED_SSE,
    TRAINING_METRICS,
    Compare,
    Measure,
    Model,
    Reference,
    matches,
)
from isthmus.training.history import History

_ALWAYS = Measure(metrics=(*ERROR_METRICS, CODE_ONLY, *CODE_METRICS))  # on the clean test images


@dataclass
class Found:
    """What was measured of one model: its rows, each once; whether it has collapsed; the seconds that it took to
    reconstruct the clean test images; and of a search, why it ended, by corruption.
    """

    rows: list[Row]
    collapse: Collapse | None = None
    seconds: float = 0.0
    searches: list[dict[str, Any]] = field(default_factory=list)


def measure_model(context: Context, model: Model, seed: int) -> Found:
    """Measure what is always measured, and what the study asks for."""
    fitted, name = context.fitted[model.name, seed], model.name
    counts = {
        "n_parameters": n_parameters(fitted),
        "code_size": code_size(fitted, context.splits["train"].n_features),
    }
    rows = [Row(name, seed, metric, None, None, False, value, None, None) for metric, value in counts.items()]
    wanted: dict[tuple[str, Any], list[str]] = {}
    for one in [_ALWAYS, *(m for m in context.study.measures if matches(model, m.models))]:
        for corruption in one.corruptions():
            label, seen = corruption.label if corruption else None, context.seen(model, one.split)
            if PUBLISHED_SSE in one.metrics:
                values = per_image(fitted, context.splits[one.split], PUBLISHED_SSE, one.images, corruption)
                rows.append(row_of(metrics.mean_of(values), name, seed, PUBLISHED_SSE, one.split, label, seen))
                continue
            listed = wanted.setdefault((one.split, corruption), [])
            listed += [metric for metric in one.metrics if metric not in listed]
    found = Found(rows)
    for (split, corruption), listed in wanted.items():
        measured = measure(fitted, context.splits[split], tuple(listed), context.baseline, corruption)
        label, seen = corruption.label if corruption else None, context.seen(model, split)
        rows += [row_of(e, name, seed, metric, split, label, seen) for metric, e in measured.estimates.items()]
        if seed == context.study.seed:
            context.errors[name, split, label] = measured.errors
        if measured.search:
            found.searches.append({"model": name, "seed": seed, "split": split, "corruption": label, **measured.search})
        if (split, corruption) == ("test", None):
            found.seconds = measured.seconds
            dead = measured.estimates.get("dead_units")
            n_dead = None if dead is None else int(dead.value or 0)
            found.collapse = diagnose(fitted, n_dead, measured.variation, measured.unexplained)
    return found


def compare(one: Compare, context: Context) -> list[dict[str, Any]]:
    """The differences of two models' errors on the same images, a - b, at each level; empty if one was not measured."""
    found = []
    for part in one.corruptions():
        label = part.label if part else None
        errors = [context.errors.get((name, one.split, label)) for name in one.models]
        if errors[0] is None or errors[1] is None:
            continue
        estimate = metrics.mean_of(errors[0] - errors[1], context.splits[one.split].photographs)
        if estimate.value is None or not math.isfinite(estimate.value):  # JSON has no such number
            continue
        found.append(
            {
                "models": list(one.models),
                "metric": "mse",
                "split": one.split,
                "corruption": label,
                "section": one.section,
                "difference": estimate.value,
                "ci95": list(estimate.ci95) if estimate.ci95 else None,
                "n": estimate.n,
            }
        )
    return found


def judge(reference: Reference, context: Context, results: Results) -> dict[str, Any]:
    """Published beside measured, of the study's own seed. agrees is null for what was not measured, or a quick run."""
    published = list(reference.value) if isinstance(reference.value, tuple) else reference.value
    part = reference.part()
    measured = _measured(reference, context, results)
    agrees = None
    if measured is not None and not results.quick:
        ours, theirs = np.atleast_1d(measured), np.atleast_1d(published)
        margin = reference.atol if reference.rtol is None else reference.rtol * np.abs(theirs)
        agrees = bool(np.all(np.abs(ours - theirs) <= margin))
    table = {"id": reference.id, "published": published, "measured": measured, "agrees": agrees}
    table |= {"rtol": reference.rtol} if reference.atol is None else {"atol": reference.atol}
    table |= {"model": reference.model, "metric": reference.metric, "split": reference.split, "seed": results.seed}
    optional = {
        "corruption": part.label if part else None,
        "epochs": _epochs(reference),
        "images": list(reference.images),
        "note": reference.note,
    }
    return table | {name: value for name, value in optional.items() if value}


def _epochs(reference: Reference) -> list[int]:
    """The epochs that a list of losses is of."""
    if reference.metric != "loss" or not isinstance(reference.value, tuple):
        return []
    return list(reference.epochs) or list(range(1, len(reference.value) + 1))


def _measured(reference: Reference, context: Context, results: Results) -> Any:
    """What was measured for a published number or list; None if it was not."""
    if reference.metric in TRAINING_METRICS:
        return _of_training(reference, _history(context, reference.model))
    if reference.images:
        if not available(context, reference.model):
            return None
        fitted, split = context.fitted[reference.model, results.seed], context.splits[reference.split]
        if max(reference.images) >= len(split):  # of a quick run
            return None
        values = np.concatenate(
            [
                per_image(fitted, split, reference.metric, places, part)
                for places, part in zip(_places(reference), reference.parts(), strict=True)
            ]
        )
        found = values.tolist() if isinstance(reference.value, tuple) else float(values.mean())
        return found if np.all(np.isfinite(values)) else None
    part = reference.part()
    split_name = None if reference.metric in COUNTS else reference.split
    wanted = (reference.model, results.seed, reference.metric, split_name, part.label if part else None)
    rows = (row for row in results.rows if (row.model, row.seed, row.metric, row.split, row.corruption) == wanted)
    return next((row.value for row in rows), None)


def _places(reference: Reference) -> list[tuple[int, ...]]:
    """The images of a reference, by the corruption that they have."""
    return [(one,) for one in reference.images] if reference.levels else [reference.images]


def _of_training(reference: Reference, history: History | None) -> Any:
    if not history:
        return None
    if reference.metric == "step_loss":
        value = history[-1].step_losses[-1]
        return value if math.isfinite(value) else None
    if epochs := _epochs(reference):
        enough = len(history) >= max(epochs)
        return [float(history.losses[epoch - 1]) for epoch in epochs] if enough else None
    return float(history.losses[-1])


def _history(context: Context, name: str) -> History | None:
    """The training history of a model of the study's own seed."""
    if not available(context, name):
        return None
    fitted = context.fitted[name, context.study.seed]
    return getattr(last_step(fitted), "history_", None)
