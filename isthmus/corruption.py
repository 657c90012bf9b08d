"""Computation of corruptions, (part, x, generator, image_shape) → x_noisy, and the noisy version of an image.

All random numbers come from the generator that is passed in: that of the training, or, for images that are measured or
shown, the image's own (`noisy_version`). image_shape is (channels, height, width), or None for rows of numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from isthmus import kinds
from isthmus.errors import RequestError, require
from isthmus.parts import Corruption, GaussianNoise, Masking, Occlusion, Poisson, SaltAndPepper, Sequence
from isthmus.parts.corruptions import MEAN
from isthmus.rng import content_seeds

ImageShape = tuple[int, int, int]
_MOST_EVENTS = 1e9  # that a pixel may count on average: a GPU draws them as 32-bit integers


def gaussian_noise(
    part: GaussianNoise, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None
) -> torch.Tensor:
    """x + sigma * e, e ~ N(0, I); if relative, sigma is scaled by each sample's ‖x‖/√features; clipped if asked.

    x: (n, n_features). Returns a new tensor of the same shape, type and device.
    """
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    if part.relative:
        noise *= x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5
    x_noisy = noise.mul_(part.single_level).add_(x)
    return x_noisy.clamp_(0, 1) if part.clip else x_noisy


def salt_and_pepper(
    part: SaltAndPepper, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None
) -> torch.Tensor:
    """u ~ U(0, 1) for each number: 1 where u < fraction / 2, 0 where fraction / 2 ≤ u < fraction, else x."""
    u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return torch.where(u < part.fraction, (u < part.fraction / 2).to(x.dtype), x)


def _missing(pixels: torch.Tensor, mask: torch.Tensor, value: float | str) -> torch.Tensor:
    """Pixels (n, channels, pixels) with `value` where mask, (n, 1, pixels), is true; "mean" is that of each channel."""
    if value == MEAN:
        return torch.where(mask, pixels.mean(dim=2, keepdim=True), pixels)
    return pixels.masked_fill(mask, float(value))


def masking(part: Masking, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None) -> torch.Tensor:
    """u ~ U(0, 1) for each pixel: `value` in all its channels where u < fraction, else x (Vincent et al. 2008)."""
    channels = image_shape[0] if image_shape else 1
    pixels = x.reshape(len(x), channels, x.shape[1] // channels)
    u = torch.rand((len(x), 1, pixels.shape[2]), generator=generator, device=x.device, dtype=x.dtype)
    return _missing(pixels, u < part.fraction, part.value).view(x.shape)


def occlusion(
    part: Occlusion, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None
) -> torch.Tensor:
    """`value` where row ≤ i < row + size and column ≤ j < column + size; row and column drawn for each sample."""
    shape = image_shape or part.image_shape
    assert shape is not None, "checked by the part"
    size, (channels, height, width) = int(part.size), shape

    def covered(length: int) -> torch.Tensor:
        """(n, length): whether the square reaches this row, or this column."""
        first = torch.randint(length - size + 1, (len(x), 1), generator=generator, device=x.device)
        place = torch.arange(length, device=x.device)
        return (place >= first) & (place < first + size)

    rows, columns = covered(height), covered(width)
    square = rows[:, None, :, None] & columns[:, None, None, :]
    pixels = x.reshape(-1, channels, height * width)
    return _missing(pixels, square.flatten(2), part.value).view(x.shape)


def poisson(part: Poisson, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None) -> torch.Tensor:
    """Poisson(x · peak) / peak. Raises RequestError if x is negative, or the rate more than can be counted."""
    if len(x) == 0:
        return torch.empty_like(x)
    # waits for the device, but torch's own check of a rate ends a GPU's process, and too large ones overflow unseen
    low, high = torch.stack(torch.aminmax(x)).tolist()
    if not low >= 0:
        raise RequestError(
            f"Poisson noise needs numbers of at least 0, like pixels in [0, 1], got a minimum of {low:g}"
        )
    peak = part.single_level
    require(high * peak <= _MOST_EVENTS, "the largest x · peak", f"at most {_MOST_EVENTS:g}", high * peak)
    return torch.poisson(x * peak, generator=generator).div_(peak)


def sequence(
    part: Sequence, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None
) -> torch.Tensor:
    """One after the other, with the same generator."""
    for step in part.parts:
        x = _COMPUTES[type(step)](step, x, generator, image_shape)
    return x


Compute = Callable[[Any, torch.Tensor, torch.Generator, ImageShape | None], torch.Tensor]
_COMPUTES: dict[type[Corruption], Compute] = kinds.COMPUTES["corruption"]
_COMPUTES |= {
    GaussianNoise: gaussian_noise,
    SaltAndPepper: salt_and_pepper,
    Masking: masking,
    Occlusion: occlusion,
    Poisson: poisson,
    Sequence: sequence,
}


def register(kind: type[Corruption], compute: Compute) -> None:
    """Let corruptions of one's own be used like the package's: in estimators, saved models, studies and commands.

    kind: a frozen dataclass, with the class variable `kind`. compute: (part, x, generator, image_shape) → x_noisy, in
    a new tensor of x's shape, type and device. Raises RequestError for a kind that there is.
    """
    kinds.register("corruption", kind, compute)


def corrupt(
    part: Corruption, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None = None
) -> torch.Tensor:
    """The corrupted x, (n, n_features), in a new tensor. x is left as it is. Raises as `part.check`."""
    part.check(x.shape[1], image_shape)
    return _COMPUTES[type(part)](part, x, generator, image_shape)


def noisy_version(images: np.ndarray, part: Corruption, image_shape: ImageShape | None, *, seed: int = 0) -> np.ndarray:
    """The corrupted version of each image, as every command, study and page measures and shows it.

    images: (n, n_features), taken as float32. Returns new rows, float32. An image's noise is drawn on the CPU, from a
    stream that is a function of (seed, the image's own bytes) and of nothing else: not of its place among others, nor
    of the corruption, so that at two levels of Gaussian noise the draws are the same up to the level. Duplicates of an
    image have the same noise. It is clipped to [0, 1] only if the part says so. Raises as `part.check`.
    """
    rows = np.ascontiguousarray(images, np.float32)
    part.check(rows.shape[1], image_shape)
    x = torch.from_numpy(rows if rows.flags.writeable else rows.copy())
    x_noisy, generator = torch.empty_like(x), torch.Generator()
    compute = _COMPUTES[type(part)]
    for i, image_seed in enumerate(content_seeds(seed, "test-noise", rows)):
        x_noisy[i : i + 1] = compute(part, x[i : i + 1], generator.manual_seed(image_seed), image_shape)
    return x_noisy.numpy()
