"""Cache of measured rows, measured/<model>.json, keyed by everything that they depend on.

It is used again only if the model, with all that it depends on (the images and isthmus' code are of that), and what is
asked of it are the same.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from isthmus.files import write_json
from isthmus.fingerprints import table_fingerprint
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.facts import noted
from isthmus.studies.results.outcome import Outcome
from isthmus.studies.spec.study import Compare, Measure, Model, matches

# what a damaged file, or another version's, is met with
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def cached(context: Context, model: Model, seed: int) -> Outcome | None:
    """The outcome of an earlier run, or None if there is none that still holds."""
    try:
        table = json.loads(_path(context, model, seed).read_text("utf-8"))
        if table["key"] not in (_key(context, model, seed, threads) for threads in context.plans):
            return None
        return Outcome.from_table(table["outcome"])
    except _UNREADABLE:  # then it is measured again
        return None


def store(context: Context, model: Model, outcome: Outcome) -> None:
    """Write an outcome down for the next run."""
    path = _path(context, model, outcome.seed)
    path.parent.mkdir(exist_ok=True)
    key = _key(context, model, outcome.seed, context.threads_each)
    write_json(path, {"key": key, "outcome": outcome.table()})


def _path(context: Context, model: Model, seed: int) -> Path:
    return context.folder / "measured" / f"{context.label(model.name, seed)}.json"


def _key(context: Context, model: Model, seed: int, threads: int) -> str:
    """What the numbers depend on: the model's facts, what is measured of it, resolved, and the threads that measure."""
    study = context.study
    measures = [_resolved(item) for item in study.measures if matches(model, item.models)]
    compared = [_resolved(item) for item in study.compares if model.name in item.models]
    is_first_seed = seed == study.seed
    return table_fingerprint(
        [noted(context, model, seed), measures, compared, is_first_seed, context.request.quick, threads]
    )


def _resolved(item: Measure | Compare) -> dict[str, Any]:
    """What is asked, with the defaults of its corruptions."""
    parts = [part.table() if part else None for part in item.corruptions()]
    return dataclasses.asdict(item) | {"corruption": parts}
