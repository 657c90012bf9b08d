"""A step that is recorded once and then replayed whole, its kernels launched in one call (CUDA graphs).

A step of a small network is some fifty kernels of a few microseconds, and starting each from Python takes longer than
it runs. Recorded as a graph they start as one. What a recording reads must stay where it was: the batch and the
learning rate are copied into tensors of its own, and the random streams are of generators that it knows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

import torch

# The objective of a step, and its named terms without their weights, all on the device
Losses = tuple[torch.Tensor, dict[str, torch.Tensor]]
Compute = Callable[[torch.Tensor, torch.Tensor], Losses]  # of a batch and a learning rate
_WARM = 3  # steps before the recording, in which libraries choose their algorithms and get their memory


class Recording(Protocol):
    """What was recorded, and can be done again."""

    def replay(self) -> None: ...


class CudaGraph:
    """`torch.cuda.CUDAGraph` of a call. generators: those that the call draws from."""

    def __init__(self, call: Callable[[], None], generators: tuple[torch.Generator, ...]) -> None:
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        # a recording that fails leaves those that it knows, torch's too, in a state in which nothing else may draw, and
        # its stream as the current one
        stream = torch.cuda.current_stream()
        drawn_from = (*generators, torch.cuda.default_generators[torch.cuda.current_device()])
        before = [generator.clone_state() for generator in drawn_from]
        try:
            with torch.cuda.graph(self.graph):
                call()
        except BaseException:
            torch.cuda.set_stream(stream)
            for generator, state in zip(drawn_from, before, strict=True):
                generator.graphsafe_set_state(state)
            raise

    def replay(self) -> None:
        self.graph.replay()


# What records on a device; elsewhere every step is computed as it comes.
RECORDERS: dict[str, Callable[[Callable[[], None], tuple[torch.Generator, ...]], Recording]] = {"cuda": CudaGraph}


class Replayed:
    """`compute`, replayed from a recording for batches of the size that most have.

    generators: what `compute` draws from, the same objects from epoch to epoch. Where a recording fails, because an
    operation waits for the device or cannot be recorded, every step is computed as it comes.
    """

    def __init__(self, compute: Compute, batch_size: int, generators: tuple[torch.Generator, ...]) -> None:
        self.compute, self.batch_size, self.generators = compute, batch_size, generators
        self.warm = 0
        self.recording: Recording | None = None
        self.failed = False

    def __call__(self, x: torch.Tensor, learning_rate: float) -> Losses:
        """x: (n, n_features). Returns the losses, valid until the next call."""
        if len(x) != self.batch_size or self.failed or self.warm < _WARM:
            self.warm += len(x) == self.batch_size
            return self.compute(x, torch.full((), learning_rate, device=x.device))
        if self.recording is None:
            self.x, self.rate = x.clone(), torch.full((), learning_rate, device=x.device)
            self._record()
            if self.recording is None:
                return self.compute(x, self.rate)
        self.x.copy_(x)
        self.rate.fill_(learning_rate)
        self.recording.replay()
        return self.value

    def _record(self) -> None:
        def call() -> None:
            self.value = self.compute(self.x, self.rate)

        try:
            self.recording = RECORDERS[self.x.device.type](call, self.generators)
        except RuntimeError:  # an operation that waits for the device, or one that cannot be recorded
            self.failed = True
            if self.x.is_cuda:
                with contextlib.suppress(RuntimeError):  # which the recording left behind
                    torch.cuda.synchronize()
