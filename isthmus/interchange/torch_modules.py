"""Fitted networks as plain torch modules, independent of the estimator that they come from."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from isthmus.errors import one_of
from isthmus.networks import Network, Shape
from isthmus.networks.denoisers.image_network import ImageNetwork, inner, seen
from isthmus.networks.denoisers.shot_noise import SHOT_MARGIN, shot_plane

FUNCTIONS = ("reconstruct", "encode", "decode")


class AutoencoderModule(nn.Module):
    """A network and its code. Calling it is its `function`; each of the three is also a method.

    Samples are images (n, channels, height, width) if `image_shape` is known, else (n, n_features); codes are
    (n, code_size). All are in the units of the training's samples, as those of the estimator.
    """

    def __init__(self, network: Network, image_shape: Shape, function: str) -> None:
        super().__init__()
        one_of("function", function, FUNCTIONS)
        self.network, self.image_shape, self.function = copy.deepcopy(network).cpu().eval(), image_shape, function
        if network.standardization is not None:  # here no configuration has it beside the weights
            self.network.register_buffer("ends", self.network.ends)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What `function` says."""
        return getattr(self, self.function)(x)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Samples → codes."""
        return self.network.code_of(x.flatten(1))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """Codes → samples, from the code alone."""
        return self._shaped(self.network.decode(self.network.code.nearest(code)))

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Samples → samples; a decoder that unpools sees the encoder's switches."""
        return self._shaped(self.network(x.flatten(1)).x_hat)

    def _shaped(self, x_hat: torch.Tensor) -> torch.Tensor:
        return x_hat if self.image_shape is None else x_hat.unflatten(1, self.image_shape)


class DenoiserModule(nn.Module):
    """A network that takes the noise out of images of any size, each in one piece.

    scale: of the images, in the network's unit. read: of shot noise, the standard deviation that is added to it, in the
    images' unit; None for noise that is Gaussian. self_ensemble: the mean over flips and turns.
    """

    def __init__(self, network: ImageNetwork, scale: float, read: float | None, *, self_ensemble: bool) -> None:
        super().__init__()
        self.network, self.scale, self.read = copy.deepcopy(network).cpu().eval(), scale, read
        self.views = range(8 if self_ensemble else 1)
        self.reach = -(-network.reach // network.factor) * network.factor
        self.margin = 0 if read is None else SHOT_MARGIN  # beside the reach, for the plane

    def forward(self, y: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Noisy images (n, c, h, w) without their noise.

        level: its standard deviation, in their unit, of each image, (n, 1, 1, 1), or of each pixel, (n, 1, h, w); of
        shot noise that of a pixel of 1. Beyond its border an image goes on as its mirror image. What would be taken
        from an image that is constant, with the mean of the levels, is given back.
        """
        n, c, h, w = y.shape
        factor, around = self.network.factor, self.reach + self.margin
        mean = y.mean(dim=(2, 3), keepdim=True) / self.scale
        level = level.expand(n, 1, h, w) / self.scale
        rows, columns = (_mirrored(around, side, factor, y.device) for side in (h, w))
        wide = y[:, :, rows][:, :, :, columns] / self.scale
        levels = level[:, :, rows][:, :, :, columns]
        middle = level.mean(dim=(2, 3), keepdim=True)
        constant = mean.expand(n, c, *(2 * around + factor,) * 2)
        noise = self._noise(wide, self._plane(wide, levels, y), mean)
        taken = self._noise(constant, self._plane(constant, middle, y), mean)
        taken = taken.repeat(1, 1, noise.shape[2] // factor, noise.shape[3] // factor)
        return y - self.scale * (noise - taken)[:, :, :h, :w]

    def _plane(self, x: torch.Tensor, level: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The level of each pixel, without the margin. In equal channels of grey noise is √c times as wide."""
        plane = level.expand(x.shape[0], 1, *x.shape[2:])  # len() would fix it for torch.export
        if self.read is not None:
            plane = inner(shot_plane(x, plane.square() * self.scale, self.read / self.scale), SHOT_MARGIN)
        if y.shape[1] == 1:
            return plane
        is_grey = (y == y[:, :1]).flatten(1).all(dim=1)[:, None, None, None]
        return torch.where(is_grey, plane * math.sqrt(y.shape[1]), plane)

    def _noise(self, x: torch.Tensor, plane: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """The noise in what lies inside of the margin and the reach."""
        x = inner(x, self.margin) - mean
        total: Any = sum(seen(self.network.noise(seen(x, i), seen(plane, i)), -i) for i in self.views)
        return inner(total, self.reach) / len(self.views)


def _mirrored(around: int, side: int, factor: int, device: torch.device) -> torch.Tensor:
    """The positions of an image and of so many pixels to each side of it, beyond its border as in a mirror."""
    positions = torch.arange(-around, side + -side % factor + around, device=device) % (2 * side)
    return torch.minimum(positions, 2 * side - 1 - positions)
