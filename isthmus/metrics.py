"""Metrics: each is computed per sample, then averaged, with a 95 % interval.

Images are arrays of (n, channels, height, width) in [0, 1]. Reconstructions may leave that range and are not clipped.
Per-sample values are float64.

Means and intervals are over independent units. `groups`, one label per sample, says which samples belong together: the
overlapping patches of a photograph are averaged first, and each photograph counts once. The interval is Student's t:
mean ± t · standard error, with n - 1 degrees of freedom for n independent units. That of a share is Wilson's, and that
of a statistic of a whole set the jackknife's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over n independent units: images, or groups of them, such as the photographs of patches.

    ci95 is None where there is no spread; value is None where it is not defined.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int


# Ranges that a mean cannot leave
_BOUNDS = {
    "mse": (0.0, math.inf),
    "mse_code_only": (0.0, math.inf),
    "published_sse": (0.0, math.inf),
    "l0": (0.0, math.inf),
    "ssim": (-1.0, 1.0),
    "explained_variance": (-math.inf, 1.0),
    "linear_probe": (0.0, 1.0),
    "knn": (0.0, 1.0),
    "silhouette": (-1.0, 1.0),
    "trustworthiness": (0.0, 1.0),
}


def possible(ci95: tuple[float, float] | None, metric: str = "mse") -> tuple[float, float] | None:
    """An interval as it is shown: without values that the metric cannot have, such as an MSE below 0.

    Its coverage is that of the whole interval. Files keep the whole one: its half width is t standard errors.

    >>> possible((-0.0145, 0.0329))
    (0.0, 0.0329)
    """
    if ci95 is None:
        return None
    low, high = _BOUNDS.get(metric, (-math.inf, math.inf))
    return max(ci95[0], low), min(ci95[1], high)


@functools.cache
def student_t(n: int) -> float:
    """The 97.5 % quantile of Student's t for the mean of n values, n ≥ 2: 12.7 of two, 1.96 of many."""
    from scipy.special import stdtrit  # a slow import, which only printing does not need

    return float(stdtrit(n - 1, 0.975))


def mean_of(values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean of per-sample values, (n,), with its interval. groups: (n,) labels; each group counts once."""
    values = _by_group(values, groups)
    n = len(values)
    if n == 0:
        return Estimate(None, None, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(mean, None, 1)
    margin = _margin(values)
    return Estimate(mean, (mean - margin, mean + margin), n)


_NORMAL = 1.959963984540054  # the normal distribution's 97.5 % quantile


def share_of(hits: np.ndarray, groups: np.ndarray) -> Estimate:
    """The share of hits, (n,) of bool, with the interval of Wilson (1927), which never leaves [0, 1].

    groups: as for `mean_of`; where samples share one, the shares of the groups are averaged, as there.
    """
    n = len(hits)
    if n == 0 or len(np.unique(groups)) < n:
        return mean_of(hits.astype(np.float64), groups)
    share, z2 = float(hits.mean()), _NORMAL**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    margin = _NORMAL * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(share, (min(middle - margin, share), max(middle + margin, share)), n)


_PARTS = 10


def jackknifed(statistic: Callable[[np.ndarray], float], groups: np.ndarray) -> Estimate:
    """A statistic of samples as a whole, which is given their positions, with the jackknife's interval.

    A tenth of the groups, (n,) labels, is left out at a time, those at every tenth place: the samples must be in random
    order. The variance is 9/10 Σ (θ_i - mean)², the interval Student's t of 9 degrees of freedom (Shao and Tu 1995).
    None for fewer than 20 groups.
    """
    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    value, n = statistic(np.arange(len(groups))), len(first)
    if n < 2 * _PARTS:
        return Estimate(value, None, n)
    part = np.argsort(np.argsort(first))[of] % _PARTS
    without = np.array([statistic(np.flatnonzero(part != i)) for i in range(_PARTS)])
    margin = student_t(_PARTS) * math.sqrt((_PARTS - 1) * float(np.var(without)))
    return Estimate(value, (value - margin, value + margin) if math.isfinite(margin) else None, n)


def _by_group(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The mean of each group; without groups the values themselves."""
    if groups is None:
        return values
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(places, weights=values, minlength=len(sizes)) / sizes


def _margin(values: np.ndarray) -> float:
    """Half the 95 % interval of the mean of independent values, at least two."""
    with np.errstate(invalid="ignore"):  # of values that are not finite the interval is NaN
        return student_t(len(values)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def squared_error(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Per-sample mean squared error over all pixels: (n, ...) twice → (n,). `mse` is its mean."""
    difference = np.subtract(x_hat, x, dtype=np.float64).reshape(len(x), -1)
    return np.einsum("ij,ij->i", difference, difference) / difference.shape[1]


def psnr(error: np.ndarray) -> np.ndarray:
    """Per-sample peak signal-to-noise ratio in dB for a peak of 1, from `squared_error`; NaN for a perfect image."""
    with np.errstate(divide="ignore"):
        return np.where(error > 0, -10 * np.log10(error), np.nan)


def mean_psnr(error: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean over imperfect images; `n` counts them. PSNR is not defined for a perfect image.

    An error that is not finite makes the mean not finite. groups: as for `mean_of`; a group of perfect images is left
    out.
    """
    known = error != 0
    return mean_of(psnr(error)[known], None if groups is None else groups[known])


SSIM_WINDOW = 7
_CACHED = 2**14  # numbers of images at a time: what is made of them stays in the cache, in half the time or less


def ssim(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray | None:
    """Per-sample structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004): (n, c, h, w) twice → (n,).

    A uniform 7×7 window, data range 1, K1 = 0.01, K2 = 0.03, sample covariances, the mean over windows inside the
    image, then over channels: scikit-image's defaults. None if a side is shorter than the window.
    """
    if min(x.shape[-2:]) < SSIM_WINDOW:
        return None
    n = max(1, _CACHED // math.prod(x.shape[1:]))
    pieces = [_ssim(x[i : i + n], x_hat[i : i + n]) for i in range(0, len(x), n)]
    return np.concatenate(pieces) if pieces else np.zeros(0)


def _ssim(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    c1, c2, n = 0.01**2, 0.03**2, SSIM_WINDOW**2
    a, b = np.asarray(x, np.float64), np.asarray(x_hat, np.float64)
    mean_a, mean_b = _window_means(a), _window_means(b)
    unbiased = n / (n - 1)
    var_a = unbiased * (_window_means(a * a) - mean_a * mean_a)
    var_b = unbiased * (_window_means(b * b) - mean_b * mean_b)
    cov = unbiased * (_window_means(a * b) - mean_a * mean_b)
    similarity = ((2 * mean_a * mean_b + c1) * (2 * cov + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return similarity.mean(axis=(1, 2, 3))


_ROWS = 250  # of a photograph at a time: the window means of all, in float64, would take gigabytes


def ssim_of_one(x: np.ndarray, x_hat: np.ndarray) -> float | None:
    """`ssim` of one image, (c, h, w) twice, a few rows at a time; None as there."""
    windows = x.shape[1] - SSIM_WINDOW + 1
    total = 0.0
    for top in range(0, max(windows, 1), _ROWS):
        rows = slice(top, top + _ROWS + SSIM_WINDOW - 1)
        similarity = ssim(x[None, :, rows], x_hat[None, :, rows])
        if similarity is None:
            return None
        total += float(similarity[0]) * min(_ROWS, windows - top)
    return total / windows


def _window_means(x: np.ndarray) -> np.ndarray:
    """Means over all 7×7 windows; shifted sums along one axis, then the other."""
    h, w = x.shape[-2] - SSIM_WINDOW + 1, x.shape[-1] - SSIM_WINDOW + 1
    rows, windows = np.zeros((*x.shape[:-2], h, x.shape[-1])), np.zeros((*x.shape[:-2], h, w))
    for i in range(SSIM_WINDOW):
        rows += x[..., i : i + h, :]
    for j in range(SSIM_WINDOW):
        windows += rows[..., j : j + w]
    return windows / SSIM_WINDOW**2


# A unit is on for an image if its value is further from zero than this, which is above any rounding error
L0_THRESHOLD = 1e-6


def active(code: np.ndarray) -> np.ndarray:
    """Which units are on, |code| > L0_THRESHOLD: (n, code_size) → (n, code_size) of bool."""
    return np.abs(code) > L0_THRESHOLD


def l0(code: np.ndarray) -> np.ndarray:
    """Per-sample number of units that are on: (n, code_size) → (n,)."""
    return active(code).sum(axis=1).astype(np.float64)


def mean_activation(code: np.ndarray) -> np.ndarray:
    """Per-sample mean of the code: (n, code_size) → (n,)."""
    return code.mean(axis=1, dtype=np.float64)


_ROUNDING = 1e-13  # of a pixel's mean square: less is no variance, but what the difference of two sums leaves


class Variation:
    """The variance of images: of each pixel, and summed over pixels. Fed chunk by chunk."""

    def __init__(self) -> None:
        self.n, self.sum, self.squares = 0, np.zeros(1), np.zeros(1)

    def add(self, x: np.ndarray) -> None:
        """x: (n, n_features)."""
        x = x.astype(np.float64)
        self.n, self.sum, self.squares = self.n + len(x), self.sum + x.sum(0), self.squares + (x * x).sum(0)

    @property
    def value(self) -> float:
        """The sum over pixels of the population variance; 0 for identical images."""
        return float(self.of_pixels.sum()) if self.n else 0.0

    @property
    def of_pixels(self) -> np.ndarray:
        """(n_features,): each pixel's variance."""
        squares = self.squares / self.n
        variance = squares - (self.sum / self.n) ** 2
        return np.where(variance > _ROUNDING * squares, variance, 0.0)

    def frozen(self, reconstructed: Variation) -> float:
        """The share of this variation in pixels that are constant in the reconstructions; 0 for identical images."""
        # the variance of a dead pixel is a rounding error; that of any other is far above this
        still = reconstructed.of_pixels <= 1e-6 * self.of_pixels
        return float(self.of_pixels[still].sum() / self.value) if self.value else 0.0


def explained_variance(error: np.ndarray, baseline_error: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """1 - Σ error / Σ baseline_error: the explained share of the squared deviation from a baseline.

    Both are per-sample squared errors, (n,); the baseline predicts the training mean of each pixel. That predictor has
    0, a perfect model 1. The interval is the delta method's, for a ratio of sums. None for a baseline without error.
    groups: as for `mean_of`; the sums are over the means of the groups.
    """
    error, baseline_error = _by_group(error, groups), _by_group(baseline_error, groups)
    n, total = len(error), float(baseline_error.sum())
    if n == 0 or total == 0:
        return Estimate(None, None, n)
    unexplained = float(error.sum()) / total
    if n == 1:
        return Estimate(1 - unexplained, None, 1)
    margin = _margin((error - unexplained * baseline_error) / baseline_error.mean())
    return Estimate(1 - unexplained, (1 - unexplained - margin, 1 - unexplained + margin), n)
