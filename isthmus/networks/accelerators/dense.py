"""The training pass of a dense network, its backward pass written out.

Autograd would make three nodes of each layer, and new memory for each gradient, which for a small network is half of a
step.
"""

from __future__ import annotations

import torch

from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE, SATURATING
from isthmus.networks.dense import Chain, DenseNetwork, without_last
from isthmus.networks.network import Gradients, Output

# What the backward pass needs of one layer: its activation, its input, its weight as it was multiplied, z and y.
Tape = list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]


class DensePass:
    """`record` and `backward` of a `DenseNetwork`."""

    def __init__(self, network: DenseNetwork) -> None:
        self.network = network

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, tuple[Tape, Tape]]:
        net = self.network
        code, down = record_chain(net.encoder, net.inward(x), dtype)
        x_hat, up = record_chain(net.decoder, code, dtype, is_last=True, logits=logits)
        return Output(net.outward(x_hat), code.to(x.dtype)), (down, up)

    def backward(self, tapes: tuple[Tape, Tape], at: Gradients) -> None:
        net, (down, up) = self.network, tapes
        grad = backward_chain(net.decoder, up, net.gradient_inward(at.x_hat), to_input=True)
        backward_chain(net.encoder, down, grad if at.code is None else grad + at.code, to_input=False)


def record_chain(
    chain: Chain, x: torch.Tensor, dtype: torch.dtype, *, is_last: bool = False, logits: bool = False
) -> tuple[torch.Tensor, Tape]:
    """The output, and what `backward_chain` needs.

    Products are in `dtype`; saturating activations, and the last layer of the last chain, in the dtype of the
    weights. logits: without the last activation.
    """
    tape: Tape = []
    for i, (layer, activation) in enumerate(zip(chain.layers, without_last(chain.activations, logits), strict=True), 1):
        full = layer.weight.dtype
        x = x.to(full if is_last and i == len(chain.layers) else dtype)
        weight = layer.weight.to(x.dtype)
        z = torch.addmm(layer.bias.to(x.dtype), x, weight.t())
        if activation in SATURATING:
            z = z.to(full)
        y = IN_PLACE.get(activation, ACTIVATIONS[activation])(z)
        tape.append((activation, x, weight, z, y))
        x = y
    return x, tape


def backward_chain(chain: Chain, tape: Tape, grad: torch.Tensor, *, to_input: bool) -> torch.Tensor:
    """Write each weight's gradient into its `.grad`, over what was there; return the gradient at the input.

    Without `to_input`, the gradient at the input is not computed, and what is returned has no meaning.
    """
    steps = list(zip(chain.layers, tape, strict=True))
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
