"""All weights of a network in one vector, and all gradients in another."""

from __future__ import annotations

import torch
from torch import nn

_ALIGNMENT = 16  # floats: each weight begins on a cache line


class FlatWeights:
    """While it holds a network, the network's parameters are views of `vector`, and their gradients of `vector.grad`.

    Except for frozen ones, which stay as they are. So an optimizer updates everything in one call, and gradients stay
    where they are from step to step.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
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

    def release(self) -> None:
        """Give the network parameters of its own again, and no gradients."""
        self.vector.grad = None
        for parameter in self.parameters:
            parameter.grad = None
        for parameter in self.parameters:
            parameter.data = parameter.detach().clone()
