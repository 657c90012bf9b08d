"""Networks that take the noise out of images of any size. `build` makes the module that a part describes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from isthmus import kinds
from isthmus.kinds import COMPUTES
from isthmus.networks.counting import Products
from isthmus.networks.denoisers.image_network import ImageNetwork
from isthmus.networks.denoisers.residual import ResidualNetwork
from isthmus.networks.denoisers.unet import UNetNetwork
from isthmus.parts import ImageNetworkPart, Residual, UNet

# (part, channels, generator) → the module
Build = Callable[[Any, int, torch.Generator], ImageNetwork]
_BUILDS: dict[type[Any], Build] = COMPUTES["image-network"]
_BUILDS |= {Residual: ResidualNetwork, UNet: UNetNetwork}


def build(part: ImageNetworkPart, channels: int, generator: torch.Generator) -> ImageNetwork:
    """The module for an image network's part, on the CPU, with weights drawn from `generator`."""
    network = _BUILDS[type(part)](part, channels, generator)
    network.part = part
    return network


@functools.cache
def size_of(part: ImageNetworkPart, channels: int, side: int) -> tuple[int, int]:
    """(weights, multiplications for an image of side × side pixels) of the module, without its memory."""
    with torch.device("meta"), Products() as products:
        network = build(part, channels, torch.Generator())
        network.denoise(torch.empty(1, channels, side, side), torch.empty(1, 1, side, side))
    return sum(p.numel() for p in network.parameters()), products.n


def register(kind: type[ImageNetworkPart], make: Build) -> None:
    """Let parts of one's own describe networks of a `Denoiser`, from here on and in this process and its workers.

    kind: a frozen dataclass with the class variable `kind`. make: (part, channels, generator) → an `ImageNetwork`.
    Raises RequestError for a kind that there is.
    """
    kinds.register("image-network", kind, make)


__all__ = ["ImageNetwork", "build", "register", "size_of"]
