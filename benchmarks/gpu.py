"""Test isthmus on a GPU, and time its steps beside the strongest plain loop of torch: `benchmarks/gpu.sh` runs it.

It needs no installation, reads MNIST from $ISTHMUS_DATA, and takes noise where there is none, for which steps take as
long. Each model is trained by both in turn, in float32 and with products in bfloat16, at batches of 64 and 1,024; the
ratio is the rival's seconds over isthmus' in the same round. It ends within --minutes, and says what it left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# What isthmus imports for a training, and what its tests do, by the name that pip knows.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
    "threadpoolctl": "threadpoolctl",
    "rich": "rich",
    "pytest": "pytest",
}
TESTS = ("tests/training/test_on_cuda.py", "tests/training/test_replay.py")
IMAGES, ROUNDS, BATCHES = 50_000, 3, (64, 1024)
_FOR_THE_TESTS = 0.5  # of the time


def missing() -> list[str]:
    """The packages that are needed and not there."""
    return [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]


def tested(device: str, seconds: float) -> dict[str, Any]:
    """Run the tests on the device; their exit status and last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "--no-header", *TESTS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ISTHMUS_DEVICE": device}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, timeout=seconds, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return {"status": None, "said": f"stopped after {seconds:.0f} s"}
    lines = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode:
        print("\n".join(lines[-60:]))
    return {"status": done.returncode, "said": lines[-1] if lines else ""}


def pictures() -> tuple[Any, str]:
    """(n, 28, 28) uint8 images, and what they are."""
    import torch

    from benchmarks.recipes import digits
    from isthmus import IsthmusError

    try:
        return torch.from_numpy(digits(IMAGES).pixels[:, 0].copy()), "MNIST"
    except IsthmusError:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (IMAGES, 28, 28), dtype=torch.uint8, generator=generator), "noise"


def one_round(name: str, images: Any, batch_size: int, precision: str, device: str) -> tuple[float, float]:
    """Seconds of an epoch by plain torch and by isthmus, start and history included."""
    import torch

    from benchmarks import resident_loop
    from benchmarks.recipes import autoencoder
    from isthmus import Images

    theirs = resident_loop.seconds_per_epoch(name, images.to(device), 1, batch_size, autocast=precision == "bfloat16")[
        0
    ]
    model = autoencoder(name, batch_size=batch_size, precision=precision, device=device)
    pixels = Images(images.numpy()[:, None])
    start = time.perf_counter()
    model.fit(pixels)
    if device == "cuda":
        torch.cuda.synchronize()
    return theirs, time.perf_counter() - start


def timed(device: str, until: float, images: Any) -> list[dict[str, Any]]:
    """A row for each model, batch size and precision for which there is time; printed as they come."""
    from benchmarks import readme
    from benchmarks.recipes import NETWORKS

    print("| model | batch | products | plain torch, steps/s | isthmus, steps/s | plain torch / isthmus (range) |")
    print("|---|---|---|---|---|---|", flush=True)
    rows = []
    for batch_size in reversed(BATCHES):  # the larger ones are quick
        for name in NETWORKS:
            for precision in ("float32", "bfloat16"):
                if time.monotonic() > until:
                    print(f"no time is left for {name}, {batch_size}, {precision} and what follows")
                    return rows
                case = (batch_size, precision, device)
                one_round(name, images[: 4 * batch_size], *case)  # whatever is made when first used
                rounds = []
                while len(rounds) < ROUNDS and (not rounds or time.monotonic() < until):
                    rounds.append(one_round(name, images, *case))
                steps = len(images) / batch_size
                theirs, ours = (steps / statistics.median(seconds) for seconds in zip(*rounds, strict=True))
                ratio = readme.spread([plain / own for plain, own in rounds], 1)
                print(f"| {name} | {batch_size} | {precision} | {theirs:,.0f} | {ours:,.0f} | {ratio} |", flush=True)
                rows.append({"model": name, "batch_size": batch_size, "precision": precision, "rounds": rounds})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description="isthmus on a GPU: tests, and steps/s.")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to see that this runs (cuda)")
    parser.add_argument("--minutes", type=float, default=8, help="to end within (8)")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"in an epoch ({IMAGES})")
    parser.add_argument("--json", type=Path, help="write all of it to this file")
    options = parser.parse_args()
    begin = time.monotonic()
    if names := missing():
        sys.exit(f"benchmarks/gpu.sh: {sys.executable} lacks {', '.join(names)}")
    sys.path.insert(0, str(ROOT))

    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.sh: torch sees no CUDA device")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "the CPU"
    print(f"{name}, torch {torch.__version__}, Python {sys.version.split()[0]}", flush=True)
    seconds = 60 * options.minutes
    tests = tested(options.device, _FOR_THE_TESTS * seconds)
    print(f"tests, {time.monotonic() - begin:.0f} s: {tests['said']}", flush=True)
    images, what = pictures()
    print(f"an epoch of {min(options.images, len(images)):,} images of {what}", flush=True)
    rows = timed(options.device, begin + 0.9 * seconds, images[: options.images])
    print(f"{time.monotonic() - begin:.0f} s")
    if options.json:
        table = {"device": name, "torch": torch.__version__, "tests": tests, "images": what, "rows": rows}
        options.json.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    sys.exit(tests["status"] != 0)


if __name__ == "__main__":
    main()
