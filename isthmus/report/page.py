"""One HTML page for a run: it opens from disk, needs no network, and everything in it was read from results.json."""

from __future__ import annotations

import base64
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from isthmus.errors import DataError
from isthmus.files import atomic_file
from isthmus.report.figures import css_width, draw
from isthmus.studies.results import Results, Row, read_results

PAGE = "report.html"


def write_report(folder: Path) -> Path:
    """Draw figures/*.png from figures/*.npz, write report.html, and return its path.

    Raises DataError for a folder that holds no results, or lacks the arrays of a figure that they list.
    """
    results = read_results(folder)
    figures = []
    for facts in results.figures:
        png = draw(facts, _arrays(folder / "figures" / f"{facts['name']}.npz", facts["rows"]))
        with atomic_file(folder / "figures" / f"{facts['name']}.png") as file:
            file.write(png)
        figures.append({**facts, "data": base64.b64encode(png).decode(), "width": css_width(png)})
    here = resources.files("isthmus.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "page.html").read_text("utf-8"))
    html = template.render(
        r=results,
        figures=figures,
        style=(here / "page.css").read_text("utf-8"),
        script=(here / "page.js").read_text("utf-8"),
        sentences=sentences(results),
        models=_models_table(results),
        corruptions=_corruption_table(results),
        seeds=[row for row in results.rows if row.seed is None and row.corruption is None],
        commands=_commands(results),
        number=number,
        published=_published,
    )
    path = folder / PAGE
    with atomic_file(path, "w") as file:
        file.write(html)
    return path


def _arrays(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    try:
        # opened here: NumPy does not close a file that turns out not to be a whole archive
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if missing := [name for name in wanted if name not in arrays]:
            raise ValueError(f"there is no {missing[0]}")
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read the arrays of a figure, {path}: {error}; run the study again") from None
    return arrays


# --- numbers ---

_DIGITS = {
    "mse": ".6f",
    "psnr": ".2f",
    "ssim": ".4f",
    "explained_variance": ".4f",
    "n_parameters": ",.0f",
    "code_size": ",.0f",
}


def number(value: float | None, metric: str = "mse") -> str:
    """A value as the page shows it; a dash for what is not defined."""
    return "–" if value is None else format(value, _DIGITS[metric])


def _published(value: Any) -> str:
    return (
        ", ".join(f"{one:.6g}" for one in value)
        if isinstance(value, list)
        else "–"
        if value is None
        else f"{value:.6g}"
    )


def _find(results: Results, model: str, metric: str, split: str | None, corruption: str | None = None) -> Row | None:
    wanted = (model, results.seed, metric, split, corruption)
    rows = (row for row in results.rows if (row.model, row.seed, row.metric, row.split, row.corruption) == wanted)
    return next(rows, None)


def _models_table(results: Results) -> list[dict[str, Any]]:
    """One line per measured model: what it is, its size, its test errors, its error on fitted images, its time."""
    table = []
    for facts in results.models:
        mse = _find(results, facts["name"], "mse", "test")
        if mse is None:
            continue
        cells: dict[str, Any] = {**facts, "mse": mse, "seen": mse.seen}
        for metric in ("psnr", "ssim", "explained_variance"):
            cells[metric] = _find(results, facts["name"], metric, "test")
        for metric in ("n_parameters", "code_size"):
            cells[metric] = _find(results, facts["name"], metric, None)
        fitted = [_find(results, facts["name"], "mse", split) for split in ("all", "train")]
        cells["fitted_mse"] = next((row for row in fitted if row and row.seen), None)
        times = [t for t in results.timings if t["model"] == facts["name"] and t["seed"] == results.seed]
        cells |= {t["phase"]: t for t in times}
        table.append(cells)
    return table


def _corruption_table(results: Results) -> dict[str, Any] | None:
    """MSE of each model under each corruption it was measured under, on test images; None if there is none."""
    rows = [r for r in results.rows if r.seed == results.seed and r.metric == "mse" and r.split == "test"]
    labels = list(dict.fromkeys(row.corruption for row in rows if row.corruption))
    if not labels:
        return None
    lines = []
    for facts in results.models:
        cells = [_find(results, facts["name"], "mse", "test", label) for label in (None, *labels)]
        if any(cells[1:]):
            lines.append({"name": facts["name"], "cells": cells})
    best = [
        min((line["cells"][i].value for line in lines if line["cells"][i]), default=None)
        for i in range(len(labels) + 1)
    ]
    return {"labels": labels, "lines": lines, "best": best}


# --- sentences ---


def sentences(results: Results) -> list[str]:
    """What the numbers say, in words that are made from them."""
    said = []
    if results.quick:
        said.append("This was a quick run, of one epoch on few images: it shows that everything works, and no more.")
        return said
    judged = [reference for reference in results.references if reference["agrees"] is not None]
    if judged:
        agreeing = sum(reference["agrees"] for reference in judged)
        said.append(f"{agreeing} of {len(judged)} published results are reproduced within their tolerance.")
    rows = [row for row in _models_table(results) if not row["seen"] and row["mse"].value and row["code_size"]]
    n_pixels = int(np.prod(results.data["image_shape"]))
    narrow = [row for row in rows if row["code_size"].value < n_pixels]
    by_size: dict[float, list[dict[str, Any]]] = {}
    for row in narrow:
        by_size.setdefault(row["code_size"].value, []).append(row)
    for size, group in sorted(by_size.items()):
        if len(group) < 2:
            continue
        best, worst = (pick(group, key=lambda row: row["mse"].value) for pick in (min, max))
        ratio = worst["mse"].value / best["mse"].value
        said.append(
            f"With {size:.0f} numbers for {n_pixels} pixels, {best['name']} draws unseen test images best: MSE "
            f"{number(best['mse'].value)}, {ratio:.1f} times less than {worst['name']} ({number(worst['mse'].value)})."
        )
    if table := _corruption_table(results):
        i = len(table["labels"]) // 2 + 1
        line = min((line for line in table["lines"] if line["cells"][i]), key=lambda line: line["cells"][i].value)
        least = number(line["cells"][i].value)
        said.append(f"Under {table['labels'][i - 1]}, {line['name']} comes closest to the clean image: MSE {least}.")
    return said


def _commands(results: Results) -> list[str]:
    return [results.environment["command"] or f"isthmus run {results.study}", f"isthmus studies show {results.study}"]
