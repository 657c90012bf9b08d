"""Losses: how far x_hat is from x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

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

    binary: whether a training draws 0 or 1 for each number of a sample, with that as the probability, anew in each
    epoch (Salakhutdinov and Murray 2008); None: with a code in nats (`Gaussian`), where it is a likelihood of these
    alone.
    """

    kind: ClassVar[str] = "bce"
    bounded: ClassVar[bool] = True
    weight: float = 1.0
    binary: bool | None = None
