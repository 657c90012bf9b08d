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


def store(context: Context, model: Model, found: Outcome) -> None:
    """Write an outcome down for the next run."""
    path = _path(context, model, found.seed)
    path.parent.mkdir(exist_ok=True)
    key = _key(context, model, found.seed, context.threads_each)
    write_json(path, {"key": key, "outcome": found.table()})


def _path(context: Context, model: Model, seed: int) -> Path:
    return context.folder / "measured" / f"{context.label(model.name, seed)}.json"


def _key(context: Context, model: Model, seed: int, threads: int) -> str:
    """What the numbers depend on: the model as it lies there, what is asked of it, resolved, and who measures."""
    study = context.study
    asked = [_resolved(one) for one in study.measures if matches(model, one.models)]
    compared = [_resolved(one) for one in study.compares if model.name in one.models]
    own = seed == study.seed
    return table_fingerprint([noted(context, model, seed), asked, compared, own, context.request.quick, threads])


def _resolved(one: Measure | Compare) -> dict[str, Any]:
    """What is asked, with the defaults of its corruptions."""
    parts = [part.table() if part else None for part in one.corruptions()]
    return dataclasses.asdict(one) | {"corruption": parts}
