"""Time the notebook's way of training and isthmus', interleaved, and print the ratios.

    python -m benchmarks [--models dense-64,...] [--repeats 5] [--images 10000] [--threads 2] [--json FILE]

Both train the same network on the same images with the same batch size. A ratio is the notebook's seconds over isthmus'
in the same round; the table has the median over rounds and their range. The floor is the bare products and Adam's
traffic, measured in the same run. MNIST is looked for where `isthmus data list` looks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import torch

from benchmarks import notebook_loop
from benchmarks.floor import step_floor
from benchmarks.recipes import GOALS, NETWORKS, autoencoder, digits
from isthmus.cli import cores

EPOCH = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Notebook and isthmus, interleaved.")
    parser.add_argument("--models", default=",".join(NETWORKS), help="comma-separated (all)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000, help="trained on in each round (10000)")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--json", help="write every round to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = digits(options.images)
    as_tensor = torch.from_numpy(images.pixels[:, 0].copy())
    scale = EPOCH / options.images
    print("| model | notebook, s | isthmus, s | ratio (range) | goal | floor, s |\n|---|---|---|---|---|---|")
    records = []
    for name in options.models.split(","):
        rounds = []
        for _ in range(options.repeats):
            notebook = notebook_loop.seconds_per_epoch(name, as_tensor, 1, 64)[0] * scale
            model = autoencoder(name)
            start = time.perf_counter()
            model.fit(images)  # all of it: checks, start, training, history
            rounds.append({"notebook": notebook, "isthmus": (time.perf_counter() - start) * scale})
        floor = step_floor(NETWORKS[name], 64) * EPOCH / 64
        ratios = [one["notebook"] / one["isthmus"] for one in rounds]
        notebook, isthmus = (statistics.median(one[who] for one in rounds) for who in ("notebook", "isthmus"))
        print(
            f"| {name} | {notebook:.2f} | {isthmus:.2f} | {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f}) | {GOALS[name]:g} | {floor:.2f} |",
            flush=True,
        )
        records.append({"model": name, "rounds": rounds, "floor": floor, "precision": model.precision_})
    print(
        f"seconds per epoch of {EPOCH:,} images, {options.repeats} rounds, {options.threads} threads", file=sys.stderr
    )
    if options.json:
        facts = {"threads": options.threads, "torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**facts, "images": options.images, "models": records}, file, indent=1)


if __name__ == "__main__":
    main()
