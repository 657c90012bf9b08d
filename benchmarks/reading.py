"""Reading a folder of images beside Pillow's own loop: `python -m benchmarks.reading [--files 10000] [--repeats 5]`.

PNGs of 64×64 are made on the spot. Interleaved in one run: the bare loop `np.asarray(Image.open(path))` in one process
and, shared, in two that are started beforehand; `open_images` without its cache; `open_images` from its cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from isthmus import open_images

_LOOP = """
import sys
import numpy as np
from PIL import Image
paths = sys.stdin.readline().rstrip().split("|")
np.asarray(Image.open(paths[0]))
print("ready", flush=True)
sys.stdin.readline()
for path in paths:
    np.asarray(Image.open(path))
"""


def make(folder: Path, n: int) -> list[Path]:
    """n grey PNGs of waves and noise, which compress as photographs do."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    for i in range(n):
        waves = 127 + 60 * np.sin(x / (3 + i % 7)) + 50 * np.cos(y / (2 + i % 5))
        pixels = (waves + rng.normal(0, 8, (64, 64))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def bare_loop(paths: list[Path], processes: int) -> float:
    """Seconds of Pillow's own loop, shared by processes that have imported it and read one image before."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", _LOOP], **pipes) for _ in range(processes)]  # type: ignore[call-overload]
    for i, process in enumerate(started):
        process.stdin.write("|".join(map(str, paths[i::processes])) + "\n")
        process.stdin.flush()
        process.stdout.readline()
    start = time.perf_counter()
    for process in started:
        process.stdin.close()
    for process in started:
        process.wait()
    return time.perf_counter() - start


def seconds(call: object) -> float:
    start = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description="A folder of small PNGs.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["ISTHMUS_CACHE"] = f"{place}/cache"
        folder = Path(place) / "images"
        folder.mkdir()
        paths = make(folder, options.files)
        open_images(folder)  # fills the cache
        rounds = [
            (
                bare_loop(paths, 1),
                bare_loop(paths, 2),
                seconds(lambda: open_images(folder, cache=False)),
                seconds(lambda: open_images(folder)),
            )
            for _ in range(options.repeats)
        ]
    one, two, ours, cached = (statistics.median(column) for column in zip(*rounds, strict=True))
    speed = [(row[0] / row[2], row[1] / row[2]) for row in rounds]
    against = [f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in zip(*speed, strict=True)]
    print("| files | Pillow's loop, s | in two processes, s | open_images, s | of one loop | of two | cached, s |")
    print("|---|---|---|---|---|---|---|")
    print(f"| {options.files:,} | {one:.2f} | {two:.2f} | {ours:.2f} | {against[0]} | {against[1]} | {cached:.2f} |")


if __name__ == "__main__":
    main()
