"""Pictures from arrays: one grey scale, aligned grids, titles that say what one sees."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_DPI = 160
_INK, _FAINT = "#1b2530", "#8a94a0"
# Okabe and Ito's colours, which colour-blind readers can tell apart, and two more; each with a marker of its own.
_COLOURS = (
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
_MARKERS = "osD^vP*Xph"


def draw(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The PNG of a figure that `results.json` lists, from the arrays of its npz."""
    match facts["kind"]:
        case "curves":
            figure = _curves(arrays, facts.get("first_epoch", 1))
        case "scatter":
            figure = _scatter(arrays["code"], arrays["labels"])
        case "filters":
            figure = _filters({row: arrays[row] for row in facts["rows"]})
        case _:
            figure = _rows({row: arrays[row] for row in facts["rows"]}, arrays.get("labels"), facts.get("corruption"))
    buffer = io.BytesIO()
    # no date, no version: the same arrays give the same bytes
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
    return buffer.getvalue()


def css_width(png: bytes) -> int:
    """The width at which a page shows a picture, so that the letters in all pictures are of one size."""
    return int.from_bytes(png[16:20], "big") * 120 // _DPI  # bytes 16 to 19 of a PNG are its width in pixels


def _new(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def grid(images: np.ndarray, columns: int, gap: int = 1, fill: float = np.nan) -> np.ndarray:
    """(n, c, h, w) laid out in rows of `columns`, `gap` pixels apart: one (height, width, 1 or 3) picture.

    Three channels are taken as colours; of any other number the first is shown.
    """
    n, c, h, w = images.shape
    shown = (images if c == 3 else images[:, :1]).transpose(0, 2, 3, 1)
    lines = math.ceil(n / columns)
    page = np.full((lines * (h + gap) - gap, columns * (w + gap) - gap, shown.shape[-1]), fill)
    for i, image in enumerate(shown):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        page[top : top + h, left : left + w] = image
    return page


def _rows(rows: Mapping[str, np.ndarray], labels: np.ndarray | None, corruption: str | None) -> Figure:
    """A line of images for each row, all in one grey scale from 0 to 1."""
    n, _, h, w = next(iter(rows.values())).shape
    stacked = np.concatenate([np.clip(images, 0, 1) for images in rows.values()])
    page = grid(stacked, n, gap=max(1, h // 14), fill=1.0)
    names = [f"{name}: {corruption}" if name == "input" and corruption else name for name in rows]
    side, letters = 0.72, 0.08 * max(len(name) for name in names) + 0.2  # in inches
    figure = _new(n * side * w / h + letters, len(rows) * side + (0.35 if labels is not None else 0.1))
    axes = figure.add_subplot()
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    gap = max(1, h // 14)
    axes.set_yticks([i * (h + gap) + h / 2 - 0.5 for i in range(len(rows))], names, fontsize=8.5, color=_INK)
    if labels is not None:
        axes.set_xticks([i * (w + gap) + w / 2 - 0.5 for i in range(n)], [str(label) for label in labels])
        axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=_INK, labelsize=8.5)
    axes.spines[:].set_visible(False)
    return figure


def _filters(models: Mapping[str, np.ndarray]) -> Figure:
    """Weights as images, one diverging scale for all: zero is white."""
    limit = max(float(np.abs(filters).max()) for filters in models.values()) or 1.0
    pages = {}
    for name, filters in models.items():
        n = len(filters)
        columns = n if n <= 10 else math.ceil(math.sqrt(n * 1.6))
        pages[name] = grid(filters[:, :1], columns, gap=max(1, filters.shape[-1] // 8))
    tall = sum(page.shape[0] / page.shape[1] for page in pages.values())
    width = 6.4
    figure = _new(width, max(1.2, tall * (width - 1) + 0.3 * len(pages)))
    all_axes = figure.subplots(len(pages), 1, squeeze=False)[:, 0]
    for axes, (name, page) in zip(all_axes, pages.items(), strict=True):
        shown = axes.imshow(page[..., 0], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(name, fontsize=9, color=_INK, loc="left")
        axes.set_axis_off()
    bar = figure.colorbar(shown, ax=list(all_axes), shrink=0.8, aspect=25, pad=0.02)
    bar.ax.tick_params(labelsize=8, labelcolor=_INK)
    bar.outline.set_visible(False)
    return figure


def _scatter(code: np.ndarray, labels: np.ndarray) -> Figure:
    """The codes as points, coloured by label, with a legend."""
    figure = _new(6.6, 5.4)
    axes = figure.add_subplot()
    size = 11 if len(code) > 1000 else 24
    for i, label in enumerate(np.unique(labels)):
        of_label = code[labels == label]
        colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
        axes.scatter(
            of_label[:, 0],
            of_label[:, 1],
            s=size,
            marker=marker,
            color=colour,
            alpha=0.65,
            linewidths=0,
            label=str(label),
        )
    axes.legend(title="label", fontsize=8.5, title_fontsize=8.5, markerscale=2, frameon=False,
                bbox_to_anchor=(1, 1), loc="upper left")  # fmt: skip
    axes.set_xlabel("first number of the code", fontsize=9, color=_INK)
    axes.set_ylabel("second number of the code", fontsize=9, color=_INK)
    _plain(axes)
    return figure


def _curves(rows: Mapping[str, np.ndarray], first_epoch: int) -> Figure:
    """Loss against epoch, on a logarithmic scale; the validation loss dashed, in its model's colour."""
    figure = _new(7.2, 4.0)
    axes = figure.add_subplot()
    models = [name for name in rows if not name.endswith("(validation)")]
    for name, losses in rows.items():
        validation = name.endswith("(validation)")
        colour = _COLOURS[models.index(name.removesuffix(" (validation)")) % len(_COLOURS)]
        epochs = np.arange(1, len(losses) + 1)[first_epoch - 1 :]
        style = "--" if validation else "-"
        marker = "o" if len(epochs) <= 20 and not validation else None
        axes.plot(epochs, losses[first_epoch - 1 :], style, color=colour, marker=marker, markersize=3.5,
                  linewidth=1.6, label=name)  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "235" else "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", fontsize=9, color=_INK)
    axes.set_ylabel("loss", fontsize=9, color=_INK)
    axes.grid(axis="y", color="#e4e8ec", linewidth=0.7)
    axes.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    _plain(axes)
    return figure


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(which="both", labelsize=8, labelcolor=_INK, color=_FAINT)
