"""A fitted model as a list of operations: the one description from which an ONNX file and a page in a file are written.

One value goes through the list, in rows (n, numbers) or as images (n, channels, height, width). What an unpooling
decoder sees beside the code are the places of maxima that a `MaxPool` notes under a number, and an `Unpool` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from isthmus.codes import Code
from isthmus.codes.gaussian import GaussianCode
from isthmus.codes.quantized import QuantizedCode
from isthmus.networks import Network
from isthmus.networks.conv import ConvChain, ConvNetwork, activates_first
from isthmus.networks.dense import Chain, DenseNetwork
from isthmus.networks.dictionary import DictionaryNetwork

Numbers = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Operation:
    """One step; its fields are weights (tensors) and settings (plain values)."""


@dataclass(frozen=True, eq=False)
class Standardize(Operation):
    """(x - offset) / scale of rows, one of each for each channel."""

    offset: Numbers
    scale: Numbers


@dataclass(frozen=True, eq=False)
class Restore(Operation):
    """x · scale + offset of rows, one of each for each channel."""

    scale: Numbers
    offset: Numbers


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """x @ weight.T + bias. weight: (n_out, n_in). bias: (n_out,)."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True, eq=False)
class Product(Operation):
    """x @ rows. rows: (n_in, n_out), such as atoms."""

    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class Activate(Operation):
    """A function of each number, by its name in `networks.activations`."""

    function: str


@dataclass(frozen=True, eq=False)
class AsImages(Operation):
    """Rows as images of this shape, (channels, height, width)."""

    shape: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class AsRows(Operation):
    """Images as rows."""


@dataclass(frozen=True, eq=False)
class Convolve(Operation):
    """torch's Conv2d, or its ConvTranspose2d if `transposed`, of one stride for both sides. padding: (rows, columns).

    weight: (n_out, n_in, height, width), of a transposed one (n_in, n_out, height, width). bias: (n_out,).
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    padding: tuple[int, int]
    transposed: bool


@dataclass(frozen=True, eq=False)
class MaxPool(Operation):
    """The maximum of each 2×2 window; what is left over at an edge is left out. places: the number to note them under,
    each the first of the maxima of its window.
    """

    places: int


@dataclass(frozen=True, eq=False)
class Unpool(Operation):
    """Images of this size, (height, width), which is twice as large, zero but for each number at its place.

    places: the number under which they are noted; None for the upper left of each 2×2 window.
    """

    size: tuple[int, int]
    places: int | None


@dataclass(frozen=True, eq=False)
class First(Operation):
    """The first n numbers of each row."""

    n: int


@dataclass(frozen=True, eq=False)
class Nearest(Operation):
    """Of each piece of a row the nearest vector, as `QuantizedCode.nearest`.

    vectors: (n_parts, n_vectors, width). places: how many pieces of each part a row has, a row of them being
    (n_parts, width, places).
    """

    vectors: torch.Tensor
    places: int


@dataclass(frozen=True, eq=False)
class Pursue(Operation):
    """Orthogonal matching pursuit: the code, (n, n_atoms), of n_nonzero atoms (Pati, Rezaiifar, Krishnaprasad 1993).

    atoms: (n_atoms, n_in). least: a square below it is 0, as the rounding of the numbers that it was fitted in has it.
    """

    atoms: torch.Tensor
    n_nonzero: int
    least: float


@dataclass(frozen=True)
class _Sides:
    """A network's two sides, between the units of its ends: the decoder with the encoder's switches, and without."""

    encoder: list[Operation]
    decoder: list[Operation]
    alone: list[Operation]


def operations_of(network: Network, function: str) -> list[Operation] | None:
    """What a network does, in order; None if it, or its code, is of a type that is not described here.

    function: "encode", "decode" or "reconstruct", as of `torch_modules.AutoencoderModule`: rows to rows.
    """
    describe, codes = _NETWORKS.get(type(network)), _CODES.get(type(network.code))
    if describe is None or codes is None:
        return None
    (at_inference, nearest), sides, known = codes, describe(network), network.standardization
    inward = [] if known is None else [Standardize(known.offset, known.scale)]
    outward = [] if known is None or known.leaves_output else [Restore(known.out_scale, known.out_offset)]
    encode = [*inward, *sides.encoder, *at_inference(network.code)]
    if function == "encode":
        return encode
    if function == "decode":
        return [*nearest(network.code), *sides.alone, *outward]
    return [*encode, *sides.decoder, *outward]


def _dense(network: Any) -> _Sides:
    decoder = _linear_layers(network.decoder)
    return _Sides(_linear_layers(network.encoder), decoder, decoder)


def _dictionary(network: Any) -> _Sides:
    decoder: list[Operation] = [Product(network.atoms)]
    return _Sides(_linear_layers(network.encoder), decoder, decoder)


def _convolutional(network: Any) -> _Sides:
    encoder = [AsImages(network.shape), *_convolutions(network.encoder), AsRows()]
    # the deepest pooling is undone first
    last = len(network.encoder.plan) - 1

    def decoder(of_layer: Callable[[int], int | None]) -> list[Operation]:
        return [AsImages(network.code_shape), *_convolutions(network.decoder, of_layer), AsRows()]

    return _Sides(encoder, decoder(lambda layer: last - layer), decoder(lambda layer: None))


def _linear_layers(chain: Chain) -> list[Operation]:
    layers: list[Operation] = []
    for layer, activation in zip(chain.layers, chain.activations, strict=True):
        layers += [Linear(layer.weight, layer.bias), *_activated(activation)]
    return layers


def _convolutions(chain: ConvChain, places_of: Callable[[int], int | None] = lambda layer: None) -> list[Operation]:
    """places_of: for each layer that unpools, the number of the pooling whose places it reads."""
    layers: list[Operation] = []
    for i, (layer, activation, module) in enumerate(zip(chain.plan, chain.activations, chain.layers, strict=True)):
        if layer.unpool is not None:
            layers.append(Unpool(layer.unpool, places_of(i)))
        if layer.kernel is not None:
            layers.append(Convolve(module.weight, module.bias, layer.stride, layer.padding, layer.transposed))
        first = activates_first(layer, activation)
        layers += _activated(activation) if first else []
        if layer.pool is not None:
            layers.append(MaxPool(i))
        layers += [] if first else _activated(activation)
    return layers


def _activated(function: str) -> list[Operation]:
    return [] if function == "linear" else [Activate(function)]


def _nothing(code: Code) -> list[Operation]:
    return []


def _mean(code: Any) -> list[Operation]:
    return [First(len(code.nats))]


def _nearest(code: Any) -> list[Operation]:
    """Before there are any vectors, a code is what comes in."""
    return [Nearest(code.vectors, code.places)] if bool(code.counts.any()) else []


# By the very type: a subclass may compute something else
_NETWORKS: dict[type[Network], Callable[[Any], _Sides]] = {
    ConvNetwork: _convolutional,
    DenseNetwork: _dense,
    DictionaryNetwork: _dictionary,
}
# What comes of the encoder's numbers at inference, and of any code
_Describe = Callable[[Any], list[Operation]]
_CODES: dict[type[Code], tuple[_Describe, _Describe]] = {
    Code: (_nothing, _nothing),
    GaussianCode: (_mean, _nothing),
    QuantizedCode: (_nearest, _nearest),
}
