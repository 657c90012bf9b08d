"""Whether a model is worse than PCA of as many numbers: a plain training says nothing of it, for PCA takes time."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.analysis.collapse import in_chunks, judged_of
from isthmus.data.images import Images
from isthmus.decimals import error_text
from isthmus.estimators.adapters import adapter_of, reconstruct
from isthmus.estimators.borrowed import best_pca

_MOST, _PARTS = 4096, 5  # samples that are judged by, and parts of them, each of which PCA leaves out once
_CLEARLY = 1.2  # PCA of 1,000 digits leaves 1.07 times as much of those by other writers as PCA of theirs does


def worse_than_pca(model: Any, X: Images | np.ndarray, *, training: Images | np.ndarray | None = None) -> str | None:
    """A sentence if a fitted model reconstructs X clearly worse than PCA of as many numbers; None if not.

    That is by a fifth, beyond chance. X: clean samples, as for `collapse`, of any model that reconstructs; of many
    4,096. They may be those that it was fitted to, or others like them: what PCA makes of a fifth of X (of patches, of
    the photographs) it has from the other four, so it knows none of what it is judged by, but what X has in common.
    training: the clean samples that the model was fitted to; then PCA is fitted to these alone, and X are others. With
    them few samples of X can tell.

    >>> from isthmus import Autoencoder, Dense
    >>> X = np.random.default_rng(0).normal(size=(300, 9)) * [5, 4, 3, 1, 1, 1, 1, 1, 1]
    >>> model = Autoencoder(Dense(bottleneck=3), epochs=2, random_state=0).fit(X)
    >>> worse_than_pca(model, X).partition(":")[0]
    'worse than PCA of 3 numbers'
    """
    judged, parts, start = judged_of(model), [], 0
    chosen = np.arange(min(len(X), _MOST)) * max(1, len(X)) // max(1, min(len(X), _MOST))
    for samples, flat in in_chunks(X, judged):
        which = chosen[(chosen >= start) & (chosen < start + len(flat))] - start
        parts.append((flat[which], reconstruct(model, samples)[which]))
        start += len(flat)
    if not parts:
        return None
    x, x_hat = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    groups = np.unique(X.photographs[chosen] if isinstance(X, Images) else chosen, return_inverse=True)[1]
    k = adapter_of(model).code_size(x.shape[1])
    if k >= x.shape[1] or (training is None and groups.max() + 1 < 2 * _PARTS):  # then PCA is exact, or nobody knows
        return None
    if training is None:
        of_pca, n_known = np.zeros(len(x)), len(x) - int(np.bincount(groups % _PARTS).max())
        for part in range(_PARTS):
            held_out = groups % _PARTS == part
            of_pca[held_out] = _of_pca(x[~held_out], x[held_out], k)
    else:
        known = np.concatenate([flat for _, flat in in_chunks(training, judged)])
        of_pca, n_known = _of_pca(known, x, k), len(known)
    of_model = metrics.squared_error(x, x_hat)
    excess = metrics.mean_of(of_model - _CLEARLY * of_pca, groups)
    if excess.ci95 is None or not excess.ci95[0] > 0:
        return None
    way = "train longer or with another learning rate"
    if judged is not None and judged.training_.recipe is None:
        way = f'fit with recipe="fast", or {way}'
    times = of_model.mean() / of_pca.mean()
    n = min(k, n_known - 1)  # all that the samples have
    return (
        f"worse than PCA of {n:,} numbers: on samples that PCA was not fitted to it leaves an error of "
        f"{error_text(of_pca.mean())}, and this model {error_text(of_model.mean())}, {times:.2f} times as much; {way}"
    )


def _of_pca(known: np.ndarray, x: np.ndarray, k: int) -> np.ndarray:
    """The squared error of each of x, (n,), with k components of what is known."""
    pca = best_pca(known, k)
    return metrics.squared_error(x, pca.inverse_transform(pca.transform(x)))
