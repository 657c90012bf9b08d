"""How each network is written as an ONNX graph: samples in rows (n, n_features), as its `encode` and `decode`."""

from __future__ import annotations

import abc
from typing import Any

from isthmus.interchange.onnx_graph import Graph
from isthmus.networks import Network
from isthmus.networks.conv import ConvChain, ConvNetwork, activates_first
from isthmus.networks.dense import Chain, DenseNetwork
from isthmus.networks.dictionary import DictionaryNetwork
from isthmus.parts import ConvLayer


class NetworkWriter(abc.ABC):
    """A network's two sides as nodes. What the decoder sees beside the code goes from one to the other."""

    def __init__(self, graph: Graph, network: Any) -> None:
        self.graph, self.network = graph, network

    @abc.abstractmethod
    def encode(self, x: str) -> tuple[str, Any]:
        """As `Network.encode_both`, of samples that are standardized."""

    @abc.abstractmethod
    def decode(self, code: str, beside: Any) -> str:
        """As `Network.decode_both`, in the network's units. beside: None for the code alone."""


class DenseWriter(NetworkWriter):
    """Fully connected layers."""

    def encode(self, x: str) -> tuple[str, Any]:
        return _chain(self.graph, self.network.encoder, x), None

    def decode(self, code: str, beside: Any) -> str:
        return _chain(self.graph, self.network.decoder, code)


class DictionaryWriter(NetworkWriter):
    """A dense encoder, and code @ atoms."""

    def encode(self, x: str) -> tuple[str, Any]:
        return _chain(self.graph, self.network.encoder, x), None

    def decode(self, code: str, beside: Any) -> str:
        return self.graph("MatMul", code, self.graph.constant(self.network.atoms))


class ConvWriter(NetworkWriter):
    """Convolutions with pooling and unpooling: ONNX's places of maxima count through the whole batch, as it unpools."""

    def encode(self, x: str) -> tuple[str, Any]:
        images = self.graph.reshaped(x, -1, *self.network.shape)
        code, switches = self._chain(self.network.encoder, images, None)
        return self.graph("Flatten", code, axis=1), switches[::-1]

    def decode(self, code: str, beside: Any) -> str:
        images, _ = self._chain(self.network.decoder, self.graph.reshaped(code, -1, *self.network.code_shape), beside)
        return self.graph("Flatten", images, axis=1)

    def _chain(self, chain: ConvChain, x: str, switches: list[Any] | None) -> tuple[str, list[Any]]:
        graph, pooled = self.graph, list[Any]()
        for i, (layer, activation, module) in enumerate(zip(chain.plan, chain.activations, chain.layers, strict=True)):
            if layer.unpool is not None:
                x = self._unpooled(x, layer, None if switches is None else switches[i])
            if layer.kernel is not None:
                x = convolved(graph, module, x, "ConvTranspose" if layer.transposed else "Conv")
            first, places = activates_first(layer, activation), None
            if first:
                x = activated(graph, activation, x)
            if layer.pool is not None:
                x, where = graph.several("MaxPool", x, n=2, kernel_shape=[2, 2], strides=[2, 2])
                places = where
            pooled.append(places)
            if not first:
                x = activated(graph, activation, x)
        return x, pooled

    def _unpooled(self, x: str, layer: ConvLayer, places: str | None) -> str:
        """By the places of maxima; without any, to the upper left of each window."""
        graph, (h, w) = self.graph, layer.unpool or (0, 0)
        if places is not None:
            size = graph("Concat", graph.size(x, 0), graph.constant([layer.n_in, h, w]), axis=0)
            return graph("MaxUnpool", x, places, size, kernel_shape=[2, 2], strides=[2, 2])
        rows, columns = h // 2, w // 2
        x = graph.reshaped(x, 0, layer.n_in, rows, 1, columns, 1)
        x = graph("Pad", x, graph.constant([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]))
        x = graph.reshaped(x, 0, layer.n_in, 2 * rows, 2 * columns)
        return graph("Pad", x, graph.constant([0, 0, 0, 0, 0, 0, h - 2 * rows, w - 2 * columns]))


def _chain(graph: Graph, chain: Chain, x: str) -> str:
    for layer, activation in zip(chain.layers, chain.activations, strict=True):
        x = graph("Gemm", x, graph.constant(layer.weight), graph.constant(layer.bias), transB=1)
        x = activated(graph, activation, x)
    return x


def convolved(graph: Graph, layer: Any, x: str, kind: str = "Conv") -> str:
    """What torch's Conv2d or ConvTranspose2d makes of images."""
    numbers = [graph.constant(layer.weight), graph.constant(layer.bias)]
    pads = [*layer.padding, *layer.padding]
    return graph(kind, x, *numbers, kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=pads)


def _gelu(graph: Graph, x: str) -> str:
    """x Φ(x), of which ONNX has had a node of its own since 2023."""
    inside = graph("Erf", graph("Mul", x, graph.constant(0.5**0.5)))
    return graph("Mul", graph("Mul", x, graph.constant(0.5)), graph("Add", inside, graph.constant(1.0)))


_ACTIVATIONS: dict[str, Any] = {
    "gelu": _gelu,
    "leakyrelu": lambda graph, x: graph("LeakyRelu", x, alpha=0.01),
    "linear": lambda graph, x: x,
    "relu": lambda graph, x: graph("Relu", x),
    "sigmoid": lambda graph, x: graph("Sigmoid", x),
    "silu": lambda graph, x: graph("Mul", x, graph("Sigmoid", x)),
    "tanh": lambda graph, x: graph("Tanh", x),
}


def activated(graph: Graph, activation: str, x: str) -> str:
    """As `networks.activations` has it by this name."""
    return _ACTIVATIONS[activation](graph, x)


# By the very type: a subclass may compute something else
WRITERS: dict[type[Network], type[NetworkWriter]] = {
    ConvNetwork: ConvWriter,
    DenseNetwork: DenseWriter,
    DictionaryNetwork: DictionaryWriter,
}
