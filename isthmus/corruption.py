"""What a corruption computes: (part, x, generator) → x_noisy. Every draw comes from the generator that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from isthmus.parts import GaussianNoise, Part


def gaussian_noise(part: GaussianNoise, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """x + sigma * e, e ~ N(0, I); if relative, sigma is scaled by each sample's ‖x‖/√features; clipped if asked.

    x: (n, n_features). Returns a new tensor of the same shape, type and device.
    """
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    if part.relative:
        noise *= x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5
    x_noisy = noise.mul_(part.sigma).add_(x)
    return x_noisy.clamp_(0, 1) if part.clip else x_noisy


_COMPUTES: dict[type[Part], Callable[[Any, torch.Tensor, torch.Generator], torch.Tensor]] = {
    GaussianNoise: gaussian_noise,
}


def corrupt(part: Part, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The corrupted x, (n, n_features), in a new tensor. x is left as it is."""
    return _COMPUTES[type(part)](part, x, generator)
