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

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x → (x_hat, code)."""
        code = self.encode(x)
        return self.decode(code), code

    def project(self) -> None:
        """Bring the weights back to where they may be; called after each step."""

    @abc.abstractmethod
    def record(self, x: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """(x_hat, code, what `backward` needs), products in `dtype`, x_hat and code in x's."""

    @abc.abstractmethod
    def backward(self, tapes: Any, grad_x_hat: torch.Tensor, grad_code: torch.Tensor | None) -> None:
        """Write the gradient of every weight, from those at x_hat and, beyond what comes through x_hat, at the code."""

    def release(self) -> None:
        """Free what `record` keeps from step to step, if it does; called after the last one."""
