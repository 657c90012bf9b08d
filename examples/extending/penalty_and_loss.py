"""A penalty from outside the package: how many units of a code are on."""

from dataclasses import dataclass
from typing import ClassVar

from isthmus.objective import register
from isthmus.parts import Penalty


@dataclass(frozen=True, repr=False)
class Hoyer(Penalty):
    """|code|₁² / |code|₂² of each sample: how many units are on, were they on alike (Hoyer 2004)."""

    kind: ClassVar[str] = "hoyer"
    weight: float
    per: str = "sample"
    warmup: float = 0.0


def hoyer(part, code):
    return code.abs().sum(dim=1) ** 2 / code.square().sum(dim=1).clamp(min=1e-12)


register(Hoyer, hoyer)
