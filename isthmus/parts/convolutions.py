"""What a convolutional network is made of: its layers, and how many weights and multiplications they have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import RequestError, counted, one_of, require
from isthmus.parts import checks
from isthmus.parts.networks import ACTIVATIONS, NetworkPart
from isthmus.parts.part import Part

DECODERS = ("deconv", "deconv-unpool", "unpool")


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of a `Conv`, of known size. sizes are (height, width).

    unpool: the size to which its input is unpooled first, by the switches of that pooling, if it is. pool: the size
    after 2×2 max-pooling, if it has one. transposed: a transposed convolution. kernel None: no convolution at all.
    """

    n_in: int
    n_out: int
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    kernel: tuple[int, int] | None
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    transposed: bool = False
    pool: tuple[int, int] | None = None
    unpool: tuple[int, int] | None = None

    @property
    def is_thin(self) -> bool:
        """Whether its stride leads to or from a map that is one pixel wide."""
        return self.stride > 1 and 1 in (self.size_in[1], self.size_out[1])


@dataclass(frozen=True, repr=False)
class Conv(NetworkPart):
    """Convolutions and 2×2 max-pooling down to a small map, whose numbers are the code; and back to the image.

    channels: of each layer, a convolution of kernel×kernel with `padding`, pooling, activation. Any image size will
    do: what pooling leaves over at an edge is made again by the decoder. But for ReLU, the activation follows the
    pooling, which for the monotone ones is the same as the other way round, and cheaper.
    decoder: "deconv": a transposed convolution of stride 2 for each layer. "unpool": max-unpooling, by the places in
    which the encoder's maxima were (the switches), and a convolution each, but no convolution after the first
    unpooling if the map has the right shape already. "deconv-unpool": max-unpooling and a transposed convolution each.
    The unpooling decoders see the switches beside the code, so they are counted in its size.
    image_shape: (channels, height, width), for samples that come as (n, n_features); else the samples have it.
    """

    kind: ClassVar[str] = "conv"
    recipe_steps: ClassVar[int] = 2  # which no rate made up for
    channels: tuple[int, ...] = (8, 16, 16)
    kernel: int = 3
    padding: int = 1
    decoder: str = "deconv"
    activation: str = "relu"
    code_activation: str | None = None
    output: str = "linear"
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths(self, "channels")
        require(len(self.channels) > 0, "channels", "a list of at least one width", list(self.channels))
        checks.count("kernel", self.kernel)
        checks.count("padding", self.padding, 0)
        require(self.padding < self.kernel, "padding", f"less than kernel = {self.kernel}", self.padding)
        one_of("decoder", self.decoder, DECODERS)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("output activation", self.output, ACTIVATIONS)
        if self.code_activation is not None:
            one_of("code activation", self.code_activation, ACTIVATIONS)
        if self.image_shape is not None:
            checks.image_shape(self)

    @property
    def code_output(self) -> str:
        return self.code_activation or self.activation

    def shape(self, image_shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
        """The shape of the images: the samples' own, or that of the part. Raises RequestError if neither is known."""
        shape = image_shape or self.image_shape
        if shape is None:
            raise RequestError(
                "a convolutional network needs images: give (n, channels, height, width), or Conv(image_shape=...)"
            )
        return shape

    def encoder_layers(self, image_shape: tuple[int, int, int]) -> list[ConvLayer]:
        """The encoder for images of this shape. Raises RequestError if it is deeper than the image allows."""
        n_in, *size = image_shape
        layers, side = [], (size[0], size[1])
        for number, n_out in enumerate(self.channels, 1):
            h, w = (length + 2 * self.padding - self.kernel + 1 for length in side)
            if min(h, w) < 2:
                raise RequestError(
                    f"a convolutional network of {counted(len(self.channels), 'layer')} is deeper than images of "
                    f"{image_shape[1]}×{image_shape[2]} allow: layer {number} gets {side[0]}×{side[1]}, too little "
                    f"for a {self.kernel}×{self.kernel} convolution and pooling; use fewer layers, or more padding"
                )
            kernel, padding = (self.kernel, self.kernel), (self.padding, self.padding)
            layers.append(ConvLayer(n_in, n_out, side, (h, w), kernel, padding=padding, pool=(h // 2, w // 2)))
            n_in, side = n_out, (h // 2, w // 2)
        return layers

    def decoder_layers(self, image_shape: tuple[int, int, int]) -> list[ConvLayer]:
        """The decoder for images of this shape, which undoes the encoder layer by layer, the deepest first."""
        layers = []
        for down in reversed(self.encoder_layers(image_shape)):
            assert down.pool is not None
            there, back = (down.n_out, down.n_in), down.size_in
            if self.decoder == "deconv":
                # twice the size, and the pixels more that pooling left over and an unpadded convolution took
                more = [whole - 2 * half for whole, half in zip(back, down.pool, strict=True)]
                pads = [max(0, 1 - m) for m in more]
                sides = [m + 2 + 2 * pad for m, pad in zip(more, pads, strict=True)]
                kernel, padding = (sides[0], sides[1]), (pads[0], pads[1])
                layers.append(ConvLayer(*there, down.pool, back, kernel, 2, padding, transposed=True))
                continue
            transposed = self.decoder == "deconv-unpool"
            pad = self.padding if transposed else self.kernel - 1 - self.padding
            first = len(self.channels) > 1 and not layers
            none = not transposed and first and there[0] == there[1] and down.size_out == back
            layers.append(
                ConvLayer(
                    *there,
                    down.size_out,
                    back,
                    None if none else (self.kernel, self.kernel),
                    padding=(pad, pad),
                    transposed=transposed,
                    unpool=down.size_out,
                )
            )
        return layers

    def recipe_rate(self, shape: tuple[int, int], penalty: Part | None, corruption: Part | None) -> float:
        """High: their weights are few, and each is the mean of many places, so that a step changes x_hat less."""
        return 0.025

    def recipe_start(self, penalty: Any) -> str:
        """From weights as drawn, half of the units of a ReLU code die, and with L1 up to all."""
        return "data"

    @property
    def depth(self) -> int:
        return 2 * len(self.channels)

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Numbers in a code, without the switches."""
        last = self.encoder_layers(self.shape(image_shape))[-1]
        assert last.pool is not None
        return last.n_out * math.prod(last.pool)

    def n_switches(self, image_shape: tuple[int, int, int]) -> int:
        """The places of maxima that the decoder sees beside the code."""
        if self.decoder == "deconv":
            return 0
        return sum(layer.n_out * math.prod(layer.pool or ()) for layer in self.encoder_layers(image_shape))

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Products of a number and a weight in one pass of one image. Raises RequestError for another shape."""
        shape, total = self.shape(image_shape), 0
        require(math.prod(shape) == n_features, "image_shape", f"of {n_features} numbers, as the samples are", shape)
        for layer in (*self.encoder_layers(shape), *self.decoder_layers(shape)):
            at = layer.size_in if layer.transposed else layer.size_out
            total += layer.n_in * layer.n_out * math.prod(layer.kernel or (0,)) * math.prod(at)
        return total

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        shape = self.shape(image_shape)
        layers = (*self.encoder_layers(shape), *self.decoder_layers(shape))
        sizes = [(layer.kernel, layer.n_in, layer.n_out) for layer in layers]
        return sum((n_in * math.prod(kernel) + 1) * n_out for kernel, n_in, n_out in sizes if kernel is not None)
