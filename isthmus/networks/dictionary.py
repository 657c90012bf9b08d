"""Explicit dictionaries: a dense encoder, and a decoder whose rows are atoms, x_hat = code @ atoms."""

from __future__ import annotations

import math

import torch
from torch import nn

from isthmus.networks.dense import Chain, Tape
from isthmus.networks.network import Network
from isthmus.parts import Dictionary


class DictionaryNetwork(Network):
    """The module that a `Dictionary` part describes. atoms: (n_atoms, n_features)."""

    def __init__(
        self,
        part: Dictionary,
        n_features: int,
        generator: torch.Generator,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.n_features, self.code_size, self.unit_norm = n_features, part.n_atoms, part.unit_norm
        self.multiplications = part.multiplications(n_features, image_shape)
        widths = (n_features, *part.hidden, part.n_atoms)
        self.encoder = Chain(widths, (*[part.activation] * len(part.hidden), part.code_activation), generator)
        bound = math.sqrt(6 / (part.n_atoms + n_features))  # Glorot and Bengio 2010
        start = torch.empty(part.n_atoms, n_features).uniform_(-bound, bound, generator=generator)
        self.atoms = nn.Parameter(start)
        self.project()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, n_atoms)."""
        return self.encoder(self.inward(x))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, n_atoms) → (n, n_features): code @ atoms, in the data's units."""
        return self.outward(code @ self.atoms)

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[Tape, torch.Tensor]]:
        """(x_hat, code, what `backward` needs): see `Network.record`."""
        assert not logits, "a dictionary's output is linear"
        code, tape = self.encoder.record(self.inward(x), dtype)
        code = code.to(x.dtype)
        return self.outward(code @ self.atoms), code, (tape, code)

    def backward(
        self,
        tapes: tuple[Tape, torch.Tensor],
        grad_x_hat: torch.Tensor,
        grad_code: torch.Tensor | None,
    ) -> None:
        """Write the gradient of every weight, from those at x_hat and, beyond what comes through x_hat, at the code."""
        tape, code = tapes
        grad_x_hat = self.gradient_inward(grad_x_hat)
        assert self.atoms.grad is not None
        torch.mm(code.t(), grad_x_hat, out=self.atoms.grad)
        grad = grad_x_hat @ self.atoms.t()
        self.encoder.backward(tape, grad if grad_code is None else grad + grad_code, to_input=False)

    @torch.no_grad()
    def project(self) -> None:
        """Scale each atom to length 1, if they are to have it. An atom of length 0 stays as it is."""
        if self.unit_norm:
            self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_(min=1e-12))
