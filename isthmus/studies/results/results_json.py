"""The results of a study: rows, references and timings, as results.json holds them (see results.schema.json)."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.errors import DataError
from isthmus.files import write_json
from isthmus.metrics import L0_THRESHOLD, Estimate

SCHEMA = 1
# The keys that readers of results.json rely on.
_TABLES = {
    "models": {"name", "label", "note", "fitted_on", "code", "corruption", "doubt", "collapsed", "units"},
    "timings": {"model", "seed", "phase", "seconds", "samples"},
    "figures": {"name", "kind", "title", "note", "rows", "first_epoch", "corruption", "section", "per", "metric"},
    "traps": {"what", "instead", "section"},
    "sections": {"name", "title", "text", "models"},
    "comparisons": {"models", "corruption", "section", "difference", "ci95", "n"},
    "searches": {"model", "seed", "corruption", "n", "mean_steps", "reasons"},
}
RESULTS = "results.json"


@dataclass(frozen=True)
class Row:
    """One measured number. seen: these images were fitted on. selected: they chose something, as the best epoch.

    seed None: the mean over n_seeds, sd their spread. selected None: a file of an earlier version does not say.
    n_samples: draws for each image, of nll alone.
    note: how it was measured, or why not. of_code: whether it is a figure that the model's kind of code brings.
    """

    model: str
    seed: int | None
    metric: str
    split: str | None
    corruption: str | None
    seen: bool
    value: float | None
    ci95: tuple[float, float] | None
    n: int | None
    n_seeds: int | None = None
    sd: float | None = None
    selected: bool | None = None
    n_samples: int | None = None
    note: str = ""
    of_code: bool = False

    @property
    def held_out(self) -> bool:
        """Whether nothing of the model was fitted on these images or chosen by them, as far as the file says."""
        return not (self.seen or self.selected)

    def table(self) -> dict[str, Any]:
        """The row as results.json has it."""
        table = {**asdict(self), "ci95": None if self.ci95 is None else list(self.ci95)}
        for name, absent in {"selected": None, "n_samples": None, "note": "", "of_code": False}.items():
            if table[name] == absent:
                del table[name]
        if self.seed is not None:
            del table["n_seeds"], table["sd"]
        return table


@dataclass
class Results:
    """What a run measured, and in what circumstances. Everything in it is plain and finite."""

    study: str
    title: str
    question: str
    seed: int
    quick: bool
    complete: bool
    environment: dict[str, Any]
    data: dict[str, Any]
    plan: list[dict[str, Any]]
    models: list[dict[str, Any]]
    traps: list[dict[str, str]]
    sections: list[dict[str, Any]] = field(default_factory=list)
    l0_threshold: float = L0_THRESHOLD
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    references: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    schema: int = SCHEMA

    def row(
        self, model: str, metric: str, split: str | None, corruption: str | None = None, seed: int | None = None
    ) -> Row | None:
        """One row, of the study's own seed by default; None if there is no such row."""
        wanted = (model, self.seed if seed is None else seed, metric, split, corruption)
        rows = (row for row in self.rows if (row.model, row.seed, row.metric, row.split, row.corruption) == wanted)
        return next(rows, None)

    def value(self, model: str, metric: str, split: str | None, seed: int | None = None) -> float | None:
        """The value of one row on clean images, of the study's own seed by default; None if there is no such row."""
        row = self.row(model, metric, split, seed=seed)
        return row.value if row else None

    def table(self) -> dict[str, Any]:
        """Everything, as results.json has it, the schema's version first."""
        fields = {name: value for name, value in vars(self).items() if name != "schema"}
        return {"schema": self.schema, **fields, "rows": [row.table() for row in self.rows]}

    def write(self, folder: Path) -> None:
        """Write results.json, whole or not at all."""
        write_json(folder / RESULTS, self.table())


def read_results(folder: Path) -> Results:
    """What `Results.write` wrote. Raises DataError for a folder without readable results."""
    path = folder / RESULTS
    try:
        table = json.loads(path.read_text("utf-8"))
        if table["schema"] != SCHEMA:
            raise DataError(f"{path} has schema {table['schema']!r}; this isthmus reads {SCHEMA}")
        for name, needed in _TABLES.items():
            if not all(needed <= set(entry) for entry in table[name]):
                raise DataError(f"{path} has {name} without {', '.join(sorted(needed))}; run the study again")
        rows = [Row(**{**row, "ci95": tuple(row["ci95"]) if row["ci95"] else None}) for row in table["rows"]]
        return Results(**{**table, "rows": rows})
    except OSError as error:
        raise DataError(f"{folder} holds no results: cannot read {RESULTS}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} does not hold a study's results: {error}") from None


def row_of(
    estimate: Estimate,
    model: str,
    seed: int,
    metric: str,
    split: str,
    corruption: str | None,
    seen: bool,
    selected: bool = False,
) -> Row:
    """A row from a metric's estimate; what is not finite is null."""
    finite = estimate.value is not None and math.isfinite(estimate.value)
    ci95 = estimate.ci95 if finite and estimate.ci95 and all(map(math.isfinite, estimate.ci95)) else None
    value = estimate.value if finite else None
    return Row(model, seed, metric, split, corruption, seen, value, ci95, estimate.n, selected=selected)


def over_seeds(rows: list[Row]) -> list[Row]:
    """For every number measured with several seeds: its mean, standard deviation and 95 % t-interval over them."""
    from scipy.stats import t as student

    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.seed is not None and row.value is not None:
            groups.setdefault((row.model, row.metric, row.split, row.corruption), []).append(row)
    means = []
    for (model, metric, split, corruption), group in groups.items():
        if len(group) < 2:
            continue
        values = np.array([row.value for row in group], float)
        mean, sd = float(values.mean()), float(values.std(ddof=1))
        margin = float(student.ppf(0.975, len(values) - 1)) * sd / math.sqrt(len(values))
        note = "; ".join(dict.fromkeys(row.note for row in group if row.note))
        means.append(
            Row(model, None, metric, split, corruption, group[0].seen, mean, (mean - margin, mean + margin),
                group[0].n, len(group), sd, group[0].selected, group[0].n_samples, note, group[0].of_code)
        )  # fmt: skip
    return means


def environment(device: str, threads: int, command: str) -> dict[str, Any]:
    """Where and how a run was made."""
    import sklearn
    import torch

    from isthmus import __version__

    return {
        "isthmus": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device,
        "threads": threads,
        "command": command,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
