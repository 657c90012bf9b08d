"""What a network is made of: its layers, how many weights and multiplications they have, and what a recipe gives it.

The recipe's constants were found with MNIST's training and validation images, on networks of two to seven layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from isthmus.errors import one_of, require
from isthmus.kinds import imported_function, path_of
from isthmus.parts import checks
from isthmus.parts.part import Part

ACTIVATIONS = ("gelu", "leakyrelu", "linear", "relu", "sigmoid", "silu", "tanh")
# (g(z) - g(-z)) / z, of the activations for which that is a constant: two units with opposite weights are a linear one
PAIRS = {"gelu": 1.0, "leakyrelu": 1.01, "linear": 2.0, "relu": 1.0, "silu": 1.0}
MAX_EXACT = 1500  # numbers in a sample up to which all components of a PCA are found exactly
FEW = 2000  # samples up to which PCA knows more of them than a network learns from a start as drawn
_RATE = 0.01  # the peak of a cycle of Adam for two layers
_WIDE = 784  # numbers in a sample, up to which that rate is right
_SLOWEST = 0.25  # of the rate, for few samples


@dataclass(frozen=True, repr=False)
class NetworkPart(Part):
    """A part that describes a network. It says its `kind` and its `output`, the activation at the end.

    What it does not know of the network is found by a dry run of the module that is built for it.
    """

    recipe_steps: ClassVar[int] = 1  # times as many as a dense network takes
    by_function: ClassVar[bool] = False  # whether a function of one's own builds it, which no file keeps
    dry_run: ClassVar[Callable[..., Any]]  # (n_features, image_shape) → the module; `networks` provides it, with torch

    @property
    def function(self) -> Any:
        """The function of one's own that builds it; None where there is none."""
        return None

    @property
    def code_output(self) -> str | None:
        """The activation that the encoder ends in; None where nothing is known of it."""
        return getattr(self, "code_activation", None) or getattr(self, "activation", None)

    @property
    def depth(self) -> int:
        """The layers that a step changes one after the other; a recipe's learning rate falls with them."""
        return 4

    @property
    def adds_atoms(self) -> bool:
        """Whether its decoder is one linear layer, whose rows are atoms."""
        return False

    def recipe_rate(self, shape: tuple[int, int], penalty: Part | None, corruption: Part | None) -> float:
        """The peak of a cycle of Adam for two layers on samples of this shape, (n, n_features).

        A step of Adam moves all weights alike, and those of samples that are wider are smaller.
        """
        return _RATE * min(1.0, math.sqrt(_WIDE / shape[1]))

    def recipe_start(self, penalty: Any) -> str:
        """The start, "data" or "random", from which a recipe trains it; the data's knows nothing of most networks."""
        return "random"

    def n_components(self, *, corrupted: bool) -> int:
        """How many components it can start with at PCA's solution; 0 where it cannot."""
        return 0

    def beginning_at_pca(self, *, widened: bool) -> NetworkPart | None:
        """The network that is most like this one of those whose training begins at PCA's solution, if there is one.

        widened: it may have wider hidden layers.
        """
        return None

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Numbers in a code."""
        return int(self.dry_run(n_features, image_shape).code_size)

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Products of a number and a weight in one pass of one sample."""
        return int(self.dry_run(n_features, image_shape).multiplications)

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Weights, biases and buffers, counted without making them."""
        tensors = self.dry_run(n_features, image_shape).state_dict().values()
        return sum(int(tensor.numel()) for tensor in tensors)


@dataclass(frozen=True, repr=False)
class Dense(NetworkPart):
    """Fully connected encoder and decoder: features → hidden → bottleneck → decoder_hidden → features.

    `decoder_hidden=None` mirrors `hidden`; `code_activation=None` means the same as `activation`.
    """

    kind: ClassVar[str] = "dense"
    hidden: tuple[int, ...] = ()
    bottleneck: int = 32
    decoder_hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    code_activation: str | None = None
    output: str = "linear"

    def widths(self, n_features: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The widths of the encoder, features first, and of the decoder, features last."""
        back = self.hidden[::-1] if self.decoder_hidden is None else self.decoder_hidden
        return (n_features, *self.hidden, self.bottleneck), (self.bottleneck, *back, n_features)

    @property
    def code_output(self) -> str:
        return self.code_activation or self.activation

    @property
    def depth(self) -> int:
        return sum(map(len, self.widths(1))) - 2

    @property
    def adds_atoms(self) -> bool:
        return len(self.widths(1)[1]) == 2

    def recipe_rate(self, shape: tuple[int, int], penalty: Part | None, corruption: Part | None) -> float:
        """As of any network, and lower for a denoiser of few samples, which come often.

        It learns them by heart before a high rate has fallen: of 160 faces, digits or MNIST it had 5 to 12 % less error
        at a quarter of it. For few wide ones the lower of the two rates was best, not their product.
        """
        few = max(_SLOWEST, math.sqrt(shape[0] / FEW)) if penalty is None and corruption is not None else 1.0
        return min(super().recipe_rate(shape, penalty, corruption), _RATE * few)

    def recipe_start(self, penalty: Any) -> str:
        """From weights as drawn, half of the units of a deep ReLU code die, and with L1 up to all.

        Not of a wide code, which has units to spare: there L1 would have to undo what the data's start spreads over
        all.
        """
        narrow = self.bottleneck < min(self.hidden, default=0)
        return "data" if narrow or penalty is None or not penalty.turns_off else "random"

    def n_components(self, *, corrupted: bool) -> int:
        """As many as the code has numbers.

        A rectified code has them far from its kinks, where it does not learn to use these: so under a corruption only,
        where what is learned begins elsewhere and is held against PCA.
        """
        k = self.bottleneck if self.code_output == "linear" or (corrupted and self.code_output in PAIRS) else 0
        down, up = self.widths(1)
        inner = (*down[1:-1], *up[1:-1])
        fits = not inner or (self.activation in PAIRS and min(inner) >= 2 * k)
        return k if fits and self.output == "linear" else 0

    def beginning_at_pca(self, *, widened: bool) -> Dense | None:
        linear, back = replace(self, code_activation="linear", output="linear"), self.decoder_hidden
        if widened:
            wider = [tuple(max(width, 2 * self.bottleneck) for width in ws or ()) for ws in (self.hidden, back)]
            linear = replace(linear, hidden=wider[0], decoder_hidden=None if back is None else wider[1])
        return linear if linear.n_components(corrupted=False) else None

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        return self.bottleneck

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        return sum(a * b for chain in self.widths(n_features) for a, b in pairwise(chain))

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        return sum((a + 1) * b for chain in self.widths(n_features) for a, b in pairwise(chain))

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths(self, "hidden")
        if self.decoder_hidden is not None:
            checks.widths(self, "decoder_hidden")
        checks.count("bottleneck", self.bottleneck)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("output activation", self.output, ACTIVATIONS)
        if self.code_activation is not None:
            one_of("code activation", self.code_activation, ACTIVATIONS)


@dataclass(frozen=True, repr=False)
class Dictionary(NetworkPart):
    """An explicit dictionary: a dense encoder, features → hidden → n_atoms, and x_hat = code @ atoms, without bias.

    unit_norm: every atom is kept at Euclidean length 1, by a projection after each step. Without it atoms can trade
    length for a smaller code, and so evade a penalty. code_activation: "linear" codes have signs and no exact zeros.
    """

    kind: ClassVar[str] = "dictionary"
    output: ClassVar[str] = "linear"
    hidden: tuple[int, ...] = ()
    n_atoms: int = 256
    activation: str = "relu"
    code_activation: str = "relu"
    unit_norm: bool = True

    @property
    def adds_atoms(self) -> bool:
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths(self, "hidden")
        checks.count("n_atoms", self.n_atoms)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("code activation", self.code_activation, ACTIVATIONS)
        checks.flag("unit_norm", self.unit_norm)

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        return self.n_atoms

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        return sum(a * b for a, b in pairwise((n_features, *self.hidden, self.n_atoms, n_features)))

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        encoder = sum((a + 1) * b for a, b in pairwise((n_features, *self.hidden, self.n_atoms)))
        return encoder + self.n_atoms * n_features


@dataclass(frozen=True, repr=False, eq=False)
class Module(NetworkPart):
    """An encoder and a decoder of one's own: `build(shape, **params)` returns the two, any torch modules.

    shape: (channels, height, width) of images, or (n_features,). The encoder takes (n, *shape) and gives (n, ...), all
    numbers of the code; the decoder takes these, and gives (n, *shape) or (n, n_features). For a code that needs more,
    such as `Gaussian`, the encoder gives so many times as much along its first dimension after n. Weights
    are drawn by torch's own starts, from the model's seed. params: numbers, text, truths, and lists and tables of them;
    a grid search reaches into them as `network__params__NAME`, and a `functools.partial`'s keywords are of them.
    output: "linear" for what the decoder gives, or "sigmoid" for the sigmoid of it.

    A saved model has the name of `build` and no code: `isthmus.load(folder, build=build)`.
    """

    kind: ClassVar[str] = "module"
    by_function: ClassVar[bool] = True
    build: Any
    params: dict[str, Any] = field(default_factory=dict)
    output: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "a function that returns an encoder and a decoder"
        require(callable(self.build) or (isinstance(self.build, str) and ":" in self.build), "build", rule, self.build)
        require(isinstance(self.params, dict), "params", "a table of what build is called with", self.params)
        if isinstance(self.build, partial) and not self.build.args:  # whose keywords no file would have
            object.__setattr__(self, "params", {**self.build.keywords, **self.params})
            object.__setattr__(self, "build", self.build.func)
        object.__setattr__(self, "params", {str(k): checks.plain(f"params[{k!r}]", v) for k, v in self.params.items()})
        one_of("output", self.output, ("linear", "sigmoid"))

    @property
    def name(self) -> str:
        """The name of `build`, "package.module:function"."""
        return self.build if isinstance(self.build, str) else path_of(self.build)

    @property
    def function(self) -> Any:
        """`build` itself. Raises RequestError for a name, unless imports are allowed."""
        return imported_function(self.build) if isinstance(self.build, str) else self.build

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = any(isinstance(part.build, str) for part in (self, other))
        same = self.name == other.name if names else self.build == other.build
        return same and (self.params, self.output) == (other.params, other.output)

    def __hash__(self) -> int:
        return hash((self.name, self.output))

    def __repr__(self) -> str:
        shown = [getattr(self.build, "__qualname__", repr(self.build))]
        shown += [f"{f}={getattr(self, f)!r}" for f in ("params",) if self.params]
        shown += [f"output={self.output!r}"] if self.output != "linear" else []
        return f"Module({', '.join(shown)})"

    def table(self) -> dict[str, Any]:
        return {**super().table(), "build": self.name}
