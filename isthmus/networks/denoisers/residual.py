"""The module that a `Residual` part describes."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from isthmus.networks.denoisers.image_network import Block, ImageNetwork, convolution, unshuffled
from isthmus.parts import Residual


class ResidualNetwork(ImageNetwork):
    """One resolution, a chain of residual blocks. It starts as the identity: its last layer is zero."""

    def __init__(self, part: Residual, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.channels, self.factor = channels, part.unshuffle
        self.reach = (part.depth + 1) * part.unshuffle - 1
        n_pixels = channels * part.unshuffle**2
        self.head = convolution(n_pixels + 1, part.width, generator)
        self.blocks = nn.Sequential(*(Block(part.width, generator) for _ in range(part.depth // 2 - 1)))
        self.tail = convolution(part.width, n_pixels, generator)
        nn.init.zeros_(self.tail.weight)

    def noise(self, y: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """See `ImageNetwork`."""
        x = self.blocks(self.head(unshuffled(y, level, self.factor)))
        return functional.pixel_shuffle(self.tail(x), self.factor)

    def for_inference(self, dtype: torch.dtype) -> ImageNetwork:
        """A copy in `dtype` whose convolutions have no padding.

        Photographs of 481×321 take less than half of the time: the border shrinks from layer to layer, and some sides
        of padded images are slow in bfloat16 (263 pixels take 1.7 times as long as 264).
        """
        network = copy.deepcopy(self).to(dtype)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding = (0, 0)
        return network
