"""ONNX files of plain modules: the bytes of a whole file, with what its user must know of it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from isthmus.errors import RequestError, needing
from isthmus.interchange.onnx_denoisers import WRITERS as DENOISERS
from isthmus.interchange.onnx_denoisers import denoised
from isthmus.interchange.onnx_graph import Graph
from isthmus.interchange.onnx_operations import written
from isthmus.interchange.operations import operations_of
from isthmus.interchange.torch_modules import AutoencoderModule, DenoiserModule

_ENDS = {"reconstruct": ("x", "x_hat"), "encode": ("x", "code"), "decode": ("code", "x_hat")}


def of_autoencoder(module: AutoencoderModule, facts: Mapping[str, str]) -> bytes:
    """The file of one function of an autoencoder, for any number of samples. facts: to keep in its metadata.

    A network or a code that no writer is for goes through torch's own exporter. Raises RequestError where that, or
    onnx, is missing.
    """
    network: Any = module.network
    sample = module.image_shape or (network.n_features,)
    shapes = {"x": ("n", *sample), "x_hat": ("n", *sample), "code": ("n", network.code_size)}
    before, after = _ENDS[module.function]
    description = f"{module.function}: {before} {shapes[before]} -> {after} {shapes[after]}, float32".replace("'", "")
    operations = operations_of(network, module.function)
    if operations is None:
        return _by_torch(module, before, after, shapes[before], description, facts)
    graph = Graph()
    value = written(graph, operations, graph("Flatten", before, axis=1))
    if after == "x_hat":
        value = graph.reshaped(value, -1, *sample)
    return graph.model({before: shapes[before]}, {after: (value, shapes[after])}, description, facts)


def of_denoiser(module: DenoiserModule, facts: Mapping[str, str]) -> bytes:
    """The file of a denoiser, for any number of images of any height and width. Raises RequestError as the other."""
    network: Any = module.network
    if type(network) not in DENOISERS:
        known = ", ".join(kind.__name__.removesuffix("Network") for kind in DENOISERS)
        raise RequestError(f"{network.part!r} cannot be written as ONNX; known denoisers: {known}")
    graph, image = Graph(), ("n", network.channels, "height", "width")
    inputs = {"y": image, "level": ("levels", 1, "level_height", "level_width")}
    description = (
        "noisy images y (n, channels, height, width), float32, and level, the standard deviation of their noise in the "
        "same unit -> x_hat. level is (1, 1, 1, 1), (n, 1, 1, 1), or a plane (n, 1, height, width); of photons counted "
        "it is that of a pixel of 1"
    )
    return graph.model(inputs, {"x_hat": (denoised(graph, module, "y", "level"), image)}, description, facts)


def _by_torch(
    module: AutoencoderModule, before: str, after: str, shape: Any, description: str, facts: Mapping[str, str]
) -> bytes:
    """By torch.onnx.export, which takes seconds, and may refuse what people write in modules of their own."""
    part = module.network.part
    with needing("onnx", "to_onnx", "onnx"):
        import onnx
    if importlib.util.find_spec("onnxscript") is None:
        raise RequestError(
            f"{part!r} is written by torch's own exporter, which needs onnxscript: pip install onnxscript"
        )
    x = torch.zeros(2, *shape[1:])
    try:
        with _silent(), torch.no_grad():
            program: Any = torch.onnx.export(
                module,
                (x,),
                dynamo=True,
                verbose=False,
                input_names=[before],
                output_names=[after],
                dynamic_shapes=({0: torch.export.Dim("n")},),
            )
    except Exception as error:
        raise RequestError(f"torch's exporter cannot write {part!r} as ONNX: {_reason(error)}") from error
    model = program.model_proto
    model.doc_string = model.graph.doc_string = description
    onnx.helper.set_model_props(model, dict(facts))
    return model.SerializeToString()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what torch says of its own code, of packages that are not needed, and of what it was doing, in pages."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        nowhere = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """The first line of what torch says, which says it in pages, of the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__
