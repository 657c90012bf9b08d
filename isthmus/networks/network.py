"""The contract of a network: a torch module with `encode` and `decode`, and a default for all else."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from isthmus.networks.counting import count_decoder_weights, count_multiplications
from isthmus.networks.outputs import Coded, Gradients, Output, detached, gradients_at
from isthmus.networks.standardization import Standardization
from isthmus.parts import Plain

Shape = tuple[int, int, int] | None  # (channels, height, width) of samples that are images
_LEAST = 1e-7  # from 0 and 1, where the default looks for what went into a sigmoid


class Code(nn.Module):
    """What lies between encoder and decoder. This one is plain: the code is what the encoder gives. Others differ.

    Buffers and parameters are saved and resumed, the latter trained as well. noise: what learns the variance of a
    squared error in nats; None where the loss has it. averaged: buffers that a step moves linearly in the average of
    its batch: of one in shards they are averaged, and a code that moves any other is refused.
    """

    averaged: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self.noise: Any = None

    def at_inference(self, z: torch.Tensor) -> torch.Tensor:
        """(n, encoded * code_size) → the code, (n, code_size), which `transform` gives and the decoder sees."""
        return z

    def in_training(self, z: torch.Tensor, generator: torch.Generator) -> Coded:
        """The same in a step, whose generator it may draw from; as at inference unless said otherwise.

        State is changed in place. A penalty acts on the code, whatever the decoder sees.
        """
        code = self.at_inference(z)
        return Coded(code, code)

    def place(self, shape: Shape) -> None:
        """Take the shape of a code that is maps, or None, before anything else."""

    def nearest(self, code: torch.Tensor) -> torch.Tensor:
        """The nearest code that there is to any numbers, (n, code_size)."""
        return code

    def indices(self, z: torch.Tensor) -> torch.Tensor:
        """Which vectors of its codebooks a code is made of, (n, n_indices) integers. z: as of `at_inference`."""
        raise NotImplementedError

    def of_indices(self, indices: torch.Tensor) -> torch.Tensor:
        """The code, (n, code_size), of such integers. Raises RequestError for those that no codebook has."""
        raise NotImplementedError

    def prior(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n codes, (n, code_size), drawn as if there were no sample; from a CPU generator."""
        raise NotImplementedError

    def draw(self, z: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """k codes of each sample, (n, k, code_size), and log q(code | x) - log prior(code) of each, (n, k).

        z: as of `at_inference`. noise: standard normal numbers of the codes' shape. A `log_likelihood` needs it, beside
        a `prior`.
        """
        raise NotImplementedError

    def divergence(self, z: torch.Tensor) -> torch.Tensor | None:
        """KL(code of a sample ‖ prior) of each unit in nats, (n, code_size); None where there is no such prior."""

    def tally(self, z: torch.Tensor) -> torch.Tensor | None:
        """What some samples add to the sum of which `figures` tells, of any shape; None for no figures.

        z: as of `at_inference`.
        """

    def figures(self, total: torch.Tensor, n: int) -> dict[str, float]:
        """How n samples use it, by the name of each number. total: the sum of what `tally` gave, float64 on the CPU.

        `isthmus evaluate`, studies and reports have them beside dead_units.
        """
        return {}

    def after_step(self) -> None:
        """Change what has to change when the weights have."""

    def collapse(self) -> tuple[str, str, str] | None:
        """What of it has collapsed, by its state, the likely cause, and what to change; None if nothing has."""
        return None

    def forward(self, z: torch.Tensor, generator: torch.Generator | None = None) -> Coded:
        """In training with the step's generator, at inference without one."""
        if generator is not None:
            return self.in_training(z, generator)
        code = self.at_inference(z)
        return Coded(code, code)


class TrainingPass(Protocol):
    """What the training loop calls in each step: a network itself, or the accelerator of its type."""

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, Any]:
        """As `Trainable.record`."""

    def backward(self, tapes: Any, at: Gradients) -> None:
        """As `Trainable.backward`."""


class Trainable(nn.Module):
    """A module that the training loop trains: its `forward` gives an `Output`, and autograd the rest.

    It may have buffers and frozen parameters: they are saved and resumed like weights, and no step moves them. What is
    frozen when a training begins is frozen for all of it. Where the written-out passes in `networks.accelerators` have
    one for its type, it takes the place of `record` and `backward`.
    """

    def after_step(self) -> None:
        """Change what has to change after each step, such as weights that must stay where they may be."""

    def finish_step(self) -> None:
        """What the loop calls after each step."""
        self.after_step()

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, Any]:
        """The output of a step, and what `backward` needs. All of it is in x's dtype, which is that of the weights.

        Products are in `dtype`, except, where an accelerator can help it, for those of the last layer: a loss sees no
        more digits than x_hat has. With `logits`, x_hat is what goes into the sigmoid output, and so is what `backward`
        is given the gradient of.
        """
        with torch.enable_grad():
            with torch.autocast(x.device.type, dtype, enabled=dtype != x.dtype):
                x_hat, code, terms = self(x, logits=logits, generator=generator)
            terms = {name: term._replace(values=term.values.to(x.dtype)) for name, term in terms.items()}
            tapes = Output(x_hat.to(x.dtype), code.to(x.dtype), terms)
        return Output(tapes.x_hat.detach(), tapes.code.detach(), detached(terms)), tapes

    def backward(self, tapes: Any, at: Gradients) -> None:
        """Write the gradient of every weight, from those at what came out."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        pairs = [(tapes.x_hat, at.x_hat), (tapes.code, at.code)]
        gradients = gradients_at(pairs, tapes.terms, at, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient.contiguous()


class Network(Trainable, abc.ABC):
    """encode (n, n_features) → (n, code_size), decode back; between them a `code`, which has the last word on both.

    part, code_part: those that it was built from. n_switches: numbers that the decoder sees beside the code. shape:
    (channels, height, width) for a network of images alone; code_shape: the same of a code that is maps.
    standardization: what is done to samples at the two ends; each network applies it by `inward` and `outward`, so that
    the caller has samples in the data's units alone. None for nothing.
    """

    part: Any
    code_part: Any = Plain()
    n_features: int
    code_size: int
    ends: torch.Tensor  # of a standardization: offset, scale, out_offset, out_scale of each number
    n_switches: int = 0
    shape: tuple[int, int, int] | None = None
    code_shape: tuple[int, int, int] | None = None
    standardization: Standardization | None = None
    _maps_out = False  # whether what the last layer gives is in other units than the data

    def __init__(self) -> None:
        super().__init__()
        self.code = Code()

    def standardize(self, standardization: Standardization | None) -> None:
        """Apply this at both ends from now on. Raises ValueError for other samples than the network's."""
        self.standardization = standardization
        self._maps_out = standardization is not None and not standardization.leaves_output
        if standardization is not None:
            # not among the weights: a model's configuration has it, by channel
            numbers = standardization.of_features(self.n_features).to(next(self.parameters()).device)
            self.register_buffer("ends", numbers, persistent=False)

    def inward(self, x: torch.Tensor) -> torch.Tensor:
        """Samples (n, n_features) as the first layer sees them."""
        return x if self.standardization is None else (x - self.ends[0]).div_(self.ends[1])

    def outward(self, y: torch.Tensor) -> torch.Tensor:
        """What the last layer gives, (n, n_features), in the data's units."""
        return torch.addcmul(self.ends[2], y, self.ends[3]) if self._maps_out else y

    def target(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer has to give for x: the inverse of `outward`."""
        return (x - self.ends[2]).div_(self.ends[3]) if self._maps_out else x

    def gradient_inward(self, grad_x_hat: torch.Tensor) -> torch.Tensor:
        """The gradient at x_hat as that at what the last layer gives."""
        return grad_x_hat * self.ends[3] if self._maps_out else grad_x_hat

    @abc.abstractmethod
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, code_size), or what its code makes one of."""

    @abc.abstractmethod
    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → (n, n_features): reads the code alone."""

    @cached_property
    def multiplications(self) -> int:
        """Products of a number and a weight in one pass of one sample."""
        return count_multiplications(self, self.n_features)

    @cached_property
    def n_decoder_weights(self) -> int:
        """Numbers in the weights of which `decode` makes use."""
        return count_decoder_weights(self)

    def layers(self, side: str) -> list[tuple[Any, str]]:
        """The layers of the "encoder" or "decoder" that have a weight and a bias, each with the activation after it.

        Only of a network that is nothing but such layers, one after the other; [] for any other.
        """
        return []

    def rows(self, side: str) -> torch.Tensor | None:
        """Weights that have the samples' shape, (n_units, n_features), in the data's units.

        Of the encoder: what each unit of its first layer looks for. Of the decoder: what each unit before its last
        layer adds to x_hat. None where there are none.
        """
        return None

    def kernels(self, side: str) -> dict[str, torch.Tensor]:
        """Weights of convolutions, by the name of their layer; {} where there are none."""
        return {}

    def maps(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The images, (n, c, h, w), that each layer of the encoder makes of samples, for a code that is maps."""
        return {}

    def is_one_layer(self, side: str) -> bool:
        """Whether that side is one layer, whose `rows` belong to the units of the code."""
        return False

    def _in_units(self, rows: torch.Tensor, side: str) -> torch.Tensor:
        if self.standardization is None:
            return rows
        return rows / self.ends[1] if side == "encoder" else rows * self.ends[3]

    def encode_both(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """What `encode` gives, and what the decoder sees beside the code."""
        return self.encode(x), None

    def decode_both(self, code: torch.Tensor, beside: Any, *, logits: bool = False) -> torch.Tensor:
        """x_hat from both. logits: of a sigmoid output, what goes into the sigmoid instead.

        By default that is had from x_hat, which has few digits left near 0 and 1.
        """
        x_hat = self.decode(code)
        return x_hat.logit(_LEAST) if logits else x_hat

    def code_of(self, x: torch.Tensor) -> torch.Tensor:
        """Samples (n, n_features) → their codes at inference, (n, code_size)."""
        return self.code.at_inference(self.encode(x))

    def forward(self, x: torch.Tensor, *, logits: bool = False, generator: torch.Generator | None = None) -> Output:
        """x → x_hat, code, and terms. logits: see `decode_both`. generator: the step's; None for inference."""
        z, beside = self.encode_both(x)
        code, seen, terms = self.code(z, generator)
        return Output(self.decode_both(seen, beside, logits=logits), code, terms)

    def finish_step(self) -> None:
        super().finish_step()
        self.code.after_step()
