"""What is made small: the loss, and a penalty on the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isthmus.errors import one_of, require
from isthmus.parts import checks
from isthmus.parts.part import Part

PER = ("batch", "element", "sample")


class Penalty(Part):
    """A part that makes the code small in some sense.

    code_activation: the activation of a code on which it does what it is for. turns_off: whether it drives units to
    exactly zero.
    """

    turns_off: ClassVar[bool] = False
    code_activation: ClassVar[str] = "linear"

    def contradiction(self, code_activation: str | None) -> str | None:
        """Why it cannot be had of codes with this activation; None if it can."""
        return None

    def doubt(self, code_activation: str | None) -> str | None:
        """Why it may not do what is hoped for on codes with this activation; None if nothing speaks against it."""
        return None


class Loss(Part):
    """A part that says how far x_hat is from x.

    bounded: whether it is a loss of numbers in [0, 1], which a sigmoid gives; it is computed from the sigmoid's input.
    """

    bounded: ClassVar[bool] = False

    def contradiction(self, output: str | None) -> str | None:
        """Why it cannot be had of a network with this activation at its output; None if it can."""
        if self.bounded and output != "sigmoid":
            return f'loss "{self.kind}" needs output="sigmoid", got output="{output}"'
        return None


@dataclass(frozen=True, repr=False)
class L1(Penalty):
    """weight * |code|, which drives units to zero (Tibshirani 1996).

    per: "sample" sums over units and averages over samples; "element" averages over units too; "batch" sums over
    everything, so its strength grows with the batch size: what some notebooks do, and why their codes collapse.
    warmup: epochs over which the weight grows, step by step, from 0 to what it is.
    """

    kind: ClassVar[str] = "l1"
    turns_off: ClassVar[bool] = True
    code_activation: ClassVar[str] = "relu"  # whose zeros are exact
    weight: float
    per: str = "sample"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("weight", self.weight)
        one_of('value of "per"', self.per, PER)
        checks.not_negative("warmup", self.warmup)

    def doubt(self, code_activation: str | None) -> str | None:
        if not self.weight or code_activation == self.code_activation:
            return None
        return (
            f'L1 makes this code small but never exactly zero, because its activation is "{code_activation}"; '
            'with code_activation="relu" units can be off'
        )


@dataclass(frozen=True, repr=False)
class KL(Penalty):
    """weight * KL(Bernoulli(target) ‖ Bernoulli(ρ_j)), ρ_j the mean of unit j's code over the batch.

    Drives each unit to be on in a share `target` of the samples (Lee, Ekanadham, Ng 2007; Ng 2011). Needs codes in
    (0, 1), a sigmoid's. per: "sample" sums over units, "element" averages over them. warmup: as `L1`'s.
    """

    kind: ClassVar[str] = "kl"
    code_activation: ClassVar[str] = "sigmoid"
    weight: float
    target: float = 0.05
    per: str = "sample"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("weight", self.weight)
        require(checks.is_number(self.target) and 0 < self.target < 1, "target", "above 0 and below 1", self.target)
        require(self.per != "batch", "per", '"sample" or "element", because ρ already covers the whole batch', self.per)
        one_of('value of "per"', self.per, ("element", "sample"))
        checks.not_negative("warmup", self.warmup)

    def contradiction(self, code_activation: str | None) -> str | None:
        if code_activation == self.code_activation:
            return None
        return f'penalty "kl" needs codes between 0 and 1, code_activation="sigmoid", got "{code_activation}"'


@dataclass(frozen=True, repr=False)
class MSE(Loss):
    """weight * squared error, averaged over features and samples."""

    kind: ClassVar[str] = "mse"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("weight", self.weight)


@dataclass(frozen=True, repr=False)
class BCE(Loss):
    """weight * binary cross-entropy, averaged over features and samples. Needs a sigmoid output and x in [0, 1]."""

    kind: ClassVar[str] = "bce"
    bounded: ClassVar[bool] = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("weight", self.weight)
