"""Optimizers of one vector: an update is one or two kernels, however many weights the network has.

torch.optim would spend a tenth of a small network's step on its own Python; Adam's are the kernels that it calls, with
its default constants. Everything that an optimizer remembers is in `state`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping

import torch


class Optimizer(abc.ABC):
    """Updates `vector` in place by `vector.grad`. state: the tensors that it carries from step to step, by name.

    former: the state of a training to go on from, which is copied; empty for a new one.
    """

    def __init__(self, vector: torch.Tensor, former: Mapping[str, torch.Tensor]) -> None:
        assert vector.grad is not None
        self.vector, self.gradient = vector.detach(), vector.grad
        copies = {name: tensor.to(vector.device, copy=True) for name, tensor in former.items()}
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
        if isinstance(learning_rate, torch.Tensor):
            self.vector.sub_(self.gradient * learning_rate)
        else:
            self.vector.add_(self.gradient, alpha=-learning_rate)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), beta1 = 0.9, beta2 = 0.999, eps = 1e-8."""

    kernel: Callable[..., None] = staticmethod(torch._fused_adam_)
    weight_decay = 0.0

    def start(self) -> dict[str, torch.Tensor]:
        moments = {name: torch.zeros_like(self.vector) for name in ("exp_avg", "exp_avg_sq")}
        return {**moments, "step": torch.zeros((), device=self.vector.device)}

    def step(self, learning_rate: float | torch.Tensor) -> None:
        self.state["step"] += 1
        self.kernel(
            [self.vector],
            [self.gradient],
            [self.state["exp_avg"]],
            [self.state["exp_avg_sq"]],
            [],
            [self.state["step"]],
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
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
