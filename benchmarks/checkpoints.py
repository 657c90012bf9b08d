"""What checkpoints cost: `python -m benchmarks.checkpoints [--model MODEL] [--epochs N] [--repeats N]`.

The same training with and without a checkpoint folder, interleaved; and beside it the time that the writes took, which
is less noisy than the difference of two trainings.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.recipes import NETWORKS, autoencoder, digits
from isthmus.machine import cores
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.snapshots.snapshot import Snapshot


class Timed(Checkpoints):
    """Checkpoints that add up how many they were and what their writing took."""

    written, seconds = 0, 0.0

    def write(self, snapshot: Snapshot) -> None:
        start = time.perf_counter()
        super().write(snapshot)
        self.seconds += time.perf_counter() - start
        self.written += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints", description="What checkpoints cost.")
    parser.add_argument("--model", choices=NETWORKS, default="deep-30")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, ratios, shares = digits(50_000), [], []
    for _ in range(options.repeats):
        start = time.perf_counter()
        autoencoder(options.model, epochs=options.epochs).fit(images)
        without = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            kept = Timed(Path(folder) / "kept")
            start = time.perf_counter()
            autoencoder(options.model, epochs=options.epochs).fit(images, checkpoint=kept)
            taken = time.perf_counter() - start
        ratios.append(taken / without)
        shares.append(kept.seconds / taken)
        print(
            f"{without:.1f} s without; {taken:.1f} s with {kept.written} checkpoints, written in {kept.seconds:.3f} s"
        )
    spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"{options.model}: {spread} of the time without; writing is {statistics.median(shares):.2%} of it")


if __name__ == "__main__":
    main()
