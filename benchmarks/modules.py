"""A network that isthmus has written out, and the same as a torch module of one's own: what does autograd cost?

    python -m benchmarks.modules [--repeats 5] [--images 20000] [--threads 2] [--json FILE] [--readme]

Both are trained by `Autoencoder`, plainly, in float32: one epoch in batches of 64, in turns. The ratio is the seconds
of the written-out network over the module's in the same round: 1 is as fast. Each begins at a start of its own. MNIST
is looked for where `isthmus data list` looks. --readme puts the table into README.md.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from benchmarks import readme
from benchmarks.recipes import digits
from isthmus import Autoencoder, Dense, Images, IsthmusError, Module

NETWORKS = {
    "784 → 512 → 256 → 128 → 30 and back": Dense((512, 256, 128), 30, output="sigmoid"),
    "784 → 2,048 → 1,024 → 64 and back": Dense((2048, 1024), 64, output="sigmoid"),
}


def layers(widths: tuple[int, ...], *, to_end: bool) -> nn.Sequential:
    """Linear layers with ReLU between them, and to_end behind the last too."""
    chain = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*(chain if to_end else chain[:-1]))


def build(shape: tuple[int, ...], hidden: list[int], bottleneck: int, code: int = 1) -> tuple[nn.Module, nn.Module]:
    """The modules that `Dense` is; code: numbers that the encoder gives for each of the bottleneck, 1 with ReLU."""
    n_features = int(torch.Size(shape).numel())
    forth, back = (n_features, *hidden, code * bottleneck), (bottleneck, *reversed(hidden), n_features)
    return nn.Sequential(nn.Flatten(), layers(forth, to_end=code == 1)), layers(back, to_end=False)


def module(network: Dense, code: int = 1) -> Module:
    """The same network as a module."""
    hidden, size = list(network.hidden), network.bottleneck
    return Module(build, {"hidden": hidden, "bottleneck": size, "code": code}, output=network.output)


def seconds(network: Any, images: Images) -> float:
    """Of a whole fit of one epoch."""
    model = Autoencoder(network, epochs=1, batch_size=64, precision="float32", random_state=0)
    start = time.perf_counter()
    model.fit(images)
    return time.perf_counter() - start


def main() -> None:
    parser = readme.arguments("benchmarks.modules", "Written-out networks and modules, interleaved.", rounds=5)
    parser.add_argument("--images", type=int, default=20_000, help="trained on in each round (20000)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        images = digits(options.images)
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    table = [
        "| network | MFLOP a sample | written out, s | module, s | written out / module (range) |",
        "|---|---|---|---|---|",
    ]
    records = []
    for name, network in NETWORKS.items():
        both = {"written out": network, "module": module(network)}
        for one in both.values():  # whatever is made when first used
            seconds(one, images.take(slice(0, 640)))
        rounds = [{who: seconds(one, images) for who, one in both.items()} for _ in range(options.repeats)]
        medians = [f"{statistics.median(one[who] for one in rounds):.2f}" for who in both]
        ratio = readme.spread([one["written out"] / one["module"] for one in rounds], 2)
        flops = 2 * network.multiplications(784, None) / 1e6
        table.append(f"| {' | '.join([name, f'{flops:.1f}', *medians, ratio])} |")
        records.append({"network": name, "rounds": rounds})
    rounds_of = f"{options.repeats} rounds of one epoch of {options.images:,} images"
    lines = [*table, "", f"{readme.conditions(rounds_of, options.threads)}, float32 products."]
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "networks": records}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.modules", lines)


if __name__ == "__main__":
    main()
