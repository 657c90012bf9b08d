"""A network of a `Denoiser` from outside the package: it predicts the noise of images of any size."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from isthmus.networks.denoisers import ImageNetwork, register
from isthmus.parts import ImageNetworkPart


@dataclass(frozen=True, repr=False)
class Smoother(ImageNetworkPart):
    """What a blur of this size takes away, times a number that is learned."""

    kind: ClassVar[str] = "smoother"
    size: int = 3


class SmootherNetwork(ImageNetwork):
    """factor, reach: images are cut into tiles of multiples of `factor`, which overlap by `reach` pixels."""

    def __init__(self, part, channels, generator):
        super().__init__()
        self.channels, self.factor, self.reach, self.size = channels, 1, part.size // 2, part.size
        self.share = nn.Parameter(torch.zeros(()))

    def noise(self, y, level):
        return self.share * (y - nn.functional.avg_pool2d(y, self.size, 1, self.size // 2))


register(Smoother, SmootherNetwork)
