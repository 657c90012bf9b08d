"""The training pass of an explicit dictionary, its backward pass written out."""

from __future__ import annotations

import torch

from isthmus.networks.accelerators.code import Tapes, backward_code, record_code
from isthmus.networks.accelerators.dense import backward_chain, record_chain
from isthmus.networks.accelerators.products import multiplied, put_gradient
from isthmus.networks.dictionary import DictionaryNetwork
from isthmus.networks.outputs import Gradients, Output


class DictionaryPass:
    """`record` and `backward` of a `DictionaryNetwork`."""

    def __init__(self, network: DictionaryNetwork) -> None:
        self.network = network

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, Tapes]:
        assert not logits, "a dictionary's output is linear"
        net = self.network
        z, tape = record_chain(net.encoder, net.inward(x), dtype)
        (code, seen, terms), between = record_code(net.code, z.to(x.dtype), generator)
        return Output(net.outward(multiplied(seen, net.atoms)), code, terms), Tapes(tape, between, seen.to(dtype))

    def backward(self, tapes: Tapes, at: Gradients) -> None:
        net, (tape, between, seen) = self.network, tapes
        grad = net.gradient_inward(at.x_hat).to(seen.dtype)
        put_gradient(net.atoms, seen.t(), grad)
        grad = multiplied(grad, net.atoms.to(seen.dtype).t()).to(at.x_hat.dtype)
        backward_chain(net.encoder, tape, backward_code(net.code, between, grad, at), to_input=False)
