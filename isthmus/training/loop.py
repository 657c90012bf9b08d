"""The training loop, the only one that takes gradient steps on weights.

A step is: gather the batch, augment it, corrupt it, forward, objective, backward, optimizer. No step waits
for the device, but for one with Poisson noise, whose rate is checked first: losses are collected on the device and read
once, when the epoch is over. `train` is a generator that yields
once per epoch, so early stopping and progress live in the caller's `for`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import Samples, batches
from isthmus.errors import DivergedError
from isthmus.networks.accelerators import training_pass
from isthmus.networks.accelerators.linear import LinearProducts
from isthmus.networks.network import Trainable, TrainingPass
from isthmus.networks.outputs import Output
from isthmus.objective import averages
from isthmus.parts import Training
from isthmus.rng import stream_seed
from isthmus.training.hardware import (
    FairShare,
    convolutions_repeatable,
    denormals_flushed,
    keep_freed_memory,
    memory_told,
    using_threads,
)
from isthmus.training.history import Epoch
from isthmus.training.optimizers import OPTIMIZERS
from isthmus.training.replay import RECORDERS, Losses, Replayed
from isthmus.training.setup import Setup
from isthmus.training.sharding.shards import Streams, averaged_buffers, division_of
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


@dataclass
class Position:
    """Where a training stands between two epochs: with the weights, all that it needs to go on.

    epoch: how many are done; the schedule follows from it. optimizer: its tensors, by name. After each epoch they are
    the optimizer's own: copy what is to last.
    """

    epoch: int = 0
    optimizer: dict[str, torch.Tensor] = field(default_factory=dict)


def train(
    network: Trainable, samples: Samples, setup: Setup, position: Position | None = None
) -> Generator[Epoch, None, None]:
    """Train `network` in place on samples that live on its device, and yield a row after each epoch.

    The samples say in which order an epoch takes them. position: where to go on from, if not from the start; kept up to
    date after each epoch.
    Raises DivergedError after an epoch whose loss is not finite, with the first such step; RunError if memory runs out.
    """
    position = Position() if position is None else position
    training, threads = setup.training, setup.threads
    share = FairShare(threads if samples.device.type == "cpu" else 1)
    keep_freed_memory()
    with memory_told(training.batch_size):
        trained = training_pass(network)
        beside = 0 if setup.shards == 1 else sum(buffer.numel() for buffer in averaged_buffers(network))
        alone = setup.shards == 1
        weights = FlatWeights(
            network,
            autograd=alone and trained is network,
            apart=alone and samples.device.type == "cpu",
            beside=beside,
            world=setup.world,
        )
    try:
        with memory_told(training.batch_size):
            step = _Step(trained, network, weights, setup, n_steps(len(samples), training), position)
        for epoch in range(position.epoch + 1, training.epochs + 1):
            with (
                memory_told(training.batch_size),
                using_threads(threads),
                denormals_flushed(),
                convolutions_repeatable(samples.device),
                step.own_randomness(epoch),
            ):
                row = _epoch(step, samples, epoch, share)
            position.epoch, position.optimizer = epoch, step.optimizer.state
            yield row
    finally:
        share.end()
        position.optimizer = {}
        step = None  # type: ignore[assignment]  # its memory is free before the weights are copied
        weights.release()


def n_steps(n_samples: int, training: Training) -> int:
    """Steps of the whole training."""
    return training.epochs * math.ceil(n_samples / training.batch_size)


class _Step:
    """One update of the weights, and what it carries from step to step: the optimizer and the schedule."""

    def __init__(
        self,
        trained: TrainingPass,
        network: Trainable,
        weights: FlatWeights,
        setup: Setup,
        total: int,
        position: Position,
    ) -> None:
        self.trained, self.network, self.weights = trained, network, weights
        self.setup, self.objective, training = setup, setup.objective, setup.training
        self.optimizer = OPTIMIZERS[training.optimizer](weights, position.optimizer, setup.clip)
        self.peak, self.schedule, self.total = training.learning_rate, SCHEDULES[training.schedule], total
        self.done = position.epoch * total // training.epochs
        self.warmup = setup.objective.warmup  # in epochs: the longest of a term's
        self.dtype = torch.bfloat16 if setup.precision == "bfloat16" else torch.float32
        self.products = LinearProducts() if trained is network else contextlib.nullcontext()
        self.division = division_of(setup, network, weights)
        self.replayed: Replayed | None = None
        if weights.vector.device.type in RECORDERS and setup.shards == 1:
            self.replayed = Replayed(self._compute, training.batch_size, self.division.streams)

    @contextlib.contextmanager
    def own_randomness(self, epoch: int) -> Iterator[None]:
        """An epoch in which what a module of torch draws itself (dropout) is a stream too, of torch's generators."""
        device, seed = self.weights.vector.device, stream_seed(self.setup.seed, "module", epoch)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            yield

    def weights_are_finite(self) -> bool:
        """Whether the last step, whose effect no loss has seen yet, left the weights finite."""
        vector = self.weights.vector
        # a sum is finite only if all are, and a tenth of the work; of large ones it may overflow
        return bool(vector.sum().isfinite()) or bool(vector.isfinite().all())

    @property
    def learning_rate(self) -> float:
        return self.peak * self.schedule(self.done / self.total)

    def ramp(self, warmup: float) -> float:
        """The factor on a term's weight: it grows from 0 to 1 during a warm-up of so many epochs, and stays there."""
        steps = warmup * self.total / self.setup.training.epochs
        return min(1.0, self.done / steps) if steps else 1.0

    def __call__(self, x: torch.Tensor, n: int) -> Losses:
        """Update the weights on a batch of n, and return its losses, on the device. x: its rows for this process."""
        # what is recorded has one weight of each term for good, so a warm-up is not
        if self.replayed is None or self.ramp(self.warmup) < 1:
            losses = self._compute(x, self.learning_rate, n)
        else:
            losses = self.replayed(x, self.learning_rate)
        self.done += 1
        return losses

    def _compute(self, x: torch.Tensor, learning_rate: float | torch.Tensor, n: int | None = None) -> Losses:
        losses = self.division.of_batch(self, x, len(x) if n is None else n)
        self.optimizer.step(learning_rate)
        self.network.finish_step()
        return losses

    def _recorded(self, x: torch.Tensor, streams: Streams) -> tuple[Output, torch.Tensor, Any]:
        """The output of samples, what it is to be, and what the backward pass needs."""
        x = self.setup.augmented(x, streams.change)
        (x_in, target), logits = self.setup.pair(x, streams.noise), self.objective.takes_logits
        with self.products:
            output, tapes = self.trained.record(x_in, self.dtype, logits=logits, generator=streams.latent)
        return output, target, tapes

    def averages(self, x: torch.Tensor, streams: Streams, pieces: float) -> torch.Tensor:
        """What of a shard adds up to the averages over a batch that `learn` takes."""
        output, target, _ = self._recorded(x, streams)
        return self.objective.of_shard(output.x_hat, output.code, target, self.ramp, output.terms, pieces)

    def gradients(
        self, x: torch.Tensor, streams: Streams, pieces: float = 1, mean_code: torch.Tensor | None = None
    ) -> Losses:
        """Leave the gradients at samples in the weights. pieces, mean_code: as of `Objective.with_gradients`."""
        output, target, tapes = self._recorded(x, streams)
        self.warmup = max((self.warmup, *(term.warmup for term in output.terms.values())))
        value, at = self.objective.with_gradients(
            output.x_hat, output.code, target, self.ramp, output.terms, pieces, mean_code
        )
        self.trained.backward(tapes, at)
        return value, averages(output.terms, pieces)


@torch.no_grad()
def _epoch(step: _Step, samples: Samples, epoch: int, share: FairShare) -> Epoch:
    training, ids = step.setup.training, step.setup.ids
    device = samples.device
    step.division.begin(epoch)
    step.network.train()
    first, n = step.done, len(samples)
    # one tensor for all losses: small ones, kept between large ones that are freed, would tear holes into the heap
    losses = torch.zeros(math.ceil(n / training.batch_size), device=device)
    named: dict[str, torch.Tensor] = {}
    share.resume()
    start = time.perf_counter()
    order = samples.order(epoch)
    for i, x in enumerate(batches(samples, training.batch_size, order, step.division.rows)):
        share.look()
        losses[i], terms = step(x, min(training.batch_size, n - i * training.batch_size))
        for name, value in terms.items():
            named.setdefault(name, torch.zeros_like(losses))[i] = value
    step.division.of_epoch(losses, named)
    values = losses.cpu().double() * step.objective.unit
    seconds = time.perf_counter() - start
    share.pause()  # what the caller does between epochs is not measured
    bad = torch.nonzero(~values.isfinite())
    if len(bad) or not step.weights_are_finite():
        number = int(bad[0]) if len(bad) else len(losses) - 1
        step.done = first + number
        place = slice(number * training.batch_size, (number + 1) * training.batch_size)
        which = (torch.arange(n, device=device) if order is None else order)[place]
        names = which.cpu().numpy() if ids is None else ids[which.cpu().numpy()]
        raise _diverged(values[number].item(), epoch, step, samples.batch(which), names)
    sizes = torch.full((len(losses),), training.batch_size, dtype=torch.float64)
    sizes[-1] = n - training.batch_size * (len(losses) - 1)
    means = {name: float(each.cpu().double() @ sizes / n) for name, each in named.items()}
    return Epoch(epoch, float(values @ sizes / n), seconds, tuple(values.tolist()), terms=means)


_NAMED = 32  # samples of a batch that a message names; the exception has them all
_FAR = 100  # from 0: numbers that a network's start, for some that are about 1, makes too much of


def _diverged(loss: float, epoch: int, step: _Step, x: torch.Tensor, names: np.ndarray) -> DivergedError:
    """The error for a step after which nothing is finite any more. x: its batch; names: what its samples are called."""
    where = f"step {step.done + 1} (epoch {epoch}), learning rate {step.learning_rate:g}"
    finite = x.isfinite().all(dim=1).cpu().numpy()
    if not finite.all():
        spoilt = names[~finite]
        way_out = f"sample {spoilt[0]} itself holds NaN or infinity; remove or repair it"
    else:
        size = x.abs().amax(dim=1)
        most = f"{size.max().item():g} in sample {names[int(size.argmax())]}"
        named = ", ".join(map(str, names[:_NAMED])) + (
            f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        )
        scaled = "" if step.setup.training.standardize or size.max() < _FAR else "say standardize=True, "
        way_out = (
            f"lower the learning rate, {scaled}or look for extreme values in the data: the batch held the samples "
            f"{named}, and of their numbers the largest is {most}"
        )
    samples = tuple(names.tolist())
    return DivergedError(
        f"diverged: the loss was {loss} at {where}; {way_out}", step.done + 1, epoch, step.learning_rate, samples
    )
