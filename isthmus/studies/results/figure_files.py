"""The arrays of a study's figures, written for the report to plot."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from isthmus.files import atomic_file, remove
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.fitted import available
from isthmus.studies.results.results_json import Results
from isthmus.studies.spec.figures import OWN, Figure
from isthmus.studies.spec.levels import what_varies

_LISTED = ("name", "kind", "title", "note", "section", "split", "first_epoch", "per", "axis", "metric")
_SHARED = {field.name for field in dataclasses.fields(Figure)}


def write_figures(context: Context, results: Results) -> list[dict[str, Any]]:
    """Write each figure's arrays to figures/<name>.npz, and list what there is to plot."""
    folder = context.folder / "figures"
    folder.mkdir(exist_ok=True)
    rows = [row for row in results.rows if row.seed == results.seed]
    listed = []
    for figure in context.study.figures:
        names = [name for name in context.study.named(figure.models) if available(context, name)]
        if (figure.models and not names) or (figure.source not in ("", "noise", *context.others)):
            continue
        fitted = {name: context.fitted[name, context.study.seed] for name in names}
        arrays: dict[str, Any] = figure.arrays(fitted, context, rows)
        if not arrays:  # curves, when none of the models so far has any
            continue
        with atomic_file(folder / f"{figure.name}.npz") as file:
            np.savez(file, **arrays)
        listed.append(_facts(figure, names, context, list(arrays)))
    written = {facts["name"] for facts in listed}
    for stale in folder.glob("*.npz"):
        if stale.stem not in written:
            remove(stale.with_suffix(".png"))  # plotted from these arrays
            remove(stale)
    return listed


def _facts(figure: Figure, models: list[str], context: Context, arrays: list[str]) -> dict[str, Any]:
    """What results.json says of a figure; of a kind from outside the package, its own keys as options."""
    corruptions, other = figure.corruptions(), context.others.get(figure.source)
    options = {name: value for name, value in vars(figure).items() if name not in _SHARED}
    return {
        **{name: getattr(figure, name) for name in _LISTED},
        "note": " ".join(filter(None, (figure.note, f"The images: {other.source}" if other else ""))),
        "models": models,
        "corruption": corruptions[0].label if corruptions[0] else None,
        "levels": list(figure.levels),
        "level_of": what_varies(corruptions) if figure.levels else "",
        "rows": [name for name in arrays if name not in figure.beside],
        **({} if figure.kind in OWN else {"options": options}),
    }
