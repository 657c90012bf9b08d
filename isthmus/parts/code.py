"""What happens at the bottleneck, between a network's encoder and its decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.parts.part import Part

Shape = tuple[int, int, int] | None


@dataclass(frozen=True, repr=False)
class CodePart(Part):
    """A part that describes a code. What it computes is in `codes/`.

    encoded: numbers that the encoder gives for each number of the code, such as a mean and a variance. is_plain:
    whether the code is what the encoder gives, so that what holds of a network holds of the two.
    """

    encoded: ClassVar[int] = 1
    is_plain: ClassVar[bool] = False
    dry_run: ClassVar[Callable[..., Any]]  # (network, n_features, image_shape) → both as a module; `codes` provides it

    def contradiction(self, code_activation: str | None) -> str | None:
        """Why it cannot be had of an encoder that ends in this activation; None if it can."""
        return None

    def width(self, network: Any, n_features: int, image_shape: Shape) -> int:
        """Numbers in a code."""
        return int(self.dry_run(network, n_features, image_shape).code_size)

    def multiplications(self, network: Any, n_features: int, image_shape: Shape) -> int:
        """Products of a number and a weight in one pass of one sample through a network with this code."""
        return int(self.dry_run(network, n_features, image_shape).multiplications)

    def n_weights(self, network: Any, n_features: int, image_shape: Shape) -> int:
        """Weights, biases and buffers of a network with this code, counted without making them."""
        tensors = self.dry_run(network, n_features, image_shape).state_dict().values()
        return sum(int(tensor.numel()) for tensor in tensors)


@dataclass(frozen=True, repr=False)
class Plain(CodePart):
    """The code is what the encoder gives, in training and at inference."""

    kind: ClassVar[str] = "plain"
    is_plain: ClassVar[bool] = True

    def width(self, network: Any, n_features: int, image_shape: Shape) -> int:
        return int(network.code_width(n_features, image_shape))

    def multiplications(self, network: Any, n_features: int, image_shape: Shape) -> int:
        return int(network.multiplications(n_features, image_shape))

    def n_weights(self, network: Any, n_features: int, image_shape: Shape) -> int:
        return int(network.n_weights(n_features, image_shape))
