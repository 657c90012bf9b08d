"""What every network offers: a code and a way back, for inference, for autograd, and for the training loop."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import nn

from isthmus.networks.standardization import Standardization


class Network(nn.Module, abc.ABC):
    """encode (n, n_features) → (n, code_size), decode back.

    part: the one that it was built from. n_switches: numbers that the decoder sees beside the code.
    multiplications: products in one pass of one sample.
    standardization: what is done to samples at the two ends; each network applies it by `inward`, `outward` and
    `gradient_inward`, so that whoever calls it has samples in the data's units alone. None for nothing.
    """

    part: Any
    n_features: int
    code_size: int
    ends: torch.Tensor  # of a standardization: offset, scale, out_offset, out_scale of each number
    n_switches: int = 0
    multiplications: int
    standardization: Standardization | None = None

    def standardize(self, standardization: Standardization | None) -> None:
        """Apply this at both ends from now on. Raises ValueError for other samples than the network's."""
        self.standardization = standardization
        if standardization is not None:
            # not among the weights: a model's configuration has it, by channel
            numbers = standardization.of_features(self.n_features).to(next(self.parameters()).device)
            self.register_buffer("ends", numbers, persistent=False)

    def inward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples (n, n_features) as the first layer sees them."""
        return x if self.standardization is None else (x - self.ends[0]).div_(self.ends[1])

    def outward(self, y: torch.Tensor) -> torch.Tensor:
        """What the last layer gives, (n, n_features), in the data's units."""
        return y if self.standardization is None else torch.addcmul(self.ends[2], y, self.ends[3])

    def target(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer has to give for x: the inverse of `outward`."""
        return x if self.standardization is None else (x - self.ends[2]).div_(self.ends[3])

    def gradient_inward(self, grad_x_hat: torch.Tensor) -> torch.Tensor:
        """The gradient at x_hat as that at what the last layer gives."""
        return grad_x_hat if self.standardization is None else grad_x_hat * self.ends[3]

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
