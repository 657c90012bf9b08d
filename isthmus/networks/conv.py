"""Convolutional autoencoders: encode (n, n_features) → (n, code_size), decode back.

Inside, images are in channels-last order, in which a convolution of few channels takes half the time. The training pass
is written out in `networks.accelerators.conv`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from isthmus.errors import RequestError
from isthmus.networks.activations import ACTIVATIONS, IN_PLACE
from isthmus.networks.dense import without_last
from isthmus.networks.empty import empty
from isthmus.networks.network import Network, Shape
from isthmus.parts import Conv, ConvLayer

aten = torch.ops.aten
Switches = list[torch.Tensor | None]  # of each unpooling, where in the large image each number goes: (n, c, h, w)


def channels_last(x: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Samples (n, n_features) as images (n, c, h, w) in channels-last order."""
    c, h, w = shape
    if c == 1:  # said in the strides, which for one channel are anyone's choice: convolutions look at them
        return x.reshape(-1, h, w, 1).permute(0, 3, 1, 2)
    return x.reshape(-1, c, h, w).contiguous(memory_format=torch.channels_last)


def upper_left(layer: ConvLayer, pooled: torch.Tensor) -> torch.Tensor:
    """Switches that send each number to the upper-left pixel of its window: all that is known without the encoder's."""
    h, w = pooled.shape[2:]
    rows, columns = torch.arange(h, device=pooled.device), torch.arange(w, device=pooled.device)
    assert layer.unpool is not None
    places = 2 * rows[:, None] * layer.unpool[1] + 2 * columns
    return places.expand(pooled.shape).contiguous(memory_format=torch.channels_last)


class ConvChain(nn.Module):
    """Convolutions, each with the unpooling before it, the pooling after it and its activation.

    As in `networks.dense`, `forward` is for autograd and for inference.
    """

    def __init__(self, layers: list[ConvLayer], activations: tuple[str, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.plan = layers
        self.layers: Any = nn.ModuleList(convolution(layer, generator) for layer in layers)
        # where there is no convolution, there is nothing to be activated
        self.activations = tuple(
            "linear" if layer.kernel is None else activation
            for layer, activation in zip(layers, activations, strict=True)
        )

    def forward(self, x: torch.Tensor, switches: Switches, *, logits: bool = False) -> tuple[torch.Tensor, Switches]:
        """The output, and the switches of each pooling. switches: of each unpooling; None for the upper left."""
        pooled: Switches = []
        activations = without_last(self.activations, logits)
        for layer, activation, module, given in zip(self.plan, activations, self.layers, switches, strict=True):
            if layer.unpool is not None:
                x = aten.max_unpool2d(x, upper_left(layer, x) if given is None else given, layer.unpool)
            x = module(x)
            function = ACTIVATIONS[activation]
            if not torch.is_grad_enabled() and layer.kernel is not None:
                function = IN_PLACE.get(activation, function)
            places, first = None, activates_first(layer, activation)
            if first:
                x = function(x)
            if layer.pool is not None:
                x, places = nn.functional.max_pool2d(x, 2, return_indices=True)
            pooled.append(places)
            if not first:
                x = function(x)
        return x, pooled

    def up_to(self, number: int) -> ConvChain:
        """The first `number` layers, the same weights."""
        part = ConvChain([], (), torch.Generator())
        part.plan, part.activations, part.layers = self.plan[:number], self.activations[:number], self.layers[:number]
        return part


def convolution(layer: ConvLayer, generator: torch.Generator) -> nn.Module:
    """nn.Conv2d or nn.ConvTranspose2d with its own start, from `generator`; nn.Identity where there is none.

    Weights and bias ~ U(-1/√fan, 1/√fan), fan = the numbers in weight[0]: what goes into one output of a convolution.
    """
    if layer.kernel is None:
        return nn.Identity()
    kind = nn.ConvTranspose2d if layer.transposed else nn.Conv2d
    sizes = {"kernel_size": layer.kernel, "stride": layer.stride, "padding": layer.padding}
    module: Any = empty(kind, layer.n_in, layer.n_out, **sizes)
    bound = 1 / math.sqrt(module.weight[0].numel())
    with torch.no_grad():
        module.weight.uniform_(-bound, bound, generator=generator)
        module.bias.uniform_(-bound, bound, generator=generator)
    return module


def activates_first(layer: ConvLayer, activation: str) -> bool:
    """Whether the activation comes before the pooling. After it, it is cheaper, and for a monotone one the same.

    But for ReLU's switches, as published: in a window that is all off they point to the upper left, not to the maximum
    of what was there before. Its gradient is the same in either order: what is off passes none on.
    """
    return layer.pool is not None and activation == "relu"


class ConvNetwork(Network):
    """The module that a `Conv` part describes."""

    shape: tuple[int, int, int]
    code_shape: tuple[int, int, int]

    def __init__(
        self, part: Conv, n_features: int, generator: torch.Generator, image_shape: Shape = None, encoded: int = 1
    ) -> None:
        super().__init__()
        self.shape = part.shape(image_shape)
        if math.prod(self.shape) != n_features:
            raise RequestError(f"image_shape {self.shape} is not that of samples of {n_features} numbers")
        down, up = part.encoder_layers(self.shape), part.decoder_layers(self.shape)
        self.n_features, self.code_size = n_features, part.code_width(n_features, self.shape)
        self.n_switches = part.n_switches(self.shape)
        self.multiplications = part.multiplications(n_features, self.shape)
        assert down[-1].pool is not None
        self.code_shape = (down[-1].n_out, *down[-1].pool)
        down[-1] = replace(down[-1], n_out=encoded * down[-1].n_out)
        self.encoder = ConvChain(down, (*[part.activation] * (len(down) - 1), part.code_output), generator)
        self.decoder = ConvChain(up, (*[part.activation] * (len(up) - 1), part.output), generator)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, code_size), without the switches."""
        return self.encode_both(x)[0]

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → (n, n_features): from the code alone, unpooled to the upper left of each window."""
        return self.decode_both(code, None)

    def encode_both(self, x: torch.Tensor) -> tuple[torch.Tensor, Switches]:
        """Of an unpooling decoder, the switches are what it sees beside the code."""
        code, switches = self.encoder(channels_last(self.inward(x), self.shape), self._upper_left())
        return code.flatten(1), switches[::-1]

    def decode_both(self, code: torch.Tensor, beside: Switches | None, *, logits: bool = False) -> torch.Tensor:
        """x_hat, or exact logits, unpooled by the switches; without any, to the upper left."""
        switches = self._upper_left() if beside is None else beside
        x_hat, _ = self.decoder(channels_last(code, self.code_shape), switches, logits=logits)
        return self.outward(x_hat.flatten(1))

    def _upper_left(self) -> Switches:
        return [None] * len(self.encoder.plan)

    def layers(self, side: str) -> list[tuple[Any, str]]:
        """The convolutions of that side."""
        chain = getattr(self, side)
        pairs = zip(chain.layers, chain.activations, strict=True)
        return [(layer, activation) for layer, activation in pairs if hasattr(layer, "weight")]

    def kernels(self, side: str) -> dict[str, torch.Tensor]:
        """Those of each convolution; an unpooling without one counts as a layer."""
        layers = enumerate(getattr(self, side).layers, 1)
        return {f"layer {i}": layer.weight for i, layer in layers if hasattr(layer, "weight")}

    def maps(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """What each layer makes, pooled."""
        images, maps = channels_last(self.inward(x), self.shape), {}
        for number, layer in enumerate(self.encoder.plan, 1):
            maps[f"layer {number}"] = self.encoder.up_to(number)(images, [None] * number)[0]
            assert maps[f"layer {number}"].shape[2:] == layer.pool
        return maps
