"""Losses and penalties: the values of each, their averages, and the gradients of these, most of them written out."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from isthmus import kinds
from isthmus.errors import one_of
from isthmus.parts import BCE, KL, L1, MSE, PER, Part

_CACHED = 2**17  # numbers: half a megabyte


class Scale(NamedTuple):
    """What the sum of a term's values over a batch is divided by, and then multiplied with: nothing else averages."""

    divisor: float
    weight: float = 1.0

    @classmethod
    def of(cls, shape: torch.Size, per: str, weight: float = 1.0, pieces: float = 1) -> Scale:
        """The scale of values of each sample, (n, ...), or of a batch, (), which are no average already.

        per: "sample" sums over units and averages over samples; "element" averages over both; "batch" sums over both.
        pieces: how many times the samples are those of a batch, of which they are a shard.
        """
        if per in ("element", "draw"):
            return cls(shape.numel() * pieces, weight)
        one_of('value of "per"', per, PER)
        return cls(shape[0] * pieces if shape and per == "sample" else 1, weight)

    def average(self, values: torch.Tensor) -> torch.Tensor:
        """Without the weight."""
        return values.sum() / self.divisor

    def weighted(self, value: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """New tensors, multiplied with the weight in place."""
        return (value, gradient) if self.weight == 1 else (value.mul_(self.weight), gradient.mul_(self.weight))


# (part, code) → (n,) or (n, units); of a loss (part, x_hat, x) → (n, n_features)
Values = Callable[..., torch.Tensor]
# The same values averaged, and the gradient at the first argument, a new tensor. Values have the shape of that.
WithGradient = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def _mse(part: MSE, x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.sub(x_hat, x).square()


def _mse_with_gradient(
    scale: Scale, part: MSE, x_hat: torch.Tensor, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    difference = torch.sub(x_hat, x)
    flat = difference.view(-1)
    return scale.weighted(torch.dot(flat, flat).div_(scale.divisor), difference.mul_(2 / scale.divisor))


def _mse_of_each(part: MSE, x_hat: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    difference = torch.sub(x_hat, x)
    return difference.square(), difference.mul_(2)


def _bce(part: BCE, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log(1 + e^z) - x z, z what goes into the sigmoid; as a sum, which loses no digits where z is far from 0.

    From the sigmoid itself it could not be had: what it is short of 1 is rounded away, and with it the logarithm. To
    choose for each number by the sign of z would take longer than all the rest.
    """
    bit = x.round()
    return functional.softplus(z * _sign(bit)).addcmul_(bit - x, z)


def _bce_of_each(part: BCE, z: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, and sigmoid(z) - x as a sum of two numbers that both have all their digits."""
    bit = x.round()
    sign, gap = _sign(bit), bit - x
    towards = z * sign  # the bit that x is not nearer to
    return functional.softplus(towards).addcmul_(gap, z), towards.sigmoid_().mul_(sign).add_(gap)


def _sign(bit: torch.Tensor) -> torch.Tensor:
    """1 for 0 and -1 for 1."""
    return bit.mul(-2).add_(1)


def _l1(part: L1, code: torch.Tensor) -> torch.Tensor:
    return code.abs()


def _l1_with_gradient(scale: Scale, part: L1, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    factor = scale.weight / scale.divisor
    return factor * code.abs().sum(), code.sign().mul_(factor)


def _mean_activation(code: torch.Tensor, mean: torch.Tensor | None = None) -> torch.Tensor:
    """ρ_j, (code_size,). A unit that is off, or on, in the whole batch has a ρ at which KL would be infinite.

    mean: of the batch, where the code is of a shard of it.
    """
    return (code.mean(dim=0) if mean is None else mean).clamp(1e-6, 1 - 1e-6)


def _kl_of_units(t: float, rho: torch.Tensor) -> torch.Tensor:
    """t log(t / ρ_j) + (1 - t) log((1 - t) / (1 - ρ_j)), t the target: (code_size,)."""
    entropy = t * math.log(t) + (1 - t) * math.log(1 - t)
    return entropy - t * rho.log() - (1 - t) * (-rho).log1p()


def _kl(part: KL, code: torch.Tensor) -> torch.Tensor:
    """The same of each sample."""
    return _kl_of_units(part.target, _mean_activation(code)).expand(code.shape)


def _kl_with_gradient(
    scale: Scale, part: KL, code: torch.Tensor, mean: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(1 - t) / (1 - ρ_j) - t / ρ_j, the same for each sample: that ρ is a mean over n takes away that they are n.

    Also of a unit whose ρ is clamped, where autograd would give 0, so that a unit that is off throughout can come back.
    """
    t, rho, factor = part.target, _mean_activation(code, mean), scale.weight / scale.divisor
    gradient = ((1 - t) / (1 - rho) - t / rho).repeat(len(code), 1).mul_(factor)
    return factor * (_kl_of_units(t, rho).sum() * len(code)), gradient


kinds.COMPUTES["loss"] |= {MSE: _mse, BCE: _bce}
kinds.COMPUTES["penalty"] |= {L1: _l1, KL: _kl}
VALUES: Mapping[type[Part], Values] = ChainMap(kinds.COMPUTES["loss"], kinds.COMPUTES["penalty"])
# Autograd takes twice as long, and does it for all others. Of a whole term, and the values and gradients of a loss.
_WRITTEN_OUT: dict[type[Part], WithGradient] = {MSE: _mse_with_gradient, L1: _l1_with_gradient, KL: _kl_with_gradient}
# Penalties that are functions of the code's mean over the batch, which they are given of a batch in shards
OF_MEAN: set[type[Part]] = {KL}
_OF_EACH: dict[type[Part], WithGradient] = {MSE: _mse_of_each, BCE: _bce_of_each}


def with_gradient(
    part: Any, per: str, weight: float, y: torch.Tensor, *x: torch.Tensor, pieces: float = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss or a penalty, and its gradient at y, a new tensor. pieces: of `Scale.of`."""
    scale = Scale.of(y.shape, per, weight, pieces)
    if written_out := _WRITTEN_OUT.get(type(part)):
        return written_out(scale, part, y, *x)
    if of_each := _OF_EACH.get(type(part)):
        values, gradient = of_each(part, y, *x)
        return scale.weighted(scale.average(values), gradient.div_(scale.divisor))
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        term = VALUES[type(part)](part, leaf, *x)
        scale = Scale.of(term.shape, per, weight, pieces)
        value = scale.average(term) * scale.weight
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def of_draws_with_gradient(part: Any, y: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss of k rows of y for each row of x, summed over features: (n * k, n_features), (n, n_features) → (n, k).

    And its gradient at y, a new tensor. On a CPU of a few samples at a time, whose numbers stay in the cache: of all at
    once, each operation would wait for memory.
    """
    n, n_features = x.shape
    draws, at_y = y.view(n, -1, n_features), torch.empty_like(y).view(n, -1, n_features)
    values = y.new_empty(draws.shape[:2])
    piece = max(1, _CACHED * n // y.numel()) if y.device.type == "cpu" else n
    for start in range(0, n, piece):
        which = slice(start, start + piece)
        each, at_y[which] = _each_with_gradient(part, draws[which], x[which, None])
        torch.sum(each, 2, out=values[which])
    return values, at_y.view(y.shape)


def _each_with_gradient(part: Any, y: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss of each number, and its gradient there."""
    if of_each := _OF_EACH.get(type(part)):
        return of_each(part, y, x)
    rows, others = y.flatten(0, 1), x.expand(y.shape).flatten(0, 1)  # as a loss from outside knows them
    with torch.enable_grad():
        leaf = rows.detach().requires_grad_()
        values = VALUES[type(part)](part, leaf, others)
    return values.detach().view(y.shape), torch.autograd.grad(values.sum(), leaf)[0].view(y.shape)
