"""Screening: how unusual an image is for a model, and where."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from isthmus.errors import RequestError

SIDE = 5  # pixels of the neighbourhood in which a spot is looked for


def error_map(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Where a reconstruction differs: (c, h, w) twice → (h, w), |x_hat - x| averaged over channels."""
    return np.abs(np.subtract(x_hat, x, dtype=np.float32)).mean(axis=0)


def auroc(scores: np.ndarray, unusual: np.ndarray) -> float:
    """How well scores, (n,), tell the unusual images, (n,) bool, from the normal ones: 0.5 is chance, 1 perfect.

    The share of pairs of a normal and an unusual image of which the unusual one has the higher score. Raises
    RequestError if there are none of either.
    """
    n = int(np.count_nonzero(unusual))
    if n in (0, len(unusual)):
        raise RequestError(f"AUROC needs normal and unusual images, got {len(unusual) - n:,} and {n:,}")
    return float(roc_auc_score(unusual, scores))


def largest_local_error(x: np.ndarray, x_hat: np.ndarray, side: int = SIDE) -> float:
    """The largest mean squared error of any side×side neighbouring pixels: of (c, h, w) twice, over all channels.

    A small spot that the mean over an image hides stands out in it. Of a smaller image the window is as large as it is.

    >>> x, x_hat = np.zeros((2, 1, 20, 20))
    >>> x[0, 3:8, 4:9] = 1
    >>> largest_local_error(x, x_hat), float(np.square(x).mean())
    (1.0, 0.0625)
    """
    from scipy.ndimage import uniform_filter  # a slow import

    squared = np.square(np.subtract(x_hat, x, dtype=np.float32)).mean(axis=0)
    sides = [min(side, length) for length in squared.shape]
    inside = tuple(slice(n // 2, length - n + n // 2 + 1) for n, length in zip(sides, squared.shape, strict=True))
    return max(0.0, float(uniform_filter(squared, sides)[inside].max()))


def conformal_p_values(scores: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Of scores, (n,), of new samples, the p-values, (n,): (1 + how many of the held-out scores are as high) / (1 + m).

    held_out: (m,), of normal samples that nothing was fitted to. Of a new normal sample p is at most a with a
    probability of at most a, whatever the scores' distribution (Bates et al. 2023, "Testing for outliers with conformal
    p-values"); it cannot be below 1 / (1 + m).

    >>> conformal_p_values(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    array([1.  , 0.75, 0.25])
    """
    n_lower = np.searchsorted(np.sort(held_out), scores, side="left")
    return (1 + len(held_out) - n_lower) / (1 + len(held_out))


def threshold(held_out: np.ndarray, p: float) -> float | None:
    """The score above which a p-value is at most `p`; None where the held-out scores, (m,), are too few for any.

    >>> held_out = np.arange(40.0)
    >>> threshold(held_out, 0.05), conformal_p_values(np.array([38.0, 38.1]), held_out).round(3)
    (38.0, array([0.073, 0.049]))
    >>> threshold(held_out[:18], 0.05)
    """
    most = int(np.floor(p * (1 + len(held_out)) + 1e-9)) - 1  # of the held-out scores may be as high
    return None if most < 0 else float(np.sort(held_out)[len(held_out) - 1 - most])
