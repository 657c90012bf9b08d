"""Linear layers of modules that autograd differentiates, by the products that written-out passes have."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from isthmus.networks.accelerators import products


class _Affine(torch.autograd.Function):
    """x @ weight.t() + bias, of matrices."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return products.multiplied(x, weight.t()) if bias is None else products.affine(bias, x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        # who differentiates twice needs products that have a derivative
        multiplied = torch.matmul if torch.is_grad_enabled() else products.multiplied
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            multiplied(gradient, weight) if of_x else None,
            multiplied(gradient.t(), x) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


class LinearProducts(TorchFunctionMode):
    """While it is entered, large linear layers in float32 on this CPU are computed by the faster library."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `TorchFunctionMode`."""
        if function is linear and not kwargs and 2 <= len(args) <= 3 and _is_worth_it(*args[:2]):
            x, weight, bias = (*args, None)[:3]
            y: torch.Tensor = _Affine.apply(x.reshape(-1, x.shape[-1]), weight, bias)
            return y if x.ndim == 2 else y.view(*x.shape[:-1], len(weight))
        return function(*args, **(kwargs or {}))


def _is_worth_it(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        products.takes_onednn(x.numel() // max(1, x.shape[-1]), x, weight)
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
        and not torch._C._functorch.is_functorch_wrapped_tensor(weight)
    )
