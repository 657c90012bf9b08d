"""The module that a `UNet` part describes."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn
from torch.nn import functional

from isthmus.networks.denoisers.image_network import Block, ImageNetwork, convolution, unshuffled
from isthmus.networks.empty import draw_normal, empty
from isthmus.parts import UNet


class UNetNetwork(ImageNetwork):
    """Blocks at each scale down and up again; what comes up is added to what went down. It starts as the identity."""

    def __init__(self, part: UNet, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.channels, self.unshuffle = channels, part.unshuffle
        coarsest = 2 ** (part.scales - 1)
        self.factor = part.unshuffle * coarsest
        n_pixels, widths = channels * part.unshuffle**2, [part.width * 2**i for i in range(part.scales)]

        def chain(width: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width, generator) for _ in range(part.blocks)))

        self.head = convolution(n_pixels + 1, part.width, generator)
        self.down = nn.ModuleList(chain(width) for width in widths)
        self.up = nn.ModuleList(chain(width) for width in widths[:-1])
        pairs = list(itertools.pairwise(widths))
        self.coarser = nn.ModuleList(convolution(fine, coarse, generator, size=2, stride=2) for fine, coarse in pairs)
        self.finer = nn.ModuleList(_transposed(coarse, fine, generator) for fine, coarse in pairs)
        self.tail = convolution(part.width, n_pixels, generator)
        nn.init.zeros_(self.tail.weight)
        # 3×3 convolutions at each scale, down and up, in pixels; the sampling adds less than a pixel of its scale
        at_scale = [(4 if i < part.scales - 1 else 2) * part.blocks + 1 for i in range(part.scales)]
        self.reach = part.unshuffle * (2 + sum(n * 2**i for i, n in enumerate(at_scale)))

    def noise(self, y: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """See `ImageNetwork`."""
        x, passed = self.head(unshuffled(y, level, self.unshuffle)), []
        for chain, coarser in zip(self.down, self.coarser, strict=False):
            x = chain(x)
            passed.append(x)
            x = coarser(x)
        x = self.down[-1](x)
        for chain, finer in zip(reversed(self.up), reversed(self.finer), strict=True):
            x = chain(finer(x) + passed.pop())
        return functional.pixel_shuffle(self.tail(x), self.unshuffle)


def _transposed(n_in: int, n_out: int, generator: torch.Generator) -> nn.ConvTranspose2d:
    layer = empty(nn.ConvTranspose2d, n_in, n_out, kernel_size=2, stride=2)
    draw_normal(layer.weight, math.sqrt(1 / n_in), generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
