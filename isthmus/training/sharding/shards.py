"""A batch in shards: each process computes some of them, and the sum does not depend on how many processes there are.

The S shards are the leaves of a binary tree. A process has 2^k neighbours among them, which it adds up itself, and
`Processes.add_up` adds the rest: floats are summed in the same order whoever has them. What a shard draws is a stream
of (seed, purpose, epoch, shard).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch

from isthmus.networks.network import Trainable
from isthmus.objective import Objective
from isthmus.rng import stream_seed
from isthmus.training.replay import Losses
from isthmus.training.setup import Setup
from isthmus.training.weights import FlatWeights


class Streams(NamedTuple):
    """The random numbers of augmentation, of corruption, and of the code."""

    change: torch.Generator
    noise: torch.Generator
    latent: torch.Generator

    @classmethod
    def on(cls, device: torch.device) -> Streams:
        return cls(*(torch.Generator(device) for _ in range(3)))

    def begin(self, seed: int, epoch: int, shard: int | None = None) -> None:
        """Begin an epoch's."""
        for stream, purpose in zip(self, ("augment", "noise", "latent"), strict=True):
            stream.manual_seed(stream_seed(seed, purpose, epoch, shard))


class Step(Protocol):
    """The step of the training loop, of samples and their streams. pieces: how many times these are the batch."""

    objective: Objective
    network: Any

    def averages(self, x: torch.Tensor, streams: Streams, pieces: float) -> torch.Tensor:
        """Their share of the averages over the batch that `Objective.learn` takes."""

    def gradients(
        self, x: torch.Tensor, streams: Streams, pieces: float = 1, mean_code: torch.Tensor | None = None
    ) -> Losses:
        """Their share of the batch's losses; the gradients are left in the weights."""


class Whole:
    """A batch in one piece, in one process: nothing is divided, and nothing added up."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed, self.streams = seed, Streams.on(device)

    def begin(self, epoch: int) -> None:
        """Begin an epoch's streams of randomness."""
        self.streams.begin(self.seed, epoch)

    def rows(self, n: int) -> slice:
        """Which samples of a batch of n are for this process."""
        return slice(0, n)

    def of_batch(self, step: Step, x: torch.Tensor, n: int) -> Losses:
        """Leave the gradients of a whole batch of n in the weights. x: those `rows` of it."""
        return step.gradients(x, self.streams)

    def of_epoch(self, losses: torch.Tensor, named: dict[str, torch.Tensor]) -> None:
        """Make an epoch's losses, (n_steps,), those of the whole batches, in place."""


class Shards(Whole):
    """A batch in S shards, of which this process has those of `shards`."""

    def __init__(self, setup: Setup, network: Trainable, weights: FlatWeights) -> None:
        self.n_shards, self.world, self.seed, self.weights = setup.shards, setup.world, setup.seed, weights
        each, device = self.n_shards // self.world.size, weights.vector.device
        self.shards = range(self.world.rank * each, (self.world.rank + 1) * each)
        self.each_streams = {shard: Streams.on(device) for shard in self.shards}
        self.module_states: dict[int, torch.Tensor] = {}
        self.module_stream = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else None
        self.averaged = averaged_buffers(network)
        # one for each level of the tree below its top, which is in the weights
        self.partial_sums = [torch.empty_like(weights.sums) for _ in range(each.bit_length() - 1)]

    @property
    def _modules_draw_from(self) -> torch.Generator:
        return torch.default_generator if self.module_stream is None else self.module_stream

    def begin(self, epoch: int) -> None:
        """What a module draws itself (dropout), from torch's own generator, is a stream of each shard too."""
        for shard, streams in self.each_streams.items():
            streams.begin(self.seed, epoch, shard)
            module_stream = self._modules_draw_from.manual_seed(stream_seed(self.seed, "module", epoch, shard))
            self.module_states[shard] = module_stream.get_state()

    def _start(self, shard: int, n: int) -> int:
        """Where a shard of a batch of n begins; of fewer samples than shards some are empty."""
        return n * shard // self.n_shards

    def rows(self, n: int) -> slice:
        return slice(self._start(self.shards.start, n), self._start(self.shards.stop, n))

    def _pieces(self, n: int) -> Iterator[tuple[int, int, slice]]:
        """Of a batch of n: each shard that is not empty, by its place here and its number, and its samples here."""
        first = self._start(self.shards.start, n)
        for i, shard in enumerate(self.shards):
            start, stop = (self._start(which, n) - first for which in (shard, shard + 1))
            if start < stop:
                yield i, shard, slice(start, stop)

    def _samples(self, x: torch.Tensor, place: slice) -> torch.Tensor:
        """A shard's in memory of their own: some products round by where in a cache line their numbers begin."""
        return x if len(self.shards) == 1 else x[place].clone()

    def _mean_code(self, step: Step, x: torch.Tensor, n: int) -> torch.Tensor | None:
        """What the shards' gradients need of the whole batch, for which each is computed twice, with the same draws."""
        if not step.objective.is_of_batch:
            return None
        rows = [x.new_zeros(2 + step.network.code_size)] * len(self.shards)
        before = [buffer.clone() for buffer in self.averaged]
        for i, shard, place in self._pieces(n):
            streams = self.each_streams[shard]
            states = [stream.get_state() for stream in streams]
            self._modules_draw_from.set_state(self.module_states[shard])
            rows[i] = step.averages(self._samples(x, place), streams, n / (place.stop - place.start))
            for stream, state in zip(streams, states, strict=True):
                stream.set_state(state)
            for buffer, former in zip(self.averaged, before, strict=True):
                buffer.copy_(former)
        averages = _tree_sum(rows)
        self.world.add_up(averages)
        return step.objective.learn(averages)

    def of_batch(self, step: Step, x: torch.Tensor, n: int) -> Losses:
        mean_code = self._mean_code(step, x, n)
        before, names = [buffer.clone() for buffer in self.averaged], list[str]()
        rows, places = [x.new_zeros(())] * len(self.shards), {i: (shard, place) for i, shard, place in self._pieces(n)}
        for i in range(len(self.shards)):
            if i in places:
                shard, place = places[i]
                for buffer, former in zip(self.averaged, before, strict=True):
                    buffer.copy_(former)
                self._modules_draw_from.set_state(self.module_states[shard])
                pieces = n / (place.stop - place.start)
                loss, terms = step.gradients(self._samples(x, place), self.each_streams[shard], pieces, mean_code)
                self.module_states[shard] = self._modules_draw_from.get_state()
                names, rows[i] = list(terms), torch.stack([loss, *terms.values()])
                self.weights.gather(self.averaged, 1 / pieces)
            else:
                self.weights.sums.zero_()
            self._grow(i)
        self.world.add_up(self.weights.sums)
        self.weights.give_back(self.averaged)
        loss, *values = _tree_sum(rows).view(-1)
        return loss, dict(zip(names, values, strict=True))

    def _grow(self, i: int) -> None:
        """Add the leaf i of this process's tree, which is in the weights, to what is complete of it on its left."""
        level = 0
        while i >> level & 1:
            self.weights.sums.add_(self.partial_sums[level])
            level += 1
        if level < len(self.partial_sums):
            self.partial_sums[level].copy_(self.weights.sums)

    def of_epoch(self, losses: torch.Tensor, named: dict[str, torch.Tensor]) -> None:
        rows = torch.stack([losses, *named.values()])
        self.world.add_up(rows)
        for row, whole in zip((losses, *named.values()), rows, strict=True):
            row.copy_(whole)


def _tree_sum(rows: list[torch.Tensor]) -> torch.Tensor:
    while len(rows) > 1:
        rows = [a + b for a, b in zip(rows[::2], rows[1::2], strict=True)]
    return rows[0]


def averaged_buffers(network: Trainable) -> list[torch.Tensor]:
    """The buffers of a code that a step moves linearly in the average of its batch, so that shards' may be averaged."""
    code: Any = getattr(network, "code", None)
    return [] if code is None else [getattr(code, name) for name in code.averaged]


def division_of(setup: Setup, network: Trainable, weights: FlatWeights) -> Whole:
    """How the batches of a training are divided."""
    return Whole(setup.seed, weights.vector.device) if setup.shards == 1 else Shards(setup, network, weights)
