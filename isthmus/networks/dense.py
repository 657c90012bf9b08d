"""Fully connected autoencoders: encode (n, n_features) → (n, bottleneck), decode back."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

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


# The gradient at an activation's input, from the gradient at its output y and, where it is needed, the input z.
_BACKWARDS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "gelu": lambda grad, y, z: torch.ops.aten.gelu_backward(grad, z),
    "leakyrelu": lambda grad, y, z: torch.ops.aten.leaky_relu_backward(grad, y, 0.01, True),
    "linear": lambda grad, y, z: grad,
    "relu": lambda grad, y, z: torch.ops.aten.threshold_backward(grad, y, 0),
    "sigmoid": lambda grad, y, z: torch.ops.aten.sigmoid_backward(grad, y),
    "silu": lambda grad, y, z: torch.ops.aten.silu_backward(grad, z),
    "tanh": lambda grad, y, z: torch.ops.aten.tanh_backward(grad, y),
}
_NEED_INPUT = ("gelu", "silu")


class _Chained(torch.autograd.Function):
    """A chain as one node of the graph, its backward pass written out.

    Autograd would make three nodes of each layer, and new memory for each gradient: for a small network, half of the
    step. Here the gradients of the weights go where they are wanted, over those of the step before.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, chain: Chain, *parameters: torch.Tensor) -> torch.Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        weights = [weight.to(dtype) for weight in parameters[::2]]
        inputs, outputs = [x.to(dtype)], []
        for activation, weight, bias in zip(chain.activations, weights, parameters[1::2], strict=True):
            z = torch.addmm(bias.to(dtype), inputs[-1], weight.t())
            y = ACTIVATIONS[activation](z)
            inputs.append(y)
            outputs.append(z if activation in _NEED_INPUT else y)
        ctx.chain = chain
        ctx.save_for_backward(*inputs, *outputs, *weights)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        chain, saved, n = ctx.chain, ctx.saved_tensors, len(ctx.chain.activations)
        inputs, before, weights = saved[: n + 1], saved[n + 1 : 2 * n + 1], saved[2 * n + 1 :]
        for i in reversed(range(n)):
            layer = chain.layers[i]
            grad = _BACKWARDS[chain.activations[i]](grad, inputs[i + 1], before[i])
            if grad.dtype == layer.weight.dtype:
                torch.mm(grad.t(), inputs[i], out=layer.weight.grad)
                torch.sum(grad, 0, out=layer.bias.grad)
            else:
                layer.weight.grad.copy_(grad.t() @ inputs[i])
                torch.sum(grad, 0, dtype=layer.bias.dtype, out=layer.bias.grad)
            if i or ctx.needs_input_grad[0]:
                grad = grad @ weights[i]
        return (grad if ctx.needs_input_grad[0] else None, None, *[None] * (2 * n))


class Chain(nn.Module):
    """Linear layers, each followed by its activation.

    gradients_overwritten: whether backward may write the gradients over those of the step before; the loop, which
    keeps one buffer for all gradients, sets it. Otherwise autograd adds them up as it always does.
    """

    gradients_overwritten = False

    def __init__(self, widths: tuple[int, ...], activations: tuple[str, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(n_in, n_out, generator) for n_in, n_out in pairwise(widths))
        self.activations = activations

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.gradients_overwritten and torch.is_grad_enabled():
            return _Chained.apply(x, self, *self.parameters())
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
