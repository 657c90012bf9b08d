"""Statistics of each unit of a code over the test images, and the images that activate it most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.analysis import probe
from isthmus.data.images import Images
from isthmus.errors import RequestError, require
from isthmus.estimators.adapters import adapter_of, chunks

N_TOP = 12


@dataclass(frozen=True)
class Units:
    """The units of one model over n images; each array begins with (code_size,).

    usage: the share of images for which a unit is on. low, high, spread: its least and largest number, and its
    standard deviation. top: (code_size, n_top), the positions of the images with its largest numbers, largest first;
    top_code: these numbers.
    """

    n: int
    usage: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    top: np.ndarray
    top_code: np.ndarray


def survey(model: Any, images: Images, n_top: int = N_TOP, *, go_on: Callable[[], None] = lambda: None) -> Units:
    """Statistics of every unit over all images, chunk by chunk.

    go_on: called before each chunk; may raise to stop.
    """
    on = total = squares = np.zeros(1)
    low, high = np.inf, -np.inf
    top_code: Any = None
    top: Any = None
    for which in chunks(len(images)):
        go_on()
        code = np.asarray(model.transform(images.floats(which)), np.float32)
        on = on + metrics.active(code).sum(axis=0)
        total, squares = (
            total + code.sum(axis=0, dtype=np.float64),
            squares + (code.astype(np.float64) ** 2).sum(axis=0),
        )
        low, high = np.minimum(low, code.min(axis=0)), np.maximum(high, code.max(axis=0))
        rows = np.ascontiguousarray(code.T)
        place = np.broadcast_to(np.arange(which.start, which.start + len(code), dtype=np.int32), rows.shape)
        if top_code is not None:
            rows, place = np.concatenate([top_code, rows], axis=1), np.concatenate([top, place], axis=1)
        # the largest first, then these in order: sorting all of them would take ten times as long
        best = np.argpartition(-rows, min(n_top, rows.shape[1]) - 1, axis=1)[:, :n_top]
        top_code, top = np.take_along_axis(rows, best, axis=1), np.take_along_axis(place, best, axis=1)
    order = np.lexsort((top, -top_code))
    n = len(images)
    spread = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0))
    top, top_code = np.take_along_axis(top, order, axis=1), np.take_along_axis(top_code, order, axis=1)
    return Units(n, on / n, np.asarray(low), np.asarray(high), spread, top, top_code)


def pictures(model: Any, unit: int, code_size: int, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """The weights of one unit as images, if they are.

    {"filter": (c, h, w)} where the encoder is one linear layer, {"atom": (c, h, w)} where the decoder is; {} for a
    deep model. Raises RequestError for an unknown unit.
    """
    require(0 <= unit < code_size, "unit", f"from 0 to {code_size - 1}", unit)
    images = {}
    network = adapter_of(model).network
    if network is not None and network.is_one_layer("encoder"):
        images["filter"] = probe.filters(model, shape, "encoder")[""][unit]
    if probe.has_atoms(model):
        images["atom"] = probe.filters(model, shape, "decoder")[""][unit]
    return images


def plane(codes: np.ndarray) -> dict[str, np.ndarray]:
    """The plane in which codes, (n, k), spread most: {"points": (n, 2), "centre": (k,), "axes": (2, k), "share": (1,)}.

    A point p of it stands for the code centre + p @ axes. Codes of two numbers are their own map. share: of the codes'
    variance, what the map shows. Raises RequestError for codes of one number.
    """
    from sklearn.decomposition import PCA

    if codes.shape[1] < 2:
        raise RequestError("a map needs codes of at least 2 numbers, got 1")
    if codes.shape[1] == 2:
        return {
            "points": codes.astype(np.float32),
            "centre": np.zeros(2, np.float32),
            "axes": np.eye(2, dtype=np.float32),
            "share": np.ones(1, np.float32),
        }
    pca = PCA(2, svd_solver="covariance_eigh").fit(codes)
    return {
        "points": pca.transform(codes).astype(np.float32),
        "centre": pca.mean_.astype(np.float32),
        "axes": np.ascontiguousarray(pca.components_, np.float32),
        "share": np.array([np.nan_to_num(pca.explained_variance_ratio_.sum())], np.float32),
    }


def turned(plane: dict[str, np.ndarray], points: np.ndarray) -> dict[str, np.ndarray]:
    """The same plane, turned and mirrored within itself so that its points lie as near to others, (n, 2), as can be.

    The orthogonal Procrustes problem (Schönemann 1966). The axes of codes of two numbers have meanings, and stay.
    """
    if plane["axes"].shape[1] == 2:
        return plane
    left, _, right = np.linalg.svd(plane["points"].T @ (points - points.mean(axis=0)))
    turn = (left @ right).astype(np.float32)
    axes = np.ascontiguousarray(turn.T @ plane["axes"])
    return plane | {"points": np.ascontiguousarray(plane["points"] @ turn), "axes": axes}


def neighbours(codes: np.ndarray) -> dict[str, np.ndarray]:
    """scikit-learn's t-SNE of codes, (n, k): neighbours stay near, distances mean nothing.

    {"points": (n, 2)} (van der Maaten and Hinton 2008), the same each time.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", max_iter=500, random_state=0).fit_transform(codes)
    return {"points": points.astype(np.float32)}
