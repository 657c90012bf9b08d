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


# (x_hat, x), (n, n_features) twice → the mean over features and samples: the mean of what each sample has, in one
# kernel forward and one backward, where the per-sample losses and their mean would be eight.
_LOSSES: dict[type[Part], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    MSE: functional.mse_loss,
    BCE: functional.binary_cross_entropy,
}
_PENALTIES: dict[type[Part], Callable[[torch.Tensor], torch.Tensor]] = {L1: l1_norm}


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
        per_sample = _PENALTIES[type(self.penalty)](code)
        match self.penalty.per:
            case "sample":
                total = per_sample.mean()
            case "element":
                total = per_sample.mean() / code.shape[1]
            case "batch":
                total = per_sample.sum()
        return value + self.penalty.weight * total
