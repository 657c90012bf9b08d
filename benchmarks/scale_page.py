"""The figures of docs/scale.md: steps that are measured once, and all that follows from them by its formulas.

    python -m benchmarks.scale_page [--measure] [--threads 2] [--only NAME]

docs/scale.json holds what was measured, and no more: steps by --measure, which needs some minutes and 3 GB, and checks
by `python -m benchmarks.plan --docs`. The tables of the page are written from it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from isthmus import L1, Autoencoder, Conv, Denoiser, Dictionary, Images, UNet
from isthmus.commands.planning.forecast import exchanged_bytes, state_bytes, training_seconds
from isthmus.commands.planning.step_memory import forward_bytes
from isthmus.commands.planning.step_timer import resident
from isthmus.errors import counted
from isthmus.machine import cores
from isthmus.networks.denoisers import build
from isthmus.parts import Plain

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
FIGURES = PAGE.with_suffix(".json")
NODES = (1, 8, 64)
SHORT = 1.0  # seconds; a training that is shorter is over before a processor has found its pace
LOW, HIGH = 0.7, 1.3  # of actual / estimated: what a plan is to be worth
LINK = 1.25e9  # bytes a second between nodes: an Ethernet of 10 Gbit/s
_PHOTOGRAPHS, _VECTORS = 1_281_167, 1_000_000_000


@dataclass(frozen=True)
class Large:
    """A training on more than was ever trained on here. item: bytes of a sample, as it is stored."""

    title: str
    samples: int
    item: int
    batch_size: int
    epochs: int
    make: Callable[[int], tuple[Any, Any, Any]]  # batch size → estimator, samples of a batch, module on meta device

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * math.ceil(self.samples / self.batch_size)


_ONE: dict[str, Any] = {"epochs": 1000, "learning_rate": 1e-6, "random_state": 0}


def _autoencoder(batch_size: int) -> tuple[Any, Any, Any]:
    network, shape = Conv((16, 32, 64), decoder="deconv"), (3, 224, 224)
    x = Images(np.random.default_rng(0).integers(0, 256, (batch_size, *shape), np.uint8))
    return Autoencoder(network, batch_size=batch_size, **_ONE), x, Plain().dry_run(network, math.prod(shape), shape)


def _denoiser(batch_size: int) -> tuple[Any, Any, Any]:
    photographs = [np.random.default_rng(i).random((3, 224, 224), np.float32) for i in range(16)]
    model = Denoiser(UNet(), batch_size=batch_size, crops_per_epoch=batch_size, precision="float32", **_ONE)
    with torch.device("meta"):
        return model, photographs, build(UNet(), 3, torch.Generator())


def _dictionary(batch_size: int) -> tuple[Any, Any, Any]:
    network = Dictionary(n_atoms=16_384)
    x = np.random.default_rng(0).normal(size=(batch_size, 768)).astype(np.float32)
    model = Autoencoder(network, penalty=L1(1e-4), batch_size=batch_size, **_ONE)
    return model, x, Plain().dry_run(network, 768, None)


LARGE = {
    "autoencoder": Large(
        "a convolutional autoencoder of 1.28 M photographs", _PHOTOGRAPHS, 3 * 224 * 224, 64, 30, _autoencoder
    ),
    "denoiser": Large(
        "a U-Net that denoises them, a 64×64 crop of each an epoch", _PHOTOGRAPHS, 3 * 224 * 224, 16, 15, _denoiser
    ),
    "dictionary": Large("a dictionary of 16,384 atoms for a billion vectors", _VECTORS, 2 * 768, 1024, 1, _dictionary),
}


def measured(name: str, threads: int) -> dict[str, Any]:
    """The median of three steps after the first, with their weights and what a forward pass makes of a sample."""
    large = LARGE[name]
    torch.set_num_threads(threads)
    model, x, module = large.make(large.batch_size)
    before = resident()
    rows = model.fit_epochs(x)
    next(rows)
    step = statistics.median(next(rows).seconds for _ in range(3))
    peak = resident("VmHWM")
    rows.close()
    n_features = 3 * 64 * 64 if name == "denoiser" else large.item if name == "autoencoder" else 768
    n_inputs = n_features + (64 * 64 if name == "denoiser" else 0)
    return {
        "step": step,
        "weights": sum(p.numel() for p in module.parameters()),
        "forward": forward_bytes(module, n_inputs, n_features),
        "resident": before,
        "peak": peak,
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
    }


def memory(large: Large, figures: dict[str, Any]) -> int:
    """Bytes of a process that trains, without its samples."""
    return figures["resident"] + state_bytes(figures["weights"]) + large.batch_size * figures["forward"]


def hours(large: Large, figures: dict[str, Any], nodes: int) -> float:
    """Of one training whose n nodes take a batch each and share their gradients after every step."""
    step = figures["step"] + exchanged_bytes(figures["weights"], nodes) / LINK
    return training_seconds(step, math.ceil(large.steps / nodes), 0.0, large.epochs) / 3600


def _bytes(n: float) -> str:
    unit = max(0, min(4, int(math.log10(max(n, 1)) // 3)))
    return f"{n / 1000**unit:,.4g} {('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def table_of_steps(steps: dict[str, Any]) -> list[str]:
    """What was measured of the large trainings."""
    lines = ["| training | a sample | batch | a step | weights | made of a sample | threads |", "|" + "---|" * 7]
    for name, figures in steps.items():
        large = LARGE[name]
        cells = [
            large.title,
            _bytes(large.item),
            f"{large.batch_size:,}",
            f"{figures['step']:.3g} s",
            f"{figures['weights']:,}",
            _bytes(figures["forward"]),
            str(figures["threads"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    loads = max(figures["load"] for figures in steps.values())
    return [*lines, "", f"Medians of three steps after the first, float32, on a machine whose load was {loads:g}."]


def table_of_hours(steps: dict[str, Any]) -> list[str]:
    """What follows from them."""
    heads = "".join(f" hours, {nodes} node{'s' if nodes > 1 else ''} |" for nodes in NODES)
    lines = [f"| training | samples | epochs | steps |{heads}", "|" + "---|" * (4 + len(NODES))]
    for name, figures in steps.items():
        large = LARGE[name]
        shown = "".join(f" {hours(large, figures, nodes):,.4g} |" for nodes in NODES)
        lines.append(f"| {large.title} | {large.samples:,} | {large.epochs} | {large.steps:,} |{shown}")
    return lines


def table_of_memory(steps: dict[str, Any]) -> list[str]:
    """What a process takes that trains, beside its samples."""
    lines = [
        "| training | at rest | states | a batch | estimated | measured | measured / estimated |",
        "|" + "---|" * 7,
    ]
    for name, figures in steps.items():
        large, total = LARGE[name], memory(LARGE[name], figures)
        parts = (figures["resident"], state_bytes(figures["weights"]), large.batch_size * figures["forward"])
        shown = " | ".join(map(_bytes, (*parts, total, figures["peak"])))
        lines.append(f"| {large.title} | {shown} | {figures['peak'] / total:.2f} |")
    return lines


def table_of_bytes(steps: dict[str, Any]) -> list[str]:
    """What moves."""
    heads = "".join(f" sent by each of {nodes} in a step |" for nodes in NODES[1:])
    lines = [f"| training | all samples | read in all epochs |{heads}", "|" + "---|" * (2 + len(NODES))]
    for name, figures in steps.items():
        large = LARGE[name]
        sent = "".join(f" {_bytes(exchanged_bytes(figures['weights'], nodes))} |" for nodes in NODES[1:])
        total = large.samples * large.item
        lines.append(f"| {large.title} | {_bytes(total)} | {_bytes(total * large.epochs)} |{sent}")
    return lines


def table_of_checks(checks: list[dict[str, Any]]) -> list[str]:
    """Plans beside runs: seconds, and bytes."""
    lines = ["| study | what | estimated | actual | actual / estimated |", "|" + "---|" * 5]
    ratios = list[float]()
    for one in checks:
        rows = [(f"steps of {row['model']}", row, "s") for row in one["models"] if row["actual"] >= SHORT]
        rows += [("the whole run, report included", one["wall"], "s")]
        rows += [("the largest worker", one["memory"], "B")] if one["memory"]["actual"] else []
        rows += [("weights written", one["weights"], "B")]
        lines += [_check(one["study"], *row) for row in rows]
        ratios += [_ratio(row) for _, row, _ in rows]
    loads = [f"{one['load']:g}, of {one['cores']} cores" for one in checks]
    busy = any(one["load"] > one["threads"] + 0.5 for one in checks)
    doubt = " Other programs had part of them, now more and now less, so these seconds prove little." if busy else ""
    near, short = (
        sum(LOW <= ratio <= HIGH for ratio in ratios),
        sum(r["actual"] < SHORT for c in checks for r in c["models"]),
    )
    verdict = f"{near} of {len(ratios)} lie between {LOW:g} and {HIGH:g}."
    left_out = f" Left out: {counted(short, 'training')} of less than {SHORT:g} s." if short else ""
    machine = f"The machine's load was {'; '.join(loads)}; each run used {checks[0]['threads']}."
    return [*lines, "", f"{verdict}{left_out} {machine}{doubt}"]


def _check(study: str, what: str, row: dict[str, float], unit: str) -> str:
    shown = [f"{row[which]:,.1f} s" if unit == "s" else _bytes(row[which]) for which in ("estimated", "actual")]
    return f"| {study} | {what} | {shown[0]} | {shown[1]} | {_ratio(row):.2f} |"


def _ratio(row: dict[str, float]) -> float:
    return row["actual"] / row["estimated"] if row["estimated"] else math.nan


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "steps": lambda figures: table_of_steps(figures["steps"]),
    "hours": lambda figures: table_of_hours(figures["steps"]),
    "memory": lambda figures: table_of_memory(figures["steps"]),
    "bytes": lambda figures: table_of_bytes(figures["steps"]),
    "checks": lambda figures: table_of_checks(figures["checks"]),
}


def page(text: str, figures: dict[str, Any]) -> str:
    """The page with its tables as the figures have them."""
    for name, table in TABLES.items():
        text = readme.replaced(text, f"benchmarks.scale_page {name}", table(figures))
    return text


def keep(**changes: Any) -> None:
    """Keep figures, and write the page from all there are."""
    figures = json.loads(FIGURES.read_text("utf-8")) | changes
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8"), figures), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_page", description="The tables of docs/scale.md.")
    parser.add_argument("--measure", action="store_true", help="measure the steps anew")
    parser.add_argument("--threads", type=int, default=cores(), help="(the cores)")
    parser.add_argument("--only", choices=tuple(LARGE), help="measure this one alone")
    options = parser.parse_args()
    steps = json.loads(FIGURES.read_text("utf-8"))["steps"]
    if options.measure:
        for name in [options.only] if options.only else LARGE:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:  # whose memory at most is that of this one
                steps[name] = process.submit(measured, name, options.threads).result()
            print(name, json.dumps(steps[name]), flush=True)
    keep(steps={name: steps[name] for name in LARGE if name in steps})


if __name__ == "__main__":
    main()
