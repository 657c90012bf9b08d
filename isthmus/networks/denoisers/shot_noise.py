"""The plane that tells a network how much shot noise there is in each pixel."""

from __future__ import annotations

import torch
from torch.nn import functional

SHOT_MARGIN = 2  # pixels to each side of one, whose brightness counts for it


def shot_plane(noisy: torch.Tensor, event: torch.Tensor | float, read: float) -> torch.Tensor:
    """The standard deviation of shot noise in each pixel, (n, 1, h, w): √(event · brightness + read²).

    The brightness is the mean of 5×5 noisy pixels and of the channels. A plane of one level, as of Gaussian noise,
    would leave the network to guess: it sees pixels less the mean of their image, not how bright they are.
    """
    padded = functional.pad(noisy.mean(1, keepdim=True), (SHOT_MARGIN,) * 4, mode="replicate")
    brightness = functional.avg_pool2d(padded, 2 * SHOT_MARGIN + 1, stride=1)
    return brightness.clamp_min_(0).mul_(event).add_(read**2).sqrt_()
