"""The objective: its terms, and the one place where they are averaged over samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from isthmus.parts import BCE, L1, MSE, Part


def l1_norm(code: torch.Tensor) -> torch.Tensor:
    """Per-sample L1 norm, sum_j |code_j| (Tibshirani 1996): (n, code_size) → (n,), in the code's units."""
    return code.abs().sum(dim=1)


# (x_hat, x), (n, n_features) twice → the mean over features and samples: the mean of what each sample has, in one pass.
_LOSSES: dict[type[Part], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    MSE: functional.mse_loss,
    BCE: functional.binary_cross_entropy,
}


def _mse_with_gradient(x_hat: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    difference = torch.sub(x_hat, x)
    flat = difference.view(-1)
    return torch.dot(flat, flat).div_(x.numel()), difference.mul_(2 / x.numel())


def _bce_with_gradient(x_hat: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # a sigmoid that is saturated would divide by zero; the bound is torch's own
    gradient = (x_hat - x).div_((1 - x_hat).mul_(x_hat).clamp_(min=1e-12)).div_(x.numel())
    return functional.binary_cross_entropy(x_hat, x), gradient


_LOSSES_WITH_GRADIENTS: dict[type[Part], Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    MSE: _mse_with_gradient,
    BCE: _bce_with_gradient,
}
_PENALTIES: dict[type[Part], Callable[[torch.Tensor], torch.Tensor]] = {L1: l1_norm}
_PENALTY_GRADIENTS: dict[type[Part], Callable[[torch.Tensor], torch.Tensor]] = {L1: torch.sign}


class Objective:
    """loss.weight * mean_i loss(x_hat_i, x_i) + penalty.weight * (the penalty, summed as its `per` says).

    With per="sample" or "element" the value does not change when the batch is doubled; with "batch" it does.
    """

    def __init__(self, loss: Any, penalty: Any = None) -> None:
        self.loss, self.penalty = loss, penalty

    def __call__(self, x_hat: torch.Tensor, code: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """x_hat, x: (n, n_features); code: (n, code_size). Returns a scalar tensor."""
        value = _LOSSES[type(self.loss)](x_hat, x)
        if self.loss.weight != 1:
            value = self.loss.weight * value
        if self.penalty is None or self.penalty.weight == 0:
            return value
        return value + self._penalty_factor(code) * _PENALTIES[type(self.penalty)](code).sum()

    def with_gradients(
        self, x_hat: torch.Tensor, code: torch.Tensor, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """The value, and what autograd would give for it at x_hat and, by the penalty alone, at the code.

        The last is None without a penalty. Written out: by autograd it takes twice as long.
        """
        value, at_x_hat = _LOSSES_WITH_GRADIENTS[type(self.loss)](x_hat, x)
        if self.loss.weight != 1:
            value, at_x_hat = value * self.loss.weight, at_x_hat.mul_(self.loss.weight)
        if self.penalty is None or self.penalty.weight == 0:
            return value, at_x_hat, None
        factor, kind = self._penalty_factor(code), type(self.penalty)
        return value + factor * _PENALTIES[kind](code).sum(), at_x_hat, _PENALTY_GRADIENTS[kind](code).mul_(factor)

    def _penalty_factor(self, code: torch.Tensor) -> float:
        """What the sum of the penalty over everything is multiplied by."""
        n, code_size = code.shape
        return self.penalty.weight / {"sample": n, "element": n * code_size, "batch": 1}[self.penalty.per]
