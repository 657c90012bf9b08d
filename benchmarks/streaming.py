"""Training on images that stay on the disk, beside the same from memory: speed, memory, and how soon it begins.

    python -m benchmarks.streaming [--gib 20] [--folder DIR] [--repeats 3] [--samples 1000000] [--json FILE] [--readme]

A folder of shards of 28×28 images is written once (--folder keeps it). In each round one process trains `dense-64` on
so many samples of it in an epoch's order, another on as many from memory: seconds of steps on one thread. "cold": none
of the files is in the system's cache when the epoch begins. Memory is what a process has that is not shared with the
files (RssAnon), at most; to open, the time until the first batch is there, with a set that was read before.
--readme puts the table into README.md.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from isthmus import Autoencoder, Dense, Images, open_images
from isthmus.data.batches import Pixels, batches, samples_on
from isthmus.data.stored.digests import digest_of
from isthmus.data.stored.shard_folder import FORMAT, INDEX, shard_table

_SHARD = 256 << 20
_SIDE = 28


def write(folder: Path, gib: float) -> None:
    """Shards of images that compress no better than photographs do: 256 MiB of them, again and again."""
    folder.mkdir(parents=True, exist_ok=True)
    n = _SHARD // _SIDE**2
    rng = np.random.default_rng(0)
    pixels = (rng.random((n, 1, 1, 1)) * 200 + rng.random((n, 1, _SIDE, _SIDE)) * 55).astype(np.uint8)
    digest, shards = digest_of(pixels), []
    for i in range(max(1, round(gib * 2**30 / _SHARD))):
        np.save(folder / f"{i:05}.npy", pixels)
        shards.append(shard_table(f"{i:05}.npy", n, digest))
    table = {
        "format": FORMAT,
        "n": n * len(shards),
        "shape": [1, _SIDE, _SIDE],
        "dtype": "uint8",
        "source": "a benchmark",
    }
    known = {f"has_{name}": False for name in ("labels", "identities", "names")}
    (folder / INDEX).write_text(json.dumps({**table, **known, "label_names": [], "notes": [], "shards": shards}))


class Part:
    """So many samples of an epoch: a whole one takes minutes. Its order, which is of all, is computed before."""

    def __init__(self, samples: Any, n: int) -> None:
        self.n, self.fingerprint = n, "a part"
        self.n_features, self.device, self.batch = samples.n_features, samples.device, samples.batch
        order = samples.order(1)
        assert order is not None
        self.which = order[:n]

    def __len__(self) -> int:
        return self.n

    def order(self, epoch: int) -> torch.Tensor:
        return self.which


class _Watch(threading.Thread):
    """The most memory of this process that is no file's."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            self.most = max(self.most, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))


def trained(folder: Path, n: int, *, stored: bool, cold: bool) -> dict[str, float]:
    """One fit of so many samples, in this process: its seconds of steps, and its memory."""
    torch.set_num_threads(1)
    watch = _Watch()
    watch.start()
    start = time.perf_counter()
    images = open_images(folder)
    known = time.perf_counter() - start
    _ = images.fingerprint
    fingerprint = time.perf_counter() - start
    if cold:
        forget(folder)
    samples: Any
    if stored:
        samples = samples_on(images, torch.device("cpu"), shuffle=True, seed=0)
    else:
        samples = Pixels(Images(images.pixels[:n]), torch.device("cpu"), shuffle=True)
    start = time.perf_counter()
    next(batches(samples, 128, samples.order(1)))
    first = time.perf_counter() - start + known
    if cold:
        forget(folder)
    model = Autoencoder(Dense(bottleneck=64), epochs=1, batch_size=128, precision="float32", random_state=0)
    model.fit(Part(samples, n))
    watch.done.set()
    watch.join()
    seconds = model.history_.seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "anonymous_mib": watch.most / 1024,
        "peak_mib": peak / 1024,
        "fingerprint": fingerprint,
        "first": first,
    }


def forget(folder: Path) -> None:
    """Have the system drop the files from its cache."""
    os.sync()
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _in_process(folder: Path, n: int, kind: str) -> dict[str, float]:
    call = [sys.executable, "-m", "benchmarks.streaming", "--child", kind, "--folder", str(folder), "--samples", str(n)]
    return json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE).stdout)


KINDS = {"memory": "from memory", "warm": "from the disk's cache", "cold": "from the disk"}


def main() -> None:
    parser = readme.arguments("benchmarks.streaming", "Images on the disk and in memory, interleaved.", rounds=3)
    parser.add_argument("--gib", type=float, default=20, help="of images (20)")
    parser.add_argument("--folder", type=Path, help="of the shards, which are kept there")
    parser.add_argument("--samples", type=int, default=1_000_000, help="trained on in each round (1000000)")
    parser.add_argument("--child", choices=KINDS, help="of this program alone")
    options = parser.parse_args()
    if options.child:
        print(
            json.dumps(
                trained(options.folder, options.samples, stored=options.child != "memory", cold=options.child == "cold")
            )
        )
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="streaming-"))
    try:
        if not (folder / INDEX).is_file():
            write(folder, options.gib)
        start = time.perf_counter()
        images = open_images(folder)
        print(f"{images!r}, read and hashed in {time.perf_counter() - start:.1f} s", file=sys.stderr)
        n = min(options.samples, len(images))
        rounds = [{kind: _in_process(folder, n, kind) for kind in KINDS} for _ in range(options.repeats)]
    finally:
        if options.folder is None:
            shutil.rmtree(folder)
    gib = images.pixels.nbytes / 2**30
    head = f"{len(images):,} images, {gib:.0f} GiB"
    table = [
        f"| {head} | samples a second | memory, MiB | first batch after, s | / memory (range) |",
        "|---|---|---|---|---|",
    ]
    records = []
    for kind, words in KINDS.items():
        of_kind = [one[kind] for one in rounds]
        ratio = readme.spread([one["memory"]["seconds"] / one[kind]["seconds"] for one in rounds], 2)
        rate = n / statistics.median(one["seconds"] for one in of_kind)
        memory = max(one["anonymous_mib"] for one in of_kind)
        first = max(one["first"] for one in of_kind)
        table.append(f"| {words} | {rate:,.0f} | {memory:,.0f} | {first:.2f} | {ratio} |")
        records.append({"kind": kind, "rounds": of_kind})
    known = max(one[kind]["fingerprint"] for one in rounds for kind in KINDS)
    rounds_of = f"{options.repeats} rounds of {n:,} images through dense-64 in batches of 128"
    said = f"The fingerprint of a set that was read before takes {known:.2f} s at most."
    lines = [*table, "", f"{readme.conditions(rounds_of, 1)}, float32 products. {said}"]
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps({"bytes": images.pixels.nbytes, "kinds": records}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.streaming", lines)


if __name__ == "__main__":
    main()
