"""Screening: how unusual an image is for a model, and where."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from isthmus.errors import RequestError


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
