"""The floor of a step: its bare products and Adam's traffic on this machine, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise

import torch

from isthmus.networks.accelerators.products import multiplied
from isthmus.parts import Conv, Dense, Part


def _least_seconds(call: Callable[[], object], repeats: int = 20) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def products(network: Part, batch_size: int, image_shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of the matrix product that each layer is; of a convolution, a row for each position."""
    if isinstance(network, Conv):
        layers = (*network.encoder_layers(image_shape), *network.decoder_layers(image_shape))
        return [
            (batch_size * math.prod(layer.size_in), layer.n_in, layer.n_out * math.prod(layer.kernel))
            if layer.transposed
            else (batch_size * math.prod(layer.size_out), layer.n_in * math.prod(layer.kernel), layer.n_out)
            for layer in layers
            if layer.kernel
        ]
    assert isinstance(network, Dense)
    return [(batch_size, *pair) for widths in network.widths(math.prod(image_shape)) for pair in pairwise(widths)]


def step_floor(network: Part, batch_size: int, image_shape: tuple[int, int, int] = (1, 28, 28)) -> float:
    """Seconds of the products of one float32 step, forward and backward, plus Adam's 28 bytes per weight.

    Each product alone, with its operands in cache, by the faster library: what a step that did nothing else would take.
    """
    seconds, weights = 0.0, 0
    for i, (rows, n_in, n_out) in enumerate(products(network, batch_size, image_shape)):
        x, weight, grad = torch.rand(rows, n_in), torch.rand(n_out, n_in), torch.rand(rows, n_out)
        calls = [lambda x=x, w=weight: multiplied(x, w.t()), lambda x=x, g=grad: multiplied(g.t(), x)]
        if i:  # nobody asks for the gradient at the pixels
            calls.append(lambda w=weight, g=grad: multiplied(g, w))
        seconds += sum(_least_seconds(call) for call in calls)
        weights += n_in * n_out + n_out
    vector = torch.nn.Parameter(torch.rand(weights))
    vector.grad = torch.rand(weights)
    adam = torch.optim.Adam([vector], fused=True)
    return seconds + _least_seconds(adam.step)
