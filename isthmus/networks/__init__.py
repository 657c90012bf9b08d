"""Modules only: no loss, no loop. `build` makes the module that a part describes."""

from __future__ import annotations

from typing import Any

import torch

from isthmus.networks.conv import ConvNetwork
from isthmus.networks.dense import DenseNetwork
from isthmus.networks.dictionary import DictionaryNetwork
from isthmus.networks.network import Network
from isthmus.parts import Conv, Dense, Dictionary, Part

_BUILDS: dict[type[Part], type[Any]] = {Conv: ConvNetwork, Dense: DenseNetwork, Dictionary: DictionaryNetwork}


def build(
    part: Part, n_features: int, generator: torch.Generator, image_shape: tuple[int, int, int] | None = None
) -> Network:
    """The module for a network part, on the CPU, with weights drawn from `generator`.

    image_shape: (channels, height, width), if the samples have one. Raises RequestError if the part needs another.
    """
    network: Network = _BUILDS[type(part)](part, n_features, generator, image_shape)
    network.part = part
    return network


__all__ = ["Network", "build"]
