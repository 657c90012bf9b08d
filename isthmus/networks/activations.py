"""Activations by name: what they compute, the same in place, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "leakyrelu": functional.leaky_relu,  # slope 0.01
    "linear": lambda z: z,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "tanh": torch.tanh,
}
# The same in place, for those whose derivative needs their output alone.
IN_PLACE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "leakyrelu": functional.leaky_relu_,
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
}
# Those whose output nears a bound, from which their derivative is computed. bfloat16 has eight bits, so it rounds
# sigmoid(6.5) to 1, where the derivative is 0: in training they are computed in the precision of the weights.
SATURATING = frozenset({"sigmoid", "tanh"})
# (gradient at the output y, y, the input z) → gradient at z. Where z was overwritten by y, both are y.
BACKWARD: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "gelu": lambda grad, y, z: torch.ops.aten.gelu_backward(grad, z),
    "leakyrelu": lambda grad, y, z: torch.ops.aten.leaky_relu_backward(grad, y, 0.01, True),
    "linear": lambda grad, y, z: grad,
    "relu": lambda grad, y, z: torch.ops.aten.threshold_backward(grad, y, 0),
    "sigmoid": lambda grad, y, z: torch.ops.aten.sigmoid_backward(grad, y),
    "silu": lambda grad, y, z: torch.ops.aten.silu_backward(grad, z),
    "tanh": lambda grad, y, z: torch.ops.aten.tanh_backward(grad, y),
}
