"""How a denoiser of images of any size is written as an ONNX graph: as `torch_modules.DenoiserModule` computes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from isthmus.interchange.onnx_graph import Graph
from isthmus.interchange.onnx_operations import activated, convolved
from isthmus.interchange.torch_modules import DenoiserModule
from isthmus.networks.denoisers import ImageNetwork
from isthmus.networks.denoisers.residual import ResidualNetwork
from isthmus.networks.denoisers.shot_noise import SHOT_MARGIN
from isthmus.networks.denoisers.unet import UNetNetwork

Write = Callable[[Graph, Any, str, str], str]  # (graph, network, images less their mean, plane) → their noise


def denoised(graph: Graph, module: DenoiserModule, y: str, level: str) -> str:
    """Nodes for a denoiser, from noisy images (n, c, h, w) and their level (n or 1, 1, h or 1, w or 1)."""
    scale = graph.constant(module.scale)
    mean = graph("Div", _mean(graph, y), scale)
    level = graph("Div", level, scale)
    rows, columns = (_mirrored(graph, y, axis, module) for axis in (2, 3))
    wide = graph("Div", _gathered(graph, y, rows, columns), scale)
    level = graph("Expand", level, graph("Shape", graph.sliced(y, [0], [1], [1])))
    levels = _gathered(graph, level, rows, columns)
    around = 2 * (module.reach + module.margin) + module.network.factor
    constant = graph("Expand", mean, graph.constant([1, 1, around, around]))
    middle = graph("Expand", _mean(graph, level), graph.constant([1, 1, around, around]))
    grey = _grey(graph, module, y)
    noise = _noise(graph, module, wide, _plane(graph, module, wide, levels, grey), mean)
    taken = _noise(graph, module, constant, _plane(graph, module, constant, middle, grey), mean)
    factor = graph.constant([module.network.factor])
    repeats = [graph("Div", graph.size(noise, axis), factor) for axis in (2, 3)]
    taken = graph("Tile", taken, graph("Concat", graph.constant([1, 1]), *repeats, axis=0))
    change = graph("Mul", graph("Sub", noise, taken), scale)
    ends = graph("Concat", graph.size(y, 2), graph.size(y, 3), axis=0)
    change = graph("Slice", change, graph.constant([0, 0]), ends, graph.constant([2, 3]))
    return graph("Sub", y, change)


def _mean(graph: Graph, x: str) -> str:
    """Of each channel: of rows first, for a sum of millions of float32, one after the other, has five digits left."""
    return graph("ReduceMean", graph("ReduceMean", x, axes=[3]), axes=[2])


def _mirrored(graph: Graph, y: str, axis: int, module: DenoiserModule) -> str:
    """The positions along an axis, with those beyond the border as in a mirror."""
    around, factor = module.reach + module.margin, graph.constant([module.network.factor])
    side = graph.size(y, axis)
    over = graph("Mod", graph("Neg", side), factor)  # as Python's: not negative
    stop = graph("Add", graph("Add", side, over), graph.constant([around]))
    scalars = [graph("Squeeze", each) for each in (graph.constant([-around]), stop, graph.constant([1]))]
    positions = graph("Mod", graph("Range", *scalars), twice := graph("Mul", side, graph.constant([2])))
    return graph("Min", positions, graph("Sub", graph("Sub", twice, graph.constant([1])), positions))


def _gathered(graph: Graph, x: str, rows: str, columns: str) -> str:
    return graph("Gather", graph("Gather", x, rows, axis=2), columns, axis=3)


def _grey(graph: Graph, module: DenoiserModule, y: str) -> str | None:
    """What the level of each image is multiplied by: √c if its channels are equal; None of one channel."""
    c = module.network.channels
    if c == 1:
        return None
    first = graph.sliced(y, [0], [1], [1])
    most = graph("ReduceMax", graph("Abs", graph("Sub", y, first)), axes=[1, 2, 3])
    is_grey = graph("Equal", most, graph.constant(0.0))
    return graph("Where", is_grey, graph.constant(math.sqrt(c)), graph.constant(1.0))


def _plane(graph: Graph, module: DenoiserModule, x: str, level: str, grey: str | None) -> str:
    if module.read is not None:
        window = 2 * SHOT_MARGIN + 1
        brightness = graph("AveragePool", graph("ReduceMean", x, axes=[1]), kernel_shape=[window, window])
        level = _inner(graph, level, SHOT_MARGIN)
        event = graph("Mul", graph("Mul", level, level), graph.constant(module.scale))
        variance = graph("Mul", graph("Relu", brightness), event)
        level = graph("Sqrt", graph("Add", variance, graph.constant((module.read / module.scale) ** 2)))
    return level if grey is None else graph("Mul", level, grey)


def _noise(graph: Graph, module: DenoiserModule, x: str, plane: str, mean: str) -> str:
    x, total = graph("Sub", _inner(graph, x, module.margin), mean), ""
    for view in module.views:
        noise = WRITERS[type(module.network)](graph, module.network, _seen(graph, x, view), _seen(graph, plane, view))
        noise = _seen(graph, noise, -view)
        total = graph("Add", total, noise) if total else noise
    total = _inner(graph, total, module.reach)
    return total if len(module.views) == 1 else graph("Div", total, graph.constant(float(len(module.views))))


def _inner(graph: Graph, x: str, border: int) -> str:
    return x if border == 0 else graph.sliced(x, [border] * 2, [-border] * 2, [2, 3])


def _seen(graph: Graph, x: str, view: int) -> str:
    """As `image_network.seen`: a quarter turn is the sides exchanged, and then one of them flipped."""
    turns, is_flipped = abs(view) % 4, abs(view) >= 4
    if view < 0:
        x = _turned(graph, x, -turns % 4)
    x = graph("Transpose", x, perm=[0, 1, 3, 2]) if is_flipped else x
    return _turned(graph, x, turns) if view > 0 else x


def _turned(graph: Graph, x: str, turns: int) -> str:
    x = graph("Transpose", x, perm=[0, 1, 3, 2]) if turns % 2 else x
    axes = [[], [2], [2, 3], [3]][turns]
    least = -(2**63) + 1
    return graph.sliced(x, [-1] * len(axes), [least] * len(axes), axes, -1) if axes else x


def _unshuffled(graph: Graph, y: str, level: str, channels: int, factor: int) -> str:
    """As `image_network.unshuffled`. ONNX has the channels of a square of pixels last, torch first."""
    x = graph("SpaceToDepth", y, blocksize=factor)
    order = torch.arange(channels * factor**2).view(factor**2, channels).t().flatten()
    if channels > 1 and factor > 1:
        x = graph("Gather", x, graph.constant(order), axis=1)
    if factor > 1:
        level = graph.sliced(level, [0, 0], [2**62] * 2, [2, 3], factor)
    return graph("Concat", x, level, axis=1)


def _shuffled(graph: Graph, x: str, factor: int) -> str:
    return graph("DepthToSpace", x, blocksize=factor, mode="CRD")


def _blocks(graph: Graph, chain: Any, x: str) -> str:
    for block in chain:
        y = activated(graph, "relu", convolved(graph, block.first, x))
        y = convolved(graph, block.second, y)
        x = graph("Add", x, graph("Mul", y, graph.constant(0.5)))
    return x


def _residual(graph: Graph, network: ResidualNetwork, y: str, level: str) -> str:
    x = convolved(graph, network.head, _unshuffled(graph, y, level, network.channels, network.factor))
    x = convolved(graph, network.tail, _blocks(graph, network.blocks, x))
    return _shuffled(graph, x, network.factor)


def _unet(graph: Graph, network: UNetNetwork, y: str, level: str) -> str:
    x = convolved(graph, network.head, _unshuffled(graph, y, level, network.channels, network.unshuffle))
    passed: list[str] = []
    for chain, coarser in zip(network.down, network.coarser, strict=False):
        x = _blocks(graph, chain, x)
        passed.append(x)
        x = convolved(graph, coarser, x)
    x = _blocks(graph, network.down[-1], x)
    for chain, finer in zip(reversed(network.up), reversed(network.finer), strict=True):
        x = _blocks(graph, chain, graph("Add", convolved(graph, finer, x, "ConvTranspose"), passed.pop()))
    return _shuffled(graph, convolved(graph, network.tail, x), network.unshuffle)


# By the very type: a subclass may compute something else
WRITERS: dict[type[ImageNetwork], Write] = {ResidualNetwork: _residual, UNetNetwork: _unet}
