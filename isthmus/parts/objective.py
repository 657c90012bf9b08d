"""What is made small: the loss, and a penalty on the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isthmus.errors import one_of, require
from isthmus.parts import checks
from isthmus.parts.part import Part

PER = ("batch", "element", "sample")


@dataclass(frozen=True, repr=False)
class L1(Part):
    """weight * |code|, which drives units to zero (Tibshirani 1996).

    per: "sample" sums over units and averages over samples; "element" averages over units too; "batch" sums over
    everything, so its strength grows with the batch size: what some notebooks do, and why their codes collapse.
    warmup: epochs over which the weight grows, step by step, from 0 to what it is.
    """

    kind: ClassVar[str] = "l1"
    weight: float
    per: str = "sample"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.not_negative("weight", self.weight)
        one_of('value of "per"', self.per, PER)
        checks.not_negative("warmup", self.warmup)


@dataclass(frozen=True, repr=False)
class KL(Part):
    """weight * KL(Bernoulli(target) ‖ Bernoulli(ρ_j)), ρ_j the mean of unit j's code over the batch.

    Drives each unit to be on in a share `target` of the samples (Lee, Ekanadham, Ng 2007; Ng 2011). Needs codes in
    (0, 1), a sigmoid's. per: "sample" sums over units, "element" averages over them. warmup: as `L1`'s.
    """

    kind: ClassVar[str] = "kl"
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


@dataclass(frozen=True, repr=False)
class MSE(Part):
    """weight * squared error, averaged over features and samples."""

    kind: ClassVar[str] = "mse"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("weight", self.weight)


@dataclass(frozen=True, repr=False)
class BCE(Part):
    """weight * binary cross-entropy, averaged over features and samples. Needs a sigmoid output and x in [0, 1]."""

    kind: ClassVar[str] = "bce"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("weight", self.weight)
