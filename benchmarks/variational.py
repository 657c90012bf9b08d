"""Variational autoencoders: isthmus, by its recipe, plainly and as a module, beside pythae's trainer.

    make bench-alternatives  # its environment, build/alternatives, has pythae
    python -m benchmarks.variational [--images 50000] [--epochs 5] [--repeats 3] [--threads 2] [--json FILE] [--readme]

The same network (784 → 512 → 256 → 128 → 30 and back, ReLU, a mean and a variance for each of thirty numbers), Adam at
1e-3, batches of 64 and binary images, which are drawn once by their grey levels; in turns, each from its own start. The
recipe has the same network, images and epochs, and batches, a rate and a precision of its own. Seconds are of the whole
training. The bound is minus the evidence lower bound of 10,000 held-out training images, in nats, by a draw for each,
which is the same program for all. --readme puts the table into README.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import readme
from benchmarks.alternatives import BATCH_SIZE, RATE, held_out_and_rest, missing, quiet, train_by_pythae
from benchmarks.modules import build, module
from isthmus import Autoencoder, Dense, Gaussian

NETWORK = Dense((512, 256, 128), 30, output="sigmoid")

# what gives a mean and the logarithm of a variance, and what gives pixels for a code
Coder = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]


PLAINLY = {"batch_size": BATCH_SIZE, "learning_rate": RATE, "precision": "float32"}


def fit_isthmus(network: Any, training: dict[str, Any], x: np.ndarray, epochs: int, seed: int) -> tuple[float, Coder]:
    model = Autoencoder(network, code=Gaussian(), loss="bce", epochs=epochs, random_state=seed, **training)
    start = time.perf_counter()
    model.fit(x)
    return time.perf_counter() - start, (model.network_.encode, model.network_.decode)


def fit_pythae(x: np.ndarray, epochs: int, seed: int) -> tuple[float, Coder]:
    from pythae.models import VAE, VAEConfig

    torch.manual_seed(seed)
    encoder, layers = build((784,), list(NETWORK.hidden), NETWORK.bottleneck, code=2)
    decoder = nn.Sequential(layers, nn.Sigmoid())
    config = VAEConfig(input_dim=(784,), latent_dim=NETWORK.bottleneck, reconstruction_loss="bce")

    def named(z: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(("embedding", "log_covariance"), z.chunk(2, dim=1), strict=True))

    seconds = train_by_pythae(partial(VAE, config), (encoder, decoder), named, x, epochs, seed)
    return seconds, (encoder.eval(), decoder.eval())


FITS: dict[str, Callable[[np.ndarray, int, int], tuple[float, Coder]]] = {
    "isthmus, by its recipe": partial(fit_isthmus, NETWORK, {"recipe": "fast"}),
    "isthmus": partial(fit_isthmus, NETWORK, PLAINLY),
    "isthmus, products in bfloat16": partial(fit_isthmus, NETWORK, {**PLAINLY, "precision": "bfloat16"}),
    "isthmus, the network as a module": partial(fit_isthmus, module(NETWORK, code=2), PLAINLY),
    "pythae": fit_pythae,
}


def bound(coder: Coder, x: np.ndarray) -> float:
    """Minus the evidence lower bound of binary x, in nats, its mean over images, by a draw for each."""
    encode, decode = coder
    generator, images = torch.Generator().manual_seed(0), torch.from_numpy(x)
    with torch.inference_mode():
        mean, log_variance = encode(images).chunk(2, dim=1)
        code = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        chance = decode(code).double().clamp(1e-7, 1 - 1e-7)
        loss = nn.functional.binary_cross_entropy(chance, images.double(), reduction="none").sum(dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return float((loss + divergence).mean())


def main() -> None:
    parser = readme.arguments("benchmarks.variational", "Variational autoencoders, isthmus' and pythae's.")
    parser.add_argument("--images", type=int, default=50_000, help="trained on (50000)")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    if lacking := missing(["pythae"]):
        sys.exit(lacking)
    torch.set_num_threads(options.threads)
    held_out, images = held_out_and_rest(options.images)
    rng = np.random.default_rng(0)
    x, others = ((rng.random(some.shape) < some).astype(np.float32) for some in (images.floats(), held_out))
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in FITS}
    with quiet():
        for fit in FITS.values():
            fit(x[: 2 * BATCH_SIZE], 1, 0)  # imports, and whatever is made when first used
        for seed in range(options.repeats):
            for name, fit in FITS.items():
                seconds, coder = fit(x, options.epochs, seed)
                measured[name].append({"seconds": seconds, "bound": bound(coder, others)})
    lines = ["| | seconds (range) | times the first (range) | bound, nats (range) |", "|---|---|---|---|"]
    ours = [one["seconds"] for one in next(iter(measured.values()))]
    for name, rounds in measured.items():
        seconds = [one["seconds"] for one in rounds]
        times = "1" if seconds == ours else readme.spread([a / b for a, b in zip(seconds, ours, strict=True)], 1)
        bounds = readme.spread([one["bound"] for one in rounds], 2)
        lines.append(f"| {name} | {readme.spread(seconds, 1)} | {times} | {bounds} |")
    conditions = readme.conditions(f"{options.repeats} rounds", options.threads)
    lines += ["", f"{conditions}; {options.epochs} epochs of {options.images:,} images."]
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "rounds": measured}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.variational", lines)


if __name__ == "__main__":
    main()
