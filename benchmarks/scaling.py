"""How training scales: seconds and memory against samples, width and image side.

    python -m benchmarks.scaling [--out scaling.png] [--json FILE]

Each point is a fresh process, so that its peak memory is its own: the peak over that of a process which has
imported the same and made the same data. Images are noise, made on the spot; no data set is needed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

# one point: samples, width of the code, image side; the others stay at the middle of their range
MIDDLE = {"samples": 10_000, "width": 256, "side": 28}
RANGES = {
    "samples": (1_000, 2_000, 5_000, 10_000, 20_000, 60_000),
    "width": (64, 128, 256, 512, 1_024, 2_048, 4_096),
    "side": (8, 16, 28, 64, 128, 256),
}
_POINT = """
import json, resource, sys
import numpy as np
import torch
from isthmus import Autoencoder, Dense, Images
n, width, side = map(int, sys.argv[1:])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
pixels = np.random.default_rng(0).integers(0, 256, (n, 1, side, side), np.uint8)
images = Images(pixels)
torch.rand(64, 64) @ torch.rand(64, 64)
model = Autoencoder(Dense(bottleneck=width, output="sigmoid"), epochs=2, batch_size=64, random_state=0)
import sklearn.utils.validation
before = peak()
model.fit(images)
states = 16 * model.n_parameters_ / 2**20  # weights, gradients and Adam's two moments
print(json.dumps({"seconds": model.history_[-1].seconds, "mib": peak() - before, "states": states}))
"""


def measure(**changes: int) -> dict[str, float]:
    """Seconds of an epoch (the second) and MiB over what there was before training, for one point."""
    point = MIDDLE | changes
    # large images: fewer of them, or the data alone would fill the memory
    n = min(point["samples"], 200_000_000 // point["side"] ** 2)
    arguments = [sys.executable, "-c", _POINT, str(n), str(point["width"]), str(point["side"])]
    return {"n": n, **json.loads(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)}


def draw(results: dict[str, list[dict[str, float]]], path: str) -> None:
    """Two rows of three panels: seconds for 10,000 samples (or of the epoch), and memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    rows = figure.subplots(2, 3, sharex="col")
    names = {"samples": "samples", "width": "width of the code", "side": "side of the image, pixels"}
    for column, (axis, points) in enumerate(results.items()):
        x = [point[axis] for point in points]
        per = [1 if axis == "samples" else 10_000 / point["n"] for point in points]
        rows[0, column].plot(x, [p["seconds"] * k for p, k in zip(points, per, strict=True)], "o-", color="#0072b2")
        rows[1, column].plot(x, [point["mib"] for point in points], "o-", color="#0072b2", label="measured")
        rows[1, column].plot(x, [point["states"] for point in points], "--", color="#8a94a0", label="model's states")
        rows[1, column].set_xlabel(names[axis])
        for row in rows[:, column]:
            row.set_xscale("log")
            row.set_yscale("log")
            row.set_xticks(x, [f"{value:,}" for value in x], fontsize=8)
            row.minorticks_off()
            row.grid(color="#e4e8ec", linewidth=0.7)
            row.spines[["top", "right"]].set_visible(False)
    rows[0, 0].set_ylabel("seconds per epoch")
    rows[0, 1].set_title("seconds for 10,000 samples", fontsize=9)
    rows[0, 2].set_title("seconds for 10,000 samples", fontsize=9)
    rows[0, 0].set_title("seconds per epoch", fontsize=9)
    rows[1, 0].set_ylabel("MiB over imports and data")
    rows[1, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=140)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="Seconds and memory, scaled.")
    parser.add_argument("--out", default="scaling.png")
    parser.add_argument("--json")
    options = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {}
    for axis, values in RANGES.items():
        results[axis] = []
        for value in values:
            point = {axis: value, **measure(**{axis: value})}
            results[axis].append(point)
            print(f"{axis} {value:>6,}: {point['seconds']:8.3f} s  {point['mib']:8.1f} MiB", flush=True)
    draw(results, options.out)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
