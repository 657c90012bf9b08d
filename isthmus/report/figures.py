"""Pictures from arrays: one grey scale, aligned grids, titles that say what one sees."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from PIL import Image

from isthmus import kinds
from isthmus.errors import DataError, unknown
from isthmus.report import plots
from isthmus.report.grids import CELL, FULL_SIZE, crops_at_full_size, grid, images_by_name, wrapped
from isthmus.report.inline_svg import PIXELS_PER_INCH, inline_svg
from isthmus.report.plots import INK, Arrays, Facts, new_figure
from isthmus.studies.spec.figures import FIGURES

_DPI = 160
_LARGE = 300_000  # bytes


def arrays_of(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    """The arrays of a figure. Raises DataError where the file is not whole or has not those that are wanted."""
    try:
        # opened here: NumPy does not close a file that turns out not to be a whole archive
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if missing := [name for name in wanted if name not in arrays]:
            raise ValueError(f"there is no {missing[0]}")
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read the arrays of a figure, {path}: {error}; run the study again") from None
    return arrays


def figure_png(facts: Facts, arrays: Arrays) -> bytes:
    """The PNG of a figure that `results.json` lists, from the arrays of its npz."""
    return png_of(drawn(facts, arrays), facts["kind"])


def png_of(figure: Figure, kind: str) -> bytes:
    """A figure of a kind as PNG."""
    buffer = io.BytesIO()
    # no date, no version: the same arrays give the same bytes
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
    if kind not in ("atoms", "filters") or len(buffer.getvalue()) < _LARGE:
        return buffer.getvalue()
    # a thousand noisy filters: 256 colours are a third of the bytes, and the scale has no more to tell
    small = io.BytesIO()
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE).save(
            small, format="png", optimize=True
        )
    return small.getvalue()


def svg_of(figure: Figure, facts: Facts) -> str:
    """A figure that `results.json` lists as SVG for the page; photographs have a pixel of it for each of theirs."""
    of_photographs = facts["kind"] == "photograph-crops"
    alt = facts.get("title") or facts["name"]
    pixels_per_inch = _DPI / FULL_SIZE if of_photographs else PIXELS_PER_INCH
    return inline_svg(figure, facts["name"], alt, pixels_per_inch, shrinks=not of_photographs)


def drawn(facts: Facts, arrays: Arrays) -> Figure:
    """The figure of this kind. Raises DataError for a kind that is not known here."""
    kind = FIGURES.get(facts["kind"])
    if kind is None:
        hint = "; --import MODULE registers kinds of your own"
        raise DataError(f'figure "{facts.get("name")}": {unknown("figure kind", facts["kind"], FIGURES)}{hint}')
    return _PLOTS[kind](facts, arrays)


# --- weights and activations: a panel for each row ---


def _panels(
    pages: Mapping[str, np.ndarray],
    widths: list[float],
    cmap: str | Colormap,
    limits: list[tuple[float, float]],
    bar: bool,
) -> Figure:
    """Pages one below the other, each of its width in inches, with its name above it, aligned at the left."""
    heights = [page.shape[0] / page.shape[1] * width for page, width in zip(pages.values(), widths, strict=True)]
    total = max(widths)
    title, between = 0.24, 0.12
    figure = new_figure(
        total + (0.75 if bar else 0.0), sum(heights) + len(pages) * (title + between), constrained=False
    )
    full = figure.get_figheight()
    top, shown = full, None
    for (name, page), width, height, (low, high) in zip(pages.items(), widths, heights, limits, strict=True):
        top -= title + height
        place = (0, top / full, width / figure.get_figwidth(), height / full)
        axes = figure.add_axes(place)
        shown = axes.imshow(page, cmap=cmap, vmin=low, vmax=high, interpolation="nearest", aspect="auto")
        axes.set_title(name, fontsize=9, color=INK, loc="left", pad=4)
        axes.set_axis_off()
        top -= between
    if bar and shown is not None:
        tall = min(full * 0.8, 2.6)
        axes = figure.add_axes(((total + 0.12) / figure.get_figwidth(), (full - tall) / 2 / full, 0.02, tall / full))
        colours = figure.colorbar(shown, cax=axes, extend="both")
        axes.tick_params(labelsize=8, labelcolor=INK)
        colours.outline.set_visible(False)
    return figure


def _filters(facts: Facts, arrays: Arrays) -> Figure:
    """Weights as images, zero white; one diverging scale for all, or for each layer of a convolutional network."""
    rows = {name: arrays[name] for name in facts["rows"]}
    by_layer = any(", layer" in name for name in rows)
    sizes = [_reach(filters) for filters in rows.values()]
    if not by_layer:
        sizes = [max(sizes)] * len(sizes)
    few = len(next(iter(rows.values())))
    if len(rows) > 2 and not by_layer and few <= 8 and all(len(row) == few for row in rows.values()):
        return _filter_lines(rows, sizes[0])
    pages, widths = {}, []
    for (name, filters), size in zip(rows.items(), sizes, strict=True):
        n, _, h, _ = filters.shape
        columns = _columns_of(n)
        scale = f"  (no colour is 0, the strongest {size:.2g} or more)" if by_layer else ""
        pages[name + scale] = grid(filters[:, :1], columns, gap=max(1, h // 14))[..., 0]
        widths.append(min(6.6, columns * (0.42 if by_layer else CELL)))
    limits = [(-size, size) for size in sizes]
    return _panels(pages, widths, "RdBu_r", limits, bar=not by_layer)


def _reach(weights: np.ndarray) -> float:
    """Where a scale of weights ends: 1 in 200 is beyond it, lest a few large ones make all others look like nothing."""
    sizes = np.abs(weights)
    return float(np.quantile(sizes, 0.995)) or float(sizes.max()) or 1.0


def _palette() -> Image.Image:
    """The colours of weights, and greys for letters: a fixed palette, so that white stays white."""
    weights = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, 224))[:, :3]
    greys = np.linspace(0, 1, 32)[:, None].repeat(3, axis=1)
    image = Image.new("P", (1, 1))
    image.putpalette((np.concatenate([weights, greys]) * 255).round().astype(np.uint8).tobytes())
    return image


def _columns_of(n: int) -> int:
    """A line of few; a square, or two side by side, where that comes out even: 8×8, 8×16, 16×16."""
    side, half = math.isqrt(n), math.isqrt(n // 2)
    if n <= 16:
        return n
    if side * side == n:
        return side
    return 2 * half if 2 * half * half == n else math.ceil(math.sqrt(n * 1.6))


def _filter_lines(rows: Arrays, limit: float) -> Figure:
    """The same few filters of many models, a line for each model."""
    n, _, h, w = next(iter(rows.values())).shape
    gap = max(1, h // 14)
    page = grid(np.concatenate([filters[:, :1] for filters in rows.values()]), n, gap=gap)[..., 0]
    letters = 0.08 * max(len(name) for name in rows) + 0.2
    figure = new_figure(n * CELL * w / h + letters + 0.9, len(rows) * CELL + 0.1)
    axes = figure.add_subplot()
    shown = axes.imshow(page, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_yticks([i * (h + gap) + h / 2 - 0.5 for i in range(len(rows))], list(rows), fontsize=8.5, color=INK)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _colour_bar(figure, axes, shown)
    return figure


def _atoms(facts: Facts, arrays: Arrays) -> Figure:
    """The units that are on most often, line by line, with the share of the images that they are on for; zero white."""
    (name,) = facts["rows"]
    atoms, usage = arrays[name], arrays["usage"]
    n, _, h, _ = atoms.shape
    columns = n if n <= 8 else math.ceil(math.sqrt(n * 1.3))
    limit = _reach(atoms)
    gap = max(1, h // 14)
    page = grid(atoms[:, :1], columns, gap=gap)[..., 0]
    lines = math.ceil(n / columns)
    figure = new_figure(columns * 0.62 + 2.3, max(lines * 0.62 + 0.1, 1.2))
    axes = figure.add_subplot()
    shown = axes.imshow(page, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    shares = [usage[i * columns : (i + 1) * columns] for i in range(lines)]
    names = [" to ".join(dict.fromkeys(map(_percent, (part[0], part[-1])))) for part in shares]
    axes.set_ylabel("on for this share of the images", fontsize=8, color=INK)
    axes.set_yticks([i * (h + gap) + h / 2 - 0.5 for i in range(lines)], names, fontsize=8, color=INK)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _colour_bar(figure, axes, shown)
    return figure


def _percent(share: float) -> str:
    """A share as a whole percentage; what is not nothing is never 0%."""
    return "below 1%" if 0 < share < 0.01 else f"{share:.0%}"


def _colour_bar(figure: Figure, axes: Any, shown: Any) -> None:
    colours = figure.colorbar(shown, ax=axes, shrink=0.8, aspect=20, pad=0.03, extend="both")
    colours.ax.tick_params(labelsize=8, labelcolor=INK)


def _top_atoms(facts: Facts, arrays: Arrays) -> Figure:
    """A line for each image: clean, noisy, reconstructed, then its atoms times their codes; white is zero."""
    names, atoms, code = list(facts["rows"]), arrays["atoms"], arrays["code"]
    n, k = code.shape
    limit = float(np.abs(atoms).max()) or 1.0
    figure = new_figure((len(names) + k) * 0.86, n * 1.02)
    all_axes = figure.subplots(n, len(names) + k, squeeze=False)
    for i, line in enumerate(all_axes):
        for axes, name in zip(line, names, strict=False):
            axes.imshow(np.clip(arrays[name][i], 0, 1).transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
            axes.set_title(wrapped(name) if i == 0 else "", fontsize=7.5, color=INK, pad=3)
        for j, axes in enumerate(line[len(names) :]):
            axes.imshow(atoms[i, j, 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set_title(f"{code[i, j]:+.2f}", fontsize=7.5, color=INK, pad=3)
        for axes in line:
            axes.set_axis_off()
    return figure


def _activations(facts: Facts, arrays: Arrays) -> Figure:
    """Codes and feature maps as pictures, each row in a grey scale of its own from black, its least, to white."""
    pages, widths, limits = {}, [], []
    for name in facts["rows"]:
        maps = arrays[name]
        n, k, h, w = maps.shape if maps.ndim == 4 else (len(maps), 1, *maps.shape[-2:])
        low, high = (0.0, 1.0) if name == "original" else (min(0.0, float(np.nanmin(maps))), float(np.nanmax(maps)))
        if name == "original" or k == 1:
            columns, cell = n, CELL
        else:  # a line for each image, a column for each map
            columns, cell = k, 0.42
        page, gap = maps.reshape(-1, 1, h, w), max(1, h // 14)
        scale = f"black is {low:.2g}, white {high:.2g}" if high > low else f"all are {low:.2g}"
        title = name if name == "original" else f"{name}  ({scale})"
        # around the pictures, and where there is no unit, nothing: a colour that no number has
        pages[title] = np.pad(grid(page, columns, gap=gap)[..., 0], gap, constant_values=np.nan)
        widths.append(columns * cell)
        limits.append((low, high if high > low else low + 1))
    # a white unit on a white page could not be seen
    return _panels(pages, widths, matplotlib.colormaps["gray"].with_extremes(bad="#c6d7ea"), limits, bar=False)


_PLOTS: dict[type[Any], Callable[[Facts, Arrays], Figure]] = kinds.COMPUTES["figure"]
_OWN: dict[str, Callable[[Facts, Arrays], Figure]] = {
    "activations": _activations,
    "atoms": _atoms,
    "curves": plots.curves,
    "denoising": images_by_name,
    "filters": _filters,
    "images": images_by_name,
    "interpolation": images_by_name,
    "latent-noise": images_by_name,
    "levels": plots.levels,
    "nats": plots.nats,
    "nearest": images_by_name,
    "photograph-crops": crops_at_full_size,
    "reconstructions": images_by_name,
    "samples": images_by_name,
    "scatter": plots.scatter,
    "top-atoms": _top_atoms,
    "traversals": images_by_name,
    "usage": plots.usage,
}
_PLOTS |= {FIGURES[word]: plot for word, plot in _OWN.items()}
