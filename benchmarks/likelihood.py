"""Likelihoods of MNIST beside those that Burda, Grosse and Salakhutdinov published in 2016 (table 1, one layer).

    python -m benchmarks.likelihood [--out runs/likelihood] [--epochs 220] [--threads 2] [--readme]

A variational autoencoder of 50 numbers, two layers of 200 on each side (tanh), on all 60,000 training images, whose
pixels are drawn anew in each epoch, by the recipe; and then the same model trained further on the bound of fifty
weighted draws, for so many epochs. Each is measured on the 10,000 test images, made binary once, by 5,000 draws. It
takes hours; with the same --out a run that was stopped goes on. --readme puts the table into README.md.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch

import isthmus
from benchmarks import readme
from isthmus import Autoencoder, Dense, Gaussian
from isthmus.errors import counted

NETWORK = Dense((200, 200), 50, activation="tanh", code_activation="linear", output="sigmoid")
PUBLISHED = {"vae": 86.76, "iwae": 84.78}
SAYS = {"vae": "variational autoencoder", "iwae": "trained further on the bound of 50 draws"}
FURTHER = {"code__samples": 50, "warm_start": True, "batch_size": 64, "learning_rate": 2e-3}
DRAWS = 5_000


def trained(name: str, model: Autoencoder, X: Any, out: Path) -> Autoencoder:
    """The model, trained, from `out` if it is there; what is there of its training is gone on with."""
    if (out / name).exists():
        return isthmus.load(out / name)
    for row in model.fit_epochs(X, checkpoint=out / f"{name}-checkpoint"):
        print(f"\r{name}: epoch {row.epoch}, {row.loss:.2f} nats, {row.seconds:.1f} s", end="", file=sys.stderr)
    isthmus.save(model, out / name)
    return model


def measured(name: str, model: Autoencoder, X: Any, out: Path) -> dict[str, float]:
    """Minus the logarithm of the likelihood of a test image in nats, its standard error, and what the training took."""
    path = out / f"{name}.json"
    if not path.exists():
        start = time.perf_counter()
        nats = -model.log_likelihood(X, n_samples=DRAWS).astype(float)
        print(f"; likelihoods in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        row = {
            "nats": nats.mean(),
            "error": nats.std(ddof=1) / math.sqrt(len(nats)),
            "epochs": len(model.history_),
            "minutes": sum(row.seconds for row in model.history_) / 60,
            "threads": torch.get_num_threads(),
        }
        path.write_text(json.dumps(row), "utf-8")
    return dict(json.loads(path.read_text("utf-8")))


def main() -> None:
    parser = readme.arguments("benchmarks.likelihood", "Likelihoods of MNIST.", 220, "--epochs")
    parser.add_argument("--out", type=Path, default=Path("runs/likelihood"), help="(runs/likelihood)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    data, rows = isthmus.load_dataset("mnist"), {}
    model = Autoencoder(NETWORK, code=Gaussian(), loss="bce", recipe="fast", random_state=0)
    for name in PUBLISHED:
        if name == "iwae":
            model = model.set_params(**FURTHER, epochs=options.epochs)
        model = trained(name, model, data.train, options.out)
        rows[name] = measured(name, model, data.test, options.out)
    lines = [
        "| minus log likelihood of a test image, nats | published | isthmus, ± standard error | epochs | minutes |"
    ]
    lines.append("|---|---|---|---|---|")
    for name, row in rows.items():
        mine = f"{row['nats']:.2f} ± {row['error']:.2f}"
        took = f"{row['epochs']} | {row['minutes']:.0f}, of {counted(row['threads'], 'thread')}"
        lines.append(f"| {SAYS[name]} | {PUBLISHED[name]} | {mine} | {took} |")
    of_images = f"{len(data.test):,} images, made binary once, {DRAWS:,} weighted draws for each"
    lines += ["", f"One training, one draw of the pixels: {of_images}."]
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.likelihood", lines)


if __name__ == "__main__":
    main()
