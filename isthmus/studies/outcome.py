"""One model of a run: fitted or found finished, kept in its folder, and measured."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isthmus import persistence
from isthmus.errors import DataError
from isthmus.files import remove
from isthmus.studies.context import Context
from isthmus.studies.fitting import fit, keep
from isthmus.studies.listener import Listener
from isthmus.studies.results import Results, Row
from isthmus.studies.rows import measure_model
from isthmus.studies.study import Model
from isthmus.training.hardware import using_threads

Errors = dict[tuple[str, str, str | None], np.ndarray]  # each image's, by (model, split, corruption)


@dataclass
class Outcome:
    """What results.json says of one model. collapsed: the table of its collapse, or None.

    how: what was done, in words. errors: each image's MSE, where the study compares models image by image.
    """

    model: str
    seed: int
    how: str
    rows: list[Row]
    timings: list[dict[str, Any]]
    searches: list[dict[str, Any]] = field(default_factory=list)
    collapsed: dict[str, Any] | None = None
    errors: Errors = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """As plain values, numbers to the last bit."""
        errors = [[*key, values.tolist(), str(values.dtype)] for key, values in self.errors.items()]
        return {**vars(self), "rows": [asdict(row) for row in self.rows], "errors": errors}

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Outcome:
        """What `table` wrote down."""
        rows = [Row(**{**row, "ci95": tuple(row["ci95"]) if row["ci95"] else None}) for row in table["rows"]]
        errors = {
            (model, split, label): np.array(values, kind) for model, split, label, values, kind in table["errors"]
        }
        return cls(**{**table, "rows": rows, "errors": errors})

    def put_into(self, results: Results) -> None:
        """Take the place of what the results said of this model; rows keep the study's order."""
        pair, places = (self.model, self.seed), {facts["name"]: i for i, facts in enumerate(results.models)}
        rows = [row for row in results.rows if (row.model, row.seed) != pair] + self.rows
        results.rows = sorted(rows, key=lambda row: (row.seed, places[row.model]))
        for name, own in (("timings", self.timings), ("searches", self.searches)):
            others = [one for one in getattr(results, name) if (one["model"], one["seed"]) != pair]
            setattr(results, name, sorted(others + own, key=lambda one: (one["seed"], places[one["model"]])))
        if self.seed == results.seed:
            results.models[places[self.model]]["collapsed"] = self.collapsed


def outcome(context: Context, model: Model, seed: int, listener: Listener, *, again: bool) -> Outcome:
    """Have the model fitted, from its folder or, with `again`, by training it, and measure it."""
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
        with using_threads(context.threads_each):
            own, timing = fit(context, model, seed, listener)
        persistence.save(own, folder, extra={**context.noted(model, seed), "timing": timing})
        how = f"fitted in {timing['seconds']:.1f} s"
    remove(context.checkpoint_folder(model, seed))  # the model is safe
    with contextlib.suppress(OSError):
        (context.folder / "checkpoints").rmdir()  # unless others are in it
    keep(context, model, seed, own)
    found = measure_model(context, model, seed)
    collapsed = None
    if found.collapse and not context.request.quick:  # one epoch leaves many a network at the mean image
        listener.note(f"{label} {found.collapse}")
        collapsed = found.collapse.table()
    reconstruct = {
        "phase": "reconstruct",
        "seconds": found.seconds,
        "samples": len(context.splits["test"]),
        "epochs": None,
        "precision": "float32",
        "threads": context.request.threads,
    }
    compared = {name for one in context.study.compares for name in one.models}
    errors = {key: values for key, values in context.errors.items() if key[0] == model.name and key[0] in compared}
    mse = next((r.value for r in found.rows if (r.metric, r.split, r.corruption) == ("mse", "test", None)), None)
    if mse is not None:
        how += f", test MSE {mse:.6f}"
    timings = [timing, {**timing, **reconstruct}]
    return Outcome(model.name, seed, how, found.rows, timings, found.searches, collapsed, errors)
