"""The only place where a weight changes.

A step is: gather the batch, corrupt it, forward, objective, backward, optimizer. Nothing in an epoch waits for the
device: losses are collected there and read once, when the epoch is over. `train` is a generator that yields once per
epoch, so early stopping, progress and checkpoints live in the caller's `for`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from isthmus.corruption import corrupt
from isthmus.data.batches import Pixels, batches, epoch_order
from isthmus.errors import RunError
from isthmus.objective import Objective
from isthmus.parts import Part, Training
from isthmus.rng import generator
from isthmus.training.hardware import denormals_flushed
from isthmus.training.history import Epoch
from isthmus.training.weights import FlatWeights


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _one_cycle(done: float) -> float:
    """Smith and Topin 2018: from 1/25 of the peak up during 30 % of the steps, then down to 1/250,000, in cosines."""
    low, lowest, peak_at = 1 / 25, 1 / 250_000, 0.3
    if done < peak_at:
        return 1 + (low - 1) * _cosine(done / peak_at)
    return lowest + (1 - lowest) * _cosine((done - peak_at) / (1 - peak_at))


# The factor on the learning rate when this share of all steps, in [0, 1), is done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _done: 1.0,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
}

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def train(
    network: nn.Module,
    pixels: Pixels,
    objective: Objective,
    training: Training,
    *,
    corruption: Part | None,
    precision: str,
    seed: int,
) -> Iterator[Epoch]:
    """Train `network` in place on `pixels`, which live on its device, and yield a row after each epoch.

    Order and noise are functions of (seed, purpose, epoch). Raises RunError after an epoch whose loss is not finite,
    with the first such step.
    """

    weights = FlatWeights(network)
    step = _Step(network, weights, objective, training, corruption, precision, n_steps(len(pixels), training))
    try:
        for epoch in range(1, training.epochs + 1):
            with denormals_flushed():
                row = _epoch(step, pixels, training, epoch, seed)
            yield row
    finally:
        weights.release()


def n_steps(n_samples: int, training: Training) -> int:
    """Steps of the whole training."""
    return training.epochs * math.ceil(n_samples / training.batch_size)


class _Step:
    """One update of the weights, and what it carries from step to step: the optimizer and the schedule."""

    def __init__(
        self,
        network: nn.Module,
        weights: FlatWeights,
        objective: Objective,
        training: Training,
        corruption: Part | None,
        precision: str,
        total: int,
    ) -> None:
        self.network, self.weights, self.objective, self.corruption = network, weights, objective, corruption
        self.optimizer = OPTIMIZERS[training.optimizer]([weights.vector], lr=training.learning_rate, fused=True)  # type: ignore[call-arg]
        self.peak, self.schedule, self.total, self.done = training.learning_rate, SCHEDULES[training.schedule], total, 0
        self.low_precision = precision == "bfloat16"

    @property
    def learning_rate(self) -> float:
        return self.peak * self.schedule(self.done / self.total)

    def __call__(self, x: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """Update the weights on a batch, (n, n_features), and return its objective, on the device."""
        self.optimizer.param_groups[0]["lr"] = self.learning_rate
        self.done += 1
        x_in = x if self.corruption is None else corrupt(self.corruption, x, noise)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.low_precision):
            x_hat, code = self.network(x_in)
        loss = self.objective(x_hat.float(), code.float(), x)
        self.weights.clear_gradients()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def _epoch(step: _Step, pixels: Pixels, training: Training, epoch: int, seed: int) -> Epoch:
    device = pixels.values.device
    noise = generator(seed, "noise", epoch, device)
    sizes, losses, first = [], [], step.done
    start = time.perf_counter()
    order = epoch_order(len(pixels), training.shuffle, seed, epoch, device)
    for x in batches(pixels, training.batch_size, order):
        sizes.append(len(x))
        losses.append(step(x, noise))
    values = torch.stack(losses).cpu().double()
    seconds = time.perf_counter() - start
    bad = torch.nonzero(~values.isfinite())
    if len(bad):
        step.done = first + int(bad[0])
        raise RunError(
            f"the loss was {values[bad[0]].item()} at step {step.done + 1} (epoch {epoch}) with learning rate "
            f"{step.learning_rate:g}; lower the learning rate, or look for extreme values in the data"
        )
    weights = torch.tensor(sizes, dtype=torch.float64)
    return Epoch(epoch, float(values @ weights / weights.sum()), seconds, tuple(values.tolist()))


@torch.no_grad()
def mean_loss(
    network: nn.Module, pixels: Pixels, objective: Objective, *, corruption: Part | None, seed: int, chunk: int = 1000
) -> float:
    """The objective's loss on `pixels`, averaged over samples, in float32.

    Corrupted with noise of epoch 0, which no training epoch uses: the same noise whenever it is asked for.
    """
    noise = generator(seed, "noise", 0, pixels.values.device)
    total = 0.0
    for x in batches(pixels, chunk, None):
        x_in = x if corruption is None else corrupt(corruption, x, noise)
        x_hat, code = network(x_in)
        total += float(objective(x_hat, code, x)) * len(x)
    return total / len(pixels)
