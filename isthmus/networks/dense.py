"""Fully connected autoencoders: encode (n, n_features) → (n, bottleneck), decode back."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from isthmus.parts import Dense

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "leakyrelu": functional.leaky_relu,  # slope 0.01
    "linear": lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """nn.Linear with nn.Linear's own start, weights and bias ~ U(-1/√n_in, 1/√n_in), drawn from `generator`."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    bound = 1 / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


class Chain(nn.Module):
    """Linear layers, each followed by its activation."""

    def __init__(self, widths: tuple[int, ...], activations: tuple[str, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(n_in, n_out, generator) for n_in, n_out in pairwise(widths))
        self.activations = activations

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x = ACTIVATIONS[activation](layer(x))
        return x


class DenseNetwork(nn.Module):
    """The module that a `Dense` part describes."""

    def __init__(self, part: Dense, n_features: int, generator: torch.Generator) -> None:
        super().__init__()
        code = part.activation if part.code_activation is None else part.code_activation
        down, up = part.widths(n_features)
        self.n_features, self.code_size = n_features, part.bottleneck
        self.encoder = Chain(down, (*[part.activation] * (len(down) - 2), code), generator)
        self.decoder = Chain(up, (*[part.activation] * (len(up) - 2), part.output), generator)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, code_size)."""
        return self.encoder(x)

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → (n, n_features): reads the code alone."""
        return self.decoder(code)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x → (x_hat, code)."""
        code = self.encode(x)
        return self.decode(code), code
