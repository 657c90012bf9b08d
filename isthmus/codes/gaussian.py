"""The Gaussian code of a variational autoencoder (Kingma and Welling 2014), its bounds, and its prior N(0, I)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from isthmus.networks import Code, Coded, Term
from isthmus.parts import Gaussian
from isthmus.parts.code import SILENT

_MOST_SILENT = 0.9  # of the units: fewer are those that the samples do not need, which costs nothing
_AVERAGED = 50  # steps
_ROUNDING = torch.finfo(torch.float32).eps  # of the data: no variance is less than this, squared
CAUSE = (
    "what its code would say of an image costs more nats than a better reconstruction gains",
    "take a smaller beta, a warmup, free_bits, or a larger weight of the loss, which is a smaller variance",
)


def cause_of(code: Code) -> tuple[str, str]:
    """The likely cause of a code in nats that says nothing, and what to change; learned noise is no choice."""
    return CAUSE if code.noise is None else (CAUSE[0], "take a smaller beta, a warmup or free_bits")


class NoiseVariance(nn.Module):
    """The likeliest variance of the noise of x around x_hat, one number in the data's units squared.

    It is the mean squared error of the last fifty steps or so (Rybkin, Daniilidis, Levine 2021), which no rate of
    learning, and no unit of the data, has a say in.
    """

    variance: torch.Tensor
    n_steps: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))

    @property
    def weight(self) -> torch.Tensor:
        """What a squared error counts, in nats."""
        return 0.5 / self.variance

    @property
    def log_normalizer(self) -> torch.Tensor:
        """As that of a loss whose noise is known."""
        return 0.5 * (2 * math.pi * self.variance).log()

    @torch.no_grad()
    def learn(self, errors: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Take in the squared errors of a step's samples, (n,) or their mean (), each a sum; the weight from now on."""
        return self.take_in(errors.mean() / x.shape[1], x.square().mean())

    @torch.no_grad()
    def take_in(self, error: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """The same, from the mean squared error of a number and from the mean square of the samples' numbers, ()."""
        least = (square * _ROUNDING**2).clamp_(min=torch.finfo(square.dtype).tiny)
        self.n_steps += 1
        self.variance.lerp_(torch.maximum(error, least), 1 / self.n_steps.clamp(max=_AVERAGED))
        return self.weight


class _DoublyReparameterized(torch.autograd.Function):
    """The k codes of each sample, and log q - log prior of each, as they come; in the backward pass, for the encoder,
    the gradient of the bound of their weighted average by Tucker, Lawson, Gu, Maddison 2019.

    The plain one has the score of q in it, whose average is 0 and whose noise grows with k: its signal-to-noise ratio
    falls to 0 (Rainforth et al. 2018). Reparameterized once more, each draw is followed through the code alone, and
    counts by the square of its weight. Its average is the same, and what the decoder is given does not change.
    """

    @staticmethod
    def forward(
        ctx: Any, code: torch.Tensor, excess: torch.Tensor, noise: torch.Tensor, log_variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """code, noise: (n, k, code_size); excess: (n, k); log_variance: (n, 1, code_size). Only code has a gradient."""
        ctx.save_for_backward(code, noise, log_variance)
        return code.view_as(code), excess.view_as(excess)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, at_code: torch.Tensor, at_excess: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        code, noise, log_variance = ctx.saved_tensors
        weight = at_excess / at_excess.sum(dim=1, keepdim=True)  # of the draw in its sample's average
        of_excess = code - noise * (-0.5 * log_variance).exp()  # d(log q - log prior) / d code
        return (at_code + at_excess[:, :, None] * of_excess) * weight[:, :, None], None, None, None


class GaussianCode(Code):
    """q(code | x) = N(mean, exp(log_variance)), each number independent.

    nats: KL(q ‖ prior) of each unit, (code_size,), averaged over the samples of the last fifty steps or so.
    """

    averaged = ("nats", "n_steps")
    nats: torch.Tensor
    n_steps: torch.Tensor

    def __init__(self, part: Gaussian, code_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.part = part
        self.register_buffer("nats", torch.zeros(code_size))
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        self.noise = NoiseVariance() if part.noise == "learned" else None

    def at_inference(self, z: torch.Tensor) -> torch.Tensor:
        """The mean."""
        return z.chunk(2, dim=1)[0]

    def in_training(self, z: torch.Tensor, generator: torch.Generator) -> Coded:
        z = z.to(torch.promote_types(z.dtype, torch.float32))  # a KL in bfloat16 would have two digits
        mean, k = self.at_inference(z), self.part.samples
        noise = torch.randn((len(z), k, mean.shape[1]), generator=generator, device=z.device, dtype=z.dtype)
        seen, excess = self.draw(z, noise)
        nats = self.divergence(z)
        average = nats.mean(dim=0)
        if self.training:
            with torch.no_grad():
                self.n_steps += 1
                self.nats += (average - self.nats) / self.n_steps.clamp(max=_AVERAGED)
        part = self.part
        if k > 1:
            log_variance = z[:, None].chunk(2, dim=2)[1].detach()
            seen, excess = _DoublyReparameterized.apply(seen, excess.detach(), noise, log_variance)
            terms = {"kl": Term(excess, per="draw")}
        elif part.free_bits:
            paid = average.clamp(min=part.free_bits)
            terms = {"kl": Term(nats, 0.0), "paid_kl": Term(paid, part.beta, "batch", part.warmup)}
        else:
            terms = {"kl": Term(nats, part.beta, warmup=part.warmup)}
        return Coded(mean, seen.flatten(0, 1), terms)

    def divergence(self, z: torch.Tensor) -> torch.Tensor:
        mean, log_variance = z.chunk(2, dim=1)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)

    def draw(self, z: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_variance = z[:, None].chunk(2, dim=2)
        code = mean + (0.5 * log_variance).exp() * noise
        return code, 0.5 * (code.square() - noise.square() - log_variance).sum(dim=2)

    def prior(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn((n, len(self.nats)), generator=generator)

    def tally(self, z: torch.Tensor) -> torch.Tensor:
        return self.divergence(z).sum(dim=0, dtype=torch.float64)

    def figures(self, total: torch.Tensor, n: int) -> dict[str, float]:
        """How many units say nothing of these samples, at less than 0.01 nats of each on average."""
        return {"silent_units": float((total / n < SILENT).sum())}

    def collapse(self) -> tuple[str, str, str] | None:
        """Posterior collapse: nearly all units are at the prior, whatever the sample is (Lucas et al. 2019)."""
        n, silent = len(self.nats), int((self.nats < SILENT).sum())
        if not int(self.n_steps) or silent < _MOST_SILENT * n:
            return None
        return f"{silent} of {n} units of its code say nothing of an image (less than {SILENT} nats)", *cause_of(self)
