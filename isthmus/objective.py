"""The objective of a step: a sum of terms, each weight · ramp · average, and the one place that averages."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from isthmus import kinds
from isthmus.errors import one_of
from isthmus.networks import NONE, Gradients, Term
from isthmus.parts import BCE, KL, L1, MSE, PER, Loss, Part, Penalty

# How far a warm-up of so many epochs has come, from 0 to 1.
Ramp = Callable[[float], float]


def _risen(_warmup: float) -> float:
    return 1.0


class Scale(NamedTuple):
    """What the sum of a term's values over a batch is divided by, and then multiplied with: nothing else averages."""

    divisor: int
    weight: float = 1.0

    @classmethod
    def of(cls, shape: torch.Size, per: str, weight: float = 1.0) -> Scale:
        """The scale of values of each sample, (n, ...), or of a batch, (), which are no average already.

        per: "sample" sums over units and averages over samples; "element" averages over both; "batch" sums over both.
        """
        if per == "element":
            return cls(shape.numel(), weight)
        one_of('value of "per"', per, PER)
        return cls(shape[0] if shape and per == "sample" else 1, weight)

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
    return functional.mse_loss(x_hat, x, reduction="none")


def _mse_with_gradient(
    scale: Scale, part: MSE, x_hat: torch.Tensor, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    difference = torch.sub(x_hat, x)
    flat = difference.view(-1)
    return scale.weighted(torch.dot(flat, flat).div_(scale.divisor), difference.mul_(2 / scale.divisor))


def _short_of(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """How far x is from the bound that the sigmoid of z is near: from 1 above 0, from 0 below."""
    return torch.where(z > 0, 1 - x, x)


def _bce(part: BCE, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """log(1 + e^z) - x z, z what goes into the sigmoid; as a sum, which loses no digits where z is far from 0.

    From the sigmoid itself it could not be had: what it is short of 1 is rounded away, and with it the logarithm.
    """
    size = z.abs()
    return torch.addcmul(functional.softplus(-size), size, _short_of(z, x))


def _bce_with_gradient(scale: Scale, part: BCE, z: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """sigmoid(z) - x, as a difference of two numbers that both have all their digits."""
    sigmoid, short = z.abs().neg_().sigmoid_(), _short_of(z, x)
    gradient = torch.where(z > 0, short - sigmoid, sigmoid - short).div_(scale.divisor)
    return scale.weighted(scale.average(_bce(part, z, x)), gradient)


def _l1(part: L1, code: torch.Tensor) -> torch.Tensor:
    return code.abs()


def _l1_with_gradient(scale: Scale, part: L1, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    factor = scale.weight / scale.divisor
    return factor * code.abs().sum(), code.sign().mul_(factor)


def _mean_activation(code: torch.Tensor) -> torch.Tensor:
    """ρ_j, (code_size,). A unit that is off, or on, in the whole batch has a ρ at which KL would be infinite."""
    return code.mean(dim=0).clamp_(1e-6, 1 - 1e-6)


def _kl_of_units(t: float, rho: torch.Tensor) -> torch.Tensor:
    """t log(t / ρ_j) + (1 - t) log((1 - t) / (1 - ρ_j)), t the target: (code_size,)."""
    entropy = t * math.log(t) + (1 - t) * math.log(1 - t)
    return entropy - t * rho.log() - (1 - t) * (-rho).log1p()


def _kl(part: KL, code: torch.Tensor) -> torch.Tensor:
    """The same of each sample."""
    return _kl_of_units(part.target, _mean_activation(code)).expand(code.shape)


def _kl_with_gradient(scale: Scale, part: KL, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(1 - t) / (1 - ρ_j) - t / ρ_j, the same for each sample: that ρ is a mean over n takes away that they are n.

    Also of a unit whose ρ is clamped, where autograd would give 0, so that a unit that is off throughout can come back.
    """
    t, rho, factor = part.target, _mean_activation(code), scale.weight / scale.divisor
    gradient = ((1 - t) / (1 - rho) - t / rho).repeat(len(code), 1).mul_(factor)
    return factor * (_kl_of_units(t, rho).sum() * len(code)), gradient


kinds.COMPUTES["loss"] |= {MSE: _mse, BCE: _bce}
kinds.COMPUTES["penalty"] |= {L1: _l1, KL: _kl}
_VALUES: Mapping[type[Part], Values] = ChainMap(kinds.COMPUTES["loss"], kinds.COMPUTES["penalty"])
# In half of the time that autograd takes, which does it for all others
_WRITTEN_OUT: dict[type[Part], WithGradient] = {
    MSE: _mse_with_gradient,
    BCE: _bce_with_gradient,
    L1: _l1_with_gradient,
    KL: _kl_with_gradient,
}


def register(kind: type[Penalty] | type[Loss], values: Values) -> None:
    """Let a penalty or a loss of one's own be trained with, from here on and in this process, also in studies.

    kind: a frozen dataclass: a `Penalty` with `weight`, `per` and `warmup`, or a `Loss`. values: of a penalty
    (part, code) → (n,) or (n, units), of a loss (part, x_hat, x) → (n, n_features). They are averaged as `per` says,
    and their gradient is autograd's. Raises RequestError for a kind that there is.
    """
    kinds.register("penalty" if issubclass(kind, Penalty) else "loss", kind, values)


def _term(part: Any, weight: float, *given: torch.Tensor) -> Term:
    """A loss or a penalty as a term of what it is given."""
    return Term(_VALUES[type(part)](part, *given), weight, part.per, part.warmup)


def _scale(term: Term, ramp: Ramp) -> Scale:
    return Scale.of(term.values.shape, term.per, term.weight * ramp(term.warmup))


def averages(terms: Mapping[str, Term]) -> dict[str, torch.Tensor]:
    """What each term is on average, without its weight."""
    return {name: Scale.of(term.values.shape, term.per).average(term.values) for name, term in terms.items()}


class Objective:
    """A sum of terms, each weight · ramp · average: a loss, a penalty on the code, those of a network and its code.

    `Scale` is the one place that averages; ramp is how far the warm-up of the term has come. With per="sample" or
    "element" the value does not change when the batch is doubled; with "batch" it does.

    Of a loss that `takes_logits` (BCE), x_hat is what goes into the sigmoid. unit: a squared error that counts as 1, so
    that the others weigh the same, and steps are as large, in whatever units the data are; the value is in this unit.
    """

    def __init__(self, loss: Any, penalty: Any = None, unit: float = 1.0) -> None:
        self.loss, self.penalty, self.unit = loss, penalty, unit
        self.weight = loss.weight / unit

    @property
    def takes_logits(self) -> bool:
        """Whether the loss is of a sigmoid's input instead of its output."""
        return self.loss.bounded

    @property
    def warmup(self) -> float:
        """Epochs after which no weight of the loss and the penalty grows any more."""
        return max(part.warmup for part in (self.loss, self.penalty) if part is not None)

    def of_samples(self, x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Each sample's loss, (n,), whose mean is the loss of all."""
        term = _term(self.loss, self.weight, x_hat, x)
        return term.values.flatten(1).sum(dim=1) / Scale.of(term.values[:1].shape, term.per).divisor * term.weight

    def __call__(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: Ramp = _risen,
        terms: Mapping[str, Term] = NONE,
    ) -> torch.Tensor:
        """x_hat, x: (n, n_features); code: (n, code_size); terms: by name. Returns a scalar tensor."""
        summands = [_term(self.loss, self.weight, x_hat, x)]
        if self.penalty is not None:
            summands.append(_term(self.penalty, self.penalty.weight, code))
        value = torch.zeros((), dtype=x_hat.dtype, device=x_hat.device)
        for term in (*summands, *terms.values()):
            scale = _scale(term, ramp)
            if scale.weight:
                value = value + scale.average(term.values) * scale.weight
        return value

    def with_gradients(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: Ramp = _risen,
        terms: Mapping[str, Term] = NONE,
    ) -> tuple[torch.Tensor, Gradients]:
        """The value, and what autograd gives for it, except for `KL` where its ρ is clamped."""
        value, at_x_hat = _with_gradient(self.loss, self.weight * ramp(self.loss.warmup), x_hat, x)
        at_code, at_terms = None, {}
        if self.penalty is not None and (weight := self.penalty.weight * ramp(self.penalty.warmup)):
            of_penalty, at_code = _with_gradient(self.penalty, weight, code)
            value = value + of_penalty
        for name, term in terms.items():
            scale = _scale(term, ramp)
            value = value + scale.average(term.values) * scale.weight
            at_terms[name] = scale.weight / scale.divisor
        return value, Gradients(at_x_hat, at_code, at_terms)


def _with_gradient(part: Any, weight: float, y: torch.Tensor, *x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss or a penalty, and its gradient at y."""
    if written_out := _WRITTEN_OUT.get(type(part)):
        return written_out(Scale.of(y.shape, part.per, weight), part, y, *x)
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        term = _VALUES[type(part)](part, leaf, *x)
        scale = Scale.of(term.shape, part.per, weight)
        value = scale.average(term) * scale.weight
    return value.detach(), torch.autograd.grad(value, leaf)[0]
