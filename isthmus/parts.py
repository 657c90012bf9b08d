"""Every value object: what a network, a corruption, a penalty, a loss and a training are made of.

A part is a frozen dataclass: fields, their checks and a repr that is the code which builds it. What a part
*computes* is elsewhere (`networks/`, `corruption.py`, `objective.py`, `training/`), so this module imports neither
torch nor scikit-learn and a study can be checked in milliseconds. A table of a study's TOML is one of these objects.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import one_of, require

ACTIVATIONS = ("gelu", "leakyrelu", "linear", "relu", "sigmoid", "silu", "tanh")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "one-cycle")
PRECISIONS = ("auto", "bfloat16", "float32")
DEVICES = ("auto", "cpu", "cuda", "mps")
PER = ("batch", "element", "sample")


class Part:
    """A frozen value: equal by its fields, shown as the code that builds it, shared instead of copied."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        # a grid's numbers are often NumPy's; as Python's they pass the checks, and repr and tables stay plain
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, _python(getattr(self, f.name)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Part:
        return self  # frozen, so sharing is safe, and scikit-learn's clone keeps the identical object

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        shown = [f"{f.name}={getattr(self, f.name)!r}" for f in fields if getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def table(self) -> dict[str, Any]:
        """The part as a study's TOML or a model's config.json writes it; `from_table` reads it back."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        values = {f.name: getattr(self, f.name) for f in fields}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}
        return {"kind": self.kind, **plain}


def _python(value: Any) -> Any:
    """NumPy's scalars as Python's, without importing NumPy; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(name: str, value: Any, least: int = 1) -> None:
    holds = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(holds, name, f"an integer of at least {least}", value)


def _widths(part: Part, name: str) -> None:
    """Check a list of layer widths, and keep it as a tuple: parts are hashable and never change."""
    value = getattr(part, name)
    require(isinstance(value, list | tuple), name, "a list of layer widths", value)
    widths = tuple(_python(width) for width in value)
    for width in widths:
        _count(f"each width in {name}", width)
    object.__setattr__(part, name, widths)


def _flag(name: str, value: Any) -> None:
    require(isinstance(value, bool), name, "true or false", value)


def _positive(name: str, value: Any) -> None:
    require(_is_number(value) and 0 < value < math.inf, name, "a positive number", value)


def _not_negative(name: str, value: Any) -> None:
    require(_is_number(value) and 0 <= value < math.inf, name, "at least 0", value)


@dataclass(frozen=True, repr=False)
class Dense(Part):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        _widths(self, "hidden")
        if self.decoder_hidden is not None:
            _widths(self, "decoder_hidden")
        _count("bottleneck", self.bottleneck)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("output activation", self.output, ACTIVATIONS)
        if self.code_activation is not None:
            one_of("code activation", self.code_activation, ACTIVATIONS)


@dataclass(frozen=True, repr=False)
class GaussianNoise(Part):
    """x + sigma * e, e ~ N(0, I); clipped to [0, 1] if `clip`.

    sigma: standard deviation, in the units of x; if `relative`, in units of ‖x‖/√features, image by image.
    """

    kind: ClassVar[str] = "gaussian"
    level: ClassVar[str] = "sigma"
    sigma: float
    clip: bool = False
    relative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative("sigma", self.sigma)
        _flag("clip", self.clip)
        _flag("relative", self.relative)

    @property
    def label(self) -> str:
        """The name in results: `gaussian(0.3)` is clipped, `gaussian(0.5,relative=true)` not; what differs is said."""
        clip = "" if self.clip is not self.relative else f",clip={str(self.clip).lower()}"
        return f"gaussian({self.sigma:g}{clip}{',relative=true' if self.relative else ''})"


@dataclass(frozen=True, repr=False)
class L1(Part):
    """weight * |code|, which drives units to zero (Tibshirani 1996).

    per: "sample" sums over units and averages over samples; "element" averages over units too; "batch" sums over
    everything, so its strength grows with the batch size: what some notebooks do, and why their codes collapse.
    """

    kind: ClassVar[str] = "l1"
    weight: float
    per: str = "sample"

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative("weight", self.weight)
        one_of('value of "per"', self.per, PER)


@dataclass(frozen=True, repr=False)
class MSE(Part):
    """weight * squared error, averaged over features and samples."""

    kind: ClassVar[str] = "mse"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("weight", self.weight)


@dataclass(frozen=True, repr=False)
class BCE(Part):
    """weight * binary cross-entropy, averaged over features and samples. Needs a sigmoid output and x in [0, 1]."""

    kind: ClassVar[str] = "bce"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("weight", self.weight)


@dataclass(frozen=True, repr=False)
class Projection(Part):
    """What a study says of a principal component analysis, which is scikit-learn's own."""

    kind: ClassVar[str] = "pca"
    n_components: int
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _count("n_components", self.n_components)
        _flag("whiten", self.whiten)


@dataclass(frozen=True, repr=False)
class Training(Part):
    """How the one loop runs: the arguments that `Autoencoder` passes on to it, checked in one place.

    shuffle: True draws a new order each epoch, "once" one order for all epochs, False keeps the order of the data.
    patience: stop after so many epochs without a better validation loss, and keep the best weights.
    """

    kind: ClassVar[str] = "training"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    epochs: int = 20
    batch_size: int = 128
    shuffle: bool | str = True
    validation_fraction: float | None = None
    patience: int | None = None
    precision: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        _positive("learning_rate", self.learning_rate)
        one_of("schedule", self.schedule, SCHEDULES)
        _count("epochs", self.epochs)
        _count("batch_size", self.batch_size)
        require(
            isinstance(self.shuffle, bool) or self.shuffle == "once", "shuffle", 'true, false or "once"', self.shuffle
        )
        if self.validation_fraction is not None:
            fraction = self.validation_fraction
            require(_is_number(fraction) and 0 < fraction < 1, "validation_fraction", "between 0 and 1", fraction)
        if self.patience is not None:
            _count("patience", self.patience)
        one_of("precision", self.precision, PRECISIONS)
        one_of("device", self.device, DEVICES)


NETWORKS: dict[str, type[Part]] = {part.kind: part for part in (Dense,)}
CORRUPTIONS: dict[str, type[Part]] = {part.kind: part for part in (GaussianNoise,)}
PENALTIES: dict[str, type[Part]] = {part.kind: part for part in (L1,)}
LOSSES: dict[str, type[Part]] = {part.kind: part for part in (MSE, BCE)}

# The arguments of an `Autoencoder` that take a part, with the closed set of parts that each takes.
ROLES: dict[str, dict[str, type[Part]]] = {
    "network": NETWORKS,
    "corruption": CORRUPTIONS,
    "penalty": PENALTIES,
    "loss": LOSSES,
}
