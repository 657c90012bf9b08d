"""Modules only: no loss, no loop. `build` makes the module that a part describes; `register` adds one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from isthmus import kinds
from isthmus.networks.conv import ConvNetwork
from isthmus.networks.dense import DenseNetwork
from isthmus.networks.dictionary import DictionaryNetwork
from isthmus.networks.module import ModuleNetwork, seeded
from isthmus.networks.network import Code, Network, Shape
from isthmus.networks.outputs import NONE, Coded, Gradients, Output, Term
from isthmus.networks.pair import PairNetwork
from isthmus.parts import Conv, Dense, Dictionary, Module, NetworkPart, Part

# (part, n_features, generator, image_shape) → the module
Build = Callable[..., nn.Module]
_OWN: dict[type[Part], Build] = {
    Conv: ConvNetwork,
    Dense: DenseNetwork,
    Dictionary: DictionaryNetwork,
    Module: PairNetwork,
}
_BUILDS: dict[type[Part], Build] = kinds.COMPUTES["network"]
_BUILDS |= _OWN


def build(
    part: Part, n_features: int, generator: torch.Generator, image_shape: Shape = None, encoded: int = 1
) -> Network:
    """The module for a network part, on the CPU, with weights drawn from `generator`.

    image_shape: (channels, height, width), if the samples have one. encoded: numbers that the encoder gives for each
    number of the code. Raises RequestError if the part needs another shape.
    """
    make = _BUILDS[type(part)]
    if type(part) in _OWN:
        network: Any = make(part, n_features, generator, image_shape, encoded)
    else:
        with seeded(generator):
            module: Any = make(part, n_features, generator, image_shape)
        network = module if isinstance(module, Network) else ModuleNetwork(module, n_features, encoded)
    network.part = part
    return network


def register(kind: type[NetworkPart], make: Build) -> None:
    """Let parts of one's own describe networks, from here on and in this process, also in studies and saved models.

    kind: a frozen dataclass, with the class variables `kind` and `output`. make: (part, n_features, generator,
    image_shape) → a torch module with `encode`, (n, n_features) → (n, code_size), and `decode` back; or a `Network`.
    Raises RequestError for a kind that there is.
    """
    kinds.register("network", kind, make)


def dry_run(part: NetworkPart, n_features: int, image_shape: Shape = None) -> Network:
    """The module for a network part, on torch's meta device: its tensors have types and shapes, and no numbers."""
    with torch.device("meta"):
        return build(part, n_features, torch.Generator(), image_shape)


NetworkPart.dry_run = dry_run

__all__ = ["NONE", "Code", "Coded", "Gradients", "Network", "Output", "Shape", "Term", "build", "dry_run", "register"]
