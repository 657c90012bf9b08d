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
_IN_CELLS = 50  # images that are looked at in cells, which takes four times as long
_CELL, _TENTHS, _MOST_CELLS = 4, 10, 8192  # pixels of a side; and cells of an image: more are told no better
_LEAST_CELLS, _LEAST_IN_AN_IMAGE = 20, 5  # smooth ones, to compare with as many others
_SMOOTH = 0.25  # of the cells of one brightness
_WHITE = 2.0  # times as much along diagonals of four times as many pixels; of noise alone 1, of coins' relief 3
_WHITE_ALONE = 1.5  # where all tenths count alike, and some may be left out
_CUT = 0.01  # of a tenth's pixels, at an end of the range: where more are, noise has lost a tail
# Times the noise of the dark parts: uniform noise is at most 1.4 of few cells, and cut off at black has lost up to 0.2.
_GROWS, _GROWS_FROM_BLACK, _GROWS_IN_AN_IMAGE, _MOST_OF_THEM = 1.45, 1.8, 1.1, 0.75


def estimated_sigma(image: np.ndarray) -> float:
    """Standard deviation of white noise in an image (..., h, w), in its units: median |d| / 0.6745, d the diagonal
    differences of 2×2 pixels (Donoho and Johnstone 1994, with Haar's wavelet).

    >>> bool(abs(estimated_sigma(np.random.default_rng(0).normal(0.5, 0.1, (200, 200))) - 0.1) < 0.005)
    True
    """
    differences = _cells(image)[0]  # of one row or column there are none
    return float(np.median(np.abs(differences))) / 2 / 0.6745 if differences.size else 0.0


def estimated_smooth_sigma(image: np.ndarray) -> float:
    """Standard deviation of white noise in the smooth parts of an image (c, h, w), in its units; of noise that differs
    with the brightness, the median.

    Unlike `estimated_sigma` it leaves out texture; of images that are too small, or all texture, it is that.

    >>> image = np.sin(2.0 * np.add.outer(np.arange(100), np.arange(100))[None])
    >>> image[:, 40:] = 0  # less than half is texture
    >>> image += np.random.default_rng(0).normal(0, 0.05, image.shape)
    >>> bool(estimated_sigma(image) > 0.07), bool(abs(estimated_smooth_sigma(image) - 0.05) < 0.005)
    (True, True)
    """
    known = _smooth_tenths(_cells_of(image), _LEAST_IN_AN_IMAGE, _WHITE_ALONE)
    return float(np.median([variance for _, variance, _ in known])) ** 0.5 if known else estimated_sigma(image)


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
    each = (images[i] for i in range(0, len(images), max(1, len(images) // most)))  # of those on the disk one at a time
    some = (image for image in each if min(image.shape[1:]) >= _LEAST_SIDE)
    return (np.asarray(cropped(image, (min(image.shape[1], _MIDDLE), min(image.shape[2], _MIDDLE)))) for image in some)


@dataclass(frozen=True)
class Growth:
    """Noise that grows with the brightness, as shares of black to white.

    dark, bright: its standard deviation where images are dark, and where they are bright. peak: the photons at white
    whose Poisson noise grows as fast. darkness: how bright it is where images are dark.
    """

    dark: float
    bright: float
    peak: float
    darkness: float

    def variance_in(self, image: np.ndarray) -> float:
        """The mean variance of the noise in the pixels of an image, floats in [0, 1]: 0 of those cut off at white."""
        below = image[image < image.max()]
        if not below.size:
            return self.dark**2
        variance = self.dark**2 + (float(below.mean()) - self.darkness) / self.peak
        return max(0.0, variance) * below.size / image.size


def growth_of(images: Sequence[Any] | np.ndarray) -> Growth | None:
    """How the noise of images (c, h, w), as `sigmas_of` has them, grows with their brightness; None if it does not, or
    where too little of them is smooth to know.

    Along rows, columns and diagonals white noise is independent. So of the cells of 4×4 pixels of one brightness those
    with the least along rows and columns, where the image is smooth, have along diagonals the noise as it is.
    """
    cells = [np.zeros((6, 0)), *(_cells_of(image) for image in _some_of(images, _IN_CELLS))]
    in_images = [known for of_image in cells if len(known := _smooth_tenths(of_image, _LEAST_IN_AN_IMAGE)) > 1]
    grows = [known[-1][1] > _GROWS_IN_AN_IMAGE**2 * known[0][1] for known in in_images]
    known = _smooth_tenths(np.concatenate(cells, axis=1), _LEAST_CELLS)
    # brighter images may be noisier for being other images
    if len(known) < 2 or not grows or np.mean(grows) < _MOST_OF_THEM:
        return None
    (darkness, low, black), (brightness, high, _) = known[0], known[-1]
    least = _GROWS if black <= _CUT else _GROWS_FROM_BLACK
    if high <= least**2 * low or high < (2 * CLEAN) ** 2:
        return None
    return Growth(math.sqrt(low), math.sqrt(high), (brightness - darkness) / (high - low), darkness)


def _smooth_tenths(cells: np.ndarray, least: int, most: float = _WHITE) -> list[tuple[float, float, float]]:
    """Of each tenth of cells in which noise is known, the darkest first: brightness, variance of the noise, and the
    share of pixels that are black. None of them where a tenth has fewer smooth cells than `least`. most: times as much
    along diagonals of four times as many pixels.

    Left out are texture, noise that is cut at white, and tenths of which more than a quarter is black.
    """
    known = []
    for tenth in np.array_split(cells[:, np.argsort(cells[0])], _TENTHS, axis=1):
        n = int(_SMOOTH * tenth.shape[1])
        if n < least:
            return []
        brightness, _, variance, coarse, *_ = tenth[:, np.argsort(tenth[1])[:n]].mean(axis=1).tolist()
        black, white = tenth[4:].mean(axis=1).tolist()
        if white <= _CUT and black < 0.25 and variance > 0 and coarse <= most * variance:
            known.append((brightness, variance, black))
    return known


def _cells_of(image: np.ndarray) -> np.ndarray:
    """Of an image's cells (6, n): brightness; mean square along rows and columns, along diagonals, and along diagonals
    of four times as many pixels; and the shares of pixels that are black and white."""
    c, h, w = image.shape
    if min(h, w) < _CELL:
        return np.zeros((6, 0), np.float32)
    x = image[:, : h // _CELL * _CELL, : w // _CELL * _CELL] / np.float32(255 if image.dtype == np.uint8 else 1)
    low, rows, columns, diagonals = _haar(x)

    def mean(part: np.ndarray) -> np.ndarray:
        side = part.shape[1] * _CELL // x.shape[1]
        means: np.ndarray = part.reshape(c, x.shape[1] // _CELL, side, -1, side).mean(axis=(2, 4)).ravel()
        return means

    squares = (rows**2 + columns**2, diagonals**2, _haar(low)[3] ** 2)
    cells = np.stack([mean(part) for part in (x, *squares, x <= x.min(), x >= x.max())], dtype=np.float32)
    return cells[:, :: max(1, -(-cells.shape[1] // _MOST_CELLS))]


def _haar(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each 2×2 pixels half the sum, and of rows, columns and diagonals half the difference: of white noise alike."""
    a, b, c, d = (x[:, i::2, j::2] / 2 for i in (0, 1) for j in (0, 1))
    return a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d
