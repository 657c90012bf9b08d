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

    former: the state of a training to go on from, which is copied; empty for a new one. clip: see `Setup`; only where
    the state knows how long gradients were.
    """

    def __init__(self, vector: torch.Tensor, former: Mapping[str, torch.Tensor], clip: float | None = None) -> None:
        assert vector.grad is not None
        self.vector, self.gradient, self.clip = vector.detach(), vector.grad, clip
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
    beta2 = 0.999

    def start(self) -> dict[str, torch.Tensor]:
        moments = {name: torch.zeros_like(self.vector) for name in ("exp_avg", "exp_avg_sq")}
        return {**moments, "step": torch.zeros((), device=self.vector.device)}

    def _clip(self, clip: float) -> None:
        """Shorten a gradient of more than `clip` times the root mean square of the norms of those before."""
        weight = 1 - self.beta2 ** self.state["step"]  # of all gradients so far; 0 before the first
        longest = clip * (self.state["exp_avg_sq"].sum() / weight).sqrt()
        share = longest / self.gradient.norm()
        self.gradient.mul_(torch.where(share > 0, share, 1).clamp_(max=1.0))  # 1 where there is nothing to compare with

    def step(self, learning_rate: float | torch.Tensor) -> None:
        if self.clip is not None:
            self._clip(self.clip)
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
