"""All weights of a network in one vector, and all gradients in another."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_ALIGNMENT = 16  # floats: each weight begins on a cache line


class FlatWeights:
    """While it holds a network, the network's parameters are views of `vector`, and their gradients of `vector.grad`.

    So an optimizer updates everything in one call, nothing is allocated from step to step, and gradients are cleared in
    one call, or not at all where a module writes them over those of the step before (`gradients_overwritten`).
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        starts, total = [], 0
        for parameter in self.parameters:
            starts.append(total)
            total += -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
        first = self.parameters[0]
        self.vector = nn.Parameter(torch.zeros(total, dtype=first.dtype, device=first.device))
        self.vector.grad = torch.zeros_like(self.vector)
        with torch.no_grad():
            for start, parameter in zip(starts, self.parameters, strict=True):
                place = slice(start, start + parameter.numel())
                view = self.vector.detach()[place].view_as(parameter)
                parameter.data = view.copy_(parameter)
                parameter.grad = self.vector.grad[place].view_as(parameter)
        modules: list[Any] = list(network.modules())
        self.overwriting = [module for module in modules if hasattr(module, "gradients_overwritten")]
        for module in self.overwriting:
            module.gradients_overwritten = True
        covered = {id(parameter) for module in self.overwriting for parameter in module.parameters()}
        self.must_clear = any(id(parameter) not in covered for parameter in self.parameters)

    def clear_gradients(self) -> None:
        """Set to zero the gradients that backward would otherwise add to."""
        if self.must_clear and self.vector.grad is not None:
            self.vector.grad.zero_()

    def release(self) -> None:
        """Give the network parameters of its own again, and no gradients."""
        for module in self.overwriting:
            module.gradients_overwritten = False
        for parameter in self.parameters:
            parameter.data, parameter.grad = parameter.detach().clone(), None
