"""Fully connected autoencoders: encode (n, n_features) → (n, bottleneck), decode back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from isthmus.networks.activations import ACTIVATIONS, IN_PLACE
from isthmus.networks.empty import empty
from isthmus.networks.network import Network, Shape
from isthmus.parts import Dense


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """nn.Linear with nn.Linear's own start, weights and bias ~ U(-1/√n_in, 1/√n_in), drawn from `generator`."""
    layer = empty(nn.Linear, n_in, n_out)
    bound = 1 / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def without_last(activations: tuple[str, ...], logits: bool) -> tuple[str, ...]:
    """The activations; for logits, all but the last."""
    return (*activations[:-1], "linear") if logits else activations


class Chain(nn.Module):
    """Linear layers, each followed by its activation.

    `forward` is for autograd and for inference. Training uses `networks.accelerators.dense`.
    """

    def __init__(self, widths: tuple[int, ...], activations: tuple[str, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList(linear(n_in, n_out, generator) for n_in, n_out in pairwise(widths))
        self.activations = activations

    def forward(self, x: torch.Tensor, *, logits: bool = False) -> torch.Tensor:
        for layer, activation in zip(self.layers, without_last(self.activations, logits), strict=True):
            function = ACTIVATIONS[activation]
            if not torch.is_grad_enabled():  # autograd may need what is before an activation; nobody else does
                function = IN_PLACE.get(activation, function)
            x = function(layer(x))
        return x


class DenseNetwork(Network):
    """The module that a `Dense` part describes."""

    def __init__(
        self, part: Dense, n_features: int, generator: torch.Generator, image_shape: Shape = None, encoded: int = 1
    ) -> None:
        super().__init__()
        down, up = part.widths(n_features)
        down = (*down[:-1], encoded * part.bottleneck)
        self.n_features, self.code_size = n_features, part.bottleneck
        self.multiplications = part.multiplications(n_features, None)
        self.encoder = Chain(down, (*[part.activation] * (len(down) - 2), part.code_output), generator)
        self.decoder = Chain(up, (*[part.activation] * (len(up) - 2), part.output), generator)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.inward(x))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return self.outward(self.decoder(code))

    def decode_both(self, code: torch.Tensor, beside: Any, *, logits: bool = False) -> torch.Tensor:
        return self.outward(self.decoder(code, logits=logits))

    def layers(self, side: str) -> list[tuple[Any, str]]:
        """All layers of that side."""
        chain = getattr(self, side)
        return list(zip(chain.layers, chain.activations, strict=True))

    def rows(self, side: str) -> torch.Tensor:
        """Of the encoder's first layer, or of the decoder's last."""
        weight = self.encoder.layers[0].weight if side == "encoder" else self.decoder.layers[-1].weight.t()
        return self._in_units(weight, side)

    def is_one_layer(self, side: str) -> bool:
        """Whether that side has no hidden layer."""
        return len(getattr(self, side).layers) == 1
