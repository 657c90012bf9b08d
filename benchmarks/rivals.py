"""isthmus and the best loops of others, interleaved: processor time of a step, and the best of them over isthmus'.

    make bench-alternatives  # its environment, build/alternatives, has JAX and Keras
    python -m benchmarks.rivals [--threads 1] [--models ...] [--repeats 5] [--precision float32] [--json F] [--readme]

`rival_loops` has them. Each in turn trains an epoch of the same images, batches, law of the start and rate, n times
after one in which it compiles, which is not counted but said; a ratio is of the same round. The losses of the last
epoch must agree, or the program stops: it would compare different things. By one thread the time is the processor's,
which other programs hardly change; by more it is the clock's. So many cores are taken, if the system lets it, for JAX
takes a thread for each. MNIST and the folder train400 are looked for where `isthmus data list` looks, in
$ISTHMUS_DATA/photographs.

--readme, once for --threads 1 and once for --threads 2, puts what was measured into benchmarks/rivals.json, which has
every round of every loop, and README's table is written from that.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from benchmarks.floor import step_floor
from benchmarks.recipes import NETWORKS, digits
from benchmarks.rival_loops import (
    BATCH,
    CASES,
    CODE,
    CROP,
    CROPS,
    DENOISERS,
    HIDDEN,
    LOOPS,
    PACKAGES,
    VAE,
    Epoch,
    batch_of,
    is_for,
    precision_of,
)
from isthmus import Dense, IsthmusError, Residual
from isthmus.data.photographs.crops import Crops
from isthmus.data.photographs.image_list import image_list

FIGURES = Path(__file__).with_name("rivals.json")
THREADS = ("1", "2")  # of README's halves
_AGREE = 0.25  # of the loss, which differs with the order and the start, which are other draws


def samples(name: str, n_digits: int, n_crops: int) -> np.ndarray:
    """What a model is trained on, whole batches: digits (n, 784), or crops of photographs (n, 1, side, side)."""
    if name not in DENOISERS:
        return digits(n_digits // BATCH * BATCH).floats()
    folder = Path(os.environ.get("ISTHMUS_DATA", ".")) / "photographs" / "train400"
    crops = Crops(image_list(folder), CROP, n_crops // CROPS * CROPS, torch.device("cpu"))
    return crops.batch(slice(None)).view(-1, 1, CROP, CROP).numpy()


def floor_of(name: str, precision: str) -> float:
    """Seconds of a step's floor."""
    if name in DENOISERS:
        dtype = getattr(torch, precision_of(name, precision))
        return step_floor(Residual(), batch_of(name), (1, CROP, CROP), dtype)
    # two numbers of a code's, its mean and variance, are a hundredth of the products
    return step_floor(NETWORKS.get(name, Dense(HIDDEN, 2 * CODE)), BATCH)


def steps_of(name: str, x: np.ndarray, precision: str, loops: list[str], repeats: int, threads: int) -> dict[str, Any]:
    """Microseconds of a step by each loop, in each round, and what was compiled in how many seconds."""
    if name not in DENOISERS:
        x = x.reshape(-1, 1, 28, 28)
    if name == VAE:  # of pixels that are drawn once
        x = (np.random.default_rng(0).random(x.shape, np.float32) < x).astype(np.float32)
    clock = time.process_time if threads == 1 else time.perf_counter
    epochs, compiled = dict[str, Epoch](), dict[str, float]()
    rounds: dict[str, list[float]] = {loop: [] for loop in loops if is_for(loop, name)}
    losses: dict[str, float] = {}
    torch.compiler.reset()  # it recompiles one function for eight networks at most, and then silently does not
    for loop in rounds:
        start = time.perf_counter()
        epochs[loop] = LOOPS[loop](name, x, precision_of(name, precision))
        epochs[loop]()
        compiled[loop] = time.perf_counter() - start
    for _ in range(repeats):
        for loop, epoch in epochs.items():
            start = clock()
            losses[loop] = epoch()
            rounds[loop].append((clock() - start) / (len(x) / batch_of(name)) * 1e6)
    if max(losses.values()) > (1 + _AGREE) * min(losses.values()):
        raise SystemExit(f"benchmarks.rivals: {name} is not the same for all, whose losses are {losses}")
    return {"model": name, "rounds": rounds, "first epoch, s": compiled, "losses": losses}


def best_rival(record: dict[str, Any]) -> tuple[str, str]:
    """Whose median is the least but for isthmus', and its steps over isthmus' of the same round, with their range."""
    rounds = record["rounds"]
    best = min((loop for loop in rounds if loop != "isthmus"), key=lambda loop: statistics.median(rounds[loop]))
    return best, readme.spread([a / b for a, b in zip(rounds[best], rounds["isthmus"], strict=True)], 2)


def row(record: dict[str, Any], loops: list[str], floor: float) -> str:
    """A model's line: medians, the best rival's over isthmus' with its range, and isthmus' over the floor."""
    medians = {loop: statistics.median(steps) for loop, steps in record["rounds"].items()}
    cells = [f"{medians[loop]:,.0f}" if loop in medians else "–" for loop in loops]
    over = f"{medians['isthmus'] / floor:.1f}"
    return f"| {' | '.join([record['model'], *cells, ': '.join(best_rival(record)), over])} |"


def milliseconds(steps: list[float]) -> str:
    """The median of microseconds, to three digits."""
    value = statistics.median(steps) / 1000
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def page(figures: dict[str, Any]) -> list[str]:
    """README's table, and under which conditions each half was measured. figures: by threads, as in `FIGURES`."""
    halves = [{record["model"]: record for record in figures.get(n, {"models": []})["models"]} for n in THREADS]
    heads = ["one thread: isthmus, ms", "best rival, ms", "rival / isthmus (range)", "isthmus / floor"]
    heads = ["model", *heads, "two threads: isthmus, ms", "best rival, ms", "rival / isthmus (range)"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name in CASES:
        cells = [name]
        for half in halves:
            if record := half.get(name):
                best, ratio = best_rival(record)
                rounds = record["rounds"]
                cells += [milliseconds(rounds["isthmus"]), f"{best} {milliseconds(rounds[best])}", ratio]
            else:
                cells += ["–"] * 3
            if half is halves[0]:
                over = statistics.median(record["rounds"]["isthmus"]) / record["floor, µs"] if record else 0
                cells.append(f"{over:.1f}" if record else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", "\n\n".join(figures[n]["about"] for n in THREADS if n in figures)]


def conditions(options: Any, records: list[dict[str, Any]], loops: list[str]) -> str:
    """What is to be said of the numbers."""
    slowest = {loop: max(r["first epoch, s"].get(loop, 0) for r in records) for loop in loops}
    compiling = ", ".join(f"{loop} {seconds:.0f} s" for loop, seconds in slowest.items())
    rounds = f"{options.repeats} rounds of {options.images // BATCH * BATCH:,} digits or {options.crops} crops"
    return (
        f"{readme.conditions(rounds, options.threads)}, {options.precision} products but for denoiser-bfloat16; "
        f"{'processor time' if options.threads == 1 else 'time'} of a step of {BATCH} digits or {CROPS} crops. "
        f"The first epoch, which is not counted, took at most: {compiling}."
    )


def main() -> None:
    parser = readme.arguments("benchmarks.rivals", "isthmus and the best loops of others.", rounds=5)
    parser.add_argument("--models", default=",".join(CASES), help="comma-separated (all)")
    parser.add_argument("--images", type=int, default=19_968, help="digits in an epoch, whole batches (19968)")
    parser.add_argument("--crops", type=int, default=512, help="of photographs in an epoch, whole batches (512)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of products (float32)")
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    names = readme.chosen(parser, options, CASES)
    if options.readme and (str(options.threads) not in THREADS or options.precision != "float32"):
        parser.error("README's table is of one thread and of two, in float32")
    if hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as there are cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    torch.set_num_threads(options.threads)
    # as isthmus does itself while it trains, and XLA in its threads: 3 % of a step of torch's for sparse-1024
    torch.set_flush_denormal(True)
    loops = [loop for loop in LOOPS if all(map(importlib.util.find_spec, PACKAGES.get(loop, ())))]
    if lacking := [loop for loop in LOOPS if loop not in loops]:
        print(f"benchmarks.rivals: not installed: {', '.join(lacking)}", file=sys.stderr)
        if options.readme:
            sys.exit("README's table has all rivals: `make bench-alternatives` installs them, apart from the rest")
    heads = ["model", *(f"{loop}, µs" for loop in loops), "best rival / isthmus (range)", "isthmus / floor"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    records = []
    for name in names:
        try:
            x = samples(name, options.images, options.crops)
        except IsthmusError as error:
            sys.exit(f"benchmarks: {error}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints of the others'
            record = steps_of(name, x, options.precision, loops, options.repeats, options.threads)
        record["floor, µs"] = floor_of(name, options.precision) * 1e6
        records.append(record)
        print(row(record, loops, record["floor, µs"]), flush=True)
    about = conditions(options, records, loops)
    print(f"\n{about}")
    versions = {package: importlib.metadata.version(package) for package in ("torch", *_packages(loops))}
    facts = {"about": about, "precision": options.precision, "versions": versions, "models": records}
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, **facts}, indent=1), "utf-8")
    if options.readme:
        figures = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
        figures[str(options.threads)] = facts
        FIGURES.write_text(json.dumps(figures, indent=1), "utf-8")
        readme.put("benchmarks.rivals", page(figures))


def _packages(loops: list[str]) -> list[str]:
    return sorted({package for loop in loops for package in PACKAGES.get(loop, ())})


if __name__ == "__main__":
    main()
