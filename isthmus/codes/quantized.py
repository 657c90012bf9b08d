"""The quantized code of a VQ-VAE (van den Oord, Vinyals, Kavukcuoglu 2017), its codebooks running averages."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from isthmus.errors import RequestError, counted, require
from isthmus.networks import Code, Coded, Term
from isthmus.networks.network import Shape
from isthmus.parts import Quantized

_HARDLY = 0.1  # of the vectors: as if no more of them were in use


class QuantizedCode(Code):
    """The nearest of n_vectors for each piece of a code; see `Quantized`.

    vectors: (n_parts, n_vectors, width). counts, sums: running averages of how many pieces each is the nearest to, and
    of their sum. idle: steps since each was the nearest to any.
    """

    vectors: torch.Tensor
    counts: torch.Tensor
    sums: torch.Tensor
    idle: torch.Tensor

    def __init__(self, part: Quantized, code_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.part, self.code_size = part, code_size

    def place(self, shape: Shape) -> None:
        part, channels = self.part, shape[0] if shape else self.code_size
        if channels % part.n_parts:
            numbers = f"the {channels} {'maps' if shape else 'numbers'} of a code"
            raise RequestError(f"n_parts must divide {numbers}, got {part.n_parts}")
        self.places = self.code_size // channels
        size = (part.n_parts, part.n_vectors)
        self.register_buffer("vectors", torch.zeros(*size, channels // part.n_parts))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros_like(self.vectors))
        self.register_buffer("idle", torch.full(size, part.restart))  # so all begin at encodings of the first step

    def at_inference(self, z: torch.Tensor) -> torch.Tensor:
        """The nearest vectors; what the encoder gives, as long as there are none."""
        return torch.where(self.counts.any(), self.nearest(z), z)

    def in_training(self, z: torch.Tensor, generator: torch.Generator) -> Coded:
        z = z.to(self.vectors.dtype)
        pieces = self._cut(z.detach())
        if self.training:
            self._restart(pieces, generator)
        which = self._nearest(pieces)
        code = self._joined(self._looked_up(which))
        if self.training:
            self._count(pieces, which)
        seen = z + (code - z).detach()  # the gradient at the nearest vectors as that at what the encoder gives
        return Coded(seen, seen, {"commitment": Term((z - code).square(), self.part.commitment, "element")})

    @torch.no_grad()
    def after_step(self) -> None:
        self.vectors.copy_(self.sums / self.counts[:, :, None].clamp(min=1e-6))

    @torch.no_grad()
    def nearest(self, code: torch.Tensor) -> torch.Tensor:
        return self._joined(self._looked_up(self._nearest(self._cut(code.to(self.vectors.dtype)))))

    def indices(self, z: torch.Tensor) -> torch.Tensor:
        """(n, n_parts * places), those of the places of the first part first."""
        which = self._nearest(self._cut(z.to(self.vectors.dtype)))
        return which.view(len(which), -1, self.places).transpose(0, 1).flatten(1)

    def of_indices(self, indices: torch.Tensor) -> torch.Tensor:
        n_parts, n_vectors, _ = self.vectors.shape
        n = n_parts * self.places
        require(indices.shape[1] == n, "indices", f"of {counted(n, 'column')}, one for each piece", indices.shape[1])
        strange = indices[(indices < 0) | (indices >= n_vectors)]
        if len(strange):
            known = f"each of {n_vectors} vectors, 0 to {n_vectors - 1}"
            raise RequestError(f"indices must be a codebook's, {known}, got {int(strange[0])}")
        which = indices.view(-1, n_parts, self.places).transpose(0, 1).flatten(1)
        return self._joined(self._looked_up(which))

    def tally(self, z: torch.Tensor) -> torch.Tensor:
        """How many pieces each vector is the nearest to, (n_parts, n_vectors)."""
        which = self._nearest(self._cut(z.to(self.vectors.dtype)))
        counts = torch.zeros(self.counts.shape, dtype=torch.float64, device=which.device)
        return counts.scatter_add_(1, which, torch.ones_like(which, dtype=counts.dtype))

    def figures(self, total: torch.Tensor, n: int) -> dict[str, float]:
        """How many vectors of all codebooks are in use, and as many as the same entropy would be of, used alike."""
        return {"vectors_in_use": float((total > 0).sum()), "perplexity": _perplexity(total)}

    def collapse(self) -> tuple[str, str, str] | None:
        """Codebooks of which hardly any vector is used, by their perplexity."""
        used = _perplexity(self.counts)
        if not bool(self.counts.any()) or used >= max(1.5, _HARDLY * self.part.n_vectors):
            return None
        return (
            f"its codebook is used as if it had {used:.1f} of its {self.part.n_vectors} vectors",
            "what the encoder gives lies near to the same few of them",
            "take fewer vectors, a smaller learning rate or commitment, or a shorter restart",
        )

    def _cut(self, z: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → the pieces that each codebook quantizes, (n_parts, n * places, width)."""
        n_parts, _, width = self.vectors.shape
        return z.reshape(-1, n_parts, width, self.places).permute(1, 0, 3, 2).reshape(n_parts, -1, width)

    def _joined(self, pieces: torch.Tensor) -> torch.Tensor:
        n_parts, _, width = pieces.shape
        return pieces.view(n_parts, -1, self.places, width).permute(1, 0, 3, 2).reshape(-1, self.code_size)

    def _nearest(self, pieces: torch.Tensor) -> torch.Tensor:
        """Which vector is the nearest to each piece, (n_parts, n * places)."""
        with _exact(pieces):
            products = pieces @ self.vectors.transpose(1, 2)
            return (self.vectors.square().sum(dim=2)[:, None] - 2 * products).argmin(dim=2)

    def _looked_up(self, which: torch.Tensor) -> torch.Tensor:
        return torch.gather(self.vectors, 1, which[:, :, None].expand(-1, -1, self.vectors.shape[2]))

    @torch.no_grad()
    def _restart(self, pieces: torch.Tensor, generator: torch.Generator) -> None:
        """Put vectors that were idle for too long at pieces of this batch, as if each had been the nearest to it."""
        drawn = torch.randint(pieces.shape[1], self.idle.shape, generator=generator, device=pieces.device)
        chosen = torch.gather(pieces, 1, drawn[:, :, None].expand(-1, -1, pieces.shape[2]))
        dead = self.idle >= self.part.restart
        for buffer in (self.vectors, self.sums):
            buffer.copy_(torch.where(dead[:, :, None], chosen, buffer))
        self.counts.masked_fill_(dead, 1.0)
        self.idle.masked_fill_(dead, 0)

    @torch.no_grad()
    def _count(self, pieces: torch.Tensor, which: torch.Tensor) -> None:
        vectors = torch.arange(self.part.n_vectors, device=which.device)
        is_nearest = (which[:, :, None] == vectors).to(pieces.dtype)
        n = is_nearest.sum(dim=1)
        with _exact(pieces):
            total = is_nearest.transpose(1, 2) @ pieces
        self.counts.lerp_(n, 1 - self.part.decay)
        self.sums.lerp_(total, 1 - self.part.decay)
        self.idle.add_(1).masked_fill_(n > 0, 0)


def _perplexity(counts: torch.Tensor) -> float:
    """exp of the entropy of how often each vector is used, averaged over codebooks. counts: (n_parts, n_vectors)."""
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return float(torch.special.entr(shares).sum(dim=1).exp().mean())


def _exact(pieces: torch.Tensor) -> contextlib.AbstractContextManager[Any]:
    """Products in the type of the pieces: in bfloat16, vectors that are near each other are the same."""
    if pieces.is_meta:  # which autocast does not know
        return contextlib.nullcontext()
    return torch.autocast(pieces.device.type, enabled=False)
