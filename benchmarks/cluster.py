"""A study of sixteen equal models on this machine, and on Ray with one node and with two, of a core each.

    python -m benchmarks.cluster [--repeats 3] [--models 16] [--epochs 100] [--json FILE] [--readme]

The nodes are Ray's of this machine, as its own tests have them, so nothing passes a network. Each model has one thread,
wherever it is trained, and the same bytes: that is checked. Seconds run from the first news of an epoch to the end of
the command; the start before it (Python, torch, the workers, Ray's actors) is told apart. The ratio is that of two
nodes, or workers, to one, in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from benchmarks import readme

STUDY = """
title = "equal models"
seed = 0
[data]
name = "letters"
"""
MODEL = """
[[model]]
name = "dense-{number}"
estimator = "autoencoder"
network = {{kind = "dense", hidden = [256], bottleneck = 32, output = "sigmoid"}}
epochs = {epochs}
batch_size = 64
"""
PLACES = {  # name → (engine, how many at a time)
    "this machine, one at a time": ("local", 1),
    "this machine, two at a time": ("local", 2),
    "Ray, one node": ("ray", 1),
    "Ray, two nodes": ("ray", 2),
}


@contextlib.contextmanager
def nodes(n: int) -> Iterator[str]:
    """A Ray cluster of n nodes of one core each on this machine; its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        try:
            for _ in range(n - 1):
                cluster.add_node(num_cpus=1)
            yield cluster.address
        finally:
            cluster.shutdown()


def run(folder: Path, engine: str, n: int) -> tuple[float, float, dict[str, bytes]]:
    """(seconds of the start, seconds from then on, weights by model) of the study in this folder."""
    out = folder / f"{engine}-{n}"
    threads = n if engine == "local" else 1  # a model of several that are trained at once has one
    words = ["run", "equal.toml", "--device", "cpu", "--threads", str(threads), "--out", str(out), "--fresh"]
    with nodes(n) if engine == "ray" else contextlib.nullcontext() as address:
        if engine == "ray":
            words += ["--engine", "ray", "--address", str(address)]
        command = [sys.executable, "-W", "ignore", "-m", "isthmus", *words]
        begun, first = time.perf_counter(), None
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder) as one:
            assert one.stderr is not None
            lines = []
            for line in one.stderr:
                lines.append(line)
                if first is None and line.split()[1:2] == ["epoch"]:
                    first = time.perf_counter()
            if one.wait() or first is None:
                sys.exit("benchmarks: the study failed:\n" + "".join(lines))
        ended = time.perf_counter()
    weights = {path.parent.name: path.read_bytes() for path in out.glob("equal/models/*/model.safetensors")}
    return first - begun, ended - first, weights


def table(rounds: list[dict[str, tuple[float, float]]], models: int) -> list[str]:
    """Of each place the median start, seconds and their ratio to one node's or worker's, as Markdown."""
    lines = [f"| {models} models | start, s | then, s (range) | two / one (range) |", "|---|---|---|---|"]
    for name, (engine, n) in PLACES.items():
        one = next(other for other, place in PLACES.items() if place == (engine, 1))
        starts, seconds = zip(*(each[name] for each in rounds), strict=True)
        ratio = readme.spread([each[name][1] / each[one][1] for each in rounds], 2) if n > 1 else ""
        lines.append(f"| {name} | {statistics.median(starts):.1f} | {readme.spread(seconds, 1)} | {ratio} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cluster", description="A study on one node of Ray and on two."
    )
    parser.add_argument("--repeats", type=int, default=3, help="(3)")
    parser.add_argument("--json", type=Path, help="write every round to this file")
    parser.add_argument("--models", type=int, default=16, help="of the study (16)")
    parser.add_argument("--epochs", type=int, default=100, help="of each (100)")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    rounds, weights = list[dict[str, tuple[float, float]]](), list[dict[str, bytes]]()
    with tempfile.TemporaryDirectory() as folder:
        models = (MODEL.format(number=i, epochs=options.epochs) for i in range(options.models))
        Path(folder, "equal.toml").write_text(STUDY + "".join(models), "utf-8")
        for i in range(options.repeats):
            rounds.append({})
            for name, (engine, n) in PLACES.items():
                start, seconds, made = run(Path(folder), engine, n)
                rounds[-1][name] = (start, seconds)
                weights.append(made)
                print(f"round {i + 1}, {name}: {start:.1f} s, then {seconds:.1f} s", file=sys.stderr)
    if any(made != weights[0] for made in weights) or len(weights[0]) != options.models:
        sys.exit("benchmarks: the models are not equal byte for byte")
    rounds_of = f"{options.repeats} rounds" if options.repeats > 1 else "1 round"
    lines = [
        *table(rounds, options.models),
        "",
        f"{readme.conditions(rounds_of, 1)}. All models are equal, byte for byte.",
    ]
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.cluster", lines)


if __name__ == "__main__":
    main()
