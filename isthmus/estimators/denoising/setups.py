"""What a denoiser is given in training, and what to make of it: clean images, pairs, or noisy images alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from isthmus.networks.denoisers import ImageNetwork
from isthmus.networks.denoisers.shot_noise import shot_plane
from isthmus.training.setup import CLIP, Setup

# Of the crops: of one colour, without noise; without noise, whatever is told; grey in equal channels, noise and all
_CONSTANT, _CLEAN, _GREY = 1 / 64, 1 / 32, 1 / 16
_CONSISTENCY = 2.0  # γ of Neighbor2Neighbor
_NORMAL_MAD = 0.6745


@dataclass(frozen=True, eq=False)
class DenoiserSetup(Setup):
    """How a denoiser is trained on crops of clean images.

    image_shape: of a crop. scale: the crops' unit in that of the data, in which the noise is.
    """

    scale: float = 1.0
    grey_share: ClassVar[float] = _GREY

    @property
    def clip(self) -> float:
        """One gradient in some 5,000 is thirty times as long as the others.

        Without a limit the training was set back by it for good (1 dB less in one seed of two).
        """
        return CLIP

    def images(self, x: torch.Tensor) -> torch.Tensor:
        """Crops (n, c, h, w)."""
        assert self.image_shape is not None
        return x.view(len(x), *self.image_shape)

    def pair(self, x: torch.Tensor, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy crops with the plane of their level, (n, (c + 1) · h · w), and clean ones, (n, c · h · w).

        Some have no noise, whatever is told of it: what is clean is to stay so. Some of those with colours are grey,
        with the same noise in each channel, as a grey photograph has it: its level is told as `tiles` tells it.
        """
        images = self.images(x)
        chance = torch.rand(len(x), 1, 1, 1, generator=stream, device=x.device)
        images = torch.where(chance < _CONSTANT, images.mean(dim=(2, 3), keepdim=True), images)
        grey = chance > 1 - self.grey_share
        images = torch.where(grey, images.mean(dim=1, keepdim=True), images)
        noisy, sigma = with_noise(self.corruption, images, stream, self.scale, grey)
        noisy = torch.where(chance < _CONSTANT + _CLEAN, images, noisy)
        return with_plane(noisy, sigma), images.flatten(1)


@dataclass(frozen=True, eq=False)
class PairSetup(DenoiserSetup):
    """How a denoiser is trained on pairs: noisy images, and clean ones or other noisy ones of the same scenes.

    The mean of the noise in the target is what counts, and that is 0 (Lehtinen et al. 2018). image_shape: of a pair,
    the channels of the one after those of the other.
    """

    def pair(self, x: torch.Tensor, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The one of each pair with its plane, and the other."""
        noisy, target = self.images(x).chunk(2, dim=1)
        return with_plane(noisy, level_of(noisy)), target.flatten(1)


@dataclass(frozen=True, eq=False)
class NeighborSetup(DenoiserSetup):
    """How a denoiser is trained on noisy images alone: Neighbor2Neighbor (Huang, Li, Jia, Lu, Liu 2021).

    Two images of half the size, of two neighbours in each square of 2×2 pixels, are two noisy takes of nearly the same
    scene. What they differ by without noise is taken from what the network makes of the whole image: its loss
    |f(a) - b|² + γ |f(a) - b - d|², d the difference of f(y) at these pixels, is (1 + γ) |f(a) - (b + γ/(1 + γ) d)|²
    and a constant. network: the one that is trained. corruption: what clean validation crops are given, if they are.
    """

    network: ImageNetwork | None = None
    grey_share: ClassVar[float] = 0.0  # of clean validation crops: it learns from what there is

    def pair(self, x: torch.Tensor, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """One neighbour of each square with its plane, and the other, corrected."""
        noisy = self.images(x)
        sigma = level_of(noisy)
        first, second = neighbours(noisy.shape, stream, noisy.device)
        assert self.network is not None
        with torch.no_grad():
            x_hat = self.network.denoise(noisy, plane_of(noisy, sigma))
        difference = taken(x_hat, second) - taken(x_hat, first)
        target = taken(noisy, second) - _CONSISTENCY / (1 + _CONSISTENCY) * difference
        return with_plane(taken(noisy, first), sigma), target.flatten(1)

    def validation_pair(self, x: torch.Tensor, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Of clean crops noisy ones, and the clean ones; of noisy ones the same pairs as in training."""
        return self.pair(x, stream) if self.corruption is None else DenoiserSetup.pair(self, x, stream)


def with_noise(
    noise: Any, images: torch.Tensor, stream: torch.Generator, scale: float, grey: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images (n, c, h, w), and the standard deviation of their noise: of each image, (n, 1, 1, 1), sampled from
    the range; of shot noise, of each pixel, (n, 1, h, w), as `shot_plane` has it.

    grey: which of them, (n, 1, 1, 1), have the same noise in each channel, and √c times its level beside it.
    """
    low, high = noise.sigma_range
    width = torch.where(grey, images.shape[1] ** 0.5, 1.0)
    sigma = torch.rand(len(images), 1, 1, 1, generator=stream, device=images.device).mul_(high - low).add_(low)
    is_shot, read = noise.shot_and_read
    if is_shot:
        event = sigma**2 / scale  # what one counts, in the images' unit
        noisy = torch.poisson(images.clamp_min(0) / event, generator=stream).mul_(event)
        if read:
            noisy += torch.randn(images.shape, generator=stream, device=images.device).mul_(read / scale)
        noisy = torch.where(grey, noisy[:, :1], noisy)
        return noisy, shot_plane(noisy, event, read / scale).mul_(width)
    sigma = sigma / scale
    noisy = torch.randn(images.shape, generator=stream, device=images.device).mul_(sigma).add_(images)
    return torch.where(grey, noisy[:, :1], noisy), sigma * width


def plane_of(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The plane (n, 1, h, w) of a level (n, 1, 1, 1)."""
    return sigma.expand(-1, 1, *images.shape[2:])


def with_plane(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Images with the plane of their level, as rows."""
    return torch.cat([images, plane_of(images, sigma)], 1).flatten(1)


def estimated(images: torch.Tensor) -> torch.Tensor:
    """The standard deviation of the noise in each image, (n, 1, 1, 1), as `data.noise_estimate` has it."""
    h, w = (side // 2 * 2 for side in images.shape[2:])
    cells = images[:, :, :h, :w]
    a, b, c, d = cells[..., ::2, ::2], cells[..., ::2, 1::2], cells[..., 1::2, ::2], cells[..., 1::2, 1::2]
    return (a - b - c + d).abs().flatten(1).median(dim=1).values.div_(2 * _NORMAL_MAD).view(-1, 1, 1, 1)


def level_of(images: torch.Tensor) -> torch.Tensor:
    """What a network is told of the noise in images, (n, 1, 1, 1): of c equal channels √c times it, as `tiles` does."""
    is_grey = (images == images[:, :1]).flatten(1).all(dim=1).view(-1, 1, 1, 1)
    return estimated(images) * torch.where(is_grey, images.shape[1] ** 0.5, 1.0)


# The four pixels of a square are 0 1 / 2 3; the pairs of neighbours among them, in both orders
_PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))


def neighbours(shape: torch.Size, stream: torch.Generator, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pixel of each square the first and which the second image has: (n, h/2, w/2) of 0 to 3, twice."""
    n, _, h, w = shape
    which = torch.randint(len(_PAIRS), (n, h // 2, w // 2), generator=stream, device=device)
    pairs = _pairs_on(device)[which]
    return pairs[..., 0], pairs[..., 1]


@functools.cache
def _pairs_on(device: torch.device) -> torch.Tensor:
    """Made once: a step that is recorded for replay cannot copy from the host."""
    return torch.tensor(_PAIRS).to(device)


def taken(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """One pixel of each square of 2×2: (n, c, h, w) → (n, c, h/2, w/2)."""
    squares = torch.stack([images[..., i // 2 :: 2, i % 2 :: 2] for i in range(4)], dim=-1)
    return squares.gather(-1, which[:, None, ..., None].expand(*squares.shape[:-1], 1))[..., 0]
