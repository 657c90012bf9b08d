"""A start that is fitted to the data: weights scaled, layer by layer, to what the first samples make of them.

As drawn, a deep network's units hardly differ from sample to sample, and while it leaves that state half of the units
of a ReLU code die: zero for every sample, for ever. Scaled so that each unit has mean 0 and variance 1 over samples
(Krähenbühl, Doersch, Donahue, Darrell 2016; Mishkin and Matas 2016), all of them take part from the first step on.
A channel of a convolution counts as one unit, at all places of all samples.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from isthmus.corruption import corrupt
from isthmus.data.batches import Pixels
from isthmus.networks import Network
from isthmus.networks.conv import ConvNetwork
from isthmus.networks.dense import DenseNetwork
from isthmus.parts import Part
from isthmus.rng import generator

_SAMPLES = 1024
_NUMBERS, _FEW, _MANY = 2**20, 16, 128  # for convolutions, whose channels are at many places: no more than a step takes
_RECTIFIERS = ("gelu", "leakyrelu", "relu", "silu")
_OUTPUTS = ("linear", "sigmoid")
_ABOVE = 2.0  # standard deviations by which a rectified code is above its kink: at first nearly linear, like a PCA
_CONTRAST = 0.5  # of the first drawings, as a share of the images'; less than all, for they are wrong


@torch.no_grad()
def fit_start(
    network: Network, pixels: Pixels, *, corruption: Part | None, seed: int, image_shape: tuple[int, int, int] | None
) -> None:
    """Scale the weights of a new dense or convolutional network, in place, to samples taken evenly from `pixels`.

    Each hidden unit and each number of the code has variance 1 and mean 0; a code with a rectifier has mean 2. Where
    the output is linear or a sigmoid, its bias draws the mean sample; of convolutions, each channel's mean. Other
    networks keep the start that they have.
    """
    if not isinstance(network, DenseNetwork | ConvNetwork):
        return
    most = _SAMPLES if isinstance(network, DenseNetwork) else min(_MANY, max(_FEW, _NUMBERS // pixels.n_features))
    n = min(len(pixels), most)
    which = torch.arange(n, device=pixels.values.device) * len(pixels) // n
    target = pixels.batch(which)
    noise = generator(seed, "noise", 0, target.device)
    x = target if corruption is None else corrupt(corruption, target, noise, image_shape)
    target = network.target(target)
    *hidden, code = _layers(network.encoder)
    *back, (output, drawn) = _layers(network.decoder)
    fitting = {layer: _scaled for layer, _ in (*hidden, *back)}
    fitting[code[0]] = partial(_scaled, mean=_ABOVE if code[1] in _RECTIFIERS else 0.0)
    if isinstance(network, ConvNetwork):
        target = target.view(-1, *network.shape)
    if drawn in _OUTPUTS:
        fitting[output] = partial(_drawing, activation=drawn, target=target)
    with contextlib.ExitStack() as stack:
        for layer, fit in fitting.items():
            stack.enter_context(layer.register_forward_hook(partial(_fit, fit)))
        network(x)  # layer by layer, each with what the fitted ones before it make of x


def _layers(chain: Any) -> list[tuple[Any, str]]:
    """The layers of a chain that have weights, with their activations."""
    pairs = zip(chain.layers, chain.activations, strict=True)
    return [(layer, activation) for layer, activation in pairs if hasattr(layer, "weight")]


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


def _drawing(layer: Any, z: torch.Tensor, activation: str, target: torch.Tensor) -> None:
    """Let the output layer draw the mean of `target`, with weights that make little of its input."""
    mean = target.mean(dim=_others(target))
    if activation == "sigmoid":
        contrast, level = 1.0, mean.clamp(0.005, 0.995).logit()
    else:
        contrast, level = float(target.std(dim=0, correction=0).mean()), mean
    spread = float(z.std(dim=0, correction=0).mean())
    scale = _CONTRAST * contrast / spread if spread > 0 and contrast > 0 else 1.0
    layer.weight.mul_(scale)
    layer.bias.copy_(level - scale * z.mean(dim=_others(z)))
