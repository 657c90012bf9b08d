"""Starts that are fitted to samples: weights scaled to them layer by layer, or a network that is PCA's solution.

As drawn, a deep network's units hardly differ from sample to sample, and while it leaves that state half of the units
of a ReLU code die: zero for every sample, for ever. Scaled so that each unit has mean 0 and variance 1 over samples
(Krähenbühl, Doersch, Donahue, Darrell 2016; Mishkin and Matas 2016), all of them take part from the first step on.
A channel of a convolution counts as one unit, at all places of all samples.

At PCA's solution a dense network reconstructs exactly as PCA does. Two units with opposite weights make a linear one:
g(z) - g(-z) = z for relu, gelu and silu. So the first 2k units of each hidden layer carry the k principal components
through, and the others, which begin without a say in what comes after them, learn what is not linear. From a start as
drawn, few images teach a network less than PCA knows of them. Under a corruption each component is shrunk as linear
regression has it, which is Wiener's filter where noise is white, and a rectified code carries it far above its kinks:
that is no start to learn from, but what a denoiser has to be better than.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn

from isthmus.data.batches import Samples, at_a_time, evenly
from isthmus.networks import Network
from isthmus.parts.networks import MAX_EXACT, PAIRS
from isthmus.rng import generator, numpy_generator
from isthmus.training.setup import Setup

_SAMPLES = 1024
_NUMBERS, _FEW, _MANY = 2**20, 16, 128  # for convolutions, whose channels are at many places: no more than a step takes
_RECTIFIERS = ("gelu", "leakyrelu", "relu", "silu")
_OUTPUTS = ("linear", "sigmoid")
_ABOVE = 2.0  # standard deviations by which a rectified code is above its kink: at first nearly linear, like a PCA
_CONTRAST = 0.5  # of the first drawings, as a share of the images'; less than all, for they are wrong

_ROUNDS = 20
_MOST, _NUMBERS_OF_PCA = 20_000, 2**28  # that PCA is fitted to: more samples move the first components no more
_FAR = 20.0  # from where on gelu and silu are straight lines, to the last digits of float32
_SUBSETS = 3
_FOLDS, _LITTLE = 4, 10  # samples for each of their numbers, of which components are not what they seem
# Products of an exact decomposition of few wide samples: seconds. Of 1,000 of 2,080 it took a third of the time of the
# randomized one, whose subspace of 126 was off by an angle with a cosine of 0.97.
_EXACT = 10**10
# Of the largest deviation: a component that varies less, as by the rounding of float32, has no scale of its own.
_LEAST = 5e-4


def n_of_pca(n_features: int) -> int:
    """How many samples PCA is fitted to: of large ones, as many as have a gibibyte of numbers together."""
    return at_a_time(_MOST, n_features, _NUMBERS_OF_PCA)


def _some_of(samples: Samples, setup: Setup, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(x, what the network is given for it) of samples taken evenly, `most` or all."""
    x = evenly(samples, most)
    return x, setup.corrupted(x, setup.still_noise(x.device))


def changed_often(x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Samples (n, n_features), changed again and again: as many as PCA is fitted to of many, or `_ROUNDS` times n."""
    rounds = min(_ROUNDS, max(1, n_of_pca(x.shape[1]) // len(x)))
    return torch.cat([change(x) for _ in range(rounds)])


@torch.no_grad()
def fit_start(network: Network, samples: Samples, setup: Setup) -> None:
    """Scale the weights of a new network that is known by its layers, in place, to samples taken evenly from all.

    Each hidden unit and each number of the code has variance 1 and mean 0; a code with a rectifier has mean 2. Where
    the output is linear or a sigmoid, its bias draws the mean sample; of convolutions, each channel's mean. Other
    networks keep the start that they have.
    """
    down, up = network.layers("encoder"), network.layers("decoder")
    if not (down and up):
        return
    most = _SAMPLES if network.shape is None else min(_MANY, max(_FEW, _NUMBERS // samples.n_features))
    target, x = _some_of(samples, setup, most)
    target = network.target(target)
    *hidden, code = down
    *back, (output, drawn) = up
    fitting = {layer: _scaled for layer, _ in (*hidden, *back)}
    fitting[code[0]] = partial(_scaled, mean=_ABOVE if code[1] in _RECTIFIERS else 0.0)
    if network.shape is not None:
        target = target.view(-1, *network.shape)
    if drawn in _OUTPUTS:
        fitting[output] = partial(_mean_output, activation=drawn, target=target)
    with contextlib.ExitStack() as stack:
        for layer, fit in fitting.items():
            stack.enter_context(layer.register_forward_hook(partial(_fit, fit)))
        network(x)  # layer by layer, each with what the fitted ones before it make of x


def _fit(fit: Callable[[Any, torch.Tensor], None], layer: Any, inputs: tuple[torch.Tensor], _z: Any) -> torch.Tensor:
    """Fit a layer to what goes into it; return what then comes out."""
    layer.bias.zero_()
    fit(layer, layer.forward(*inputs))
    return layer.forward(*inputs)


def _of_units(layer: Any, values: torch.Tensor) -> torch.Tensor:
    """One value of each unit, as it is to be multiplied with the layer's weight."""
    if isinstance(layer, nn.Linear):
        return values[:, None]
    return values[:, None, None] if isinstance(layer, nn.ConvTranspose2d) else values[:, None, None, None]


def _others(z: torch.Tensor) -> tuple[int, ...]:
    """The dimensions over which a unit varies: samples and places."""
    return (0, *range(2, z.ndim))


def _scaled(layer: Any, z: torch.Tensor, mean: float = 0.0) -> None:
    """Give each unit variance 1 and this mean. z: what the layer gives without a bias."""
    deviation, middle = torch.std_mean(z, dim=_others(z), correction=0)
    deviation[deviation <= 1e-6 * z.abs().amax(dim=_others(z))] = 1.0  # a unit that does not vary has no scale
    layer.weight.div_(_of_units(layer, deviation))
    layer.bias.copy_(mean - middle / deviation)


def _mean_output(layer: Any, z: torch.Tensor, activation: str, target: torch.Tensor) -> None:
    """Let the output layer give the mean of `target`, with weights that make little of its input."""
    mean = target.mean(dim=_others(target))
    if activation == "sigmoid":
        contrast, level = 1.0, mean.clamp(0.005, 0.995).logit()
    else:
        contrast, level = float(target.std(dim=0, correction=0).mean()), mean
    spread = float(z.std(dim=0, correction=0).mean())
    scale = _CONTRAST * contrast / spread if spread > 0 and contrast > 0 else 1.0
    layer.weight.mul_(scale)
    layer.bias.copy_(level - scale * z.mean(dim=_others(z)))


def fit_pca(x: np.ndarray, k: int) -> PCA:
    """Fit PCA of k components, or of as many as there are, to samples x, (n, n_features).

    n samples differ in n - 1 directions from their mean: a further component would be one of rounding, and no sample
    says what others have in it.
    """
    n, n_features = x.shape
    solver = "covariance_eigh" if n_features <= MAX_EXACT else "randomized"
    # few samples are decomposed themselves: in a covariance of float32 their last directions have half of the digits
    if n * n * n_features <= _EXACT and (n < n_features or n_features > MAX_EXACT):
        solver = "full"
    with np.errstate(invalid="ignore"):  # samples that are all the same have no variance to take shares of
        n_components = max(1, min(k, n - 1, n_features))
        return PCA(n_components, svd_solver=solver, random_state=0).fit(x)


@torch.no_grad()
def pca_start(network: Network, samples: Samples, setup: Setup, seed: int | None = None) -> None:
    """Set the weights of a new dense network, whose part has `n_components`, in place.

    seed: of the augmentation and the noise, in place of the setup's, which each cycle has another of.

    Under an augmentation, to samples as a training has them: of 75 to 160 faces the error on others was 8 to 16 % less,
    and a filter of 112 scans left 41 % of what one of these as they are left.
    """
    x = evenly(samples, n_of_pca(samples.n_features))
    n_distinct = len(x)
    if seed is not None:
        setup = dataclasses.replace(setup, seed=seed)
    if setup.augmentation is not None:
        stream = generator(setup.seed, "augment", 0, x.device)
        x = changed_often(x, lambda x: setup.augmented(x, stream))
    # a linear output has the scale of the input, so that what goes in and what comes out are in the same units
    clean = x_noisy = network.inward(x).cpu().numpy()
    if setup.corruption is not None:
        x_noisy = network.inward(setup.corrupted(x, setup.still_noise(x.device))).cpu().numpy()
    _set_weights(network, clean, x_noisy, n_distinct)


@torch.no_grad()
def with_refit_gain(setup: Setup, network: Network, samples: Samples, held_out: Samples) -> Setup:
    """The setup with the share of PCA's error that goes when it is fitted to the held-out samples too, estimated.

    What is held out of few samples is missed: of 100 digits, 20 of them held out, two networks of six that were better
    than PCA of the other 80 were 8 and 9 % worse than PCA of all. PCA's error falls about as 1 / n does, so what the
    held-out samples will save is a little less than what as large a part of the others saves now. 0 of a filter, of
    augmented samples and after a warm start: that was not measured.
    """
    if setup.fallback is None or setup.is_warm or setup.corruption is not None or setup.augmentation is not None:
        return setup
    x, y = (
        network.inward(evenly(each, n_of_pca(each.n_features))).cpu().numpy().astype(np.float64)
        for each in (samples, held_out)
    )
    n, share = len(x), len(x) / (len(x) + len(y))

    def error(known: np.ndarray) -> float:
        pca = fit_pca(known, network.code_size)
        return float(np.square(pca.inverse_transform(pca.transform(y)) - y).mean())

    orders = (numpy_generator(setup.seed, "split", i + 1).permutation(n) for i in range(_SUBSETS))
    of_fewer = float(np.mean([error(x[order[: max(2, round(n * share))]]) for order in orders]))
    gain = max(0.0, 1 - error(x) / of_fewer) * share if of_fewer > 0 else 0.0
    return dataclasses.replace(setup, refit_gain=gain)


def _completed(components: np.ndarray, most: int) -> np.ndarray:
    """Orthonormal rows, and others that complete them to a basis, up to `most`: of wide samples at random."""
    k, n_features = components.shape
    if min(most, n_features) == k:
        return components
    if n_features <= MAX_EXACT:
        return np.vstack([components, np.linalg.qr(components.T, mode="complete")[0].T[k:most]])
    drawn = np.random.default_rng(0).standard_normal((min(most, n_features) - k, n_features))
    return np.vstack([components, np.linalg.qr(np.vstack([components, drawn]).T)[0].T[k:]])


def _wiener(
    x: np.ndarray, x_noisy: np.ndarray, components: np.ndarray, mean: np.ndarray, n_of_pca: int, n_distinct: int
) -> np.ndarray:
    """What each component of noisy samples is to be multiplied with to be nearest to the clean one, (k,).

    By linear regression. Of few samples the first components vary more and the last ones less than they do in others,
    so it is on samples that the components were not fitted to, the first of all here, the second, and so on. Of fewer
    samples than numbers PCA has fewer components, which then stand for all of these, the last ones for the last. Of 126
    scans of 2,080 pixels the last quarter was taken for nothing, and all PCAs were better. n_of_pca: of the components;
    the others complete them. n_distinct: samples after which the same ones come again, changed, which stay together.
    """
    n_features, k = x.shape[1], len(components)
    parts: list[tuple[Any, ...]] = [(slice(None), mean, components, np.arange(k))]
    if _FOLDS * 2 <= n_distinct <= _LITTLE * n_features:
        parts, fold = [], np.arange(len(x)) % n_distinct % _FOLDS
        for i in range(_FOLDS):
            pca = fit_pca(x[fold != i], n_of_pca)
            fewer = len(pca.components_)
            which = np.r_[np.arange(n_of_pca) * fewer // n_of_pca, fewer : fewer + k - n_of_pca]
            parts.append((fold == i, pca.mean_, _completed(pca.components_, which[-1] + 1), which))
    common, power = np.zeros(k), np.zeros(k)
    shift = (x_noisy - x).mean(axis=0)
    for held, middle, basis, which in parts:
        a, b = (x[held] - middle) @ basis.T, (x_noisy[held] - shift - middle) @ basis.T
        common += (a * b).sum(axis=0)[which]
        power += np.square(b).sum(axis=0)[which]
    return np.divide(common, power, out=np.zeros_like(power), where=power > 0).clip(min=0)


def _set_weights(network: Any, x: np.ndarray, x_noisy: np.ndarray, n_distinct: int) -> None:
    layers = [*network.encoder.layers, *network.decoder.layers]
    activations = [*network.encoder.activations, *network.decoder.activations]
    code = len(network.encoder.layers) - 1
    paired = [i not in (code, len(layers) - 1) for i in range(len(layers))]  # the layers whose units come in pairs
    pca = fit_pca(x, network.code_size)
    components, mean = pca.components_.astype(np.float64), pca.mean_.astype(np.float64)
    slope = np.ones(len(components))  # also of a component in which these samples do not differ, as PCA has it
    scale = np.sqrt(pca.explained_variance_.astype(np.float64).clip(min=0))
    if x_noisy is not x:
        components = _completed(components, network.code_size)
        slope = _wiener(x, x_noisy, components, mean, len(pca.components_), n_distinct)
        scale = ((x_noisy - mean) @ components.T).std(axis=0)
    scale[scale <= _LEAST * scale.max()] = 1.0
    b = (x_noisy - mean) @ components.T / scale  # with variance 1, as they are within
    middle = b.mean(axis=0)
    b -= middle
    # a rectified code lies so far above its kink that it is linear wherever samples may lie
    above = np.zeros(len(components)) if activations[code] == "linear" else _FAR + 2 * abs(b).max(axis=0)
    for i, layer in enumerate(layers):
        weight, bias = np.eye(len(components)), np.zeros(len(components))
        if i == 0:
            weight = components / scale[:, None]
            bias = -weight @ mean - middle
        if i == len(layers) - 1:
            weight, bias = components.T * (scale * slope), mean
        if i == code + 1:
            bias = bias - weight @ above
        if i and paired[i - 1]:
            weight = np.hstack([weight, -weight]) / PAIRS[activations[i - 1]]
        if paired[i]:
            weight, bias = np.vstack([weight, -weight]), np.hstack([bias, -bias])
        if i == code:
            bias = bias + above
        rows, columns = weight.shape
        layer.weight[:rows] = 0  # nothing else has a say in what carries the components
        layer.weight[:rows, :columns] = torch.from_numpy(weight)
        layer.bias[:rows] = torch.from_numpy(bias)
