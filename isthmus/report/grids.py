"""Grids of images: laid out in rows and columns, one grey scale, each row or column with its name."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from isthmus.report.plots import INK, Arrays, Facts, new_figure

CELL = 0.72  # inches of an image in a row of images
FULL_SIZE, _DPI = 2, 160  # pixels of a picture for one of a photograph at full size, and to the inch


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


def gap_of(height: int) -> int:
    """Pixels between images of this height."""
    return max(1, height // 14)


def with_clear_gaps(page: np.ndarray) -> np.ndarray:
    """The picture of `grid` in which nothing is seen between images, also of colours: (height, width, 1 or 4)."""
    return page if page.shape[-1] == 1 else np.dstack([np.nan_to_num(page), np.isfinite(page[..., :1])])


def column_png(images: np.ndarray) -> bytes:
    """(n, c, h, w) in [0, 1], one below the other, a pixel for each of theirs; nothing is seen between them."""
    page = np.clip(grid(images, 1, gap=gap_of(images.shape[2])), 0, 1)
    grey_or_colour = np.nan_to_num(page) * 255
    pixels = np.concatenate([grey_or_colour, 255.0 * np.isfinite(page[..., :1])], axis=-1).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def images_by_name(facts: Facts, arrays: Arrays) -> Figure:
    """A line of images for each row, all in one grey scale from 0 to 1; of one or two images, a column for each row."""
    rows = {name: np.clip(arrays[name], 0, 1) for name in facts["rows"]}
    if facts.get("corruption") and "input" in rows:  # as it was called before a figure had several levels
        rows = {f"input: {facts['corruption']}" if name == "input" else name: row for name, row in rows.items()}
    n = len(next(iter(rows.values())))
    labels = [str(label) for label in arrays["labels"]] if "labels" in arrays else []
    if facts["kind"] == "interpolation":
        labels = [f"{share:.0%}" for share in np.linspace(0, 1, n)]
    return _columns(rows) if n <= 2 and len(rows) > 2 else _lines(rows, labels)


def _lines(rows: Mapping[str, np.ndarray], labels: list[str]) -> Figure:
    n, _, h, w = next(iter(rows.values())).shape
    gap = gap_of(h)
    page = with_clear_gaps(grid(np.concatenate(list(rows.values())), n, gap=gap))
    letters = 0.08 * max(len(line) for name in rows for line in name.split("\n")) + 0.2  # in inches
    figure = new_figure(n * CELL * w / h + letters, len(rows) * CELL + (0.35 if labels else 0.1))
    axes = figure.add_subplot()
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([i * (h + gap) + h / 2 - 0.5 for i in range(len(rows))], list(rows), fontsize=8.5, color=INK)
    axes.set_xticks([i * (w + gap) + w / 2 - 0.5 for i in range(len(labels))], labels)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=INK, labelsize=8.5)
    axes.spines[:].set_visible(False)
    return figure


def _columns(rows: Mapping[str, np.ndarray]) -> Figure:
    """One or two images through many models: side by side, with the name above each, in lines of at most eight."""
    cell, across = 0.98, min(8, len(rows))
    lines, n = math.ceil(len(rows) / across), len(next(iter(rows.values())))
    figure = new_figure(across * cell, lines * (n * cell + 0.36))
    all_axes = figure.subplots(lines, across, squeeze=False).ravel()
    for axes in all_axes:
        axes.set_axis_off()
    for axes, (name, images) in zip(all_axes, rows.items(), strict=False):
        page = with_clear_gaps(grid(images, 1, gap=gap_of(images.shape[2])))
        axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(wrapped(name), fontsize=7.5, color=INK, pad=3)
    return figure


def wrapped(name: str) -> str:
    """A name in lines of at most fourteen letters, broken at blanks, else at hyphens and commas."""
    return "\n".join(textwrap.wrap(name.replace(",", ", "), 14, break_on_hyphens=True))


def crops_at_full_size(facts: Facts, arrays: Arrays) -> Figure:
    """Of each photograph a line of crops, with what each estimate took out of the noisy one and how it errs below.

    Grey is nothing there, and black and white a quarter of the way from black to white.
    """
    names = list(facts["rows"])
    clean, noisy = arrays["original"], arrays["input"]
    n, _, _, side = clean.shape
    gap, head, between = 6, 34, 14  # in pixels of a photograph
    left, across, down = 64, len(names) * (side + gap), 3 * (side + gap) + head + between
    width, height = left + across, n * down
    figure = new_figure(width * FULL_SIZE / _DPI, height * FULL_SIZE / _DPI, constrained=False)
    for i in range(n):
        for j, name in enumerate(names):
            x_hat = arrays[name][i]
            error = float(np.square(np.clip(x_hat, 0, 1) - clean[i], dtype=np.float64).mean())
            title = {"original": "clean", "input": "noisy"}.get(name, name)
            title += f"\n{-10 * math.log10(error):.2f} dB" if error else "\n "
            pictures = (x_hat, 0.5 + 2 * (noisy[i] - x_hat), 0.5 + 2 * (x_hat - clean[i]))
            for k, picture in enumerate(pictures):
                top = i * down + head + k * (side + gap)
                place = (left + j * (side + gap), height - top - side, side, side)
                axes = figure.add_axes(tuple(np.divide(place, (width, height, width, height)).tolist()))
                shown = np.clip(picture, 0, 1).transpose(1, 2, 0)
                axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
                axes.set_title(title if k == 0 else "", fontsize=11, color=INK, pad=6)
                if j == 0:
                    axes.set_ylabel(("", "taken out", "still wrong")[k], fontsize=11, color=INK)
    return figure
