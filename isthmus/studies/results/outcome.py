"""Outcome of one task, as it is passed between processes and put into the results."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isthmus.studies.results.results_json import Results, Row

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
        """As plain values, numbers to the last bit; errors that are not finite are null."""
        errors = [
            [*key, [error if math.isfinite(error) else None for error in values.tolist()], str(values.dtype)]
            for key, values in self.errors.items()
        ]
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
        for name, entries in (("timings", self.timings), ("searches", self.searches)):
            others = [entry for entry in getattr(results, name) if (entry["model"], entry["seed"]) != pair]
            setattr(results, name, sorted(others + entries, key=lambda entry: (entry["seed"], places[entry["model"]])))
        if self.seed == results.seed:
            results.models[places[self.model]]["collapsed"] = self.collapsed
