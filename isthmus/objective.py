"""The objective of a step: its terms, and what each is averaged over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import functional

from isthmus.parts import BCE, KL, L1, MSE, Part

_NONE: Mapping[str, torch.Tensor] = MappingProxyType({})


def _short_of(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """How far x is from the bound that the sigmoid of z is near: from 1 above 0, from 0 below."""
    return torch.where(z > 0, 1 - x, x)


def _bce(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean of log(1 + e^z) - x z, z what goes into the sigmoid; as a sum, which loses no digits where z is far from 0.

    From the sigmoid itself it could not be had: what it is short of 1 is rounded away, and with it the logarithm.
    """
    size = z.abs()
    return torch.addcmul(functional.softplus(-size), size, _short_of(z, x)).mean()


# (x_hat, x), (n, n_features) twice → the mean over features and samples: the mean of what each sample has, in one pass.
_LOSSES: dict[type[Part], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {MSE: functional.mse_loss, BCE: _bce}


def _mse_with_gradient(x_hat: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    difference = torch.sub(x_hat, x)
    flat = difference.view(-1)
    return torch.dot(flat, flat).div_(x.numel()), difference.mul_(2 / x.numel())


def _bce_with_gradient(z: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """sigmoid(z) - x, as a difference of two numbers that both have all their digits."""
    sigmoid, short = z.abs().neg_().sigmoid_(), _short_of(z, x)
    return _bce(z, x), torch.where(z > 0, short - sigmoid, sigmoid - short).div_(x.numel())


_LOSSES_WITH_GRADIENTS: dict[type[Part], Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    MSE: _mse_with_gradient,
    BCE: _bce_with_gradient,
}


def _l1(part: L1, code: torch.Tensor) -> torch.Tensor:
    """sum_ij |code_ij|."""
    return code.abs().sum()


def _l1_gradient(part: L1, code: torch.Tensor) -> torch.Tensor:
    return code.sign()


def _mean_activation(code: torch.Tensor) -> torch.Tensor:
    """ρ_j, (code_size,). A unit that is off, or on, in the whole batch has a ρ at which KL would be infinite."""
    return code.mean(dim=0).clamp_(1e-6, 1 - 1e-6)


def _kl(part: KL, code: torch.Tensor) -> torch.Tensor:
    """n sum_j [t log(t / ρ_j) + (1 - t) log((1 - t) / (1 - ρ_j))], t the target: what each sample has, n times."""
    t, rho = part.target, _mean_activation(code)
    entropy = t * math.log(t) + (1 - t) * math.log(1 - t)
    return (entropy - t * rho.log() - (1 - t) * (-rho).log1p()).sum() * len(code)


def _kl_gradient(part: KL, code: torch.Tensor) -> torch.Tensor:
    """(1 - t) / (1 - ρ_j) - t / ρ_j, the same for each sample: that ρ is a mean over n takes away the n of `_kl`.

    Also of a unit whose ρ is clamped, where autograd would give 0, so that a unit that is off throughout can come back.
    """
    t, rho = part.target, _mean_activation(code)
    return ((1 - t) / (1 - rho) - t / rho).repeat(len(code), 1)


# (part, code), code (n, code_size) → the penalty, summed over samples and units; and its gradient at the code, a new
# tensor. `Objective` averages.
_PENALTIES: dict[type[Part], Callable[[Any, torch.Tensor], torch.Tensor]] = {L1: _l1, KL: _kl}
_PENALTY_GRADIENTS: dict[type[Part], Callable[[Any, torch.Tensor], torch.Tensor]] = {
    L1: _l1_gradient,
    KL: _kl_gradient,
}


class Objective:
    """The sum of a loss, a penalty on the code, and a network's own terms.

    loss.weight / unit * mean_i loss(x_hat_i, x_i) + ramp * penalty.weight * (the penalty, summed as its `per` says) +
    the terms as they are.

    Of a loss that `takes_logits` (BCE), x_hat is what goes into the sigmoid. With per="sample" or "element" the value
    does not change when the batch is doubled; with "batch" it does. ramp is how far the penalty's warm-up has come,
    from 0 to 1. unit: a squared error that counts as 1, so that the penalty weighs the same, and steps are as large, in
    whatever units the data are; the value is in this unit.
    """

    def __init__(self, loss: Any, penalty: Any = None, unit: float = 1.0) -> None:
        self.loss, self.penalty, self.unit = loss, penalty, unit
        self.weight = loss.weight / unit

    @property
    def takes_logits(self) -> bool:
        """Whether the loss is of a sigmoid's input instead of its output."""
        return self.loss.bounded

    def __call__(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: float = 1.0,
        terms: Mapping[str, torch.Tensor] = _NONE,
    ) -> torch.Tensor:
        """x_hat, x: (n, n_features); code: (n, code_size); terms: scalars, by name. Returns a scalar tensor."""
        value = _LOSSES[type(self.loss)](x_hat, x)
        if self.weight != 1:
            value = self.weight * value
        for term in terms.values():
            value = value + term
        if self.penalty is None or self.penalty.weight * ramp == 0:
            return value
        return value + self._penalty_factor(code, ramp) * _PENALTIES[type(self.penalty)](self.penalty, code)

    def with_gradients(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: float = 1.0,
        terms: Mapping[str, torch.Tensor] = _NONE,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """The value, and what autograd would give for it at x_hat and, by the penalty alone, at the code.

        At each of the terms it is 1. But for `KL` where its ρ is clamped, see `_kl_gradient`. The last is None without
        a penalty. Written out: by autograd it takes twice as long.
        """
        value, at_x_hat = _LOSSES_WITH_GRADIENTS[type(self.loss)](x_hat, x)
        if self.weight != 1:
            value, at_x_hat = value * self.weight, at_x_hat.mul_(self.weight)
        for term in terms.values():
            value = value + term
        if self.penalty is None or self.penalty.weight * ramp == 0:
            return value, at_x_hat, None
        factor, kind = self._penalty_factor(code, ramp), type(self.penalty)
        at_code = _PENALTY_GRADIENTS[kind](self.penalty, code).mul_(factor)
        return value + factor * _PENALTIES[kind](self.penalty, code), at_x_hat, at_code

    def _penalty_factor(self, code: torch.Tensor, ramp: float) -> float:
        """What the sum of the penalty over everything is multiplied by."""
        n, code_size = code.shape
        return self.penalty.weight * ramp / {"sample": n, "element": n * code_size, "batch": 1}[self.penalty.per]
