"""An estimate of the noise in the pixels of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.data.sizes import cropped
from isthmus.errors import counted

CLEAN = 0.008  # two of 255 levels
NOISY = 0.05  # clean photographs measured 0 to 0.036, the finest grass 0.047
_LEAST_SIDE = 16  # in smaller images, most fine detail is signal
_LOOKED_AT, _MIDDLE = 500, 512
_SQUARED = 100  # images that are looked at in squares, which takes four times as long
_SQUARE, _LEAST_SQUARES = 16, 5  # pixels of a side, and squares that are compared with as many others
_FLAT = 1.3  # times as much along rows and columns as along diagonals; of noise alone 1, give or take 0.2
_FLAT_BELOW = 1.6  # times as much along diagonals of four times as many pixels; of noise alone 1, give or take 0.35
_CUT = 0.01  # of a square's pixels, at an end of the range: where more are, noise has lost a tail
# Times the noise of the dark parts, where uniform noise is at most 1.1; cut off at black it has lost up to 0.4 of it.
_GROWS, _GROWS_FROM_BLACK, _GROWS_BY_HALVES, _MOST_OF_THEM = 1.3, 2.0, 1.1, 0.75


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
    return [estimated_sigma(image) / (255 if image.dtype == np.uint8 else 1) for image in _some_of(images)]


def _some_of(images: Sequence[Any] | np.ndarray, most: int = _LOOKED_AT) -> Iterator[np.ndarray]:
    some = [image for image in images[:: max(1, len(images) // most)] if min(image.shape[1:]) >= _LEAST_SIDE]
    return (np.asarray(cropped(image, (min(image.shape[1], _MIDDLE), min(image.shape[2], _MIDDLE)))) for image in some)


@dataclass(frozen=True)
class Growth:
    """Noise that grows with the brightness, as shares of black to white.

    dark, bright: its standard deviation where images are dark, and where they are bright. peak: the photons at white
    whose Poisson noise grows as fast.
    """

    dark: float
    bright: float
    peak: float


def growth_of(images: Sequence[Any] | np.ndarray) -> Growth | None:
    """How the noise of images (c, h, w), as `sigmas_of` has them, grows with their brightness; None if it does not, or
    where too little of them is flat to know.

    In squares of 16×16 pixels that have hardly more of it along rows and columns, and from four pixels to the next,
    than along diagonals noise is nearly alone.
    """
    squares, grows = [np.zeros((3, 0))], []
    for image in _some_of(images, _SQUARED):
        squares.append(np.stack(_of_flat_squares(image)))
        if len(order := np.argsort(squares[-1][0])) >= 2 * _LEAST_SQUARES:
            halves = np.array_split(squares[-1][1, order], 2)
            grows.append(_GROWS_BY_HALVES * halves[0].mean() < halves[1].mean())
    if not grows or np.mean(grows) < _MOST_OF_THEM:  # brighter images may be noisier for being other images
        return None
    brightness, variance, black = np.concatenate(squares, axis=1)
    order, n = np.argsort(brightness), max(_LEAST_SQUARES, len(brightness) // 10)
    dark, bright = order[:n], order[-n:]
    # of the bright ones the quarter below: texture that passes for noise makes some of them differ from the others
    low, high = float(np.median(variance[dark])), float(np.quantile(variance[bright], 0.25))
    least = _GROWS if np.median(black[dark]) <= _CUT else _GROWS_FROM_BLACK
    if high <= least**2 * low or high < (2 * CLEAN) ** 2:
        return None
    contrast = float(np.median(brightness[bright]) - np.median(brightness[dark]))
    return Growth(math.sqrt(low), math.sqrt(high), contrast / (high - low))


def _of_flat_squares(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of an image's flat squares, (n,) each: brightness, variance of the noise, and the share of pixels that are black.

    Noise that is cut at white, or has lost more than half of itself at black, is left out.
    """
    c, h, w = image.shape
    x = image[:, : h // _SQUARE * _SQUARE, : w // _SQUARE * _SQUARE] / (255.0 if image.dtype == np.uint8 else 1.0)
    if not x.size:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    low, rows, columns, diagonals = _haar(x)
    coarse = _haar(low)[3]

    def mean(part: np.ndarray) -> np.ndarray:
        side = part.shape[1] * _SQUARE // x.shape[1]
        means: np.ndarray = part.reshape(c, x.shape[1] // _SQUARE, side, -1, side).mean(axis=(2, 4)).ravel()
        return means

    variance, black, white = mean(diagonals**2), mean(x <= x.min()), mean(x >= x.max())
    is_flat = (mean(rows**2 + columns**2) <= 2 * _FLAT * variance) & (mean(coarse**2) <= _FLAT_BELOW * variance)
    which = is_flat & (white <= _CUT) & (black < 0.5) & (variance > 0)
    return mean(x)[which], variance[which], black[which]


def _haar(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each 2×2 pixels half the sum, and of rows, columns and diagonals half the difference: of white noise alike."""
    a, b, c, d = (x[:, i::2, j::2] / 2 for i in (0, 1) for j in (0, 1))
    return a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d
