"""A start that is fitted to the data: weights scaled, layer by layer, to what the first samples make of them.

As drawn, a deep network's units hardly differ from sample to sample, and while it leaves that state half of the units
of a ReLU code die: zero for every sample, for ever. Scaled so that each unit has mean 0 and variance 1 over samples
(Krähenbühl, Doersch, Donahue, Darrell 2016; Mishkin and Matas 2016), all of them take part from the first step on.
"""

from __future__ import annotations

from typing import Any

import torch

from isthmus.corruption import corrupt
from isthmus.data.batches import Pixels
from isthmus.networks import Network
from isthmus.networks.activations import ACTIVATIONS
from isthmus.networks.dense import DenseNetwork
from isthmus.parts import Part
from isthmus.rng import generator

_SAMPLES = 1024
_RECTIFIERS = ("gelu", "leakyrelu", "relu", "silu")
_ABOVE = 2.0  # standard deviations by which a rectified code is above its kink: at first nearly linear, like a PCA
_CONTRAST = 0.5  # of the first drawings, as a share of the images'; less than all, for they are wrong


@torch.no_grad()
def fit_start(
    network: Network, pixels: Pixels, *, corruption: Part | None, seed: int, image_shape: tuple[int, int, int] | None
) -> None:
    """Scale the weights of a new dense network, in place, to samples taken evenly from `pixels`.

    Each hidden unit and each number of the code has variance 1 and mean 0; a code with a rectifier has mean 2. Where
    the output is linear or a sigmoid, its bias draws the mean sample. Other networks keep the start that they have.
    """
    if not isinstance(network, DenseNetwork):
        return
    n = min(len(pixels), _SAMPLES)
    which = torch.arange(n, device=pixels.values.device) * len(pixels) // n
    target = pixels.batch(which)
    noise = generator(seed, "noise", 0, target.device)
    x = target if corruption is None else corrupt(corruption, target, noise, image_shape)
    *hidden, code = zip(network.encoder.layers, network.encoder.activations, strict=True)
    *back, (output, drawn) = zip(network.decoder.layers, network.decoder.activations, strict=True)
    for layer, activation in hidden:
        x = _scaled(layer, activation, x)
    x = _scaled(*code, x, _ABOVE if code[1] in _RECTIFIERS else 0.0)
    for layer, activation in back:
        x = _scaled(layer, activation, x)
    _fit_output(output, drawn, x, target)


def _scaled(layer: Any, activation: str, x: torch.Tensor, mean: float = 0.0) -> torch.Tensor:
    """Give each unit of a layer variance 1 and this mean on its input x; return what it makes of x."""
    layer.bias.zero_()
    z = layer(x)
    deviation, middle = torch.std_mean(z, dim=0, correction=0)
    deviation[deviation <= 1e-6 * z.abs().amax(dim=0)] = 1.0  # a unit that does not vary has nothing to be scaled to
    layer.weight.div_(deviation[:, None])
    layer.bias.copy_(mean - middle / deviation)
    return ACTIVATIONS[activation](layer(x))


def _fit_output(layer: Any, activation: str, x: torch.Tensor, target: torch.Tensor) -> None:
    """Let the output layer draw the mean of `target`, with weights that make little of its input x."""
    mean = target.mean(dim=0)
    if activation == "sigmoid":
        contrast, level = 1.0, mean.clamp(0.005, 0.995).logit()
    elif activation == "linear":
        contrast, level = float(target.std(dim=0, correction=0).mean()), mean
    else:
        return
    layer.bias.zero_()
    z = layer(x)
    spread = float(z.std(dim=0, correction=0).mean())
    scale = _CONTRAST * contrast / spread if spread > 0 and contrast > 0 else 1.0
    layer.weight.mul_(scale)
    layer.bias.copy_(level - scale * z.mean(dim=0))
