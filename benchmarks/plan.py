"""What `isthmus plan` says of a study beside what a run of it takes: seconds, memory, bytes.

    python -m benchmarks.plan [--studies digits,photographs] [--threads 2] [--seconds 1.5] [--json FILE] [--docs]

For each study first the plan and then the run, as commands of their own, in a folder that is removed. `photographs` is
a small study of denoisers on pieces of the two photographs that scikit-learn ships. A ratio is actual / estimated: that
of steps should lie between 0.7 and 1.3 where nothing else runs. Memory is that of the run's workers, on Linux. --docs
puts the table into docs/scale.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import scale_page
from isthmus.commands.planning.step_timer import resident
from isthmus.machine import cores

_DENOISERS = """
title = "Denoisers, in short"
[data]
name = "photographs"
validation = 2
"""
_MODEL = """
[[model]]
name = "{name}"
estimator = "denoiser"
network = {{kind = "{kind}"}}
target = "{target}"
epochs = 6
crops_per_epoch = 512
precision = "auto"
"""
_MEASURE = """
[[measure]]
metrics = ["mse", "psnr"]
corruption = {kind = "gaussian"}
levels = [0.1]
"""
_SIDE = 180  # pixels, of pieces of photographs
_LOOK = 0.2  # seconds between two looks at memory


def denoisers(folder: Path) -> list[str]:
    """Write a study and its photographs; what names them on the command line."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    pieces = folder / "pieces"
    pieces.mkdir()
    for number, photograph in enumerate(load_sample_images().images):
        for top in range(0, photograph.shape[0] - _SIDE, _SIDE):
            for left in range(0, photograph.shape[1] - _SIDE, _SIDE):
                piece = photograph[top : top + _SIDE, left : left + _SIDE].mean(axis=2).round().astype("uint8")
                Image.fromarray(piece).save(pieces / f"{number}-{top}-{left}.png")
    models = [  # so many that two train at a time
        ("residual", "residual", "clean"),
        ("unet", "unet", "clean"),
        ("residual-from-noisy", "residual", "noisy"),
        ("unet-from-noisy", "unet", "noisy"),
    ]
    text = "".join(_MODEL.format(name=name, kind=kind, target=target) for name, kind, target in models)
    study = folder / "denoisers.toml"
    study.write_text(_DENOISERS + text + _MEASURE, "utf-8")
    return [str(study), "--data-dir", str(pieces)]


def isthmus(*arguments: str) -> tuple[str, int]:
    """Run a command: its stdout, and the most memory in bytes that one of its workers had; 0 where it has none."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as told,
        subprocess.Popen(
            [sys.executable, "-m", "isthmus", *arguments], stdout=subprocess.PIPE, stderr=told, text=True
        ) as process,
    ):
        most, out = 0, ""
        while True:
            try:
                out += process.communicate(timeout=_LOOK)[0]
                break
            except subprocess.TimeoutExpired:
                most = max([most, *(resident("VmHWM", child) for child in children(process.pid))])
        if process.returncode:
            told.seek(0)
            sys.exit(told.read())
    return out, most


def children(pid: int) -> list[int]:
    """The processes that a process has started, on Linux."""
    started = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):  # it may be gone by now
            if int((folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1]) == pid:
                started.append(int(folder.name))
    return started


def check(name: str, threads: int, seconds: float) -> dict[str, Any]:
    """Plan a study and run it. Seconds by model, and of the whole; bytes of memory, and written."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = denoisers(folder) if name == "photographs" else [name]
        common = [*study, "--threads", str(threads), "--device", "cpu", "--json"]
        plan = json.loads(isthmus("plan", *common, "--seconds", str(seconds))[0])
        start = time.perf_counter()
        out, peak = isthmus("run", *common, "--out", str(folder / "runs"))
        results = json.loads(out)
        wall = time.perf_counter() - start
        models = sum(file.stat().st_size for file in folder.glob("runs/*/models/*/model.safetensors"))
    timings = {timing["model"]: timing for timing in results["timings"] if timing["phase"] == "fit"}
    rows = [
        {"model": row["model"], "estimated": row["step"] * row["steps"], "actual": timings[row["model"]]["seconds"]}
        for row in plan["models"]
        if row["step"] is not None and not row["is_upper_bound"]
    ]
    return {
        "study": name,
        "threads": threads,
        "cores": cores(),
        "load": round(os.getloadavg()[0], 1),
        "models": rows,
        "wall": {"estimated": 3600 * plan["wall_hours"], "actual": wall},
        "memory": {
            "estimated": max(max(row["memory"], row["measured_memory"]) for row in plan["models"]),  # as a plan has it
            "actual": peak,
        },
        "weights": {"estimated": sum(4 * row["weights"] for row in plan["models"]), "actual": models},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description="Plans beside runs.")
    parser.add_argument("--studies", default="photographs,digits", help="with commas (photographs,digits)")
    parser.add_argument("--threads", type=int, default=cores(), help="(the cores)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of measured steps, for each model (1.5)")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/scale.md")
    options = parser.parse_args()
    checks = [check(name, options.threads, options.seconds) for name in options.studies.split(",")]
    print("\n".join(scale_page.table_of_checks(checks)))
    if options.json:
        options.json.write_text(json.dumps(checks, indent=1), "utf-8")
    if options.docs:
        scale_page.keep(checks=checks)


if __name__ == "__main__":
    main()
