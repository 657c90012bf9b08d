"""The demo's picture, docs/letters.png, and its table on the start page, from a run of it.

    isthmus run letters
    python -m benchmarks.demo runs/letters [--out docs]

Look at what it wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.readme import replaced
from isthmus.console import summary
from isthmus.report.html_page import arrays_of
from isthmus.studies.results.results_json import read_results

# the figure of the run, its row, and what the row is called
ROWS = (
    ("reconstructions", "original", "letters"),
    ("reconstructions", "pca-16", "PCA, 16 numbers"),
    ("reconstructions", "deep-16", "autoencoder, 16 numbers"),
    ("denoising", "gaussian(0.5)", "noise"),
    ("denoising", "denoising-128", "denoised"),
    ("samples", "vae-16", "new letters"),
)
NEW_GROUPS = (3, 5)  # rows with some room above them


def picture(run: Path) -> Figure:
    """Rows of letters, and what the models of the demo make of them."""
    heights = [1.18 if place in NEW_GROUPS else 1.0 for place in range(len(ROWS))]
    figure = Figure(figsize=(9.5, 0.74 * sum(heights)))
    top, total = 0.0, sum(heights)
    for (name, row, label), height in zip(ROWS, heights, strict=True):
        images = arrays_of(run / "figures" / f"{name}.npz", [row])[row][:, 0]
        n, side, gap = len(images), images.shape[1], 2
        line = np.ones((side, n * (side + gap) - gap))
        for place, image in enumerate(images):
            line[:, place * (side + gap) : place * (side + gap) + side] = image.clip(0, 1)
        top += height
        axes = figure.add_axes((0.23, 1 - top / total, 0.77, 0.95 / total))
        axes.imshow(line, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.text(-0.012, 0.5, label, transform=axes.transAxes, ha="right", va="center", fontsize=11, color="#1a2330")
    return figure


def main() -> None:
    """Write the picture and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of `isthmus run letters`")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    figure = picture(options.run)
    figure.savefig(options.out / "letters.png", dpi=130, facecolor="white")
    page = options.out / "start.md"
    lines = [
        "",
        "```text",
        summary(read_results(options.run)),
        "report: runs/letters/report.html",
        "to look inside: isthmus explore runs/letters",
        "```",
        "",
    ]
    page.write_text(replaced(page.read_text("utf-8"), "benchmarks.demo", lines), "utf-8")


if __name__ == "__main__":
    main()
