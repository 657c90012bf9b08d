"""What the numbers mean: each metric is computed per sample, then averaged, with a 95 % interval.

Images are arrays of (n, channels, height, width) in [0, 1]. A reconstruction may leave that range, and is measured as
the model gives it: nothing here clips. Per-sample values are float64.

The unit of a mean and of its interval is what is independent. `groups`, one label per sample, says what belongs
together: the overlapping patches of a photograph are averaged first, and each photograph counts once. The interval is
Student's t: mean ± t · standard error, with n - 1 degrees of freedom for n independent units.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over n independent units: images, or groups of them, like the photographs that patches are of.

    ci95 is None where no spread can be had; value is None where it is not defined.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int


# What a mean of these cannot leave, and so no interval has to hold
_BOUNDS = {
    "mse": (0.0, math.inf),
    "mse_code_only": (0.0, math.inf),
    "published_sse": (0.0, math.inf),
    "l0": (0.0, math.inf),
    "ssim": (-1.0, 1.0),
    "explained_variance": (-math.inf, 1.0),
}


def possible(ci95: tuple[float, float] | None, metric: str = "mse") -> tuple[float, float] | None:
    """An interval as it is shown: without what the metric cannot be, as an MSE below 0 of two or three images.

    It covers the truth exactly as often as the whole one, for the truth is never in what is left out. Files keep the
    whole interval: its half width is the t standard errors.

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
    from scipy.special import stdtrit  # here: what only prints an estimate need not wait for it

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


def _by_group(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The mean of each group; without groups the values themselves."""
    if groups is None:
        return values
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(places, weights=values, minlength=len(sizes)) / sizes


def _margin(values: np.ndarray) -> float:
    """Half the 95 % interval of the mean of independent values, at least two."""
    with np.errstate(invalid="ignore"):  # of what is not finite the spread is NaN, and so is the interval
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
    """The mean over the images that are not perfect; `n` counts them. Of a perfect image PSNR is not defined.

    An error that is not finite makes the mean so too: a model that draws such images is not good on the others alone.
    groups: as for `mean_of`; a group of perfect images alone is not counted.
    """
    known = error != 0
    return mean_of(psnr(error)[known], None if groups is None else groups[known])


SSIM_WINDOW = 7


def ssim(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray | None:
    """Per-sample structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004): (n, c, h, w) twice → (n,).

    A uniform 7×7 window, data range 1, K1 = 0.01, K2 = 0.03, sample covariances, the mean over windows that lie
    wholly inside the image, then over channels: scikit-image's defaults. None if a side is shorter than the window.
    """
    if min(x.shape[-2:]) < SSIM_WINDOW:
        return None
    c1, c2, n = 0.01**2, 0.03**2, SSIM_WINDOW**2
    a, b = np.asarray(x, np.float64), np.asarray(x_hat, np.float64)
    mean_a, mean_b = _window_means(a), _window_means(b)
    unbiased = n / (n - 1)
    var_a = unbiased * (_window_means(a * a) - mean_a * mean_a)
    var_b = unbiased * (_window_means(b * b) - mean_b * mean_b)
    cov = unbiased * (_window_means(a * b) - mean_a * mean_b)
    similarity = ((2 * mean_a * mean_b + c1) * (2 * cov + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return similarity.mean(axis=(1, 2, 3))


_ROWS = 250  # of a photograph at a time, or its windows' means in float64 would take gigabytes


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


# A unit is on for an image if its number is further from zero than this: rounding never reaches it, a ReLU that is off
# is exactly zero, and a code that is merely small is on.
L0_THRESHOLD = 1e-6


def active(code: np.ndarray) -> np.ndarray:
    """Which units are on, |code| > L0_THRESHOLD: (n, code_size) → (n, code_size) of bool."""
    return np.abs(code) > L0_THRESHOLD


def l0(code: np.ndarray) -> np.ndarray:
    """Per-sample number of units that are on: (n, code_size) → (n,)."""
    return active(code).sum(axis=1).astype(np.float64)


def mean_activation(code: np.ndarray) -> np.ndarray:
    """Per-sample mean of the code's numbers: (n, code_size) → (n,)."""
    return code.mean(axis=1, dtype=np.float64)


class Variation:
    """How much images vary from one to the next: each pixel's variance, summed over pixels. Fed chunk by chunk."""

    def __init__(self) -> None:
        self.n, self.sum, self.squares = 0, np.zeros(1), np.zeros(1)

    def add(self, x: np.ndarray) -> None:
        """x: (n, n_features)."""
        x = x.astype(np.float64)
        self.n, self.sum, self.squares = self.n + len(x), self.sum + x.sum(0), self.squares + (x * x).sum(0)

    @property
    def value(self) -> float:
        """The sum over pixels of the (population) variance; 0 for images that are all the same."""
        return float(self.of_pixels.sum()) if self.n else 0.0

    @property
    def of_pixels(self) -> np.ndarray:
        """(n_features,): each pixel's variance."""
        return np.asarray(np.maximum(self.squares / self.n - (self.sum / self.n) ** 2, 0))

    def frozen(self, drawn: Variation) -> float:
        """The share of this variation in pixels that never change in what is drawn of these images; 0 of none."""
        # a dead pixel's variance is a rounding error; the least that any other pixel's was, is far above this
        still = drawn.of_pixels <= 1e-6 * self.of_pixels
        return float(self.of_pixels[still].sum() / self.value) if self.value else 0.0


def explained_variance(error: np.ndarray, baseline_error: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """1 - Σ error / Σ baseline_error: the share of the squared deviation from a baseline that is explained.

    Both are per-sample squared errors, (n,); the baseline's are those of the training mean of each pixel. The mean
    predictor has 0, a perfect model 1. A ratio of sums, so its interval is the delta method's. None for a baseline
    without error. groups: as for `mean_of`; the sums are over the groups' means.
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
