"""From a fitted model to its rows of results.json."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from isthmus import metrics
from isthmus.analysis.collapse import Collapse, diagnose
from isthmus.analysis.representation import representation
from isthmus.errors import counted
from isthmus.estimators.adapters import adapter_of
from isthmus.metrics import Estimate
from isthmus.studies.plan.context import Context
from isthmus.studies.results.measure import measure, nll, per_image
from isthmus.studies.results.photograph_measure import measure_photographs
from isthmus.studies.results.results_json import Row, row_of
from isthmus.studies.spec.quantities import CODE_METRICS, CODE_ONLY, ERROR_METRICS, NLL, PUBLISHED_SSE, REPRESENTATION
from isthmus.studies.spec.study import Compare, Measure, Model, matches

_ALWAYS = Measure(metrics=(*ERROR_METRICS, CODE_ONLY, *CODE_METRICS))  # on the clean test images


@dataclass
class Measurements:
    """All result of one model: its rows, each once; its collapse, if any; the seconds that it took to reconstruct
    the clean test images, or to denoise photographs once; and for a search, why it ended, by corruption.
    """

    rows: list[Row]
    collapse: Collapse | None = None
    seconds: float = 0.0
    searches: list[dict[str, Any]] = field(default_factory=list)


def measure_model(context: Context, model: Model, seed: int) -> Measurements:
    """Measure what is always measured, and what the study asks for."""
    fitted, name = context.fitted[model.name, seed], model.name
    counts, of_any_size = {"n_parameters": adapter_of(fitted).n_parameters}, adapter_of(fitted).takes_any_size
    if not of_any_size:
        counts["code_size"] = adapter_of(fitted).code_size(context.splits["train"].n_features)
    rows = [
        Row(name, seed, metric, None, None, False, value, None, None, selected=False)
        for metric, value in counts.items()
    ]
    wanted: dict[tuple[str, Any], list[str]] = {}
    for requested in [
        *([] if of_any_size else [_ALWAYS]),
        *(m for m in context.study.measures if matches(model, m.models)),
    ]:
        for corruption in requested.corruptions():
            label, known = corruption.label if corruption else None, _known(context, model, requested.split)
            if PUBLISHED_SSE in requested.metrics:
                values = per_image(fitted, context.splits[requested.split], PUBLISHED_SSE, requested.images, corruption)
                rows.append(row_of(metrics.mean_of(values), name, seed, PUBLISHED_SSE, requested.split, label, **known))
                continue
            if requested.n_samples and (estimate := nll(fitted, context.splits[requested.split], requested.n_samples)):
                row = row_of(estimate, name, seed, NLL, requested.split, label, **known)
                rows.append(replace(row, n_samples=requested.n_samples))
            listed = wanted.setdefault((requested.split, corruption), [])
            listed += [metric for metric in requested.metrics if metric not in (*listed, NLL)]
    result = Measurements(rows)
    for (split, corruption), listed in wanted.items():
        if of_any_size:
            measured = measure_photographs(fitted, context.splits[split], tuple(listed), corruption)
        else:
            measured = measure(fitted, context.splits[split], tuple(listed), context.baseline, corruption)
        label, known = corruption.label if corruption else None, _known(context, model, split)
        for metric, estimate in measured.estimates.items():
            row = row_of(estimate, name, seed, metric, split, label, **known)
            rows.append(replace(row, of_code=metric in measured.of_code))
        rows += _of_codes(context, model, seed, split, tuple(metric for metric in listed if metric in REPRESENTATION))
        if seed == context.study.seed:
            context.errors[name, split, label] = measured.errors
        if measured.search:
            which = {"model": name, "seed": seed, "split": split, "corruption": label}
            result.searches.append({**which, **measured.search})
        if of_any_size and split == "test":
            result.seconds = measured.seconds
        elif (split, corruption) == ("test", None):
            result.seconds = measured.seconds
            dead = measured.estimates.get("dead_units")
            n_dead = None if dead is None else int(dead.value or 0)
            result.collapse = diagnose(fitted, n_dead, measured.variation, measured.unexplained, measured.frozen)
    return result


def _of_codes(context: Context, model: Model, seed: int, split: str, wanted: tuple[str, ...]) -> list[Row]:
    """What a model's codes are worth, by classifiers of its codes of training images; of these, by other folds."""
    if not wanted:
        return []
    fitted, images, train = context.fitted[model.name, seed], context.splits[split], context.splits["train"]
    estimates: dict[str, Estimate] = {}
    if adapter_of(fitted).searches:
        notes = dict.fromkeys(wanted, "its codes are searched for, which takes too long")
    else:
        others = None if split in ("train", "all") else images
        result = representation(fitted, images if others is None else train, None, others, metrics=wanted)
        estimates, images_fitted = result.estimates, counted(result.n_fitted, "image")
        how = f"in {result.n_folds} folds of {images_fitted}" if result.n_folds else f"of {images_fitted} to train on"
        classified = "; ".join((f"by classifiers {how}", *result.remarks))
        notes = {**dict.fromkeys(("linear_probe", "knn"), classified), **result.omitted}
    known, none = _known(context, model, split), Estimate(None, None, len(images))
    rows = (row_of(estimates.get(metric, none), model.name, seed, metric, split, None, **known) for metric in wanted)
    return [replace(row, note=notes.get(row.metric, "")) for row in rows]


def _known(context: Context, model: Model, split: str) -> dict[str, bool]:
    """What a model had of these images before it was measured on them."""
    return {"seen": context.seen(model, split), "selected": context.selected(model, split)}


def compare(pair: Compare, context: Context) -> list[dict[str, Any]]:
    """The differences of two models' errors on the same images, a - b, at each level; none without both."""
    differences = []
    for part in pair.corruptions():
        label = part.label if part else None
        errors = [context.errors.get((name, pair.split, label)) for name in pair.models]
        if errors[0] is None or errors[1] is None:
            continue
        a, b = errors[0], errors[1]
        difference = a - b if pair.metric == "mse" else metrics.psnr(a) - metrics.psnr(b)
        estimate = metrics.mean_of(difference, context.splits[pair.split].photographs)
        if estimate.value is None or not math.isfinite(estimate.value):  # JSON has no such number
            continue
        differences.append(
            {
                "models": list(pair.models),
                "metric": pair.metric,
                "split": pair.split,
                "corruption": label,
                "section": pair.section,
                "difference": estimate.value,
                "ci95": list(estimate.ci95) if estimate.ci95 else None,
                "n": estimate.n,
            }
        )
    return differences
