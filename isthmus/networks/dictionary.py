"""Explicit dictionaries: a dense encoder, and a decoder whose rows are atoms, x_hat = code @ atoms."""

from __future__ import annotations

import math

import torch
from torch import nn

from isthmus.networks.dense import Chain
from isthmus.networks.network import Network, Shape
from isthmus.parts import Dictionary


class DictionaryNetwork(Network):
    """The module that a `Dictionary` part describes. atoms: (n_atoms, n_features)."""

    def __init__(
        self, part: Dictionary, n_features: int, generator: torch.Generator, image_shape: Shape = None, encoded: int = 1
    ) -> None:
        super().__init__()
        self.n_features, self.code_size, self.unit_norm = n_features, part.n_atoms, part.unit_norm
        self.multiplications = part.multiplications(n_features, image_shape)
        widths = (n_features, *part.hidden, encoded * part.n_atoms)
        self.encoder = Chain(widths, (*[part.activation] * len(part.hidden), part.code_activation), generator)
        bound = math.sqrt(6 / (part.n_atoms + n_features))  # Glorot and Bengio 2010
        start = torch.empty(part.n_atoms, n_features).uniform_(-bound, bound, generator=generator)
        self.atoms = nn.Parameter(start)
        self.after_step()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, n_atoms)."""
        return self.encoder(self.inward(x))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, n_atoms) → (n, n_features): code @ atoms, in the data's units."""
        return self.outward(code @ self.atoms)

    def rows(self, side: str) -> torch.Tensor:
        """Of the encoder's first layer, or the atoms."""
        return self._in_units(self.encoder.layers[0].weight if side == "encoder" else self.atoms, side)

    def is_one_layer(self, side: str) -> bool:
        """Whether that side has no hidden layer; the decoder has none."""
        return side == "decoder" or len(self.encoder.layers) == 1

    @torch.no_grad()
    def after_step(self) -> None:
        """Scale each atom to length 1, if they are to have it. An atom of length 0 stays as it is."""
        if self.unit_norm:
            self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_(min=1e-12))
