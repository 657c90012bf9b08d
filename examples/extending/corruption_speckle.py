"""A corruption from outside the package: multiplicative noise."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from isthmus.corruption import register
from isthmus.parts import Levelled


@dataclass(frozen=True, repr=False)
class Speckle(Levelled):
    """x · (1 + sigma · e), e ~ N(0, I)."""

    kind: ClassVar[str] = "speckle"
    level: ClassVar[str] = "sigma"
    sigma: float


def speckle(part, x, generator, image_shape):
    e = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x * (1 + part.sigma * e)


register(Speckle, speckle)
