"""The floor of a step: its bare products and Adam's traffic on this machine, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import torch

from isthmus import Dense


def _least_seconds(call: Callable[[], object], repeats: int = 20) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def step_floor(network: Dense, batch_size: int, n_features: int = 784) -> float:
    """Seconds of the products of one float32 step, forward and backward, plus Adam's 28 bytes per weight.

    Each product alone, with its operands in cache: what a step that did nothing else would take.
    """
    seconds, weights = 0.0, 0
    layers = [pair for widths in network.widths(n_features) for pair in pairwise(widths)]
    for i, (n_in, n_out) in enumerate(layers):
        x, weight, grad = torch.rand(batch_size, n_in), torch.rand(n_out, n_in), torch.rand(batch_size, n_out)
        products = [lambda x=x, w=weight: x @ w.t(), lambda x=x, g=grad: g.t() @ x]
        if i:  # nobody asks for the gradient at the pixels
            products.append(lambda w=weight, g=grad: g @ w)
        seconds += sum(_least_seconds(product) for product in products)
        weights += n_in * n_out + n_out
    vector = torch.nn.Parameter(torch.rand(weights))
    vector.grad = torch.rand(weights)
    adam = torch.optim.Adam([vector], fused=True)
    return seconds + _least_seconds(adam.step)
