"""An ONNX graph, written node by node: by hand, it needs no exporter, and has unpooling too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from isthmus import __version__
from isthmus.errors import RequestError, needing

OPSET, IR_VERSION = 17, 8  # of 2022: older programs read them too
_MOST_BYTES = 2**31 - 2**20  # of a file, which is one message of Protocol Buffers
Shape = Sequence[int | str]


class Graph:
    """Nodes and the numbers that they need. What a node gives is known by its name.

    Raises RequestError if the package `onnx` is missing.
    """

    def __init__(self) -> None:
        with needing("onnx", "to_onnx", "onnx"):
            import onnx
        self.onnx: Any = onnx
        self.nodes: list[Any] = []
        self.numbers: dict[str, np.ndarray] = {}

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of what it gives."""
        return self.several(kind, *inputs, n=1, **attributes)[0]

    def several(self, kind: str, *inputs: str, n: int, **attributes: Any) -> list[str]:
        """Add a node that gives n values."""
        names = [f"{kind}_{len(self.nodes)}" + (f"_{i}" if n > 1 else "") for i in range(n)]
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, names, **attributes))
        return names

    def constant(self, numbers: Any) -> str:
        """Numbers as a value: float32, or int64 of whole ones. The same numbers again are the same value."""
        array = numbers.detach().cpu().numpy() if isinstance(numbers, torch.Tensor) else np.asarray(numbers)
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else np.float32).reshape(array.shape)
        name = "c_" + hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()[:24]
        self.numbers[name] = array
        return name

    def reshaped(self, x: str, *shape: int) -> str:
        """Of a shape in which 0 is a side as it was, and one side may be -1."""
        return self("Reshape", x, self.constant(list(shape)))

    def sliced(self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], step: int = 1) -> str:
        """Along some axes from a start to an end, every step-th."""
        return self("Slice", x, *(self.constant(list(each)) for each in (starts, ends, axes, [step] * len(axes))))

    def size(self, x: str, axis: int) -> str:
        """How long it is along an axis, known when the graph runs: (1,) int64."""
        return self("Shape", x, start=axis, end=axis + 1)

    def model(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, tuple[str, Shape]],
        description: str,
        facts: Mapping[str, str],
    ) -> bytes:
        """The file's bytes.

        inputs: names, which nodes know them by, and shapes, in which a word is a side of any length. outputs: names,
        what they are called inside, and shapes. facts: metadata.
        """
        helper, float32 = self.onnx.helper, self.onnx.TensorProto.FLOAT
        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        shapes = {**inputs, **{name: shape for name, (_, shape) in outputs.items()}}
        values = {name: helper.make_tensor_value_info(name, float32, shape) for name, shape in shapes.items()}
        if sum(array.nbytes for array in self.numbers.values()) > _MOST_BYTES:
            raise RequestError("the network has more than 2 GiB of weights, which no single ONNX file holds")
        graph = helper.make_graph(
            self.nodes,
            "isthmus",
            [values[name] for name in inputs],
            [values[name] for name in outputs],
            [self.onnx.numpy_helper.from_array(array, name) for name, array in self.numbers.items()],
            doc_string=description,
        )
        opset = [helper.make_opsetid("", OPSET)]
        version = {"producer_name": "isthmus", "producer_version": __version__, "ir_version": IR_VERSION}
        model = helper.make_model(graph, opset_imports=opset, doc_string=description, **version)
        helper.set_model_props(model, dict(facts))
        self.onnx.checker.check_model(model)
        return model.SerializeToString()
