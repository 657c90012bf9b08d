"""Optimizers: an update is one or two kernels, however many weights the network has.

torch.optim would spend a tenth of a small network's step on its own Python; Adam's are the kernels that it calls, with
its default constants. Everything that an optimizer remembers is in `state`.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping

import torch

from isthmus.training.weights import FlatWeights


class Optimizer(abc.ABC):
    """Updates weights in place by their gradients. state: the tensors that it carries from step to step, by name.

    former: the state of a training to go on from, which is copied; empty for a new one. clip: see `Setup`; only where
    the state knows how long gradients were.
    """

    def __init__(self, weights: FlatWeights, former: Mapping[str, torch.Tensor], clip: float | None = None) -> None:
        self.weights, self.clip = weights, clip
        self.vectors = weights.beside_gradients(weights.vector)
        copies = {name: tensor.to(weights.vector.device, copy=True) for name, tensor in former.items()}
        self.state = copies or self.start()

    def start(self) -> dict[str, torch.Tensor]:
        """The state before the first step."""
        return {}

    @abc.abstractmethod
    def step(self, learning_rate: float | torch.Tensor) -> None:
        """One update. learning_rate: on a device that replays its steps, a tensor there."""


class SGD(Optimizer):
    """Gradient descent, without momentum."""

    def step(self, learning_rate: float | torch.Tensor) -> None:
        for vector, gradient in zip(self.vectors, self.weights.gradients, strict=True):
            if isinstance(learning_rate, torch.Tensor):
                vector.sub_(gradient * learning_rate)
            else:
                vector.add_(gradient, alpha=-learning_rate)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), beta1 = 0.9, beta2 = 0.999, eps = 1e-8."""

    kernel: Callable[..., None] = staticmethod(torch._fused_adam_)
    weight_decay = 0.0
    beta2 = 0.999

    def start(self) -> dict[str, torch.Tensor]:
        moments = {name: torch.zeros_like(self.weights.vector) for name in ("exp_avg", "exp_avg_sq")}
        return {**moments, "step": torch.zeros((), device=self.weights.vector.device)}

    @functools.cached_property
    def _moments(self) -> list[list[torch.Tensor]]:
        return [self.weights.beside_gradients(self.state[name]) for name in ("exp_avg", "exp_avg_sq")]

    def gradients(self) -> list[torch.Tensor]:
        """Shortened if they are, together, `clip` times as long as the root mean square of those before, or more."""
        gradients = self.weights.gradients
        if self.clip is None:
            return gradients
        weight = 1 - self.beta2 ** self.state["step"]  # of all gradients so far; 0 before the first
        longest = self.clip * (self.state["exp_avg_sq"].sum() / weight).sqrt()
        norms = [gradient.norm() for gradient in gradients]
        share = longest / (norms[0] if len(norms) == 1 else torch.stack(norms).norm())
        shortening = torch.where(share > 0, share, 1).clamp_(max=1.0)  # 1 where there is nothing to compare with
        if not self.weights.are_written:
            return list(torch._foreach_mul(gradients, shortening))  # of autograd two may be one
        torch._foreach_mul_(gradients, shortening)  # new memory each time would cost as much as the step
        return gradients

    def step(self, learning_rate: float | torch.Tensor) -> None:
        gradients = self.gradients()
        self.state["step"] += 1
        self.kernel(
            self.vectors,
            gradients,
            *self._moments,
            [],
            [self.state["step"]] * len(gradients),
            lr=learning_rate,
            beta1=0.9,
            beta2=self.beta2,
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay of 0.01 (Loshchilov and Hutter 2019)."""

    kernel = staticmethod(torch._fused_adamw_)
    weight_decay = 0.01


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
