"""An augmentation from outside the package: a share of the samples backwards."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from isthmus.augmentation import register
from isthmus.parts import Augmentation


@dataclass(frozen=True, repr=False)
class Flip(Augmentation):
    """Each sample's numbers in reverse order, with probability `share`."""

    kind: ClassVar[str] = "flip"
    share: float = 0.5


def flip(part, x, generator, image_shape):
    u = torch.rand((len(x), 1), generator=generator, device=x.device)
    return torch.where(u < part.share, x.flip(1), x)


register(Flip, flip)
