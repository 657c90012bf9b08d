"""The training pass of a dense network, its backward pass written out.

Autograd would make three nodes of each layer, and new memory for each gradient, which for a small network is half of a
step.
"""

from __future__ import annotations

import torch

from isthmus.networks.accelerators.code import Tapes, backward_code, record_code
from isthmus.networks.accelerators.products import affine, multiplied, put_gradient
from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE, SATURATING
from isthmus.networks.dense import Chain, DenseNetwork, without_last
from isthmus.networks.outputs import Gradients, Output

# What the backward pass needs of one layer: its activation, its input, its weight as it was multiplied, z and y.
Tape = list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]


# Products of a number and a weight in one layer of a batch from which on bfloat16 pays on a CPU: it saves more than
# turning numbers into it and back takes. A layer's step on AVX-512 without AMX, one thread, in bfloat16's time over
# float32's: 3.4 of 0.1 million, 1.9 of 0.5, 1.2 of 1.6, 1.1 of 2.1, 0.85 of 3.2, 0.55 of 26.
_WORTH = 2_500_000


class DensePass:
    """`record` and `backward` of a `DenseNetwork`."""

    def __init__(self, network: DenseNetwork) -> None:
        self.network = network

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, Tapes]:
        net = self.network
        z, down = record_chain(net.encoder, net.inward(x), dtype)
        (code, seen, terms), between = record_code(net.code, z.to(x.dtype), generator)
        x_hat, up = record_chain(net.decoder, seen, dtype, is_last=True, logits=logits)
        return Output(net.outward(x_hat), code, terms), Tapes(down, between, up)

    def backward(self, tapes: Tapes, at: Gradients) -> None:
        net, (down, between, up) = self.network, tapes
        grad = backward_chain(net.decoder, up, net.gradient_inward(at.x_hat), to_input=True)
        backward_chain(net.encoder, down, backward_code(net.code, between, grad, at), to_input=False)


def record_chain(
    chain: Chain, x: torch.Tensor, dtype: torch.dtype, *, is_last: bool = False, logits: bool = False
) -> tuple[torch.Tensor, Tape]:
    """The output, and what `backward_chain` needs.

    Products are in `dtype`, small ones in that of the weights; so are saturating activations, and what the last layer
    of the last chain gives: a difference between x_hat and x has no more digits than x_hat, but its gradient needs no
    more than the others. logits: without the last activation; a sigmoid's input is not subtracted from anything, so it
    is in `dtype`.
    """
    tape: Tape = []
    for i, (layer, activation) in enumerate(zip(chain.layers, without_last(chain.activations, logits), strict=True), 1):
        full = layer.weight.dtype
        is_small = x.device.type == "cpu" and len(x) * layer.weight.numel() < _WORTH
        of_layer = full if is_small else dtype
        x, weight = x.to(of_layer), layer.weight.to(of_layer)
        if is_last and not logits and i == len(chain.layers):
            z = affine(layer.bias, x.to(full), layer.weight)
        else:
            z = affine(layer.bias.to(of_layer), x, weight)
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
        put_gradient(layer.weight, grad.t(), x)
        torch.sum(grad.to(layer.bias.dtype), 0, out=layer.bias.grad)  # of bfloat16 itself it takes four times as long
        if i or to_input:
            grad = multiplied(grad, weight)
    return grad
