"""All weights of a network in one vector, and all gradients in another where a written-out pass writes them there."""

from __future__ import annotations

import torch
from torch import nn

from isthmus.training.sharding.processes import ALONE, Alone

_ALIGNMENT = 16  # floats: each weight begins on a cache line


class FlatWeights:
    """While it holds a network, the network's parameters are views of `vector`, and their gradients of `gradient`.

    Except for frozen ones, which stay as they are. So an optimizer updates everything in one call, and gradients stay
    where they are from step to step. apart: each gradient stays where it was made, and there is no `gradient`: copying
    it would be a twentieth of a large network's step. autograd: so it is, and autograd makes all of them anew.

    sums: of a batch in shards, what is added up: the `gradient`, and `beside` other numbers after it. world: the
    processes that add it up.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        autograd: bool = False,
        apart: bool = False,
        beside: int = 0,
        world: Alone = ALONE,
    ) -> None:
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._places, total = list[slice](), 0
        for parameter in self.parameters:
            self._places.append(slice(total, total + parameter.numel()))
            total += -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
        first = self.parameters[0]
        self.vector = torch.zeros(total, dtype=first.dtype, device=first.device)
        self.sums = world.zeros(0 if autograd else total + beside, self.vector)
        self.gradient = None if autograd or apart else self.sums[:total]
        self.are_written = not autograd
        self._views = list[torch.Tensor | None]()
        with torch.no_grad():
            for place, parameter in zip(self._places, self.parameters, strict=True):
                parameter.data = self.vector[place].view_as(parameter).copy_(parameter)
                self._views.append(None if autograd else self.sums[place].view_as(parameter))
                parameter.grad = self._views[-1]

    def gather(self, buffers: list[torch.Tensor], share: float) -> None:
        """Copy into `gradient` what autograd made elsewhere, and beside it a share of these buffers."""
        for parameter, view in zip(self.parameters, self._views, strict=True):
            assert view is not None
            if parameter.grad is None:
                view.zero_()
            elif parameter.grad is not view:
                view.copy_(parameter.grad)
        if buffers:
            torch.cat([buffer.flatten().to(self.sums.dtype) for buffer in buffers], out=self._beside)
            self._beside.mul_(share)

    def give_back(self, buffers: list[torch.Tensor]) -> None:
        """Set these buffers to what stands beside the gradient, whole numbers to the nearest."""
        sizes = [buffer.numel() for buffer in buffers]
        for buffer, numbers in zip(buffers, self._beside.split(sizes) if sizes else (), strict=True):
            buffer.copy_((numbers if buffer.is_floating_point() else numbers.round()).view_as(buffer))

    @property
    def _beside(self) -> torch.Tensor:
        return self.sums[len(self.vector) :]

    @property
    def gradients(self) -> list[torch.Tensor]:
        """Of the last backward pass: the vector of all, or those of the parameters."""
        if self.gradient is not None:
            return [self.gradient]
        grads = ((parameter, parameter.grad) for parameter in self.parameters)
        return [torch.zeros_like(parameter) if grad is None else grad for parameter, grad in grads]  # frozen so far

    def beside_gradients(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """The views of a vector like `vector` that belong to `gradients`, in its order."""
        if self.gradient is not None:
            return [vector]
        places = zip(self._places, self.parameters, strict=True)
        return [vector[place].view_as(parameter) for place, parameter in places]

    def release(self) -> None:
        """Give the network parameters of its own again, and no gradients."""
        self.gradient, self._views, self.sums = None, [], self.vector.new_zeros(0)
        for parameter in self.parameters:
            parameter.grad = None
        for parameter in self.parameters:
            parameter.data = parameter.detach().clone()
