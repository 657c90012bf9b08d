"""An estimate of the noise in the pixels of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.data.sizes import cropped
from isthmus.errors import counted

CLEAN = 0.008  # two of 255 levels
NOISY = 0.05  # clean photographs measured 0 to 0.036, the finest grass 0.047
_LEAST_SIDE = 16  # in smaller images, most fine detail is signal
_LOOKED_AT, _MIDDLE = 500, 512


def estimated_sigma(image: np.ndarray) -> float:
    """Standard deviation of white noise in an image (..., h, w), in its units: median |d| / 0.6745, d the diagonal
    differences of 2×2 pixels (Donoho and Johnstone 1994, with Haar's wavelet).

    >>> bool(abs(estimated_sigma(np.random.default_rng(0).normal(0.5, 0.1, (200, 200))) - 0.1) < 0.005)
    True
    """
    differences = _cells(image)[0]  # of one row or column there are none
    return float(np.median(np.abs(differences))) / 2 / 0.6745 if differences.size else 0.0


def estimated_shot_sigma(image: np.ndarray, brightness: np.ndarray, read: float) -> float:
    """Standard deviation of shot noise at 1 in an image (..., h, w): s, the variance being s² · brightness + read².

    The same differences, each divided by the deviation that s gives it, have that median: found by bisection.

    >>> x = np.full((200, 200), 0.5)
    >>> noisy = np.random.default_rng(0).poisson(x * 30) / 30
    >>> bool(abs(estimated_shot_sigma(noisy, noisy, 0.0) - 30**-0.5) < 0.01)
    True
    """
    differences, sums = (_cells(array) for array in (image, brightness))
    if not differences[0].size:
        return 0.0
    d, x = np.abs(differences[0]) / 2, np.maximum(sums[1] / 4, 1e-6)
    low, high = 0.0, 100.0
    for _ in range(40):
        middle = (low + high) / 2
        is_more = np.median(d / np.sqrt(middle**2 * x + read**2 + 1e-12)) > 0.6745
        low, high = (middle, high) if is_more else (low, middle)
    return high


def _cells(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each 2×2 pixels the difference of the diagonals, and the sum."""
    h, w = (side // 2 * 2 for side in image.shape[-2:])
    a, b = image[..., 0:h:2, 0:w:2].astype(np.float64), image[..., 0:h:2, 1:w:2]
    c, d = image[..., 1:h:2, 0:w:2], image[..., 1:h:2, 1:w:2]
    return a - b - c + d, a + b + c + d


def noise_in(images: Sequence[Any] | np.ndarray) -> str:
    """A note on images (c, h, w), floats in [0, 1] or uint8, that look noisy; "" for others."""
    sigmas = sigmas_of(images)
    if not sigmas or (sigma := float(np.median(sigmas))) < NOISY:
        return ""
    return (
        f"the images look noisy themselves (sigma about {sigma:.2f}, of {counted(len(sigmas), 'image')}): errors are "
        f"measured against them as they are, so that clean ones would have an MSE of about {sigma**2:.4f}"
    )


def sigmas_of(images: Sequence[Any] | np.ndarray) -> list[float]:
    """The noise in some images (c, h, w), of large ones in the middle; floats in [0, 1], or uint8, of which it is a
    share of black to white."""
    some = [image for image in images[:: max(1, len(images) // _LOOKED_AT)] if min(image.shape[1:]) >= _LEAST_SIDE]
    middles = (cropped(image, (min(image.shape[1], _MIDDLE), min(image.shape[2], _MIDDLE))) for image in some)
    return [estimated_sigma(image) / (255 if image.dtype == np.uint8 else 1) for image in middles]
