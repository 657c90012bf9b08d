"""The training pass of an explicit dictionary, its backward pass written out."""

from __future__ import annotations

import torch

from isthmus.networks.accelerators.dense import Tape, backward_chain, record_chain
from isthmus.networks.dictionary import DictionaryNetwork
from isthmus.networks.network import Gradients, Output


class DictionaryPass:
    """`record` and `backward` of a `DictionaryNetwork`."""

    def __init__(self, network: DictionaryNetwork) -> None:
        self.network = network

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, tuple[Tape, torch.Tensor]]:
        assert not logits, "a dictionary's output is linear"
        net = self.network
        code, tape = record_chain(net.encoder, net.inward(x), dtype)
        code = code.to(x.dtype)
        return Output(net.outward(code @ net.atoms), code), (tape, code)

    def backward(self, tapes: tuple[Tape, torch.Tensor], at: Gradients) -> None:
        net, (tape, code) = self.network, tapes
        grad_x_hat = net.gradient_inward(at.x_hat)
        assert net.atoms.grad is not None
        torch.mm(code.t(), grad_x_hat, out=net.atoms.grad)
        grad = grad_x_hat @ net.atoms.t()
        backward_chain(net.encoder, tape, grad if at.code is None else grad + at.code, to_input=False)
