"""How each code is written as an ONNX graph: what it makes of the encoder's numbers, and of any code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isthmus.codes import Code
from isthmus.codes.gaussian import GaussianCode
from isthmus.codes.quantized import QuantizedCode
from isthmus.interchange.onnx_graph import Graph

Write = Callable[[Graph, Any, str], str]  # (graph, code, its input) → its output


def _same(graph: Graph, code: Code, z: str) -> str:
    return z


def _mean(graph: Graph, code: GaussianCode, z: str) -> str:
    return graph.sliced(z, [0], [len(code.nats)], [1])


def _nearest(graph: Graph, code: QuantizedCode, z: str) -> str:
    """The nearest vector of each piece, as `QuantizedCode.nearest`; before there are any, what comes in."""
    if not bool(code.counts.any()):
        return z
    n_parts, n_vectors, width = code.vectors.shape
    pieces = graph.reshaped(z, -1, n_parts, width, code.places)
    pieces = graph("Transpose", pieces, perm=[1, 0, 3, 2])  # (n_parts, n, places, width)
    products = graph("MatMul", graph.reshaped(pieces, n_parts, -1, width), graph.constant(2 * code.vectors.mT))
    squares = graph.constant(code.vectors.square().sum(dim=2)[:, None])
    which = graph("ArgMin", graph("Sub", squares, products), axis=2, keepdims=0)  # (n_parts, n * places)
    first = graph.constant([[part * n_vectors] for part in range(n_parts)])
    pieces = graph("Gather", graph.constant(code.vectors.flatten(0, 1)), graph("Add", which, first))
    pieces = graph("Transpose", graph.reshaped(pieces, n_parts, -1, code.places, width), perm=[1, 0, 3, 2])
    return graph.reshaped(pieces, -1, code.code_size)


# By the very type: at inference, and the nearest code to any numbers
WRITERS: dict[type[Code], tuple[Write, Write]] = {
    Code: (_same, _same),
    GaussianCode: (_mean, _same),
    QuantizedCode: (_nearest, _nearest),
}
