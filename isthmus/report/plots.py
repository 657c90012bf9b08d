"""Numbers as plots: curves, points, histograms. One set of colours, each with a marker of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isthmus.parts.code import SILENT

INK, FAINT, FAINT_LINE, GRID = "#1b2530", "#8a94a0", "#9aa5b1", "#e4e8ec"
# Okabe and Ito's colours, which colour-blind readers can tell apart, and more; each with a marker of its own.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7b3294",
    "#8c6d31",
    "#444444",
    "#b2182b",
)
MARKERS = "osD^vP*Xph"

Facts = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """An empty figure of this size in inches."""
    layout = {"layout": "constrained"} if constrained else {}
    figure = Figure(figsize=(width, height), facecolor="white", **layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def style(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th thing in a plot."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def scatter(facts: Facts, arrays: Arrays) -> Figure:
    """The codes as points, coloured by label, with a legend."""
    code, labels = arrays["code"], arrays["labels"]
    figure = new_figure(6.6, 5.4)
    axes = figure.add_subplot()
    size = 11 if len(code) > 1000 else 24
    for i, label in enumerate(np.unique(labels)):
        x, y = code[labels == label].T
        axes.scatter(x, y, s=size, alpha=0.65, linewidths=0, label=str(label), **style(i))
    axes.legend(title="label", fontsize=8.5, title_fontsize=8.5, markerscale=2, frameon=False,
                bbox_to_anchor=(1, 1), loc="upper left")  # fmt: skip
    axes.set_xlabel("first number of the code", fontsize=9, color=INK)
    axes.set_ylabel("second number of the code", fontsize=9, color=INK)
    plain(axes)
    return figure


def curves(facts: Facts, arrays: Arrays) -> Figure:
    """Loss against epoch or step, on a logarithmic scale; the validation loss dashed, in its model's colour."""
    rows = {name: arrays[name] for name in facts.get("rows", arrays)}
    figure = new_figure(7.2, 4.0)
    axes = figure.add_subplot()
    if facts.get("per") == "time":
        return _against_time(figure, axes, rows)
    if facts.get("per") == "step":
        unit, window = "step", _plot_steps(axes, rows)
    else:
        unit, window = "epoch", 1
        _plot_epochs(axes, rows, facts.get("first_epoch", 1))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "235" else "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(unit, fontsize=9, color=INK)
    axes.set_ylabel("loss" if window == 1 else f"loss, mean of {window} steps", fontsize=9, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    plain(axes)
    return figure


def _against_time(figure: Figure, axes: Any, rows: Arrays) -> Figure:
    for i, (name, curve) in enumerate(rows.items()):
        axes.plot(curve[:, 0] / 60, curve[:, 1], markersize=3.5, linewidth=1.6, label=name, **style(i))
    axes.set_xlabel("minutes of training", fontsize=9, color=INK)
    axes.set_ylabel("PSNR on validation crops, dB", fontsize=9, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    plain(axes)
    return figure


def _plot_epochs(axes: Any, rows: Arrays, first_epoch: int) -> None:
    models = [name for name in rows if not name.endswith("(validation)")]
    for name, losses in rows.items():
        validation = name.endswith("(validation)")
        colour = style(models.index(name.removesuffix(" (validation)")))["color"]
        shown = slice(min(first_epoch, len(losses)) - 1, None)  # of fewer epochs, as of a quick run, the last
        epochs = np.arange(1, len(losses) + 1)[shown]
        look = "--" if validation else "-"
        marker = "o" if len(epochs) <= 20 and not validation else None
        axes.plot(epochs, losses[shown], look, color=colour, marker=marker, markersize=3.5,
                  linewidth=1.6, label=name)  # fmt: skip


def _plot_steps(axes: Any, rows: Arrays) -> int:
    """Running means, for single steps are a band of ink; returns how many steps each is of."""
    window = max(1, max(len(losses) for losses in rows.values()) // 150)
    for i, (name, losses) in enumerate(rows.items()):
        wide = min(window, len(losses))
        means = np.convolve(losses, np.full(wide, 1 / wide), "valid")
        axes.plot(np.arange(len(means)) + (wide + 1) / 2, means, color=style(i)["color"], linewidth=1.2, label=name)
    return window


def levels(facts: Facts, arrays: Arrays) -> Figure:
    """A metric against the level of a corruption, with 95 % intervals; a ring where a model was trained.

    An error far above all others, as doing nothing has, leaves the picture, lest the others become one line.
    """
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    names, rings = list(facts["rows"]), 0
    top = _top(arrays, names) if facts["metric"] == "mse" else None
    for name, trained in zip(names, arrays["trained"], strict=True):
        level, value, low, high = arrays[name].T
        of, _, line = name.partition(": ")
        i = names.index(of)
        if line:  # of theory, in the colour of the search that it is about
            dashes = {"theory": ":", "representation error": (0, (6, 4))}
            axes.plot(level, value, linestyle=dashes[line], color=style(i)["color"], linewidth=1.4, label=name)
            continue
        axes.errorbar(level, value, yerr=[value - low, high - value], fmt="-", markersize=4.5, linewidth=1.5,
                      capsize=2, label=_leaving(name, high, top), **style(i))  # fmt: skip
        if np.isfinite(trained) and len(level) and level.min() <= trained <= level.max():
            order = np.argsort(level)  # between two levels it was not measured, but there the line is
            axes.plot(trained, np.interp(trained, level[order], value[order]), "o", markersize=13,
                      markerfacecolor="none", markeredgecolor=style(i)["color"], markeredgewidth=1.6)  # fmt: skip
            rings += 1
    metric_names = {
        "mse": "MSE to the clean image",
        "psnr": "PSNR to the clean image, dB",
        "ssim": "SSIM to the clean image",
    }
    axes.set_ylabel(metric_names[facts["metric"]], fontsize=9, color=INK)
    level_name = facts.get("level_of") or "level of " + facts["corruption"].split("(")[0]
    level_of = {"level": level_name, "square": f"{level_name}, squared", "noise": "MSE of the noisy image"}
    axes.set_xlabel(level_of[facts.get("axis", "level")], fontsize=9, color=INK)
    if facts["metric"] == "mse":
        axes.set_ylim(bottom=0, top=top)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    ring = "a ring: fitted at this level" if rings else None
    axes.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc="upper left", title=ring, title_fontsize=8)
    plain(axes)
    return figure


def _top(arrays: Arrays, names: list[str]) -> float | None:
    """Where the axis ends if one line goes more than three times as high as all others; None if none does."""
    *others, most = sorted(float(arrays[name][:, 3].max(initial=0)) for name in names)
    return 1.15 * others[-1] if len(others) > 1 and most > 3 * others[-1] > 0 else None


def _leaving(name: str, high: np.ndarray, top: float | None) -> str:
    """What the legend says of a line: also how far it goes, if that is beyond the picture."""
    return name if top is None or high.max(initial=0) <= top else f"{name} (up to {high.max():.2g})"


def nats(facts: Facts, arrays: Arrays) -> Figure:
    """What each unit tells of an image, the units by that; 0.01 nats, below which one tells nothing, as a line."""
    figure = new_figure(7.2, 3.4)
    axes = figure.add_subplot()
    for i, name in enumerate(facts["rows"]):
        values = arrays[name]
        label = f"{name}: {values.sum():.3g} nats, {(values > SILENT).sum()} of {len(values)} units"
        axes.plot(np.arange(1, len(values) + 1), values, markersize=3.5, linewidth=1.4, label=label, **style(i))
    axes.axhline(SILENT, color=FAINT_LINE, linewidth=0.9, linestyle=":")
    axes.set_yscale("symlog", linthresh=SILENT)
    axes.set_ylim(0, 1.4 * max(SILENT, *(arrays[name].max(initial=0) for name in facts["rows"])))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("units, the most telling first", fontsize=9, color=INK)
    axes.set_ylabel("KL to the prior, nats", fontsize=9, color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    plain(axes)
    return figure


def usage(facts: Facts, arrays: Arrays) -> Figure:
    """For each model, how many of its units are on for which share of the images; dead units apart, in red."""
    names = list(facts["rows"])
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(2.7 * columns, 1.9 * lines)
    all_axes = figure.subplots(lines, columns, squeeze=False)
    edges = np.linspace(0, 1, 21)
    for axes, name in zip(all_axes.ravel(), names, strict=False):
        share = arrays[name]
        dead = share == 0
        axes.hist(share[~dead], bins=edges, color=COLOURS[0])
        axes.bar(-0.04, dead.sum(), width=0.05, color=COLOURS[-1])
        axes.set_title(f"{name}: {dead.sum():,} of {len(share):,} dead", fontsize=8, color=INK, loc="left")
        axes.set_xlim(-0.08, 1.02)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        plain(axes)
    for axes in all_axes.ravel()[len(names) :]:
        axes.set_axis_off()
    for axes in all_axes[:, 0]:
        axes.set_ylabel("units", fontsize=8, color=INK)
    figure.supxlabel("share of the images for which a unit is on", fontsize=8, color=INK)
    return figure


def plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", labelsize=8, labelcolor=INK, color=FAINT)
