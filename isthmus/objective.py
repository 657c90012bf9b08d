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
        if per in ("element", "draw"):
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


def _scale(term: Term, ramp: Ramp) -> Scale:
    return Scale.of(term.values.shape, term.per, term.weight * ramp(term.warmup))


def averages(terms: Mapping[str, Term]) -> dict[str, torch.Tensor]:
    """What each term is on average, without its weight."""
    return {name: Scale.of(term.values.shape, term.per).average(term.values) for name, term in terms.items()}


class Objective:
    """A sum of terms, each weight · ramp · average: a loss, a penalty on the code, those of a network and its code.

    `Scale` is the one place that averages; ramp is how far the warm-up of the term has come. With per="sample" or
    "element" the value does not change when the batch is doubled; with "batch" it does. Terms per="draw" make of the
    loss of each of a sample's k draws the bound -log mean_k exp(-(loss + terms)).

    Of a loss that `takes_logits` (BCE), x_hat is what goes into the sigmoid. in_nats: whether the loss is
    -log p(x | x_hat) of a sample, summed over its numbers, as a code that is a part of a likelihood has it. unit: else,
    a squared error that counts as 1, so that the others weigh the same, and steps are as large, in whatever units the
    data are; the value is in this unit.
    """

    def __init__(self, loss: Any, penalty: Any = None, unit: float = 1.0, *, in_nats: bool = False) -> None:
        self.loss, self.penalty, self.in_nats = loss, penalty, in_nats
        self.unit = 1.0 if in_nats else unit
        self.weight, self.per = loss.weight / self.unit, "sample" if in_nats else loss.per

    @property
    def takes_logits(self) -> bool:
        """Whether the loss is of a sigmoid's input instead of its output."""
        return self.loss.bounded

    @property
    def is_binary(self) -> bool:
        """Whether samples are to be drawn as 0 or 1, with their numbers as the probabilities."""
        binary: bool | None = getattr(self.loss, "binary", False)
        return self.in_nats if binary is None else binary

    @property
    def of_loss(self) -> Objective:
        """The loss alone, in the data's units; in nats it has the code's terms too."""
        return Objective(self.loss, in_nats=self.in_nats)

    @property
    def warmup(self) -> float:
        """Epochs after which no weight of the loss and the penalty grows any more."""
        return max(part.warmup for part in (self.loss, self.penalty) if part is not None)

    def _normalizer(self, x: torch.Tensor) -> float:
        return self.loss.log_normalizer * x.shape[1] if self.in_nats else 0.0

    def of_samples(self, x_hat: torch.Tensor, x: torch.Tensor, terms: Mapping[str, Term] = NONE) -> torch.Tensor:
        """Each sample's loss with these terms, (n,), whose mean is that of all. Of k draws, each sample's bound."""
        if draws := _of_draws(terms):
            return _bound(self.of_draws(x_hat, x, draws))
        each = _rows(_VALUES[type(self.loss)](self.loss, x_hat, x), self.per) * self.weight
        for term in terms.values():
            is_of_batch = term.per == "batch" or not term.values.ndim
            each = each + term.weight * (term.values.sum() if is_of_batch else _rows(term.values, term.per))
        return each + self._normalizer(x)

    def of_draws(self, x_hat: torch.Tensor, x: torch.Tensor, terms: Mapping[str, Term]) -> torch.Tensor:
        """Loss and terms of each of the k draws of a sample: (n * k, n_features), (n, n_features) → (n, k)."""
        each = self.of_samples(x_hat, x.repeat_interleave(len(x_hat) // len(x), dim=0)).view(len(x), -1)
        return each + sum(term.values for term in terms.values())

    def __call__(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: Ramp = _risen,
        terms: Mapping[str, Term] = NONE,
    ) -> torch.Tensor:
        """x_hat, x: (n, n_features); code: (n, code_size); terms: by name. Returns a scalar tensor."""
        draws, summands = _of_draws(terms), [term for term in terms.values() if term.per != "draw"]
        value = torch.zeros((), dtype=x_hat.dtype, device=x_hat.device)
        if self.penalty is not None:
            of_penalty = _VALUES[type(self.penalty)](self.penalty, code)
            summands.insert(0, Term(of_penalty, self.penalty.weight, self.penalty.per, self.penalty.warmup))
        if draws:
            value = value + _bound(self.of_draws(x_hat, x, draws)).mean()
        else:
            of_loss = _VALUES[type(self.loss)](self.loss, x_hat, x)
            summands.insert(0, Term(of_loss, self.weight, self.per, self.loss.warmup))
        for term in summands:
            scale = _scale(term, ramp)
            if scale.weight:
                value = value + scale.average(term.values) * scale.weight
        return value if draws or not self.in_nats else value + self._normalizer(x)

    def with_gradients(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: Ramp = _risen,
        terms: Mapping[str, Term] = NONE,
    ) -> tuple[torch.Tensor, Gradients]:
        """The value, and what autograd gives for it, except for `KL` where its ρ is clamped."""
        at_code: torch.Tensor | None = None
        at_terms: dict[str, float | torch.Tensor] = {}
        if draws := _of_draws(terms):
            each = self.of_draws(x_hat, x, draws)
            value, share = _bound(each).mean(), torch.softmax(-each, dim=1) / len(x)
            repeated = x.repeat_interleave(each.shape[1], dim=0)
            at_x_hat = _with_gradient(self.loss, "batch", self.weight, x_hat, repeated)[1] * share.view(-1, 1)
            at_terms |= dict.fromkeys(draws, share)
        else:
            weight = self.weight * ramp(self.loss.warmup)
            value, at_x_hat = _with_gradient(self.loss, self.per, weight, x_hat, x)
            if self.in_nats:
                value = value + self._normalizer(x)
        if self.penalty is not None and (weight := self.penalty.weight * ramp(self.penalty.warmup)):
            of_penalty, at_code = _with_gradient(self.penalty, self.penalty.per, weight, code)
            value = value + of_penalty
        for name, term in terms.items():
            if name not in draws:
                scale = _scale(term, ramp)
                value = value + scale.average(term.values) * scale.weight
                at_terms[name] = scale.weight / scale.divisor
        return value, Gradients(at_x_hat, at_code, at_terms)


def _of_draws(terms: Mapping[str, Term]) -> dict[str, Term]:
    return {name: term for name, term in terms.items() if term.per == "draw"}


def _rows(values: torch.Tensor, per: str) -> torch.Tensor:
    """Values (n, ...) averaged over all but the samples: (n,)."""
    return values.reshape(len(values), -1).sum(dim=1) / Scale.of(values[:1].shape, per).divisor


def _bound(each: torch.Tensor) -> torch.Tensor:
    """(n, k) → (n,): -log mean_k exp(-each)."""
    return math.log(each.shape[1]) - torch.logsumexp(-each, dim=1)


def _with_gradient(
    part: Any, per: str, weight: float, y: torch.Tensor, *x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss or a penalty, and its gradient at y."""
    if written_out := _WRITTEN_OUT.get(type(part)):
        return written_out(Scale.of(y.shape, per, weight), part, y, *x)
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        term = _VALUES[type(part)](part, leaf, *x)
        scale = Scale.of(term.shape, per, weight)
        value = scale.average(term) * scale.weight
    return value.detach(), torch.autograd.grad(value, leaf)[0]
