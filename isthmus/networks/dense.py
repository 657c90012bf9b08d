"""Fully connected autoencoders: encode (n, n_features) → (n, bottleneck), decode back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE, SATURATING
from isthmus.networks.empty import empty
from isthmus.networks.network import Network
from isthmus.parts import Dense

# What the backward pass needs of one layer: its activation, its input, its weight as it was multiplied, z and y.
Tape = list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]


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

    `forward` is for autograd and for inference. Training uses `record` and `backward`, the same with its backward pass
    written out: autograd would make three nodes of each layer, and new memory for each gradient, which for a small
    network is half of a step.
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

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, is_last: bool = False, logits: bool = False
    ) -> tuple[torch.Tensor, Tape]:
        """The output, and what `backward` needs.

        Products are in `dtype`; saturating activations, and the last layer of the last chain, in the dtype of the
        weights. logits: without the last activation.
        """
        tape: Tape = []
        for i, (layer, activation) in enumerate(
            zip(self.layers, without_last(self.activations, logits), strict=True), 1
        ):
            full = layer.weight.dtype
            x = x.to(full if is_last and i == len(self.layers) else dtype)
            weight = layer.weight.to(x.dtype)
            z = torch.addmm(layer.bias.to(x.dtype), x, weight.t())
            if activation in SATURATING:
                z = z.to(full)
            y = IN_PLACE.get(activation, ACTIVATIONS[activation])(z)
            tape.append((activation, x, weight, z, y))
            x = y
        return x, tape

    def backward(self, tape: Tape, grad: torch.Tensor, *, to_input: bool) -> torch.Tensor:
        """Write each weight's gradient into its `.grad`, over what was there; return the gradient at the input.

        Without `to_input`, the gradient at the input is not computed, and what is returned has no meaning.
        """
        steps = list(zip(self.layers, tape, strict=True))
        for i, (layer, (activation, x, weight, z, y)) in reversed(list(enumerate(steps))):
            grad = BACKWARD[activation](grad.to(y.dtype), y, z).to(x.dtype)
            if x.dtype == layer.weight.dtype:
                torch.mm(grad.t(), x, out=layer.weight.grad)
            else:
                layer.weight.grad.copy_(grad.t() @ x)
            torch.sum(grad, 0, dtype=layer.bias.dtype, out=layer.bias.grad)
            if i or to_input:
                grad = grad @ weight
        return grad


class DenseNetwork(Network):
    """The module that a `Dense` part describes."""

    def __init__(
        self, part: Dense, n_features: int, generator: torch.Generator, image_shape: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
        code = part.activation if part.code_activation is None else part.code_activation
        down, up = part.widths(n_features)
        self.n_features, self.code_size = n_features, part.bottleneck
        self.multiplications = part.multiplications(n_features, None)
        self.encoder = Chain(down, (*[part.activation] * (len(down) - 2), code), generator)
        self.decoder = Chain(up, (*[part.activation] * (len(up) - 2), part.output), generator)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, code_size)."""
        return self.encoder(self.inward(x))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → (n, n_features): reads the code alone."""
        return self.outward(self.decoder(code))

    def forward(self, x: torch.Tensor, *, logits: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """x → (x_hat, code). logits: of a sigmoid output, what goes into the sigmoid instead of x_hat."""
        code = self.encode(x)
        return self.outward(self.decoder(code, logits=logits)), code

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[Tape, Tape]]:
        """(x_hat, code, what `backward` needs): see `Network.record`."""
        code, down = self.encoder.record(self.inward(x), dtype)
        x_hat, up = self.decoder.record(code, dtype, is_last=True, logits=logits)
        return self.outward(x_hat), code.to(x.dtype), (down, up)

    def backward(self, tapes: tuple[Tape, Tape], grad_x_hat: torch.Tensor, grad_code: torch.Tensor | None) -> None:
        """Write the gradient of every weight, from those at x_hat and, beyond what comes through x_hat, at the code."""
        down, up = tapes
        grad = self.decoder.backward(up, self.gradient_inward(grad_x_hat), to_input=True)
        self.encoder.backward(down, grad if grad_code is None else grad + grad_code, to_input=False)
