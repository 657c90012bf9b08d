"""The objective of a step: a sum of terms, each weight · ramp · average, and the one place that averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from isthmus import kinds
from isthmus.networks import NONE, Gradients, Term
from isthmus.objective.averages import OF_MEAN, VALUES, Scale, Values, of_draws_with_gradient, with_gradient
from isthmus.parts import Loss, Penalty

# How far a warm-up of so many epochs has come, from 0 to 1.
Ramp = Callable[[float], float]


def _risen(_warmup: float) -> float:
    return 1.0


def register(kind: type[Penalty] | type[Loss], values: Values) -> None:
    """Let a penalty or a loss of one's own be trained with, from here on and in this process, also in studies.

    kind: a frozen dataclass: a `Penalty` with `weight`, `per` and `warmup`, or a `Loss`. values: of a penalty
    (part, code) → (n,) or (n, units), of a loss (part, x_hat, x) → (n, n_features). They are averaged as `per` says,
    and their gradient is autograd's. Raises RequestError for a kind that there is.
    """
    kinds.register("penalty" if issubclass(kind, Penalty) else "loss", kind, values)


def _scale(term: Term, ramp: Ramp, pieces: float = 1) -> Scale:
    return Scale.of(term.values.shape, term.per, term.weight * ramp(term.warmup), pieces)


def averages(terms: Mapping[str, Term], pieces: float = 1) -> dict[str, torch.Tensor]:
    """What each term is on average, without its weight. pieces: as of `Objective.with_gradients`."""
    scales = {name: Scale.of(term.values.shape, term.per, pieces=pieces) for name, term in terms.items()}
    return {name: scale.average(terms[name].values) for name, scale in scales.items()}


class Objective:
    """A sum of terms, each weight · ramp · average: a loss, a penalty on the code, those of a network and its code.

    `Scale` is the one place that averages; ramp is how far the warm-up of the term has come. With per="sample" or
    "element" the value does not change when the batch is doubled; with "batch" it does. Terms per="draw" make of the
    loss of each of a sample's k draws the bound -log mean_k exp(-(loss + terms)).

    Of a loss that `takes_logits` (BCE), x_hat is what goes into the sigmoid. in_nats: whether the loss is
    -log p(x | x_hat) of a sample, summed over its numbers, as a code that is a part of a likelihood has it. unit: else,
    a squared error that counts as 1, so that the others weigh the same, and steps are as large, in whatever units the
    data are; the value is in this unit. noise: in nats, what learns the variance of a squared error, in each step.
    """

    def __init__(
        self, loss: Any, penalty: Any = None, unit: float = 1.0, *, in_nats: bool = False, noise: Any = None
    ) -> None:
        self.loss, self.penalty, self.in_nats, self.noise = loss, penalty, in_nats, noise
        self.unit = 1.0 if in_nats else unit
        self.weight, self.per = loss.weight / self.unit, "sample" if in_nats else loss.per

    @property
    def takes_logits(self) -> bool:
        """Whether the loss is of a sigmoid's input instead of its output."""
        return self.loss.bounded

    @property
    def is_binary(self) -> bool:
        """Whether samples are to be drawn as 0 or 1 in each step, with their numbers as the probabilities."""
        binary: bool | str | None = getattr(self.loss, "binary", False)
        return self.in_nats if binary is None else binary is True

    @property
    def is_fixed(self) -> bool:
        """Whether samples are to be drawn so once, before the training."""
        return getattr(self.loss, "binary", False) == "fixed"

    @property
    def of_loss(self) -> Objective:
        """The loss alone, in the data's units; in nats it has the code's terms too."""
        return Objective(self.loss, in_nats=self.in_nats, noise=self.noise)

    @property
    def warmup(self) -> float:
        """Epochs after which no weight of the loss and the penalty grows any more."""
        return max(part.warmup for part in (self.loss, self.penalty) if part is not None)

    def normalizer(self, x: torch.Tensor) -> float | torch.Tensor:
        """What a likelihood has of the noise alone, and of the data's unit, whatever x_hat is; 0 of other losses."""
        each = self.loss.log_normalizer if self.noise is None else self.noise.log_normalizer
        return each * x.shape[1] if self.in_nats else 0.0

    def _of_loss(self, x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        values = VALUES[type(self.loss)](self.loss, x_hat, x)
        return values if self.noise is None else values * self.noise.weight

    def of_samples(self, x_hat: torch.Tensor, x: torch.Tensor, terms: Mapping[str, Term] = NONE) -> torch.Tensor:
        """Each sample's loss with these terms, (n,), whose mean is that of all. Of k draws, each sample's bound."""
        if draws := _of_draws(terms):
            return _bound(self.of_draws(x_hat, x, draws))
        each = _rows(self._of_loss(x_hat, x), self.per) * self.weight
        for term in terms.values():
            is_of_batch = term.per == "batch" or not term.values.ndim
            each = each + term.weight * (term.values.sum() if is_of_batch else _rows(term.values, term.per))
        return each + self.normalizer(x)

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
            of_penalty = VALUES[type(self.penalty)](self.penalty, code)
            summands.insert(0, Term(of_penalty, self.penalty.weight, self.penalty.per, self.penalty.warmup))
        if draws:
            value = value + _bound(self.of_draws(x_hat, x, draws)).mean()
        else:
            summands.insert(0, Term(self._of_loss(x_hat, x), self.weight, self.per, self.loss.warmup))
        for term in summands:
            scale = _scale(term, ramp)
            if scale.weight:
                value = value + scale.average(term.values) * scale.weight
        return value if draws or not self.in_nats else value + self.normalizer(x)

    def with_gradients(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: Ramp = _risen,
        terms: Mapping[str, Term] = NONE,
        pieces: float = 1,
        mean_code: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Gradients]:
        """The value, and what autograd gives for it, except for `KL` where its ρ is clamped.

        pieces: how many times the samples are those of a batch, of which they are a shard: then its shards' values and
        gradients add up to its own. mean_code: what `learn` gave of all of them, where the objective `is_of_batch`.
        """
        is_learned = mean_code is not None
        at_code: torch.Tensor | None = None
        at_terms: dict[str, float | torch.Tensor] = {}
        if draws := _of_draws(terms):
            errors, at_x_hat = of_draws_with_gradient(self.loss, x_hat, x)
            others = sum(term.values for term in draws.values())
            weight = self.weight
            if self.noise is not None:
                nearest = torch.softmax(-errors * self.noise.weight - others, dim=1)
                weight = self.noise.weight if is_learned else self.noise.learn((nearest * errors).sum(dim=1), x)
            each = errors * weight + self.normalizer(x) + others
            value, share = _bound(each).mean() / pieces, torch.softmax(-each, dim=1) / (len(x) * pieces)
            at_x_hat = at_x_hat.mul_((weight * share).view(-1, 1).to(at_x_hat.dtype))  # of two dtypes it is slow
            at_terms |= dict.fromkeys(draws, share)
        else:
            weight = self.weight * ramp(self.loss.warmup)
            value, at_x_hat = with_gradient(self.loss, self.per, weight, x_hat, x, pieces=pieces)
            if self.noise is not None:
                learned = self.noise.weight if is_learned else self.noise.learn(value, x)
                value, at_x_hat = value * learned, at_x_hat * learned
            if self.in_nats:
                value = value + self.normalizer(x) / pieces
        if self.penalty is not None and (weight := self.penalty.weight * ramp(self.penalty.warmup)):
            mean = () if mean_code is None or type(self.penalty) not in OF_MEAN else (mean_code,)
            of_penalty, at_code = with_gradient(self.penalty, self.penalty.per, weight, code, *mean, pieces=pieces)
            value = value + of_penalty
        for name, term in terms.items():
            if name not in draws:
                scale = _scale(term, ramp, pieces)
                value = value + scale.average(term.values) * scale.weight
                at_terms[name] = scale.weight / scale.divisor
        return value, Gradients(at_x_hat, at_code, at_terms)

    @property
    def is_of_batch(self) -> bool:
        """Whether the gradient at a sample depends on averages over its whole batch."""
        return self.noise is not None or type(self.penalty) in OF_MEAN

    def of_shard(
        self,
        x_hat: torch.Tensor,
        code: torch.Tensor,
        x: torch.Tensor,
        ramp: Ramp,
        terms: Mapping[str, Term],
        pieces: float,
    ) -> torch.Tensor:
        """What of shards adds up to the averages over their batch that `learn` takes, (2 + code_size,)."""
        error = x.new_zeros(())
        if self.noise is not None and (draws := _of_draws(terms)):
            errors, _ = of_draws_with_gradient(self.loss, x_hat, x)
            others = sum(term.values for term in draws.values())
            nearest = torch.softmax(-errors * self.noise.weight - others, dim=1)
            error = (nearest * errors).sum(dim=1).mean() / pieces
        elif self.noise is not None:
            error, _ = with_gradient(self.loss, self.per, self.weight * ramp(self.loss.warmup), x_hat, x, pieces=pieces)
        means = [error.view(1) / x.shape[1], x.square().mean().view(1) / pieces, code.mean(dim=0) / pieces]
        return torch.cat(means)

    def learn(self, averages: torch.Tensor) -> torch.Tensor:
        """Take in the averages over a batch in shards, before any of their gradients; the mean code, (code_size,)."""
        if self.noise is not None:
            self.noise.take_in(averages[0], averages[1])
        return averages[2:]


def _of_draws(terms: Mapping[str, Term]) -> dict[str, Term]:
    return {name: term for name, term in terms.items() if term.per == "draw"}


def _rows(values: torch.Tensor, per: str) -> torch.Tensor:
    """Values (n, ...) averaged over all but the samples: (n,)."""
    return values.reshape(len(values), -1).sum(dim=1) / Scale.of(values[:1].shape, per).divisor


def _bound(each: torch.Tensor) -> torch.Tensor:
    """(n, k) → (n,): -log mean_k exp(-each)."""
    return math.log(each.shape[1]) - torch.logsumexp(-each, dim=1)
