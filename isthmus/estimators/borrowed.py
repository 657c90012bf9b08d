"""scikit-learn's own estimators: PCA as a baseline, and what of a fitted one is kept in a file, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.preprocessing import FunctionTransformer

from isthmus.errors import DataError
from isthmus.estimators.saving import Saved
from isthmus.training.start import fit_pca

_DICTIONARY_NUMBERS = ("n_features_in_", "n_iter_", "n_steps_")
_PCA_ARRAYS = ("components_", "mean_", "explained_variance_", "explained_variance_ratio_", "singular_values_")
_PCA_NUMBERS = ("n_components_", "n_samples_", "n_features_in_")


def identity_rebuilt(
    parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]
) -> FunctionTransformer:
    """The identity, of which nothing is written but that it is one."""
    return FunctionTransformer(check_inverse=False)


def feature_names(model: Any) -> dict[str, list[str]]:
    """The names of a data frame's columns, if `fit` saw any."""
    return {"feature_names_in_": list(model.feature_names_in_)} if hasattr(model, "feature_names_in_") else {}


def name_features(model: Any, fitted: dict[str, Any]) -> None:
    """Give a model the names that `feature_names` gave. Raises DataError if they are none."""
    names = fitted.get("feature_names_in_")
    if names is None:
        return
    n = fitted["n_features_in_"]
    if not isinstance(names, list) or len(names) != n or not all(isinstance(name, str) for name in names):
        raise DataError(f"feature_names_in_ must be {n} names")
    model.feature_names_in_ = np.array(names, dtype=object)


def dictionary_saved(model: MiniBatchDictionaryLearning) -> Saved:
    """What of fitted dictionary learning is written."""
    counts = {name: int(getattr(model, name)) for name in _DICTIONARY_NUMBERS}
    return Saved({"components_": np.ascontiguousarray(model.components_)}, {**counts, **feature_names(model)})


def dictionary_rebuilt(
    parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]
) -> MiniBatchDictionaryLearning:
    """What `dictionary_saved` wrote. Raises DataError for anything else."""
    model = MiniBatchDictionaryLearning(**parameters)
    if set(tensors) != {"components_"} or tensors["components_"].shape[1:] != (fitted["n_features_in_"],):
        raise DataError(f"tensors {sorted(tensors)}, expected components_ of {fitted['n_features_in_']} columns")
    model.components_ = tensors["components_"]
    for name in _DICTIONARY_NUMBERS:
        setattr(model, name, fitted[name])
    name_features(model, fitted)
    return model


def pca_saved(model: PCA) -> Saved:
    """What of a fitted PCA is written."""
    numbers = {name: int(getattr(model, name)) for name in _PCA_NUMBERS}
    # safetensors keeps rows; products with the transposed layout, which some solvers leave, have other bits
    by_columns = not model.components_.flags.c_contiguous
    noise = float(model.noise_variance_)
    return Saved(
        {name: np.ascontiguousarray(getattr(model, name)) for name in _PCA_ARRAYS},
        {**numbers, "noise_variance_": noise, "by_columns": by_columns, **feature_names(model)},
    )


def pca_rebuilt(parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]) -> PCA:
    """What `pca_saved` wrote. Raises DataError for anything else."""
    model = PCA(**parameters)
    if set(tensors) != set(_PCA_ARRAYS):
        raise DataError(f"tensors {sorted(tensors)}, expected {sorted(_PCA_ARRAYS)}")
    n, n_features = fitted["n_components_"], fitted["n_features_in_"]
    for name, array in tensors.items():
        shape = {"components_": (n, n_features), "mean_": (n_features,)}.get(name, (n,))
        if array.shape != shape:
            raise DataError(f"{name} has the shape {array.shape}, expected {shape}")
    if fitted.get("by_columns", False):
        tensors["components_"] = np.asfortranarray(tensors["components_"])
    for name, array in tensors.items():
        setattr(model, name, array)
    for name in (*_PCA_NUMBERS, "noise_variance_"):
        setattr(model, name, fitted[name])
    name_features(model, fitted)
    return model


def best_pca(x: np.ndarray, k: int, pairs: Iterable[tuple[np.ndarray, np.ndarray]] | None = None) -> PCA:
    """Fit PCA of k components, or of as many as there are, to x, (n, n_features).

    pairs: (clean, corrupted) chunks; of the components those are kept that reconstruct them best.
    """
    pca = fit_pca(x, k)
    if pairs is not None:
        keep_best_components(pca, pairs)
    return pca


def keep_best_components(pca: PCA, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Leave a PCA as many first components as reconstruct images best, given (clean, corrupted) chunks of them.

    With coordinates a of a clean image and b of its corrupted version, k components leave an error of
    Σ_{j≤k} (a_j - b_j)² + Σ_{j>k} a_j²: all k at once.
    """
    errors = np.zeros(pca.n_components_ + 1)
    for x, x_noisy in pairs:
        a, b = pca.transform(x), pca.transform(x_noisy)
        inside, outside = np.cumsum((a - b) ** 2, axis=1), np.cumsum((a**2)[:, ::-1], axis=1)[:, ::-1]
        errors[1:] += inside.sum(axis=0)
        errors[:-1] += outside.sum(axis=0)
    best = max(1, int(errors.argmin()))
    pca.n_components, pca.n_components_ = best, best
    for name in ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_"):
        setattr(pca, name, getattr(pca, name)[:best])
