"""The one chart of a report: the error of every model against the size of its code, with PCA as the line to pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from isthmus.report.plots import COLOURS, GRID, INK, MARKERS, new_figure, plain, style
from isthmus.report.ranking import FAMILIES, family
from isthmus.studies.results.results_json import Results, Row

_LOOKS = (
    *("deep", "search", "sparse", "convolutional", "dictionary", "variational", "denoising", "quantized"),
    *("denoiser", "one layer", "classical"),
)
_FEW = 8  # points that all have their names beside them
_WIDE = 5  # the ratio of errors up to which each digit is written beside the axis
_APART = 1.45  # the least ratio of two sizes that are both written below the axis


@dataclass(frozen=True)
class Point:
    """A model in the chart. size: of its code, 0 without one. is_sound: not collapsed, its test images held out."""

    name: str
    family: str
    size: float
    row: Row
    is_sound: bool

    @property
    def value(self) -> float:
        return self.row.value or 0.0


def points(results: Results, corruption: str | None, metric: str) -> list[Point]:
    """Every model that does anything and has an error above 0, of which a logarithm can be shown."""
    known = []
    for facts in results.models:
        row, kind = results.row(facts["name"], metric, "test", corruption), family(facts)
        if row is not None and row.value is not None and row.value > 0 and kind != "nothing":
            size = results.value(facts["name"], "code_size", None) or 0.0
            known.append(Point(facts["name"], kind, size, row, row.held_out and not facts["collapsed"]))
    return known


def answer_chart(
    results: Results, corruption: str | None, metric: str, named: set[str], best: str, baseline: str
) -> Figure | None:
    """The chart; None without models to show. Of codes of one size, or of none, it has a line for each model.

    named: models whose names stand in it however many there are. best, baseline: those in other colours.
    """
    shown = points(results, corruption, metric)
    if not shown:
        return None
    sizes = {point.size for point in shown}
    label = {"mse": "error (MSE)", "psnr": "PSNR, dB: more is better"}[metric]
    if 0 in sizes or len(sizes) < 2:
        return _by_model(shown, label, best, baseline)
    return _by_size(shown, label, named)


def _by_size(shown: list[Point], label: str, named: set[str]) -> Figure:
    """Both axes logarithmic; a line through the least error of each size, for each family."""
    figure = new_figure(4.4, 3.9)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name in [name for name in FAMILIES if name in {point.family for point in shown}]:
        _plot_family(axes, name, [point for point in shown if point.family == name])
    sizes = sorted({point.size for point in shown})
    for point in shown:
        if len(shown) <= _FEW or point.name in named:
            at_right = point.size**2 > sizes[0] * sizes[-1]
            place = (-7 if at_right else 7, 4 if point.family == "PCA" else -3)  # above PCA's line
            axes.annotate(point.name, (point.size, point.value), place, fontsize=9, color=INK,
                          textcoords="offset points", ha="right" if at_right else "left")  # fmt: skip
    _write_sizes_and_errors(axes, sizes, [point.value for point in shown])
    axes.set_xlabel("size of the code, numbers for an image", fontsize=9, color=INK)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    hollow = None if all(p.is_sound for p in shown) else "hollow: collapsed, or test images not held out"
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False, handletextpad=0.2, columnspacing=1.2,
                  title=hollow, title_fontsize=9)  # fmt: skip
    plain(axes)
    axes.tick_params(which="both", labelsize=9)
    return figure


def _plot_family(axes: Any, name: str, members: list[Point]) -> None:
    look = _look(name)
    least = {p.size: p.value for p in sorted(members, key=lambda p: (p.size, -p.value))}
    line = {"linestyle": (0, (4, 3)), "linewidth": 1.4} if name == "PCA" else {"linewidth": 0.8, "alpha": 0.6}
    if name == "PCA" and len(least) == 1:
        axes.axhline(*least.values(), color=INK, **line)
    else:
        axes.plot(least.keys(), least.values(), color=look["color"], **line)
    for is_sound, face in ((True, look["color"]), (False, "none")):
        places = [(p.size, p.value) for p in members if p.is_sound == is_sound]
        axes.plot(*np.array(places).reshape(-1, 2).T, linestyle="", markersize=6.5, markerfacecolor=face, **look)
    axes.plot([], [], linestyle="", markersize=6.5, label=name, **look)


def _write_sizes_and_errors(axes: Any, sizes: list[float], values: list[float]) -> None:
    """Label the axes: sizes that there are, if they are not too near; few round errors, or more of a narrow range."""
    ticks = sizes[:1]
    for size in sizes[1:]:
        ticks += [size] if size > _APART * ticks[-1] else []
    axes.set_xticks(ticks, [f"{size:,.0f}" for size in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", bottom=False)
    digits = "25" if max(values) > _WIDE * min(values) else "23456789"
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in digits else "")


def _by_model(shown: list[Point], label: str, best: str, baseline: str) -> Figure:
    """A line for each model, the best on top, with intervals."""
    ordered = sorted(shown, key=lambda p: p.value, reverse="PSNR" not in label)
    figure = new_figure(4.4, 0.25 * len(ordered) + 0.75)
    axes = figure.add_subplot()
    for i, point in enumerate(ordered):
        colour = INK if point.name == baseline else COLOURS[1] if point.name == best else COLOURS[0]
        low, high = point.row.ci95 or (point.value, point.value)
        axes.plot([low, high], [i, i], color=colour, linewidth=1.2)
        axes.plot([point.value], [i], MARKERS[0], color=colour, markersize=6,
                  markerfacecolor=colour if point.is_sound else "none")  # fmt: skip
        if point.name == baseline:
            axes.axvline(point.value, color=INK, linestyle=(0, (4, 3)), linewidth=1)
    axes.set_yticks(range(len(ordered)), [point.name for point in ordered])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlabel(label, fontsize=9, color=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    plain(axes)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=9)
    return figure


def _look(name: str) -> dict[str, Any]:
    """Colour and marker of a family, the same in every report; PCA as a cross, which others do not cover."""
    if name == "PCA":
        return {"color": INK, "marker": "x", "markeredgewidth": 2, "zorder": 4}
    return style(_LOOKS.index(name) if name in _LOOKS else len(_LOOKS))
