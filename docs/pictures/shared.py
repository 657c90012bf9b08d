"""What the pictures of the pages share: the digits that come with scikit-learn, small models, rows of images."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense
from isthmus.errors import DoubtWarning

BLUE, RED, GREY = "#1f77b4", "#d62728", "#888888"
_ALL = load_digits()
X, X_test, y, y_test = train_test_split(
    _ALL.data.astype(np.float32) / 16, _ALL.target, test_size=360, random_state=0, shuffle=True
)


def canvas(width: float, height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure with axes, which no window knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


@functools.cache
def deep(bottleneck: int = 8, output: str = "sigmoid", seed: int = 0) -> Autoencoder:
    """An autoencoder of the digits, fitted in a few seconds."""
    network = Dense((64,), bottleneck, code_activation="linear", output=output)
    return trained(network, epochs=60, batch_size=64, learning_rate=0.01, schedule="one-cycle", random_state=seed)


@functools.cache
def projection(n_components: int = 8) -> PCA:
    """PCA of the digits."""
    return PCA(n_components).fit(X)


def trained(network: Any, x: Any = None, **options: Any) -> Autoencoder:
    """A fitted autoencoder; that it is a poor one is what some pictures are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtWarning)
        return Autoencoder(network, **options).fit(X if x is None else x)


def rows_of(rows: dict[str, Any], *, low: float = 0, high: float = 1, each: bool = False, width: float = 7) -> Figure:
    """Rows of 8×8 images with names; `each` scales every image by itself, which is what no page should do."""
    n = len(next(iter(rows.values())))
    figure, axes = canvas(width, 0.78 * len(rows), n, len(rows), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, np.asarray(images).reshape(n, 8, 8), strict=True):
            ax.imshow(image, cmap="gray", **({} if each else {"vmin": low, "vmax": high}))
            bare(ax)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    return figure


def bare(ax: Axes) -> None:
    """No ticks."""
    ax.set(xticks=[], yticks=[])


def mse(x: np.ndarray, x_hat: np.ndarray) -> float:
    """The mean squared error."""
    return float(np.square(np.subtract(x_hat, x, dtype=np.float64)).mean())
