"""Layers before they have weights."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def empty(kind: type[Layer], *sizes: int, **options: object) -> Layer:
    """A layer of torch whose weights are memory as it was found, so that no global generator is drawn from.

    What `nn.utils.skip_init` is for; but that imports SymPy, which is a second of every command's start.
    """
    layer = kind(*sizes, **options, device="meta")
    for name, weight in list(layer.named_parameters()):
        assert "." not in name, "a layer, not a network"
        setattr(layer, name, nn.Parameter(torch.empty(weight.shape)))
    return layer


def draw_normal(weight: torch.Tensor, sd: float, generator: torch.Generator) -> None:
    """Draw a weight's numbers, N(0, sd²).

    None on the meta device, which has no numbers to draw: torch would compute there by Python, and import SymPy for it.
    """
    if not weight.is_meta:
        with torch.no_grad():
            weight.normal_(0, sd, generator=generator)
