"""A start at PCA's solution: before its first step, a dense network reconstructs exactly as PCA does.

Two units with opposite weights make a linear one: g(z) - g(-z) = z for relu, gelu and silu. So the first 2k units of
each hidden layer carry the k principal components through, and the others, which begin without a say in what comes
after them, learn what is not linear. From a start as drawn, few images teach a network less than PCA knows of them.
Under a corruption each component is shrunk as linear regression has it, which is Wiener's filter where noise is white.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from isthmus.corruption import corrupt
from isthmus.data.batches import Pixels
from isthmus.networks import Network
from isthmus.parts import Part
from isthmus.rng import generator
from isthmus.training.recipe import PAIRS

MAX_SAMPLES = 20_000  # that PCA is fitted to: more move the first components no more
MAX_EXACT = 1500  # numbers in a sample up to which all components are found exactly
_LEAST = 1e-5  # of the largest deviation: a component that varies less has no scale of its own


def fit_pca(x: np.ndarray, k: int) -> PCA:
    """Fit PCA of k components, or of as many as there are, to samples x, (n, n_features)."""
    solver = "covariance_eigh" if x.shape[1] <= MAX_EXACT else "randomized"
    return PCA(min(k, *x.shape), svd_solver=solver, random_state=0).fit(x)


@torch.no_grad()
def pca_start(
    network: Network, pixels: Pixels, *, corruption: Part | None, seed: int, image_shape: tuple[int, int, int] | None
) -> None:
    """Set the weights of a new dense network, for which `recipe.n_components` is not 0, in place."""
    n = min(len(pixels), MAX_SAMPLES)
    target = pixels.batch(torch.arange(n, device=pixels.values.device) * len(pixels) // n)
    noise = generator(seed, "noise", 0, target.device)
    x = target if corruption is None else corrupt(corruption, target, noise, image_shape)
    # a linear output has the scale of the input, so that what goes in and what comes out are in the same units
    clean = network.inward(target).cpu().numpy()
    _set_weights(network, clean, clean if corruption is None else network.inward(x).cpu().numpy())


def _set_weights(network: Any, x: np.ndarray, x_noisy: np.ndarray) -> None:
    layers = [*network.encoder.layers, *network.decoder.layers]
    activations = [*network.encoder.activations, *network.decoder.activations]
    code = len(network.encoder.layers) - 1
    # the layers whose units come in pairs: all but a linear code and the output
    paired = [i < len(layers) - 1 and not (i == code and kind == "linear") for i, kind in enumerate(activations)]
    pca = fit_pca(x, network.code_size // 2 if paired[code] else network.code_size)
    components, mean = pca.components_.astype(np.float64), pca.mean_.astype(np.float64)
    scale = np.sqrt(pca.explained_variance_.astype(np.float64).clip(min=0))
    scale[scale <= _LEAST * scale.max()] = 1.0
    a, b = ((one - mean) @ components.T / scale for one in (x, x_noisy))  # with variance 1, as they are within
    middle = b.mean(axis=0)
    b -= middle
    slope = np.ones(len(components))  # also of a component in which these samples do not differ, as PCA has it
    if x_noisy is not x:
        slope = (a * b).sum(axis=0) / np.maximum(np.square(b).sum(axis=0), _LEAST)
    for i, layer in enumerate(layers):
        weight, bias = np.eye(len(components)), np.zeros(len(components))
        if i == 0:
            weight = components / scale[:, None]
            bias = -weight @ mean - middle
        if i == len(layers) - 1:
            weight, bias = components.T * (scale * slope), mean
        if i and paired[i - 1]:
            weight = np.hstack([weight, -weight]) / PAIRS[activations[i - 1]]
        if paired[i]:
            weight, bias = np.vstack([weight, -weight]), np.hstack([bias, -bias])
        rows, columns = weight.shape
        layer.weight[:rows] = 0  # nothing else has a say in what carries the components
        layer.weight[:rows, :columns] = torch.from_numpy(weight)
        layer.bias[:rows] = torch.from_numpy(bias)
