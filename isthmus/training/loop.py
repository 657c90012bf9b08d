"""The only place where a weight changes.

A step is: gather the batch, corrupt it, forward, objective, backward, optimizer. Nothing in an epoch waits for the
device: losses are collected there and read once, when the epoch is over. `train` is a generator that yields once per
epoch, so early stopping and progress live in the caller's `for`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch

from isthmus.corruption import corrupt
from isthmus.data.batches import Pixels, batches, epoch_order
from isthmus.errors import RunError
from isthmus.networks import Network
from isthmus.objective import Objective
from isthmus.parts import Part, Training
from isthmus.rng import generator
from isthmus.training.hardware import FairShare, denormals_flushed, step_threads, using_threads
from isthmus.training.history import Epoch
from isthmus.training.optimizers import OPTIMIZERS
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


def train(
    network: Network,
    pixels: Pixels,
    objective: Objective,
    training: Training,
    *,
    corruption: Part | None,
    precision: str,
    seed: int,
    image_shape: tuple[int, int, int] | None = None,
) -> Iterator[Epoch]:
    """Train `network` in place on `pixels`, which live on its device, and yield a row after each epoch.

    image_shape: (channels, height, width) of samples that are images, for the corruption. Order and noise are functions
    of (seed, purpose, epoch). Raises RunError after an epoch whose loss is not finite, with the first such step.
    """

    weights = FlatWeights(network)
    device = pixels.values.device
    threads = step_threads(network.multiplications, training.batch_size, torch.get_num_threads(), device)
    share = FairShare(threads if device.type == "cpu" else 1)
    total = n_steps(len(pixels), training)
    step = _Step(network, weights, objective, training, corruption, image_shape, precision, total)
    try:
        for epoch in range(1, training.epochs + 1):
            with using_threads(threads), denormals_flushed():
                row = _epoch(step, pixels, training, epoch, seed, share)
            yield row
    finally:
        share.end()
        del step  # and with it the optimizer's memory, before the weights are copied
        weights.release()


def n_steps(n_samples: int, training: Training) -> int:
    """Steps of the whole training."""
    return training.epochs * math.ceil(n_samples / training.batch_size)


class _Step:
    """One update of the weights, and what it carries from step to step: the optimizer and the schedule."""

    def __init__(
        self,
        network: Network,
        weights: FlatWeights,
        objective: Objective,
        training: Training,
        corruption: Part | None,
        image_shape: tuple[int, int, int] | None,
        precision: str,
        total: int,
    ) -> None:
        self.network, self.weights, self.objective = network, weights, objective
        self.corruption, self.image_shape = corruption, image_shape
        self.optimizer = OPTIMIZERS[training.optimizer](weights.vector)
        self.peak, self.schedule, self.total, self.done = training.learning_rate, SCHEDULES[training.schedule], total, 0
        warmup = 0.0 if objective.penalty is None else objective.penalty.warmup
        self.warmup = warmup * total / training.epochs  # in steps
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def weights_are_finite(self) -> bool:
        """Whether the last step, whose effect no loss has seen yet, left the weights finite."""
        return bool(self.weights.vector.isfinite().all())

    @property
    def learning_rate(self) -> float:
        return self.peak * self.schedule(self.done / self.total)

    @property
    def ramp(self) -> float:
        """The factor on the penalty's weight: it grows from 0 to 1 during the warm-up, and stays there."""
        return min(1.0, self.done / self.warmup) if self.warmup else 1.0

    def __call__(self, x: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """Update the weights on a batch, (n, n_features), and return its objective, on the device."""
        x_in = x if self.corruption is None else corrupt(self.corruption, x, noise, self.image_shape)
        x_hat, code, tapes = self.network.record(x_in, self.dtype)
        value, at_x_hat, at_code = self.objective.with_gradients(x_hat, code, x, self.ramp)
        self.network.backward(tapes, at_x_hat, at_code)
        self.optimizer.step(self.learning_rate)
        self.network.project()
        self.done += 1
        return value


@torch.no_grad()
def _epoch(step: _Step, pixels: Pixels, training: Training, epoch: int, seed: int, share: FairShare) -> Epoch:
    device = pixels.values.device
    noise = generator(seed, "noise", epoch, device)
    first, n = step.done, len(pixels)
    # one tensor for all losses: small ones, kept between large ones that are freed, would tear holes into the heap
    losses = torch.zeros(math.ceil(n / training.batch_size), device=device)
    share.resume()
    start = time.perf_counter()
    order = epoch_order(len(pixels), training.shuffle, seed, epoch, device)
    for i, x in enumerate(batches(pixels, training.batch_size, order)):
        share.look()
        losses[i] = step(x, noise)
    values = losses.cpu().double()
    seconds = time.perf_counter() - start
    share.pause()  # what the caller does between epochs is not measured
    bad = torch.nonzero(~values.isfinite())
    if len(bad) or not step.weights_are_finite():
        step.done = first + (int(bad[0]) if len(bad) else len(losses) - 1)
        raise RunError(
            f"diverged: the loss was {values[step.done - first].item()} at step {step.done + 1} (epoch {epoch}), "
            f"learning rate {step.learning_rate:g}; lower the learning rate, or look for extreme values in the data"
        )
    sizes = torch.full((len(losses),), training.batch_size, dtype=torch.float64)
    sizes[-1] = n - training.batch_size * (len(losses) - 1)
    return Epoch(epoch, float(values @ sizes / n), seconds, tuple(values.tolist()))


@torch.no_grad()
def mean_loss(
    network: Network,
    pixels: Pixels,
    objective: Objective,
    *,
    corruption: Part | None,
    seed: int,
    image_shape: tuple[int, int, int] | None = None,
    chunk: int = 1000,
) -> float:
    """The objective's loss on `pixels`, averaged over samples, in float32.

    Corrupted with noise of epoch 0, which no training epoch uses: the same noise whenever it is asked for.
    """
    noise = generator(seed, "noise", 0, pixels.values.device)
    total = 0.0
    for x in batches(pixels, chunk, None):
        x_in = x if corruption is None else corrupt(corruption, x, noise, image_shape)
        x_hat, code = network(x_in)
        total += float(objective(x_hat, code, x)) * len(x)
    return total / len(pixels)
