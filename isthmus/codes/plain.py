"""The plain code: what the encoder gives, or an activation of it."""

from __future__ import annotations

import torch

from isthmus.networks import Code
from isthmus.networks.activations import ACTIVATIONS
from isthmus.parts import Plain


class ActivatedCode(Code):
    """An activation of what the encoder gives, of a network that has none of its own there."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.activation = activation

    def at_inference(self, z: torch.Tensor) -> torch.Tensor:
        return ACTIVATIONS[self.activation](z)


def plain(part: Plain, code_size: int, generator: torch.Generator) -> Code:
    """`Code` itself, through which accelerators may pass by, unless there is an activation to apply."""
    return Code() if part.activation is None else ActivatedCode(part.activation)
