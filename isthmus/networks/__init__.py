"""Modules only: no loss, no loop. `build` makes the module that a part describes."""

from __future__ import annotations

import torch

from isthmus.networks.dense import DenseNetwork
from isthmus.parts import Dense, Part

_BUILDS = {Dense: DenseNetwork}


def build(part: Part, n_features: int, generator: torch.Generator) -> DenseNetwork:
    """The module for a network part, on the CPU, with weights drawn from `generator`."""
    return _BUILDS[type(part)](part, n_features, generator)  # type: ignore[index, arg-type]
