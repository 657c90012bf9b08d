"""What a report begins with: one picture, three sentences, one chart."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.errors import counted
from isthmus.report import headline, psnr_by_level
from isthmus.report.answer_chart import answer_chart
from isthmus.report.figures import arrays_of
from isthmus.report.grids import column_png, gap_of
from isthmus.report.headline import Contest
from isthmus.report.inline_svg import inline_svg
from isthmus.report.numbers import number, percent
from isthmus.report.ranking import errors, family
from isthmus.studies.results.examples import CLEAN, FOLDER, NOISY, main_corruption
from isthmus.studies.results.results_json import Results, Row

_CHART = 114  # pixels to an inch of the chart, with which letters are large enough on a phone too
_SMOOTH = 64  # pixels of an image's side, from which on it is not shown pixel by pixel


def answer(results: Results, folder: Path) -> dict[str, Any]:
    """{"pictures", "caption", "sentences", "chart", "title"}: columns of images in groups, words, an SVG and its title.

    folder: of the run, with the images. Raises DataError for images that cannot be read.
    """
    ranked = headline.contests(results)
    corruption = ranked[0].corruption if ranked else None
    metric = "psnr" if psnr_by_level.is_of_photographs(results) else "mse"
    if metric == "psnr":
        corruption = main_corruption(results)
    pair = (ranked[0].best, ranked[0].against) if ranked else ()
    plain = [row.model for row in pair if family(_facts(results, row)) in headline.PLAIN]
    best, baseline = (pair[0].model, (plain or [pair[1].model])[0]) if pair else ("", "")
    chart = answer_chart(results, corruption, metric, {row.model for row in pair}, best, baseline)
    title = "Error of every model" + (f" with {headline.in_words(results, corruption)}" if corruption else "")
    return {
        "pictures": _pictures(results, folder, ranked),
        "caption": _caption(results),
        "sentences": headline.sentences(results),
        "chart": chart and inline_svg(chart, "error-by-size", title, _CHART),
        "title": title,
    }


def _caption(results: Results) -> str:
    """What the errors beside the pictures are of."""
    kind = "photograph" if psnr_by_level.is_of_photographs(results) else "image"
    return f"Errors: mean squared errors over {counted(results.data['splits'].get('test', 0), f'test {kind}')}."


def _pictures(results: Results, folder: Path, ranked: list[Contest]) -> list[list[dict[str, Any]]]:
    """Groups of columns: images and what two models make of them, and the same with noise; [] if a run has none."""
    groups: list[list[dict[str, Any]]] = []
    for name, corruption in ((CLEAN, None), (NOISY, main_corruption(results))):
        path = folder / FOLDER / name
        if not path.exists():  # a run of an earlier version has none, and a study without noise has no noisy ones
            continue
        arrays = arrays_of(path, ["original"])
        contest = next((known for known in ranked if known.corruption == corruption), None)
        if ranked and contest is None:  # it is not what the sentences are about
            continue
        rows = _rows(results, corruption, contest)
        if corruption and not any(row.model in arrays for row in rows):
            continue
        columns = [] if groups else [_column("original", "", arrays["original"])]
        noisy = arrays.get("input", arrays.get(corruption or ""))
        if corruption and noisy is not None:
            nothing = contest.nothing if contest else None
            columns.append(
                _column(
                    "noisy",
                    _error(nothing),
                    noisy,
                    headline.in_words(results, corruption).removeprefix("Gaussian noise of ").partition(" times ")[0],
                )
            )
        columns += [
            _column(row.model, _error(row), arrays[row.model], _role(results, row, contest))
            for row in rows
            if row.model in arrays
        ]
        groups.append(columns)
    return groups


def _rows(results: Results, corruption: str | None, contest: Contest | None) -> list[Row]:
    """The two models that are shown: the baseline and the best, or those with the most and the least error."""
    if contest:
        is_plain = family(_facts(results, contest.best)) in headline.PLAIN
        return [contest.best, contest.against] if is_plain else [contest.against, contest.best]
    known = sorted(errors(results, corruption).values(), key=lambda row: row.value or 0.0)
    return known[-1:] + known[:1] if len(known) > 1 else known


def _facts(results: Results, row: Row) -> dict[str, Any]:
    return next(facts for facts in results.models if facts["name"] == row.model)


def _role(results: Results, row: Row, contest: Contest | None) -> str:
    plain = {"PCA": "PCA", "classical": "learns nothing"}.get(family(_facts(results, row)), "")
    best = f"best, −{percent(contest.less)}" if contest and row is contest.best and contest.less > 0 else ""
    return ", ".join(filter(None, (plain, best)))


def _error(row: Row | None) -> str:
    return "" if row is None else f"error {number(row.value)}"


def _column(title: str, error: str, images: np.ndarray, role: str = "") -> dict[str, Any]:
    height, width = images.shape[2:]
    return {
        "title": title,
        "role": role,
        "error": error,
        "data": base64.b64encode(column_png(images)).decode(),
        "two": f"{width}/{2 * height + gap_of(height)}",  # the shape of the first two, for which a phone has room
        "smooth": height >= _SMOOTH,
    }
