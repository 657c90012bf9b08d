"""What every network offers: a code and a way back, for inference, for autograd, and for the training loop."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import nn


class Network(nn.Module, abc.ABC):
    """encode (n, n_features) → (n, code_size), decode back.

    n_switches: numbers that the decoder sees beside the code. multiplications: products in one pass of one sample.
    """

    n_features: int
    code_size: int
    n_switches: int = 0
    multiplications: int

    @abc.abstractmethod
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, code_size)."""

    @abc.abstractmethod
    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → (n, n_features): reads the code alone."""

    def forward(self, x: torch.Tensor, *, logits: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """x → (x_hat, code). logits: of a sigmoid output, what goes into the sigmoid instead of x_hat."""
        code = self.encode(x)
        return self.decode(code), code

    def project(self) -> None:
        """Bring the weights back to where they may be; called after each step."""

    @abc.abstractmethod
    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """(x_hat, code, what `backward` needs), x_hat and code in x's dtype, which is that of the weights.

        Products are in `dtype`, but for those of the last layer: a loss sees no more digits than x_hat has. With
        `logits`, x_hat is what goes into the sigmoid output, and so is what `backward` is given the gradient of.
        """

    @abc.abstractmethod
    def backward(self, tapes: Any, grad_x_hat: torch.Tensor, grad_code: torch.Tensor | None) -> None:
        """Write the gradient of every weight, from those at x_hat and, beyond what comes through x_hat, at the code."""

    def release(self) -> None:
        """Free what `record` keeps from step to step, if it does; called after the last one."""
