"""Published numbers beside what was measured, and whether the two agree.

A training is one sample: another seed gives another number. Where a reference carries what at least ten seeds measured,
it agrees if the published number lies where one more of them would, with a probability of 95 %: mean ± t·s·√(1 + 1/n),
with Student's t of n - 1 degrees of freedom (Hahn and Meeker, Statistical Intervals, 1991). Others agree within their
tolerance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isthmus.estimators.adapters import adapter_of
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.fitted import available
from isthmus.studies.results.measure import per_image
from isthmus.studies.results.results_json import Results
from isthmus.studies.spec.quantities import COUNTS, TRAINING_METRICS
from isthmus.studies.spec.reference import Reference
from isthmus.training.history import History

DIGITS = ".6g"  # with which values over seeds are written into a study


def judge(reference: Reference, context: Context, results: Results) -> dict[str, Any]:
    """Published beside measured, of the study's own seed. agrees is null for what was not measured, or a quick run, and
    for another method's number.
    """
    published = list(reference.value) if isinstance(reference.value, tuple) else reference.value
    part = reference.part()
    measured = _measured(reference, context, results, results.seed)
    spread = spread_of(reference.over_seeds) if reference.over_seeds else None
    agrees = None
    if measured is not None and not results.quick and not reference.by:
        if spread and not isinstance(published, list):
            agrees = _within(spread, measured, published)
        else:
            agrees = _near(reference, measured, published)
    table = {"id": reference.id, "published": published, "measured": measured, "agrees": agrees}
    table |= {name: value for name in ("rtol", "atol") if (value := getattr(reference, name)) is not None}
    table |= {"model": reference.model, "metric": reference.metric, "split": reference.split, "seed": results.seed}
    optional = {
        "corruption": part.label if part else None,
        "epochs": _epochs(reference),
        "images": list(reference.images),
        "over_seeds": spread,
        "by_seed": _by_seed(reference, context, results),
        "note": reference.note,
        "by": reference.by,
    }
    return table | {name: value for name, value in optional.items() if value}


def spread_of(values: tuple[float, ...]) -> dict[str, Any]:
    """{"n", "mean", "sd", "low", "high", "interval"}: the last is the 95 % prediction interval of one new seed."""
    from scipy.stats import t as student

    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    margin = float(student.ppf(0.975, n - 1)) * sd * math.sqrt(1 + 1 / n)
    interval = [mean - margin, mean + margin]
    return {"n": n, "mean": mean, "sd": sd, "low": min(values), "high": max(values), "interval": interval}


def _within(spread: dict[str, Any], measured: float, published: float) -> bool:
    """Whether one more seed could measure what was published.

    What this run measured must lie there too, or be one of them: else the seeds were those of other code.
    """
    low, high = spread["interval"]
    ours = float(format(measured, DIGITS))
    return low <= published <= high and min(low, spread["low"]) <= ours <= max(high, spread["high"])


def _near(reference: Reference, measured: Any, published: Any) -> bool:
    """Whether every number lies within the tolerance."""
    measured, published = np.atleast_1d(measured), np.atleast_1d(published)
    margin = reference.atol if reference.rtol is None else reference.rtol * np.abs(published)
    return bool(np.all(np.abs(measured - published) <= margin))


def _by_seed(reference: Reference, context: Context, results: Results) -> list[float]:
    """What each seed of this run measured, if there are several and all of them did; of a list nothing."""
    if len(context.seeds) < 2 or isinstance(reference.value, tuple):
        return []
    values = [_measured(reference, context, results, seed) for seed in context.seeds]
    return [] if None in values else values


def _epochs(reference: Reference) -> list[int]:
    """The epochs that a list of losses is of."""
    if reference.metric != "loss" or not isinstance(reference.value, tuple):
        return []
    return list(reference.epochs) or list(range(1, len(reference.value) + 1))


def _measured(reference: Reference, context: Context, results: Results, seed: int) -> Any:
    """What was measured with this seed for a published number or list; None if it was not."""
    if reference.metric in TRAINING_METRICS:
        return _of_training(reference, _history(context, reference.model, seed))
    if reference.images:
        if not available(context, reference.model, seed):
            return None
        fitted, split = context.fitted[reference.model, seed], context.splits[reference.split]
        if max(reference.images) >= len(split):  # of a quick run
            return None
        values = np.concatenate(
            [
                per_image(fitted, split, reference.metric, places, part)
                for places, part in zip(_places(reference), reference.parts(), strict=True)
            ]
        )
        numbers = values.tolist() if isinstance(reference.value, tuple) else float(values.mean())
        return numbers if np.all(np.isfinite(values)) else None
    part = reference.part()
    split_name = None if reference.metric in COUNTS else reference.split
    row = results.row(reference.model, reference.metric, split_name, part.label if part else None, seed)
    return row.value if row else None


def _places(reference: Reference) -> list[tuple[int, ...]]:
    """The images of a reference, by the corruption that they have."""
    return [(position,) for position in reference.images] if reference.levels else [reference.images]


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


def _history(context: Context, name: str, seed: int) -> History | None:
    """The training history of a model."""
    if not available(context, name, seed):
        return None
    return getattr(adapter_of(context.fitted[name, seed]).last.model, "history_", None)
