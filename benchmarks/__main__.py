"""Time the notebook's way of training and isthmus', interleaved, and print the ratios.

    python -m benchmarks [--models dense-64,...] [--repeats 5] [--images 50000] [--threads 2] [--json FILE] [--readme]

Both train the same network on the same images with the same batch size. A ratio is the notebook's seconds over isthmus'
in the same round; the table has the median over rounds and their range. The floor is the bare products and Adam's
traffic, measured in the same run. MNIST is looked for where `isthmus data list` looks. --readme puts the table, of all
models, into README.md.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import torch

from benchmarks import notebook_loop, readme
from benchmarks.floor import step_floor
from benchmarks.recipes import NETWORKS, autoencoder, digits
from isthmus import IsthmusError

EPOCH = 50_000


def main() -> None:
    parser = readme.arguments("benchmarks", "Notebook and isthmus, interleaved.", rounds=5)
    parser.add_argument("--models", default=",".join(NETWORKS), help="comma-separated (all)")
    parser.add_argument("--images", type=int, default=EPOCH, help="trained on in each round (50000)")
    options = parser.parse_args()
    names = readme.chosen(parser, options, NETWORKS)
    torch.set_num_threads(options.threads)
    try:
        images = digits(options.images)
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    as_tensor = torch.from_numpy(images.pixels[:, 0].copy())
    scale = EPOCH / options.images
    table = ["| model | notebook, s | isthmus, s | ratio (range) | floor, s |", "|---|---|---|---|---|"]
    print("\n".join(table))
    records = []
    for name in names:
        rounds = []
        for _ in range(options.repeats):
            notebook = notebook_loop.seconds_per_epoch(name, as_tensor, 1, 64)[0] * scale
            model = autoencoder(name)
            start = time.perf_counter()
            model.fit(images)  # all of it: checks, start, training, history
            rounds.append({"notebook": notebook, "isthmus": (time.perf_counter() - start) * scale})
        floor = step_floor(NETWORKS[name], 64) * EPOCH / 64
        ratios = [one["notebook"] / one["isthmus"] for one in rounds]
        notebook, isthmus = (statistics.median(one[who] for one in rounds) for who in ("notebook", "isthmus"))
        table.append(f"| {name} | {notebook:.2f} | {isthmus:.2f} | {readme.spread(ratios, 1)} | {floor:.2f} |")
        print(table[-1], flush=True)
        records.append({"model": name, "rounds": rounds, "floor": floor, "precision": model.precision_})
    products = " and ".join(sorted({record["precision"] for record in records}))
    rounds_of = f"{options.repeats} rounds of {options.images:,} images"
    about = f"{readme.conditions(rounds_of, options.threads)}, {products} products."
    print(about)
    if options.json:
        facts = {
            "threads": options.threads,
            "torch": torch.__version__,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "images": options.images,
        }
        options.json.write_text(json.dumps({**facts, "models": records}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks", [*table, "", about])


if __name__ == "__main__":
    main()
