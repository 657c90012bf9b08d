"""The part of a report that is of photographs: PSNR and SSIM by level, and what they say beside published numbers."""

from __future__ import annotations

from typing import Any

from isthmus.decimals import level_text
from isthmus.report.numbers import gain
from isthmus.studies.results.results_json import Results, Row

METRICS = ("psnr", "ssim")
_DOES_NOTHING = "method='nothing'"  # in the code of a model


def is_of_photographs(results: Results) -> bool:
    """Whether a study's images are photographs of any sizes."""
    return results.data["image_shape"][1] is None


def labels_of(results: Results) -> list[str]:
    """The corruptions under which PSNR was measured, by level."""
    rows = [row for row in results.rows if (row.metric, row.split) == ("psnr", "test") and row.corruption]
    return list(dict.fromkeys(row.corruption for row in rows if row.corruption))


def tables(results: Results) -> list[dict[str, Any]]:
    """For each metric {"metric", "levels", "lines"}: of each model a cell for each level, the best one marked.

    A line also has its weights, the seconds of its training and those for a photograph.
    """
    labels, made = labels_of(results), []
    for metric in METRICS:
        lines = []
        for facts in results.models:
            name = facts["name"]
            cells = [results.row(name, metric, "test", label) for label in labels]
            if not any(cells):
                continue
            times = {t["phase"]: t for t in results.timings if (t["model"], t["seed"]) == (name, results.seed)}
            weights = results.value(name, "n_parameters", None)
            lines.append({**facts, "cells": cells, "weights": weights, "times": times})
        if lines:
            best = [max(_values([line["cells"][i] for line in lines]), default=None) for i in range(len(labels))]
            made.append(
                {"metric": metric, "levels": [level_text(label) for label in labels], "lines": lines, "best": best}
            )
    return made


def published(results: Results) -> dict[str, Any] | None:
    """{"levels", "lines"}: of each published method its numbers, and how far what was measured here is above them."""
    others = [reference for reference in results.references if "by" in reference]
    labels = list(dict.fromkeys(reference["corruption"] for reference in others))
    lines = []
    for method, model in dict.fromkeys((reference["by"], reference["model"]) for reference in others):
        of_method = {r["corruption"]: r for r in others if (r["by"], r["model"]) == (method, model)}
        cells = [of_method.get(label) for label in labels]
        note = next((reference["note"] for reference in of_method.values() if "note" in reference), "")
        lines.append({"method": method, "model": model, "cells": cells, "note": note})
    return {"levels": [level_text(label) for label in labels], "lines": lines} if lines else None


def findings(results: Results) -> list[str]:
    """What the numbers say, a sentence each."""
    if results.quick:
        return ["This was a quick run, of little training and few small crops: it only shows that everything works."]
    sentences = [sentence for label in labels_of(results) for sentence in _ranked(results, label)]
    sentences += [_compared(comparisons) for comparisons in _pairs(results)]
    return sentences + beside_published(results)


def _ranked(results: Results, label: str) -> list[str]:
    """Of one level, what learned best and what does best without learning."""
    rows = {facts["name"]: results.row(facts["name"], "psnr", "test", label) for facts in results.models}
    known = {name: row for name, row in rows.items() if row is not None and row.value is not None}
    idle = [facts["name"] for facts in results.models if _DOES_NOTHING in facts["code"]]
    learned = {name: row for name, row in known.items() if results.value(name, "n_parameters", None)}
    plain = {name: row for name, row in known.items() if name not in learned and name not in idle}
    if not learned:
        return []
    best = max(learned, key=lambda name: learned[name].value or 0.0)
    sentence = f"At {level_text(label)}, {best} has {learned[best].value:.2f} dB"
    if plain:
        second = max(plain, key=lambda name: plain[name].value or 0.0)
        gain = (learned[best].value or 0.0) - (plain[second].value or 0.0)
        sentence += f", {abs(gain):.2f} {'more' if gain >= 0 else 'less'} than {second}, the best that learns nothing"
    if there := [known[name] for name in idle if name in known]:
        sentence += f"; the noisy photographs have {there[0].value:.2f}"
    return [f"{sentence}."]


def _pairs(results: Results) -> list[list[dict[str, Any]]]:
    """The comparisons in dB of each pair of models."""
    pairs: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for comparison in results.comparisons:
        if comparison["metric"] == "psnr" and comparison["corruption"]:
            pairs.setdefault(tuple(comparison["models"]), []).append(comparison)
    return list(pairs.values())


def _compared(comparisons: list[dict[str, Any]]) -> str:
    """How much one of two models is better at each level, photograph by photograph."""
    first, second = comparisons[0]["models"]
    each = []
    for comparison in comparisons:
        low, high = comparison["ci95"] or (-1.0, 1.0)
        doubt = " (undecided)" if low <= 0 <= high else ""
        each.append(f"{gain(comparison['difference'])} dB at {level_text(comparison['corruption'])}{doubt}")
    return f"Photograph by photograph, {first} against {second}: {', '.join(each)}."


def beside_published(results: Results) -> list[str]:
    """How a model stands to what others published, at the middle of the levels."""
    table = published(results)
    if table is None:
        return []
    middle = (len(table["levels"]) - 1) // 2
    by_model: dict[str, list[str]] = {}
    for line in table["lines"]:
        cell = line["cells"][middle]
        if cell and cell["measured"] is not None:
            gap = cell["measured"] - cell["published"]
            words = f"{abs(gap):.2f} dB {'above' if gap >= 0 else 'below'} {line['method']}"
            by_model.setdefault(line["model"], []).append(words)
    level = table["levels"][middle]
    return [f"Beside published numbers at {level}, {name} is {', '.join(gaps)}." for name, gaps in by_model.items()]


def _values(rows: list[Row | None]) -> list[float]:
    return [row.value for row in rows if row is not None and row.value is not None and row.held_out]
