"""The floor of a step: its bare products and Adam's traffic on this machine, and nothing else."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from isthmus.networks.accelerators.products import multiplied
from isthmus.networks.denoisers import build
from isthmus.parts import Conv, Dense, Part, Residual


def _least_seconds(call: Callable[[], object], repeats: int = 20) -> float:
    """Of one thread the processor's, which other programs hardly change."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
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


def _of_convolutions(part: Residual, batch_size: int, image_shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    """Seconds of a denoiser's convolutions, forward and backward, channels last; equal ones are measured once."""
    channels, *sides = image_shape
    layers = [one for one in build(part, channels, torch.Generator()).modules() if isinstance(one, nn.Conv2d)]
    order = {"memory_format": torch.channels_last}
    height, width = (side // part.unshuffle for side in sides)

    @functools.cache
    def seconds(n_in: int, n_out: int, is_first: bool) -> float:
        x, grad = (torch.rand(batch_size, n, height, width).to(dtype, **order) for n in (n_in, n_out))
        weight = torch.rand(n_out, n_in, 3, 3).to(dtype, **order)
        rest = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1, [not is_first, True, False])
        backward = partial(torch.ops.aten.convolution_backward, grad, x, weight, None, *rest)
        return _least_seconds(partial(functional.conv2d, x, weight, padding=1)) + _least_seconds(backward)

    return sum(seconds(one.in_channels, one.out_channels, one is layers[0]) for one in layers)


def step_floor(
    network: Part,
    batch_size: int,
    image_shape: tuple[int, int, int] = (1, 28, 28),
    dtype: torch.dtype = torch.float32,
) -> float:
    """Seconds of the products of one step, forward and backward, plus Adam's 28 bytes per weight.

    Each product alone, with its operands in cache, by the faster library: what a step that did nothing else would take.
    Of a `Residual` its convolutions, in dtype; the products of the others are float32.
    """
    if isinstance(network, Residual):
        n_weights = sum(one.numel() for one in build(network, image_shape[0], torch.Generator()).parameters())
        return _of_convolutions(network, batch_size, image_shape, dtype) + adam_seconds(n_weights)
    seconds, weights = 0.0, 0
    for i, (rows, n_in, n_out) in enumerate(products(network, batch_size, image_shape)):
        calls = product_calls(rows, n_in, n_out)
        if not i:  # nobody asks for the gradient at the pixels
            del calls["at the input"]
        seconds += sum(map(_least_seconds, calls.values()))
        weights += n_in * n_out + n_out
    return seconds + adam_seconds(weights)


def product_calls(rows: int, n_in: int, n_out: int) -> dict[str, Callable[[], object]]:
    """A layer's three products, by the library that isthmus takes: forward, and the gradients."""
    x, weight, grad = torch.rand(rows, n_in), torch.rand(n_out, n_in), torch.rand(rows, n_out)
    return {
        "forward": lambda: multiplied(x, weight.t()),
        "at the weight": lambda: multiplied(grad.t(), x),
        "at the input": lambda: multiplied(grad, weight),
    }


def adam_seconds(n_weights: int) -> float:
    """Seconds of Adam's kernel on so many weights in one vector."""
    vector = nn.Parameter(torch.rand(n_weights))
    vector.grad = torch.rand(n_weights)
    return _least_seconds(torch.optim.Adam([vector], fused=True).step)
