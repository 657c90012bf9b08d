"""What happens at the bottleneck, between a network's encoder and its decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import one_of, require
from isthmus.parts import checks
from isthmus.parts.networks import ACTIVATIONS
from isthmus.parts.part import Part

Shape = tuple[int, int, int] | None
SILENT = 0.01  # nats below which a unit says nothing of a sample
_WORTH_CHOOSING = 20  # samples: of fewer none is held out
_A_TENTH, _LEAST_HELD_OUT, _MOST_HELD_OUT = 0.1, 8, 500  # of the samples that are held out


@dataclass(frozen=True, repr=False)
class CodePart(Part):
    """A part that describes a code. What it computes is in `codes/`.

    encoded: numbers that the encoder gives for each number of the code, such as a mean and a variance. is_plain:
    whether the code is what the encoder gives, so that what holds of a network holds of the two. code_activation: the
    activation that the encoder must end in, and does where nothing is said of it; None for any. in_nats: whether the
    loss is minus the logarithm of a likelihood, in nats of a whole sample, which the code's own term compares with.
    recipe_steps: times as many as a recipe takes with a plain code. recipe_passes: over the samples, at most.
    recipe_held_out: of n samples, the share that a recipe holds out to choose an epoch by; None for none. n_pieces: of
    equal size, into which its numbers, or its maps, can be cut.
    """

    encoded: ClassVar[int] = 1
    is_plain: ClassVar[bool] = False
    code_activation: ClassVar[str | None] = None
    in_nats: ClassVar[bool] = False
    recipe_steps: ClassVar[int] = 1
    recipe_passes: ClassVar[int] = 200  # over few samples; after more, what is learned is theirs alone
    dry_run: ClassVar[Callable[..., Any]]  # (network, n_features, image_shape) → both as a module; `codes` provides it

    @property
    def n_pieces(self) -> int:
        return 1

    def contradiction(self, code_activation: str | None) -> str | None:
        """Why it cannot be had of an encoder that ends in this activation; None if it can."""
        if self.code_activation in (None, code_activation):
            return None
        return f'code "{self.kind}" needs code_activation="{self.code_activation}", got "{code_activation}"'

    @property
    def network_fields(self) -> dict[str, Any]:
        """What it says of a network that is yet to be chosen, by field."""
        return {}

    def within(self, network: Any) -> Any:
        """The network whose encoder ends in the activation that the code needs, where nothing is said of it."""
        return _ending_in(self.code_activation, network)

    def contradiction_in(self, network: Any) -> str | None:
        """The same of a network; what an encoder ends in of which nothing is known is taken as it comes."""
        return self.contradiction(getattr(network, "code_output", None) or "linear")

    def output(self, network: Any) -> str | None:
        """The activation that its numbers come out of in a network; None where that is not known."""
        activation: str | None = getattr(network, "code_output", None)
        return activation

    def is_of(self, network: Any) -> bool:
        """Whether it does nothing that the network does not: what the encoder gives is the code."""
        return self.is_plain

    def learning_noise(self) -> CodePart:
        """The same with noise that is learned, if it is a code in nats that can be trained so."""
        return self

    def recipe_held_out(self, n: int) -> float | None:
        return None

    def width(self, network: Any, n_features: int, image_shape: Shape) -> int:
        """Numbers in a code."""
        return int(self.dry_run(network, n_features, image_shape).code_size)

    def multiplications(self, network: Any, n_features: int, image_shape: Shape) -> int:
        """Products of a number and a weight in one pass of one sample through a network with this code."""
        return int(self.dry_run(network, n_features, image_shape).multiplications)

    def n_weights(self, network: Any, n_features: int, image_shape: Shape) -> int:
        """Weights, biases and buffers of a network with this code, counted without making them."""
        tensors = self.dry_run(network, n_features, image_shape).state_dict().values()
        return sum(int(tensor.numel()) for tensor in tensors)


def _ending_in(activation: str | None, network: Any) -> Any:
    if activation is not None and getattr(network, "code_activation", activation) is None:
        return dataclasses.replace(network, code_activation=activation)
    return network


@dataclass(frozen=True, repr=False)
class Plain(CodePart):
    """The code is what the encoder gives, in training and at inference; with an activation, that of it.

    activation: the same as the `code_activation` of a network that has one; of any other, as of a `Module`, it is
    applied to what the encoder gives. None for that of the network, or for none.
    """

    kind: ClassVar[str] = "plain"
    is_plain: ClassVar[bool] = True
    activation: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation is not None:
            one_of("activation", self.activation, ACTIVATIONS)

    @property
    def network_fields(self) -> dict[str, Any]:
        return {} if self.activation is None else {"code_activation": self.activation}

    def within(self, network: Any) -> Any:
        return _ending_in(self.activation, network)

    def contradiction_in(self, network: Any) -> str | None:
        known = getattr(network, "code_activation", None)
        if self.activation is None or known in (None, self.activation):
            return None
        return f'code_activation="{known}" and code {self!r} are two activations of one code; say one of them'

    def output(self, network: Any) -> str | None:
        return self.activation or super().output(network)

    def is_of(self, network: Any) -> bool:
        return self.activation is None or getattr(network, "code_activation", None) is not None

    def width(self, network: Any, n_features: int, image_shape: Shape) -> int:
        return int(network.code_width(n_features, image_shape))

    def multiplications(self, network: Any, n_features: int, image_shape: Shape) -> int:
        return int(network.multiplications(n_features, image_shape))

    def n_weights(self, network: Any, n_features: int, image_shape: Shape) -> int:
        return int(network.n_weights(n_features, image_shape))


@dataclass(frozen=True, repr=False)
class Gaussian(CodePart):
    """A mean and a variance for each number of the code (Kingma and Welling 2014: a variational autoencoder).

    In training the decoder sees a sample of N(mean, variance), at inference the mean, which `transform` gives. The loss
    is -log p(x | code) in nats of a sample, summed over its numbers: of "bce" for pixels that are 0 or 1, of "mse" for
    Gaussian noise of variance 1 / (2 * weight) in the data's units. The prior of the code is N(0, I).

    noise: "learned" for noise of the variance that is likeliest, one number for all data that is learned with the
    weights (Rybkin, Daniilidis, Levine 2021); None for that of the loss, but under a recipe of loss "mse" the same. A
    recipe then holds out a tenth of the samples, at most 500, which say whether an epoch was better than the end.

    beta: the weight of KL(code of x ‖ prior); with 1, the objective is minus the evidence lower bound (Higgins et al.
    2017 for others). warmup: epochs over which it grows from 0. free_bits: nats that each unit may have for nothing, on
    average over the batch (Kingma et al. 2016). samples: K > 1 for the bound of as many weighted samples, which is
    nearer to the likelihood (Burda, Grosse, Salakhutdinov 2016); the encoder's gradient is the doubly reparameterized
    one (Tucker, Lawson, Gu, Maddison 2019), whose mean is the bound's and whose noise is less.
    """

    kind: ClassVar[str] = "gaussian"
    encoded: ClassVar[int] = 2
    code_activation: ClassVar[str] = "linear"
    in_nats: ClassVar[bool] = True
    # Each pass draws other codes, and for "bce" other pixels: of 150 digits as of 1,400 the likelihood of others was
    # better after 500 passes than after 200. Of MNIST, all 10,000 test images by 5,000 draws, 500 left 87.45 nats, and
    # 800 leave 87.09; Burda et al. 2016 have 86.76.
    recipe_steps: ClassVar[int] = 224
    recipe_passes: ClassVar[int] = 800
    beta: float = 1.0
    warmup: float = 0.0
    free_bits: float = 0.0
    samples: int = 1
    noise: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta", "warmup", "free_bits"):
            checks.not_negative(name, getattr(self, name))
        checks.count("samples", self.samples)
        require(self.noise in (None, "learned"), "noise", '"learned" or left out', self.noise)
        is_elbo = (self.beta, self.warmup, self.free_bits) == (1, 0, 0)
        rule = "1 with beta, warmup or free_bits, because the bound of several samples has no KL to weigh"
        require(self.samples == 1 or is_elbo, "samples", rule, self.samples)

    def learning_noise(self) -> CodePart:
        return dataclasses.replace(self, noise="learned")

    def recipe_held_out(self, n: int) -> float | None:
        """Noise that is learned has no end: it goes to 0 with the error on samples that are known by heart.

        After 800 passes over 160 faces, 60 to 400 digits or 3,000 of MNIST, minus the log-likelihood of others was 400
        to 300,000 nats, where after the best epoch, about the fortieth, it was -400, -15 to 0 and -312. A fifth held
        out in place of a tenth made it no less.
        """
        if self.noise is None or n < _WORTH_CHOOSING:
            return None
        return min(max(_A_TENTH, _LEAST_HELD_OUT / n), _MOST_HELD_OUT / n)


@dataclass(frozen=True, repr=False)
class Quantized(CodePart):
    """The nearest vectors of a codebook (van den Oord, Vinyals, Kavukcuoglu 2017: a VQ-VAE).

    A code is cut into n_parts pieces of equal size, each with a codebook of n_vectors; of a code that is maps, at each
    place, with the same codebooks. The encoder's gradient is that at the nearest vectors. Vectors are running averages,
    of `decay` per step, of what they are the nearest to; one that was not for `restart` steps is put at the encoding of
    a sample. commitment: the weight of the squared distance of what the encoder gives, averaged over its numbers.
    """

    kind: ClassVar[str] = "quantized"
    code_activation: ClassVar[str] = "linear"
    n_vectors: int
    n_parts: int = 1
    commitment: float = 0.25
    decay: float = 0.99
    restart: int = 100

    @property
    def n_pieces(self) -> int:
        return self.n_parts

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.count("n_vectors", self.n_vectors, 2)
        checks.count("n_parts", self.n_parts)
        checks.not_negative("commitment", self.commitment)
        holds = checks.is_finite(self.decay) and 0 <= self.decay < 1
        require(holds, "decay", "a number from 0 to below 1", self.decay)
        checks.count("restart", self.restart)
