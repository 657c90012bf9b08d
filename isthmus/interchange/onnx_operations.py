"""How each operation is written as an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from isthmus.interchange.onnx_graph import Graph
from isthmus.interchange.operations import (
    Activate,
    AsImages,
    AsRows,
    Convolve,
    First,
    Linear,
    MaxPool,
    Nearest,
    Operation,
    Product,
    Restore,
    Standardize,
    Unpool,
)

Places = dict[int, str]  # by number, what holds the places of the maxima of a pooling
Write = Callable[[Graph, Any, str, Places], str]  # (graph, operation, its input, places) → its output


def written(graph: Graph, operations: Sequence[Operation], x: str) -> str:
    """Nodes for a list of operations, and the name of what comes out."""
    places: Places = {}
    for operation in operations:
        x = WRITERS[type(operation)](graph, operation, x, places)
    return x


def _standardize(graph: Graph, operation: Standardize, x: str, places: Places) -> str:
    return _by_channel(graph, x, ("Sub", operation.offset), ("Div", operation.scale))


def _restore(graph: Graph, operation: Restore, x: str, places: Places) -> str:
    return _by_channel(graph, x, ("Mul", operation.scale), ("Add", operation.offset))


def _by_channel(graph: Graph, x: str, *steps: tuple[str, tuple[float, ...]]) -> str:
    """Rows with a number of each channel subtracted, divided by, multiplied with or added."""
    x = graph.reshaped(x, 0, len(steps[0][1]), -1)
    for kind, numbers in steps:
        x = graph(kind, x, graph.constant([[number] for number in numbers]))
    return graph("Flatten", x, axis=1)


def _linear(graph: Graph, operation: Linear, x: str, places: Places) -> str:
    return graph("Gemm", x, graph.constant(operation.weight), graph.constant(operation.bias), transB=1)


def _product(graph: Graph, operation: Product, x: str, places: Places) -> str:
    return graph("MatMul", x, graph.constant(operation.rows))


def _activate(graph: Graph, operation: Activate, x: str, places: Places) -> str:
    return activated(graph, operation.function, x)


def _as_images(graph: Graph, operation: AsImages, x: str, places: Places) -> str:
    return graph.reshaped(x, -1, *operation.shape)


def _as_rows(graph: Graph, operation: AsRows, x: str, places: Places) -> str:
    return graph("Flatten", x, axis=1)


def _convolve(graph: Graph, operation: Convolve, x: str, places: Places) -> str:
    kind = "ConvTranspose" if operation.transposed else "Conv"
    sizes = tuple(operation.weight.shape[2:]), (operation.stride,) * 2, operation.padding
    return _convolution(graph, kind, x, operation.weight, operation.bias, *sizes)


def _max_pool(graph: Graph, operation: MaxPool, x: str, places: Places) -> str:
    """ONNX's places of maxima count through the whole batch, as it unpools."""
    x, places[operation.places] = graph.several("MaxPool", x, n=2, kernel_shape=[2, 2], strides=[2, 2])
    return x


def _unpool(graph: Graph, operation: Unpool, x: str, places: Places) -> str:
    h, w = operation.size
    if operation.places is not None:
        size = graph("Concat", graph.size(x, 0), graph.size(x, 1), graph.constant([h, w]), axis=0)
        return graph("MaxUnpool", x, places[operation.places], size, kernel_shape=[2, 2], strides=[2, 2])
    rows, columns = h // 2, w // 2
    x = graph.reshaped(x, 0, 0, rows, 1, -1, 1)
    x = graph("Pad", x, graph.constant([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]))
    x = graph.reshaped(x, 0, 0, 2 * rows, 2 * columns)
    return graph("Pad", x, graph.constant([0, 0, 0, 0, 0, 0, h - 2 * rows, w - 2 * columns]))


def _first(graph: Graph, operation: First, x: str, places: Places) -> str:
    return graph.sliced(x, [0], [operation.n], [1])


def _nearest(graph: Graph, operation: Nearest, x: str, places: Places) -> str:
    vectors, n_places = operation.vectors, operation.places
    n_parts, n_vectors, width = vectors.shape
    pieces = graph.reshaped(x, -1, n_parts, width, n_places)
    pieces = graph("Transpose", pieces, perm=[1, 0, 3, 2])  # (n_parts, n, places, width)
    products = graph("MatMul", graph.reshaped(pieces, n_parts, -1, width), graph.constant(2 * vectors.mT))
    squares = graph.constant(vectors.square().sum(dim=2)[:, None])
    which = graph("ArgMin", graph("Sub", squares, products), axis=2, keepdims=0)  # (n_parts, n * places)
    first = graph.constant([[part * n_vectors] for part in range(n_parts)])
    pieces = graph("Gather", graph.constant(vectors.flatten(0, 1)), graph("Add", which, first))
    pieces = graph("Transpose", graph.reshaped(pieces, n_parts, -1, n_places, width), perm=[1, 0, 3, 2])
    return graph.reshaped(pieces, -1, n_parts * width * n_places)


WRITERS: dict[type[Operation], Write] = {
    Activate: _activate,
    AsImages: _as_images,
    AsRows: _as_rows,
    Convolve: _convolve,
    First: _first,
    Linear: _linear,
    MaxPool: _max_pool,
    Nearest: _nearest,
    Product: _product,
    Restore: _restore,
    Standardize: _standardize,
    Unpool: _unpool,
}


# --- what denoisers are written with too ---


def convolved(graph: Graph, layer: Any, x: str, kind: str = "Conv") -> str:
    """What torch's Conv2d or ConvTranspose2d makes of images."""
    sizes = layer.kernel_size, layer.stride, layer.padding
    return _convolution(graph, kind, x, layer.weight, layer.bias, *sizes)


def _convolution(
    graph: Graph, kind: str, x: str, weight: Any, bias: Any, kernel: Any, stride: Any, padding: Any
) -> str:
    numbers = [graph.constant(weight), graph.constant(bias)]
    pads = [*padding, *padding]
    return graph(kind, x, *numbers, kernel_shape=list(kernel), strides=list(stride), pads=pads)


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
