"""The contract of a network that takes the noise out of images of any size."""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from isthmus.networks.empty import draw_normal, empty
from isthmus.networks.network import Trainable
from isthmus.networks.outputs import Output


class ImageNetwork(Trainable, abc.ABC):
    """Noisy images (n, channels, h, w), and a plane (n, 1, h, w) with the noise's standard deviation → the noise.

    part: the one that it was built from. factor: sides must be multiples of it. reach: the pixels to each side that a
    pixel of the result depends on.
    """

    part: Any
    channels: int
    factor: int
    reach: int

    @abc.abstractmethod
    def noise(self, y: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """The noise in images less their mean; sides are multiples of `factor`."""

    def for_inference(self, dtype: torch.dtype) -> ImageNetwork:
        """The network that denoises tiles, whose borders are not needed: itself, or a faster copy.

        dtype: of the products. The noise that it predicts may be that of a smaller image, in the middle of the tile.
        """
        return self

    def denoise(self, y: torch.Tensor, level: torch.Tensor, mean: torch.Tensor | None = None) -> torch.Tensor:
        """Images of any height and width without their noise. mean: (n, channels, 1, 1), if that of y is not meant.

        The network sees each channel less its mean, so that all greys are alike to it.
        """
        h, w = y.shape[2:]
        if mean is None:
            mean = y.mean(dim=(2, 3), keepdim=True)
        x, below, beside = y - mean, -h % self.factor, -w % self.factor
        if below or beside:
            x, level = (functional.pad(t, (0, beside, 0, below), mode="replicate") for t in (x, level))
        noise = self.noise(x, level)
        border = (x.shape[2] - noise.shape[2]) // 2
        return inner(y, border) - noise[:, :, : h - 2 * border, : w - 2 * border]

    def forward(self, x: torch.Tensor, *, logits: bool = False, generator: torch.Generator | None = None) -> Output:
        """Square crops with their plane, as rows (n, (channels + 1) · side²) → the denoised ones, and no code."""
        side = math.isqrt(x.shape[1] // (self.channels + 1))
        images = x.view(len(x), self.channels + 1, side, side)
        x_hat = self.denoise(images[:, :-1], images[:, -1:])
        return Output(x_hat.flatten(1), x.new_empty(len(x), 0))


def convolution(n_in: int, n_out: int, generator: torch.Generator, *, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution, weights ~ N(0, 2 / fan) (He et al. 2015), no bias at the start."""
    layer = empty(nn.Conv2d, n_in, n_out, kernel_size=size, padding=size // 2 if stride == 1 else 0, stride=stride)
    draw_normal(layer.weight, math.sqrt(2 / (n_in * size * size)), generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """x + half of two convolutions of it."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width, generator), convolution(width, width, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(functional.relu_(self.first(x)))
        return torch.add(inner(x, (x.shape[2] - y.shape[2]) // 2), y, alpha=0.5)


def inner(x: torch.Tensor, border: int) -> torch.Tensor:
    """Images (n, c, h, w) without a border of so many pixels; of none, the same tensor, with no backward pass."""
    return x if border == 0 else x[:, :, border : x.shape[2] - border, border : x.shape[3] - border]


def unshuffled(y: torch.Tensor, level: torch.Tensor, factor: int) -> torch.Tensor:
    """Squares of pixels as channels, with one plane of the level, in channels-last order."""
    x = functional.pixel_unshuffle(y, factor)
    return torch.cat([x, level[:, :, ::factor, ::factor]], 1).contiguous(memory_format=torch.channels_last)


def seen(x: torch.Tensor, view: int) -> torch.Tensor:
    """Images (n, c, h, w) in one of the eight views that flips and turns give, 0 to 7; -view takes it back."""
    turns, is_flipped = abs(view) % 4, abs(view) >= 4
    if view < 0:
        x = x.rot90(-turns, (2, 3))
    x = x.transpose(2, 3) if is_flipped else x
    return x.rot90(turns, (2, 3)) if view > 0 else x
