"""How long the recipe "fast" takes to the errors that were published, against the notebook's way of training.

    python -m benchmarks.time_to_error [--models dense-64,...] [--seeds 5] [--threads 2] [--json FILE] [--readme]

For each seed in turn: one epoch of the notebook's loop at the published batch size, and then the recipe's whole fit,
with its checks and its start. The notebook's time is that epoch's times the published number of epochs. Images and
published errors are those of the studies. MNIST is looked for where `isthmus data list` looks. --readme puts the table,
of all models, into README.md.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks import notebook_loop, readme
from isthmus import Autoencoder, Images, IsthmusError, load_dataset
from isthmus.studies.plan.context import split_for
from isthmus.studies.spec.parser import load_study
from isthmus.studies.spec.study import Model
from isthmus.training.recipe import described

# The study of each model, and the reference that has its published error.
REFERENCES = {
    "deep-32-leakyrelu": ("compress", "compress.deep-32-leakyrelu.mse"),
    "dense-64": ("lab", "lab.dense-64.val"),
    "deep-30": ("lab", "lab.deep-30.val"),
}


@dataclass(frozen=True)
class Task:
    """A model as it was published: what it is fitted on, what it is scored on, and the error to be reached."""

    model: Model
    fitted_on: Images
    scored_on: Images
    published: float


def task(name: str) -> Task:
    """The task of a model's name, from its study."""
    study_name, reference_id = REFERENCES[name]
    study = load_study(study_name)
    model = study.model(name)
    reference = next(one for one in study.references if one.id == reference_id)
    assert isinstance(reference.value, float)
    splits = split_for(study, load_dataset(study.data.name), (model,))
    fitted_on = splits["all" if study.pools(model) else "train"]
    return Task(model, fitted_on, splits[reference.split], reference.value)


def one_round(task: Task, seed: int) -> dict[str, Any]:
    """The notebook's seconds and the recipe's, one after the other, and the recipe's error."""
    assert task.model.training is not None
    images = torch.from_numpy(task.fitted_on.pixels[:, 0].copy())
    batch_size, epochs = task.model.training.batch_size, task.model.training.epochs
    notebook = epochs * notebook_loop.seconds_per_epoch(task.model.name, images, 1, batch_size)[0]
    network = task.model.arguments["network"]
    model = Autoencoder(network, recipe="fast", precision="float32", random_state=seed)  # the notebook's precision
    start = time.perf_counter()
    model.fit(task.fitted_on)
    seconds = time.perf_counter() - start
    code = model.transform(task.scored_on)
    return {
        "seed": seed,
        "notebook": notebook,
        "seconds": seconds,
        "error": -model.score(task.scored_on),
        "dead_units": int((code == 0).all(axis=0).sum()),
        "training": described(model.training_),
        "precision": model.precision_,
    }


def warm_up(task: Task) -> None:
    """Import, and make whatever is made when first used, on a few images."""
    few = task.fitted_on.take(slice(0, 1024))
    notebook_loop.seconds_per_epoch(task.model.name, torch.from_numpy(few.pixels[:, 0].copy()), 1, 64)
    network = task.model.arguments["network"]
    Autoencoder(network, recipe="fast", epochs=1, precision="float32", random_state=0).fit(few)


def row(task: Task, rounds: list[dict[str, Any]]) -> str:
    """A model's row of the table."""
    reached = readme.spread([one["error"] for one in rounds], 5)
    seconds = readme.spread([one["seconds"] for one in rounds], 2)
    notebook = statistics.median(one["notebook"] for one in rounds)
    ratio = readme.spread([one["notebook"] / one["seconds"] for one in rounds], 1)
    return f"| {task.model.name} | {task.published:.5f} | {reached} | {notebook:.0f} | {seconds} | {ratio} |"


def main() -> None:
    parser = readme.arguments("benchmarks.time_to_error", "Time to published errors.", rounds=5, option="--seeds")
    parser.add_argument("--models", default=",".join(REFERENCES), help="comma-separated (all)")
    options = parser.parse_args()
    names = readme.chosen(parser, options, REFERENCES)
    torch.set_num_threads(options.threads)
    table = [
        "| model | published error | reached (range) | notebook, s | recipe, s (range) | ratio (range) |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(table))
    records = []
    for name in names:
        try:
            one = task(name)
        except IsthmusError as error:
            sys.exit(f"benchmarks: {error}")
        warm_up(one)
        rounds = [one_round(one, seed) for seed in range(options.seeds)]
        table.append(row(one, rounds))
        print(table[-1], flush=True)
        records.append({"model": name, "published": one.published, "rounds": rounds})
    for record in records:
        print(f"{record['model']}: {record['rounds'][0]['training']}, {record['rounds'][0]['precision']}")
    about = f"{readme.conditions(f'{options.seeds} seeds', options.threads)}; all of `fit` is counted."
    print(about)
    if options.json:
        facts = {"threads": options.threads, "torch": torch.__version__, "numpy": np.__version__}
        options.json.write_text(json.dumps({**facts, "models": records}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.time_to_error", [*table, "", about])


if __name__ == "__main__":
    main()
