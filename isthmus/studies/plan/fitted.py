"""Fitted models of a run, in memory: put there when they are fitted, or loaded from an earlier run."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from isthmus import persistence
from isthmus.errors import DataError
from isthmus.estimators.adapters import adapter_of
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.facts import finished
from isthmus.studies.spec.study import Model


def add_fitted(context: Context, model: Model, seed: int, fitted: Any) -> None:
    """Put a fitted model into the context; a model of another model's codes is a pipeline of both."""
    adapter = adapter_of(fitted)
    of_codes = model.of is not None and not (adapter.searches or adapter.takes_any_size)
    upstream = context.fitted[str(model.of), seed] if of_codes else None
    context.fitted[model.name, seed] = (
        Pipeline([(str(model.of), upstream), (model.name, fitted)]) if upstream else fitted
    )


def available(context: Context, name: str, seed: int | None = None) -> bool:
    """Load a model that this run or an earlier one finished, if it is not in memory; say whether there is one."""
    seed, model = context.study.seed if seed is None else seed, context.study.model(name)
    if (name, seed) in context.fitted:
        return True
    if not finished(context, model, seed) or (model.of and not available(context, model.of, seed)):
        return False
    try:
        add_fitted(context, model, seed, persistence.load(context.model_folder(model, seed)))
    except DataError:
        return False
    return True
