"""One fit over several processes of this machine: seconds of a step, and where they go.

    python -m benchmarks.shards [--models deep-30 denoiser] [--processes 1 2] [--shards 2] [--steps 40] [--repeats 5]

Each process has one thread, so it wants as many quiet cores as there are processes. "whole" is a fit of one process
without shards. Data is noise, made on the spot; deep-30 has batches of 1,024, the denoiser of photographs its own 16
crops. Of the epochs after the first, the one in the middle counts.

gradients: forward, loss and backward of the process's shards. tree: what it adds up itself. exchange: with the others,
waiting for them included. optimizer: the step, which each process takes for itself. rest: batches, noise, bookkeeping.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from benchmarks.recipes import autoencoder
from isthmus import Denoiser
from isthmus.machine import launched
from isthmus.training import loop
from isthmus.training.optimizers import OPTIMIZERS
from isthmus.training.sharding.processes import Processes
from isthmus.training.sharding.shards import Shards

_BATCHES = {"deep-30": 1024, "denoiser": 16}
_PARTS = ("gradients", "tree", "exchange", "optimizer")


def _timed(owner: type, name: str, part: str, spent: dict[str, float]) -> None:
    """Add the seconds of each call of a method to a part's."""
    method: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - start

    setattr(owner, name, call)


def _model(name: str, shards: int, steps: int, epochs: int) -> tuple[Any, Any]:
    stream, n = np.random.default_rng(0), steps * _BATCHES[name]
    if name == "denoiser":
        photographs = [stream.random((1, 96, 96), np.float32) for _ in range(8)]
        return Denoiser(crops_per_epoch=n, epochs=epochs, shards=shards, random_state=0), photographs
    model = autoencoder(name, batch_size=_BATCHES[name], epochs=epochs, shards=shards)
    return model, stream.random((n, 784), np.float32)


def measure(name: str, shards: int, steps: int, epochs: int) -> dict[str, float]:
    """Milliseconds of a step in the middle one of the epochs but the first, and of its parts, in this process."""
    spent: dict[str, float] = defaultdict(float)
    _timed(loop._Step, "gradients", "gradients", spent)
    _timed(Shards, "_grow", "tree", spent)
    _timed(Processes, "add_up", "exchange", spent)
    _timed(OPTIMIZERS["adam"], "step", "optimizer", spent)
    model, X = _model(name, shards, steps, epochs)
    rows = []
    for row in model.fit_epochs(X):
        rows.append({"step": row.seconds, **{part: spent[part] for part in _PARTS}})
        spent.clear()
    middle = sorted(rows[1:], key=lambda row: row["step"])[(len(rows) - 1) // 2]
    return {part: 1000 * seconds / steps for part, seconds in middle.items()}


def launch(name: str, n_processes: int, shards: int, options: argparse.Namespace) -> dict[str, float]:
    """The same in the first of so many processes that torchrun starts."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command += ["-m", "benchmarks.shards", "--measure", name, "--shards", str(shards)]
    command += ["--steps", str(options.steps), "--epochs", str(options.epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print a table for README, or, started by torchrun, one measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=tuple(_BATCHES), default=tuple(_BATCHES))
    parser.add_argument("--processes", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--shards", type=int, help="(the most processes)")
    parser.add_argument("--steps", type=int, default=40, help="of an epoch (40)")
    parser.add_argument("--epochs", type=int, default=3, help="(3)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (5)")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--measure", choices=tuple(_BATCHES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    shards = options.shards or max(options.processes)
    if options.measure:
        torch.set_num_threads(1)
        row = measure(options.measure, shards, options.steps, options.epochs)
        if launched()[0] == 0:
            print(json.dumps(row))
        return
    head = ["ms of a step", "processes", "shards", "step", *_PARTS, "rest", "times whole (range)"]
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    print("\n".join(table))
    ways = [(1, 1), *((n, shards) for n in options.processes)]
    for name in options.models:
        rounds = [[launch(name, *way, options) for way in ways] for _ in range(options.repeats)]
        for i, (n_processes, n_shards) in enumerate(ways):
            row = {part: statistics.median(each[i][part] for each in rounds) for part in ("step", *_PARTS)}
            parts = [row[part] for part in _PARTS]
            times = " | ".join(f"{each:.1f}" for each in (row["step"], *parts, row["step"] - sum(parts)))
            label = f"{name}, batches of {_BATCHES[name]:,}" + (", whole" if i == 0 else "")
            ratio = readme.spread([each[0]["step"] / each[i]["step"] for each in rounds], 2)
            table.append(f"| {label} | {n_processes} | {n_shards} | {times} | {ratio} |")
            print(table[-1], flush=True)
    rounds_of = f"{options.repeats} rounds in turns, each of {options.epochs - 1} epochs of {options.steps} steps"
    table += ["", f"{readme.conditions(rounds_of, 1)}, for each process."]
    print("\n".join(table[-2:]))
    if options.readme:
        readme.put("benchmarks.shards", table)


if __name__ == "__main__":
    main()
