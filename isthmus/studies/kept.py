"""What was measured of a model, kept in measured/<model>.json: a run that is repeated measures only what is new.

It is used again only if the model, the images, what is asked of the model and the code that measures are the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from isthmus.files import write_json
from isthmus.fingerprints import measuring_fingerprint
from isthmus.studies.context import Context
from isthmus.studies.outcome import Outcome
from isthmus.studies.study import Model, matches

# what a damaged file, or another version's, is met with
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def kept(context: Context, model: Model, seed: int) -> Outcome | None:
    """The outcome of an earlier run, or None if there is none that still holds."""
    try:
        table = json.loads(_path(context, model, seed).read_text("utf-8"))
        if table["key"] != _key(context, model, seed):
            return None
        return Outcome.from_table(table["outcome"])
    except _UNREADABLE:  # then it is measured again
        return None


def keep(context: Context, model: Model, found: Outcome) -> None:
    """Write an outcome down for the next run."""
    path = _path(context, model, found.seed)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"key": _key(context, model, found.seed), "outcome": found.table()})


def _path(context: Context, model: Model, seed: int) -> Path:
    return context.folder / "measured" / f"{context.label(model.name, seed)}.json"


def _key(context: Context, model: Model, seed: int) -> str:
    asked = [dataclasses.asdict(one) for one in context.study.measures if matches(model, one.models)]
    compared = [dataclasses.asdict(one) for one in context.study.compares if model.name in one.models]
    own = seed == context.study.seed
    facts = [context.noted(model, seed), asked, compared, own, context.request.quick, measuring_fingerprint()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
