"""isthmus and the best loops of others, interleaved: processor time of a step, and the best of them over isthmus'.

    make bench-alternatives  # its environment, build/alternatives, has JAX and Keras
    python -m benchmarks.rivals [--models ...] [--repeats 5] [--threads 1] [--precision float32] [--json F] [--readme]

`rival_loops` has them. Each in turn trains an epoch of the same images, batch of 64, law of the start and rate,
n times after one in which it compiles, which is not counted but said; a ratio is of the same round. The losses of the
last epoch must agree, or the program stops: it would compare different things. By one thread, on a core of its own if
the system lets it, the time is the processor's, which other programs hardly change; by more it is the clock's. MNIST is
looked for where `isthmus data list` looks.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from benchmarks.floor import step_floor
from benchmarks.recipes import NETWORKS, digits
from benchmarks.rival_loops import BATCH, CASES, CODE, HIDDEN, LOOPS, PACKAGES, VAE, Epoch, is_for
from isthmus import Dense, IsthmusError

_AGREE = 0.25  # of the loss, which differs with the order and the start, which are other draws


def steps_of(name: str, x: np.ndarray, precision: str, loops: list[str], repeats: int, threads: int) -> dict[str, Any]:
    """Microseconds of a step by each loop, in each round, and what was compiled in how many seconds."""
    if name == VAE:  # of pixels that are drawn once
        x = (np.random.default_rng(0).random(x.shape, np.float32) < x).astype(np.float32)
    clock = time.process_time if threads == 1 else time.perf_counter
    epochs, compiled = dict[str, Epoch](), dict[str, float]()
    rounds: dict[str, list[float]] = {loop: [] for loop in loops if is_for(loop, name)}
    losses: dict[str, float] = {}
    for loop in rounds:
        start = time.perf_counter()
        epochs[loop] = LOOPS[loop](name, x, precision)
        epochs[loop]()
        compiled[loop] = time.perf_counter() - start
    for _ in range(repeats):
        for loop, epoch in epochs.items():
            start = clock()
            losses[loop] = epoch()
            rounds[loop].append((clock() - start) / (len(x) / BATCH) * 1e6)
    if max(losses.values()) > (1 + _AGREE) * min(losses.values()):
        raise SystemExit(f"benchmarks.rivals: {name} is not the same for all, whose losses are {losses}")
    return {"model": name, "rounds": rounds, "first epoch, s": compiled, "losses": losses}


def row(record: dict[str, Any], loops: list[str], floor: float) -> str:
    """A model's line: medians, the best rival's over isthmus' with its range, and isthmus' over the floor."""
    rounds = record["rounds"]
    medians = {loop: statistics.median(steps) for loop, steps in rounds.items()}
    best = min((loop for loop in rounds if loop != "isthmus"), key=lambda loop: medians[loop])
    ratio = readme.spread([a / b for a, b in zip(rounds[best], rounds["isthmus"], strict=True)], 2)
    cells = [f"{medians[loop]:,.0f}" if loop in medians else "–" for loop in loops]
    over = f"{medians['isthmus'] / floor:.1f}"
    return f"| {' | '.join([record['model'], *cells, f'{best}: {ratio}', over])} |"


def main() -> None:
    parser = readme.arguments("benchmarks.rivals", "isthmus and the best loops of others.", rounds=5)
    parser.add_argument("--models", default=",".join(CASES), help="comma-separated (all)")
    parser.add_argument("--images", type=int, default=19_968, help="in an epoch, whole batches (19968)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of products (float32)")
    options = parser.parse_args()
    names = readme.chosen(parser, options, CASES)
    if options.threads == 1 and hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as there are cores
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(options.threads)
    loops = [loop for loop in LOOPS if all(map(importlib.util.find_spec, PACKAGES.get(loop, ())))]
    if lacking := [loop for loop in LOOPS if loop not in loops]:
        print(f"benchmarks.rivals: not installed: {', '.join(lacking)}", file=sys.stderr)
        if options.readme:
            sys.exit("README's table has all rivals: `make bench-alternatives` installs them, apart from the rest")
    try:
        x = digits(options.images // BATCH * BATCH).floats()
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    heads = ["model", *(f"{loop}, µs" for loop in loops), "best rival / isthmus (range)", "isthmus / floor"]
    table = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    print("\n".join(table), flush=True)
    records = []
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints of the others'
            records.append(steps_of(name, x, options.precision, loops, options.repeats, options.threads))
        # two numbers of a code's, its mean and variance, are a hundredth of the products
        network = NETWORKS.get(name, Dense(HIDDEN, 2 * CODE))
        table.append(row(records[-1], loops, step_floor(network, BATCH) * 1e6))
        print(table[-1], flush=True)
    slowest = {loop: max(r["first epoch, s"].get(loop, 0) for r in records) for loop in loops}
    compiling = ", ".join(f"{loop} {seconds:.0f} s" for loop, seconds in slowest.items())
    time_of = "processor time" if options.threads == 1 else "time"
    about = (
        f"{readme.conditions(f'{options.repeats} rounds of {len(x):,} images', options.threads)}, {options.precision} "
        f"products; {time_of} of a step of {BATCH}. The first epoch, which is not counted, took at most: {compiling}."
    )
    print(about)
    if options.json:
        facts = {"threads": options.threads, "precision": options.precision, "torch": torch.__version__}
        options.json.write_text(json.dumps({**facts, "models": records}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.rivals", [*table, "", about])


if __name__ == "__main__":
    main()
