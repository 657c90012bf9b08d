"""The code search against the notebook's: `python -m benchmarks.search [--repeats 5] [--threads 2]`.

The notebook searches one image at a time, ten in all. The same decoder and the same noisy images are searched here:
alone, and in a batch of 1,000 that begins with them. Both begin at random codes; what is compared is the mean objective
on the notebook's ten, and the seconds for an image.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import notebook_loop
from benchmarks.recipes import digits
from isthmus.machine import cores
from isthmus.networks.accelerators.dense_decoder import DenseDecoder
from isthmus.networks.dense import DenseNetwork
from isthmus.parts import Dense
from isthmus.solvers.latent_search import search

BATCH = 1000
OPTIONS = {"tol": 3e-3}  # coarse, and still below the notebook's objective


def problems(folder: Path, images: torch.Tensor) -> tuple[DenseDecoder, torch.Tensor, torch.Tensor, dict[str, float]]:
    """The decoder, 1,000 noisy images and starts, of which the first are the notebook's, and what it reached."""
    seconds, steps, objective = notebook_loop.seconds_per_search(images, folder / "problems.npz")
    saved = np.load(folder / "problems.npz")
    network = DenseNetwork(Dense(hidden=(400,), bottleneck=20, output="relu"), 784, torch.Generator())
    with torch.no_grad():
        for layer, name in zip(network.decoder.layers, ("decoder.0", "decoder.2"), strict=True):
            layer.weight.copy_(torch.from_numpy(saved[f"{name}.weight"]))
            layer.bias.copy_(torch.from_numpy(saved[f"{name}.bias"]))
    noisy, starts = torch.from_numpy(saved["noisy"]), torch.from_numpy(saved["starts"])
    n = BATCH - len(noisy)
    x = images[len(noisy) : BATCH].view(n, -1).float() / 255
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(x.shape, generator=generator) * x.norm(dim=1, keepdim=True) / 28 * 0.9**0.5
    more = torch.rand((n, starts.shape[1]), generator=generator)
    facts = {"notebook": seconds, "notebook_steps": steps, "notebook_objective": objective}
    return DenseDecoder(network, torch.float32), torch.cat([noisy, x + noise]), torch.cat([starts, more]), facts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description="The code search, interleaved.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--json", help="write every round to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = torch.from_numpy(digits(60_000).pixels[:, 0].copy())
    rounds = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            decoder, noisy, starts, facts = problems(Path(folder), images)
        start = time.perf_counter()
        batch = [search(decoder, y, z, **OPTIONS) for y, z in zip(noisy.split(250), starts.split(250), strict=True)]
        facts["batch"] = (time.perf_counter() - start) / BATCH
        start = time.perf_counter()
        alone = [search(decoder, noisy[i : i + 1], starts[i : i + 1], **OPTIONS) for i in range(10)]
        facts["alone"] = (time.perf_counter() - start) / 10
        facts["objective"] = float(batch[0].objective[:10].mean())
        facts["objective_alone"] = float(torch.cat([one.objective for one in alone]).mean())
        facts["steps"] = float(torch.cat([one.n_iter for one in batch]).double().mean())
        rounds.append(facts)
        print(json.dumps({name: round(value, 6) for name, value in facts.items()}), flush=True)
    for what in ("batch", "alone"):
        ratios = [one["notebook"] / one[what] for one in rounds]
        spread = f"({min(ratios):.0f} to {max(ratios):.0f})"
        print(f"{what}: {statistics.median(ratios):.0f} times the notebook's speed {spread}")
    if options.json:
        Path(options.json).write_text(json.dumps({"threads": options.threads, "rounds": rounds}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
