"""Penalties: what makes the code small in some sense, beside the loss; and which of these parts go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import one_of, require
from isthmus.parts import checks
from isthmus.parts.part import Part

PER = ("batch", "element", "sample")
_SAID = 'leave the sigmoid out of the encoder, if it ends in one, and fit with code=Plain("sigmoid")'


class Penalty(Part):
    """A part that makes the code small in some sense. It has a `weight`, a `per` and a `warmup`.

    per: "sample" sums over units and averages over samples; "element" averages over units too; "batch" sums over
    everything, so its strength grows with the batch size: what some notebooks do, and why their codes collapse.
    warmup: epochs over which the weight grows, step by step, from 0 to what it is.
    averages: what `per` may be. code_activation: the activation of a code on which it does what it is for. turns_off:
    whether it drives units to exactly zero.
    """

    averages: ClassVar[tuple[str, ...]] = PER
    turns_off: ClassVar[bool] = False
    code_activation: ClassVar[str] = "linear"
    weight: float
    per: str
    warmup: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("weight", self.weight)
        one_of('value of "per"', self.per, self.averages)
        checks.not_negative("warmup", self.warmup)

    def contradiction(self, code_activation: str | None) -> str | None:
        """Why it cannot be had of codes with this activation, None for one that is not known; None if it can."""
        return None

    def doubt(self, code_activation: str | None) -> str | None:
        """Why it may not do what is hoped for on such codes; None if nothing speaks against it."""
        return None


@dataclass(frozen=True, repr=False)
class L1(Penalty):
    """weight * |code|, which drives units to zero (Tibshirani 1996). per, warmup: as of any `Penalty`."""

    kind: ClassVar[str] = "l1"
    turns_off: ClassVar[bool] = True
    code_activation: ClassVar[str] = "relu"  # whose zeros are exact
    weight: float
    per: str = "sample"
    warmup: float = 0.0

    def doubt(self, code_activation: str | None) -> str | None:
        if not self.weight or code_activation in (None, self.code_activation):
            return None
        return (
            f'L1 makes this code small but never exactly zero, because its activation is "{code_activation}"; '
            'with code_activation="relu" units can be off'
        )


@dataclass(frozen=True, repr=False)
class KL(Penalty):
    """weight * KL(Bernoulli(target) ‖ Bernoulli(ρ_j)), ρ_j the mean of unit j's code over the batch.

    Drives each unit to be on in a share `target` of the samples (Lee, Ekanadham, Ng 2007; Ng 2011). Needs codes in
    (0, 1), a sigmoid's. per, warmup: as of any `Penalty`, but not "batch", which ρ covers already.
    """

    kind: ClassVar[str] = "kl"
    averages: ClassVar[tuple[str, ...]] = ("element", "sample")
    code_activation: ClassVar[str] = "sigmoid"
    weight: float
    target: float = 0.05
    per: str = "sample"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        require(self.per != "batch", "per", '"sample" or "element", because ρ already covers the whole batch', self.per)
        super().__post_init__()
        require(checks.is_number(self.target) and 0 < self.target < 1, "target", "above 0 and below 1", self.target)

    def contradiction(self, code_activation: str | None) -> str | None:
        if code_activation == self.code_activation:
            return None
        needs = 'penalty "kl" needs codes between 0 and 1'
        if code_activation is None:
            return f"{needs}, and of these nothing is known; {_SAID}"
        return f'{needs}, code_activation="sigmoid", got "{code_activation}"'


def contradiction(network: Any, penalty: Any, loss: Any, code: Any = None, augmentation: Any = None) -> str | None:
    """The sentence that says why these cannot be trained together; None if they can."""
    wrong = loss and loss.contradiction(getattr(network, "output", None))
    wrong = wrong or (code and code.contradiction_in(network))
    wrong = wrong or (penalty and penalty.contradiction(_output(network, code)))
    if code and code.in_nats and loss and loss.bounded and loss.weight != 1:
        wrong = wrong or f'loss "{loss.kind}" of weight {loss.weight:g} is no likelihood for code {code!r}; set beta'
    if getattr(code, "noise", None) and loss and not (loss.is_squared and loss.weight == 1):
        wrong = wrong or f'loss {loss!r} has no noise to learn for code {code!r}, which needs "mse" without a weight'
    if not wrong and augmentation is not None and getattr(loss, "binary", None) == "fixed":
        # which would make grey of them again
        return f"loss {loss!r} draws samples before {augmentation!r} changes them; use binary=True"
    return f"{wrong} in {network!r}" if wrong else None


def doubt(network: Any, penalty: Any, code: Any = None) -> str | None:
    """The sentence that says why these may not do what is hoped for; None if nothing speaks against them."""
    return penalty.doubt(_output(network, code)) if penalty else None


def _output(network: Any, code: Any) -> str | None:
    """The activation that a code comes out of, where it is known."""
    activation: str | None = code.output(network) if code else getattr(network, "code_output", None)
    return activation
