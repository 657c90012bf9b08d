"""One HTML page for a run: it opens from disk, needs no network, and everything in it was read from results.json."""

from __future__ import annotations

import itertools
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from isthmus.decimals import level_text
from isthmus.errors import counted
from isthmus.files import atomic_file
from isthmus.report import psnr_by_level, sentences
from isthmus.report.answer import answer
from isthmus.report.figures import arrays_of, drawn, png_of, svg_of
from isthmus.report.numbers import difference, extent, gain, margin, number, quoted, significant, width
from isthmus.report.ranking import pixels_as_codes
from isthmus.studies.results.results_json import Results, read_results
from isthmus.studies.spec.quantities import REPRESENTATION

PAGE = "report.html"


def write_report(folder: Path) -> Path:
    """Draw figures/*.png from figures/*.npz, write report.html, and return its path.

    Raises DataError for a folder that holds no results, or lacks the arrays of a figure that they list.
    """
    results = read_results(folder)
    figures = []
    for facts in results.figures:
        figure = drawn(facts, arrays_of(folder / "figures" / f"{facts['name']}.npz", facts["rows"]))
        with atomic_file(folder / "figures" / f"{facts['name']}.png") as file:
            file.write(png_of(figure, facts["kind"]))
        figures.append({**facts, "svg": svg_of(figure, facts)})
    here = resources.files("isthmus.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((here / "page.html").read_text("utf-8"))
    of_photographs = psnr_by_level.is_of_photographs(results)
    html = template.render(
        r=results,
        style=(here / "page.css").read_text("utf-8"),
        script=(here / "page.js").read_text("utf-8"),
        answer=answer(results, folder),
        explore=_explore_command(results),
        sentences=(psnr_by_level if of_photographs else sentences).findings(results),
        levels=psnr_by_level.tables(results) if of_photographs else [],
        others=psnr_by_level.published(results) if of_photographs else None,
        sections=_sections(results, figures),
        whole=_whole(results, figures),
        models=_models_table(results, [facts["name"] for facts in results.models]),
        seeds=[row for row in results.rows if row.seed is None and row.corruption is None],
        commands=_commands(results),
        meanings=_MEANINGS,
        number=number,
        margin=margin,
        significant=significant,
        quoted=quoted,
        extent=extent,
        difference=difference,
        gain=gain,
        counted=counted,
        width=width,
        level=level_text if of_photographs else str,
    )
    path = folder / PAGE
    with atomic_file(path, "w") as file:
        file.write(html)
    return path


def _sections(results: Results, figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What stands in each section. A published number stands in the first that has its model, a mistake in the last."""
    placed: set[str] = set()
    repeated = [row for row in results.rows if row.metric == "published_sse" and row.seed == results.seed]
    last_place = {name: section["name"] for section in results.sections for name in section["models"]}
    sections = []
    for section in results.sections:
        names = [name for name in section["models"] if results.row(name, "mse", "test")]
        references = [r for r in results.references if r["model"] in section["models"] and r["id"] not in placed]
        placed |= {reference["id"] for reference in references}
        sections.append(
            {
                **section,
                **_part(results, figures, names, section["name"]),
                "sentences": sentences.section(results, names),
                "references": references,
                "searches": _searches(results, section["models"]),
                "repeated": [row for row in repeated if last_place.get(row.model) == section["name"]],
            }
        )
    return sections


def _whole(results: Results, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands in no section: in a study without sections everything."""
    names = [] if results.sections else [facts["name"] for facts in results.models]
    of_photographs = psnr_by_level.is_of_photographs(results)
    part = _part(results, figures, names, "")
    return {
        **part,
        "noise": None if of_photographs else part["noise"],  # which has tables by level
        "references": [] if of_photographs else results.references,
        "searches": _searches(results, names),
        "repeated": [],
    }


def _part(results: Results, figures: list[dict[str, Any]], names: list[str], section: str) -> dict[str, Any]:
    return {
        "table": _models_table(results, names),
        "noise": _noise_table(results, names),
        "worth": _worth_of_codes(results, names),
        "figures": [figure for figure in figures if figure["section"] == section],
        "traps": [trap for trap in results.traps if trap["section"] == section],
        "comparisons": _comparisons(results, section),
    }


def _searches(results: Results, names: list[str]) -> list[dict[str, Any]]:
    return [search for search in results.searches if search["seed"] == results.seed and search["model"] in names]


def _comparisons(results: Results, section: str) -> list[dict[str, Any]]:
    """Those of a section, with a row of each model, which says whether these images were held out from it."""
    return [
        {
            **comparison,
            "known": [
                results.row(name, "mse", comparison.get("split", "test"), comparison["corruption"])
                for name in comparison["models"]
            ],
        }
        for comparison in results.comparisons
        if comparison["section"] == section
    ]


_SHOWN = ("mse", "mse_code_only", "psnr", "ssim", "explained_variance", "mean_activation", "l0", "dead_units", "nll")


def _models_table(results: Results, names: list[str]) -> list[dict[str, Any]]:
    """One line per measured model: what it is, its size, its test errors, its error on fitted images, its time."""
    table, figures = [], _figures_of_codes(results, names)
    for facts in results.models:
        mse = results.row(facts["name"], "mse", "test")
        if mse is None or facts["name"] not in names:
            continue
        cells: dict[str, Any] = dict(facts)
        cells |= {metric: results.row(facts["name"], metric, "test") for metric in _SHOWN}
        cells |= {metric: results.row(facts["name"], metric, None) for metric in ("n_parameters", "code_size")}
        cells["figures"] = {metric: results.row(facts["name"], metric, "test") for metric in figures}
        cells["validation"] = results.row(facts["name"], "mse", "validation")
        own_noise = facts["corruption"]
        cells["validation_noisy"] = own_noise and results.row(facts["name"], "mse", "validation", own_noise)
        fitted = [results.row(facts["name"], "mse", split) for split in ("all", "train")]
        cells["fitted_mse"] = next((row for row in fitted if row and row.seen), None)
        times = [t for t in results.timings if t["model"] == facts["name"] and t["seed"] == results.seed]
        cells |= {t["phase"]: t for t in times}
        table.append(cells)
    return table


# What the figures mean that the package's codes bring.
_MEANINGS = {
    "silent_units": "units of a Gaussian code whose KL(code of an image ‖ prior) is less than 0.01 nats on average "
    "over test images: they tell nothing of them, though no number of them is zero",
    "vectors_in_use": "vectors of a quantized code's codebooks that are the nearest to anything in the test images",
    "perplexity": "exp of the entropy of how often each vector of a codebook is used, averaged over codebooks: as if "
    "so many vectors were used, each as often",
}


def _figures_of_codes(results: Results, names: list[str]) -> list[str]:
    """The metrics of these models that their kinds of code bring themselves."""
    return list(dict.fromkeys(row.metric for row in results.rows if row.of_code and row.model in names))


def _noise_table(results: Results, names: list[str]) -> dict[str, Any] | None:
    """MSE of each model under each corruption it was measured under, on test images; None if there is none."""
    rows = [
        r
        for r in results.rows
        if (r.seed, r.metric, r.split) == (results.seed, "mse", "test") and r.model in names and r.corruption
    ]
    labels = list(dict.fromkeys(row.corruption for row in rows))
    if not labels:
        return None
    lines = []
    for facts in results.models:
        if facts["name"] not in names:
            continue
        cells = [results.row(facts["name"], "mse", "test", label) for label in (None, *labels)]
        if any(cells[1:]):
            known = next(cell for cell in cells if cell)
            lines.append({**facts, "cells": cells, "known": known})
    best = []
    for i in range(len(labels) + 1):
        column = [line["cells"][i] for line in lines]
        best.append(min((row.value for row in column if row and row.value and row.held_out), default=None))
    return {"labels": labels, "lines": lines, "best": best}


def _worth_of_codes(results: Results, names: list[str]) -> dict[str, Any] | None:
    """What each model's codes of test images are worth, with the pixels as codes last; None if nothing is measured."""
    pixels, lines = pixels_as_codes(results), []
    for facts in sorted(results.models, key=lambda facts: facts["name"] == pixels):
        cells = {metric: results.row(facts["name"], metric, "test") for metric in REPRESENTATION}
        known = next((row for row in cells.values() if row and row.value is not None), None)
        if known and (facts["name"] in names or facts["name"] == pixels):
            lines.append({**facts, "cells": cells, "known": known})
    if not {line["name"] for line in lines} - {pixels}:
        return None
    rows = [row for line in lines for row in line["cells"].values() if row]
    notes: dict[tuple[str, str], list[str]] = {}
    sizes: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            which = "" if row.value is not None else f" of {row.model} not measured"
            notes.setdefault((which, row.note), []).append(row.metric)
        if row.value is not None:
            sizes.setdefault(f"{row.n:,}", []).append(row.metric)
    best = {
        metric: max((row.value for row in rows if row.metric == metric and row.value is not None), default=None)
        for metric in ("linear_probe", "knn", "silhouette", "trustworthiness")
    }
    return {
        "lines": lines,
        "best": best,
        "notes": [f"{_each(metrics)}{which}: {note}." for (which, note), metrics in notes.items()],
        "n": [f"of {n}" if len(sizes) == 1 else f"of {n} for {_each(metrics)}" for n, metrics in sizes.items()],
    }


def _each(metrics: list[str]) -> str:
    return ", ".join(dict.fromkeys(metrics))


def _commands(results: Results) -> list[str]:
    return [results.environment["command"] or f"isthmus run {results.study}", f"isthmus studies show {results.study}"]


def _explore_command(results: Results) -> str:
    """The line that opens the run's models in a browser, given where the run was."""
    command = results.environment["command"] or ""
    if in_python := re.fullmatch(r"isthmus\.run\(.*?(?:, out=(['\"])(?P<out>.*)\1)?\)", command):
        words = ["--out", in_python["out"] or "runs"]
    else:
        try:
            words = shlex.split(command)
        except ValueError:  # no shell wrote it
            words = command.split()
    out = [word.partition("=")[2] for word in words if word.startswith("--out=")]
    out += [after for word, after in itertools.pairwise(words) if word == "--out"]
    return shlex.join(["isthmus", "explore", str(Path(out[-1] if out else "runs") / results.study)])
