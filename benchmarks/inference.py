"""`reconstruct` against its own bare products: `python -m benchmarks.inference [--repeats 15] [--threads 2]`.

10,000 arrays of 784 floats, input checks included, against the same products without bias, activation or anything
else, on the whole array or in chunks, whichever is faster. Interleaved; medians of the ratio in each round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from benchmarks.recipes import NETWORKS
from isthmus import Autoencoder
from isthmus.machine import cores

GOALS = {"dense-64": 2.0, "deep-30": 1.5}


def bare_products(x: torch.Tensor, weights: list[torch.Tensor], chunk: int) -> None:
    """The products alone."""
    for start in range(0, len(x), chunk):
        h = x[start : start + chunk]
        for weight in weights:
            h = h @ weight.t()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description="Inference and its floor.")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    X = np.random.default_rng(0).random((10_000, 784), np.float32)
    print("| model | bare products, ms | reconstruct, ms | ratio (range) | goal |\n|---|---|---|---|---|")
    for name, goal in GOALS.items():
        model = Autoencoder(NETWORKS[name], epochs=1, random_state=0).fit(X[:256])
        chains = (model.network_.encoder, model.network_.decoder)
        weights = [layer.weight.detach() for chain in chains for layer in chain.layers]
        rounds = []
        for _ in range(options.repeats + 1):
            times = []
            for call in (
                lambda: bare_products(torch.from_numpy(X), weights, 10_000),  # noqa: B023
                lambda: bare_products(torch.from_numpy(X), weights, 1_000),  # noqa: B023
                lambda: model.reconstruct(X),  # noqa: B023
            ):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            rounds.append((min(times[:2]), times[2]))
        del rounds[0]  # the first warms up
        ratios = [ours / floor for floor, ours in rounds]
        floor, ours = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {floor:.1f} | {ours:.1f} | {spread} | ≤ {goal:g} |")


if __name__ == "__main__":
    main()
