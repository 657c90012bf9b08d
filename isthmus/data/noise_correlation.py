"""Noise that is correlated between neighbouring pixels, as a camera's is after demosaicing and JPEG.

An estimate from the finest differences reads it too low, and neighbouring pixels are no two takes of a scene. Texture
is correlated too, so noise is looked for where an image is smooth, and only where all smooth parts have as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from isthmus.data.formats.page import full_scale_of
from isthmus.data.sizes import cropped
from isthmus.errors import counted

_MIDDLE, _LOOKED_AT = 512, 50  # pixels of a side, and images, that are looked at
_BLOCK, _LEAST_BLOCKS, _SMOOTH = 16, 20, 0.1  # pixels of a side; of an image; the share of them that is smoothest
_CUT = 0.02  # of a block's pixels, at an end of the range: where more are, noise has lost a tail
# Measured on 185 photographs (68 of BSD, 100 others of 180×180, 17 of scikit-image and scikit-learn), of the smoothest
# tenth of their blocks. Lag-1 correlation, median and 95 %: of white noise at sigma 0.05 0.04 and 0.31, the more with
# texture in all blocks, and on china, flower, astronaut and coffee 0 to 0.04 (at 0.02 to 0.11); blurred by half a pixel
# 0.25, by one 0.69; saved as JPEG of quality 50 0.44, 60 0.34, 70 0.22, 80 0.06, 90 0.02.
_CORRELATED = 0.2
# Lag 2 by the square of lag 1: of noise blurred by a pixel 0.5, of JPEG 0.3 and less, of texture with white noise 1.7
_SHORT = 0.6
# The first quartile's deviation by the 5 % quantile's: of noise 1.0 to 1.3, of clean photographs 1.4 to 7
_EVEN = 1.4
_LEAST_SIGMA = 0.012  # smooth parts of clean photographs, also as JPEG: china 0.003, coffee 0.008, coins 0.010
# With all four 5 of the 185 are named clean, which have fine texture everywhere, and with white noise of 0.02, 0.05,
# 0.1 and 0.2 4, 2, 1 and none; with noise blurred by one pixel 35, 78, 96 and 61 %; with white noise of 0.05 that was
# saved as JPEG of quality 50 and 60 65 %, 70 18 %, 80 2 %.
_MOST_OF_THEM = 0.25  # of several images: more than are named by mistake


def correlated_sigma(image: np.ndarray) -> float | None:
    """Standard deviation of the noise in the smooth parts of an image (c, h, w), if it is correlated; else None.

    uint8, uint16 or floats in [0, 1]; it is a share of black to white.

    >>> white = np.random.default_rng(0).normal(0, 0.1, (1, 201, 201))
    >>> blurred = (white[:, 1:, 1:] + white[:, :-1, 1:] + white[:, 1:, :-1] + white[:, :-1, :-1]) / 4
    >>> 0.04 < correlated_sigma(0.5 + blurred) < 0.06, correlated_sigma(0.5 + white)
    (True, None)
    """
    size = (min(image.shape[1], _MIDDLE) // _BLOCK * _BLOCK, min(image.shape[2], _MIDDLE) // _BLOCK * _BLOCK)
    x = cropped(image, size) / np.float32(full_scale_of(image.dtype))
    if not x.size:
        return None
    is_whole = _blocks((x <= x.min()) | (x >= x.max())).mean(axis=(0, 2, 3)) <= _CUT
    blocks = _without_slope(_blocks(x)[:, is_whole])
    variances = np.square(blocks).mean(axis=(0, 2, 3))
    blocks, variances = blocks[:, variances > 0], variances[variances > 0]
    if len(variances) < _LEAST_BLOCKS:
        return None
    smooth = blocks[:, np.argsort(variances)[: int(_SMOOTH * len(variances)) + 1]]
    variance = float(np.square(smooth).mean())
    lag_1, lag_2 = (_covariance(smooth, lag) / variance for lag in (1, 2))
    lowest, quartile = np.sqrt(np.quantile(variances, [0.05, 0.25]))
    is_noise = quartile <= _EVEN * lowest and variance >= _LEAST_SIGMA**2
    return variance**0.5 if is_noise and lag_1 > _CORRELATED and lag_2 <= _SHORT * lag_1**2 else None


def correlated_in(images: Sequence[Any]) -> str:
    """The first half of a sentence on images (c, h, w), if the noise of many is correlated; else ""."""
    some = images[:: max(1, len(images) // _LOOKED_AT)]
    sizes = [(min(image.shape[1], _MIDDLE), min(image.shape[2], _MIDDLE)) for image in some]
    middles = (np.asarray(cropped(image, size)) for image, size in zip(some, sizes, strict=True))
    return in_words([correlated_sigma(middle) for middle in middles])[0]


def in_words(sigmas: Iterable[float | None]) -> tuple[str, float]:
    """The same of what `correlated_sigma` gave for each image, and the typical level."""
    each = list(sigmas)
    known = [sigma for sigma in each if sigma is not None]
    if not known or len(known) < _MOST_OF_THEM * len(each):
        return "", 0.0
    sigma = float(np.median(known))
    return (
        f"{counted(len(known), 'image')} with noise that seems correlated between neighbouring pixels, as a camera's "
        f"is after demosaicing and JPEG: sigma is about {sigma:.2g} in smooth parts (texture everywhere looks alike)"
    ), sigma


def _blocks(x: np.ndarray) -> np.ndarray:
    """(c, n, side, side)."""
    c, h, w = x.shape
    blocks = x.reshape(c, h // _BLOCK, _BLOCK, w // _BLOCK, _BLOCK).swapaxes(2, 3)
    return blocks.reshape(c, -1, _BLOCK, _BLOCK)


def _without_slope(blocks: np.ndarray) -> np.ndarray:
    """Each block less the plane that is nearest to it, which shading is."""
    at = (np.arange(_BLOCK) - (_BLOCK - 1) / 2).astype(np.float32)
    n = _BLOCK * np.square(at).sum()
    rest = blocks - blocks.mean(axis=(2, 3), keepdims=True)
    down = (rest * at[:, None]).sum(axis=(2, 3), keepdims=True) / n
    right = (rest * at).sum(axis=(2, 3), keepdims=True) / n
    slope: np.ndarray = rest - down * at[:, None] - right * at
    return slope


def _covariance(blocks: np.ndarray, lag: int) -> float:
    """Of pixels that are so far apart along rows, and along columns: the mean of both."""
    along, down = blocks[..., lag:] * blocks[..., :-lag], blocks[..., lag:, :] * blocks[..., :-lag, :]
    return float(along.mean() + down.mean()) / 2
