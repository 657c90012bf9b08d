"""Losses: how far x_hat is from x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from isthmus.errors import require
from isthmus.parts import checks
from isthmus.parts.part import Part


@dataclass(frozen=True, repr=False)
class Loss(Part):
    """A part that says how far x_hat is from x, averaged over features and samples.

    bounded: whether it is a loss of numbers in [0, 1], which a sigmoid gives; it is computed from the sigmoid's input.
    is_squared: whether it is the mean squared error, so that it compares with the noise of what the network was given.
    """

    bounded: ClassVar[bool] = False
    is_squared: ClassVar[bool] = False
    per: ClassVar[str] = "element"
    warmup: ClassVar[float] = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("weight", self.weight)

    @property
    def log_normalizer(self) -> float:
        """What is added for each number of a sample to make it -log of a density, in nats."""
        return 0.0

    def targets(self, *, in_nats: bool) -> str:
        """What a training makes of its samples before it compares with them, in words; "" for nothing."""
        return ""

    def contradiction(self, output: str | None) -> str | None:
        """Why it cannot be had of a network with this activation at its output; None if it can."""
        if self.bounded and output != "sigmoid":
            return f'loss "{self.kind}" needs output="sigmoid", got output="{output}"'
        return None


@dataclass(frozen=True, repr=False)
class MSE(Loss):
    """weight * squared error, averaged over features and samples."""

    kind: ClassVar[str] = "mse"
    is_squared: ClassVar[bool] = True

    @property
    def log_normalizer(self) -> float:
        return 0.5 * math.log(math.pi / self.weight)  # of a Gaussian of variance 1 / (2 * weight)


@dataclass(frozen=True, repr=False)
class BCE(Loss):
    """weight * binary cross-entropy, averaged over features and samples. Needs a sigmoid output and x in [0, 1].

    binary: True for a training that draws 0 or 1 for each number of a sample, with that as the probability, anew in
    each epoch (Salakhutdinov and Murray 2008); "fixed" for one drawing for good, by the seed and the sample's own
    numbers, the very one whose `log_likelihood` is measured; False for neither. None: anew with a code in nats
    (`Gaussian`), where it is a likelihood of these alone, and else not.
    """

    kind: ClassVar[str] = "bce"
    bounded: ClassVar[bool] = True
    weight: float = 1.0
    binary: bool | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.binary is None or self.binary == "fixed" or isinstance(self.binary, bool)
        require(known, "binary", 'true, false or "fixed"', self.binary)

    def targets(self, *, in_nats: bool) -> str:
        if self.binary == "fixed":
            return "each number of a sample is drawn as 0 or 1 once for all"
        if self.binary or (self.binary is None and in_nats):
            return "each number of a sample is drawn as 0 or 1 anew in each epoch"
        return "numbers between 0 and 1 are taken as they are, which is no likelihood" if in_nats else ""
