"""Time two other ways of training and isthmus', interleaved, and print the ratios.

    python -m benchmarks [--models dense-64,...] [--repeats 5] [--images 50000] [--threads 2] [--json FILE] [--readme]

The rivals are the strongest plain loop of torch (`resident_loop`) and the notebook's, which decodes one image at a time
(`notebook_loop`). All train the same network on the same images with the same batch size, in float32. A ratio is a
rival's seconds over isthmus' in the same round; the table has the median over rounds and their range. The floor is the
bare products and Adam's traffic, measured in the same run. MNIST is looked for where `isthmus data list` looks.
--readme puts the table, of all models, into README.md.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import torch

from benchmarks import notebook_loop, readme, resident_loop
from benchmarks.floor import step_floor
from benchmarks.recipes import NETWORKS, autoencoder, digits
from isthmus import Images, IsthmusError

EPOCH = 50_000
# The rivals by the name that the table gives them, the strongest first.
RIVALS = {"plain torch": resident_loop.seconds_per_epoch, "notebook": notebook_loop.seconds_per_epoch}
_HEADS = [
    "model",
    *(f"{name}, s" for name in RIVALS),
    "isthmus, s",
    *(f"{name} / isthmus (range)" for name in RIVALS),
    "floor, s",
]
TABLE = [f"| {' | '.join(_HEADS)} |", f"|{'---|' * len(_HEADS)}"]


def one_round(name: str, images: Images, as_tensor: torch.Tensor) -> dict[str, float]:
    """Seconds of one epoch by each rival, and of all of isthmus' fit: checks, start, training, history."""
    seconds = {rival: loop(name, as_tensor, 1, 64)[0] for rival, loop in RIVALS.items()}
    model = autoencoder(name)
    start = time.perf_counter()
    model.fit(images)
    return {**seconds, "isthmus": time.perf_counter() - start}


def row(name: str, rounds: list[dict[str, float]], floor: float) -> str:
    """A model's line of the table."""
    seconds = [f"{statistics.median(one[who] for one in rounds):.2f}" for who in (*RIVALS, "isthmus")]
    ratios = [readme.spread([one[rival] / one["isthmus"] for one in rounds], 1) for rival in RIVALS]
    return f"| {' | '.join([name, *seconds, *ratios, f'{floor:.2f}'])} |"


def main() -> None:
    parser = readme.arguments("benchmarks", "isthmus and two other ways to train, interleaved.", rounds=5)
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
    table = list(TABLE)
    print("\n".join(table))
    records = []
    for name in names:
        one_round(name, images.take(slice(0, 640)), as_tensor[:640])  # whatever is made when first used
        rounds = [
            {who: seconds * scale for who, seconds in one_round(name, images, as_tensor).items()}
            for _ in range(options.repeats)
        ]
        floor = step_floor(NETWORKS[name], 64) * EPOCH / 64
        table.append(row(name, rounds, floor))
        print(table[-1], flush=True)
        records.append({"model": name, "rounds": rounds, "floor": floor})
    rounds_of = f"{options.repeats} rounds of {options.images:,} images"
    about = f"{readme.conditions(rounds_of, options.threads)}, float32 products."
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
