"""Every value object: what a network, a corruption, a penalty, a loss and a training are made of.

A part is a frozen dataclass: fields, their checks and a repr that is the code which builds it. What a part
*computes* is elsewhere (`networks/`, `corruption.py`, `objective.py`, `training/`), so this module imports neither
torch nor scikit-learn and a study can be checked in milliseconds. A table of a study's TOML is one of these objects.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from isthmus.errors import RequestError, one_of, require

ACTIVATIONS = ("gelu", "leakyrelu", "linear", "relu", "sigmoid", "silu", "tanh")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "one-cycle")
PRECISIONS = ("auto", "bfloat16", "float32")
DECODERS = ("deconv", "deconv-unpool", "unpool")
DEVICES = ("auto", "cpu", "cuda", "mps")
PER = ("batch", "element", "sample")
RECIPES = ("fast",)
STARTS = ("data", "random")


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


def _image_shape(part: Any) -> None:
    """Check a shape of images, and keep it as a tuple."""
    value = part.image_shape
    require(isinstance(value, list | tuple) and len(value) == 3, "image_shape", "(channels, height, width)", value)
    shape = tuple(_python(length) for length in value)
    for length in shape:
        _count("each number in image_shape", length)
    object.__setattr__(part, "image_shape", shape)


def _flag(name: str, value: Any) -> None:
    require(isinstance(value, bool), name, "true or false", value)


def _positive(name: str, value: Any) -> None:
    require(_is_number(value) and 0 < value < math.inf, name, "a positive number", value)


def _not_negative(name: str, value: Any) -> None:
    require(_is_number(value) and 0 <= value < math.inf, name, "at least 0", value)


def _share(name: str, value: Any) -> None:
    require(_is_number(value) and 0 <= value <= 1, name, "a number from 0 to 1", value)


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

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Numbers in a code."""
        return self.bottleneck

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Products of a number and a weight in one pass of one sample."""
        return sum(a * b for chain in self.widths(n_features) for a, b in pairwise(chain))

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Weights and biases, counted without making them."""
        return sum((a + 1) * b for chain in self.widths(n_features) for a, b in pairwise(chain))

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


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of a `Conv`, of known size. sizes are (height, width).

    unpool: the size to which its input is unpooled first, by the switches of that pooling, if it is. pool: the size
    after 2×2 max-pooling, if it has one. transposed: a transposed convolution. kernel None: no convolution at all.
    """

    n_in: int
    n_out: int
    size_in: tuple[int, int]
    size_out: tuple[int, int]
    kernel: tuple[int, int] | None
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    transposed: bool = False
    pool: tuple[int, int] | None = None
    unpool: tuple[int, int] | None = None


@dataclass(frozen=True, repr=False)
class Conv(Part):
    """Convolutions and 2×2 max-pooling down to a small map, whose numbers are the code; and back to the image.

    channels: of each layer, a convolution of kernel×kernel with `padding`, pooling, activation. Any image size will
    do: what pooling leaves over at an edge is made again by the decoder. But for ReLU, the activation follows the
    pooling, which for the monotone ones is the same as the other way round, and cheaper.
    decoder: "deconv": a transposed convolution of stride 2 for each layer. "unpool": max-unpooling, by the places in
    which the encoder's maxima were (the switches), and a convolution each, but no convolution after the first
    unpooling if the map has the right shape already. "deconv-unpool": max-unpooling and a transposed convolution each.
    The unpooling decoders see the switches beside the code, so they are counted in its size.
    image_shape: (channels, height, width), for samples that come as (n, n_features); else the samples have it.
    """

    kind: ClassVar[str] = "conv"
    channels: tuple[int, ...] = (8, 16, 16)
    kernel: int = 3
    padding: int = 1
    decoder: str = "deconv"
    activation: str = "relu"
    code_activation: str | None = None
    output: str = "linear"
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _widths(self, "channels")
        require(len(self.channels) > 0, "channels", "a list of at least one width", list(self.channels))
        _count("kernel", self.kernel)
        _count("padding", self.padding, 0)
        require(self.padding < self.kernel, "padding", f"less than kernel = {self.kernel}", self.padding)
        one_of("decoder", self.decoder, DECODERS)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("output activation", self.output, ACTIVATIONS)
        if self.code_activation is not None:
            one_of("code activation", self.code_activation, ACTIVATIONS)
        if self.image_shape is not None:
            _image_shape(self)

    def shape(self, image_shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
        """The shape of the images: the samples' own, or that of the part. Raises RequestError if neither is known."""
        shape = image_shape or self.image_shape
        if shape is None:
            raise RequestError(
                "a convolutional network needs images: give (n, channels, height, width), or Conv(image_shape=...)"
            )
        return shape

    def encoder_layers(self, image_shape: tuple[int, int, int]) -> list[ConvLayer]:
        """The encoder for images of this shape. Raises RequestError if it is deeper than the image allows."""
        n_in, *size = image_shape
        layers, side = [], (size[0], size[1])
        for number, n_out in enumerate(self.channels, 1):
            h, w = (length + 2 * self.padding - self.kernel + 1 for length in side)
            if min(h, w) < 2:
                raise RequestError(
                    f"a convolutional network of {len(self.channels)} layers is deeper than images of "
                    f"{image_shape[1]}×{image_shape[2]} allow: layer {number} gets {side[0]}×{side[1]}, too little "
                    f"for a {self.kernel}×{self.kernel} convolution and pooling; use fewer channels, or more padding"
                )
            kernel, padding = (self.kernel, self.kernel), (self.padding, self.padding)
            layers.append(ConvLayer(n_in, n_out, side, (h, w), kernel, padding=padding, pool=(h // 2, w // 2)))
            n_in, side = n_out, (h // 2, w // 2)
        return layers

    def decoder_layers(self, image_shape: tuple[int, int, int]) -> list[ConvLayer]:
        """The decoder for images of this shape, which undoes the encoder layer by layer, the deepest first."""
        layers = []
        for down in reversed(self.encoder_layers(image_shape)):
            assert down.pool is not None
            there, back = (down.n_out, down.n_in), down.size_in
            if self.decoder == "deconv":
                # twice the size, and the pixels more that pooling left over and an unpadded convolution took
                more = [whole - 2 * half for whole, half in zip(back, down.pool, strict=True)]
                pads = [max(0, 1 - m) for m in more]
                sides = [m + 2 + 2 * pad for m, pad in zip(more, pads, strict=True)]
                kernel, padding = (sides[0], sides[1]), (pads[0], pads[1])
                layers.append(ConvLayer(*there, down.pool, back, kernel, 2, padding, transposed=True))
                continue
            transposed = self.decoder == "deconv-unpool"
            pad = self.padding if transposed else self.kernel - 1 - self.padding
            first = len(self.channels) > 1 and not layers
            none = not transposed and first and there[0] == there[1] and down.size_out == back
            layers.append(
                ConvLayer(
                    *there,
                    down.size_out,
                    back,
                    None if none else (self.kernel, self.kernel),
                    padding=(pad, pad),
                    transposed=transposed,
                    unpool=down.size_out,
                )
            )
        return layers

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Numbers in a code, without the switches."""
        last = self.encoder_layers(self.shape(image_shape))[-1]
        assert last.pool is not None
        return last.n_out * math.prod(last.pool)

    def n_switches(self, image_shape: tuple[int, int, int]) -> int:
        """The places of maxima that the decoder sees beside the code."""
        if self.decoder == "deconv":
            return 0
        return sum(layer.n_out * math.prod(layer.pool or ()) for layer in self.encoder_layers(image_shape))

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Products of a number and a weight in one pass of one image. Raises RequestError for another shape."""
        shape, total = self.shape(image_shape), 0
        require(math.prod(shape) == n_features, "image_shape", f"of {n_features} numbers, as the samples are", shape)
        for layer in (*self.encoder_layers(shape), *self.decoder_layers(shape)):
            at = layer.size_in if layer.transposed else layer.size_out
            total += layer.n_in * layer.n_out * math.prod(layer.kernel or (0,)) * math.prod(at)
        return total

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Weights and biases, counted without making them."""
        shape = self.shape(image_shape)
        layers = (*self.encoder_layers(shape), *self.decoder_layers(shape))
        return sum((one.n_in * math.prod(one.kernel) + 1) * one.n_out for one in layers if one.kernel is not None)


@dataclass(frozen=True, repr=False)
class Dictionary(Part):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        _widths(self, "hidden")
        _count("n_atoms", self.n_atoms)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("code activation", self.code_activation, ACTIVATIONS)
        _flag("unit_norm", self.unit_norm)

    def code_width(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Numbers in a code."""
        return self.n_atoms

    def multiplications(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Products of a number and a weight in one pass of one sample."""
        return sum(a * b for a, b in pairwise((n_features, *self.hidden, self.n_atoms, n_features)))

    def n_weights(self, n_features: int, image_shape: tuple[int, int, int] | None) -> int:
        """Weights, biases and the atoms' numbers, counted without making them."""
        encoder = sum((a + 1) * b for a, b in pairwise((n_features, *self.hidden, self.n_atoms)))
        return encoder + self.n_atoms * n_features


class Corruption(Part):
    """A part that says how x becomes x_noisy.

    level: the name of its one field that a study varies. clean_level: where it changes nothing; None if nowhere.
    """

    level: ClassVar[str]
    clean_level: ClassVar[float | None] = 0.0

    @property
    def label(self) -> str:
        """The name in results: kind, level as %g prints it, then what differs from its default: `masking(0.2)`."""
        others = [f for f in dataclasses.fields(self) if f.name != self.level]  # type: ignore[arg-type]
        said = [f",{f.name}={_word(getattr(self, f.name))}" for f in others if getattr(self, f.name) != f.default]
        return f"{self.kind}({getattr(self, self.level):g}{''.join(said)})"


def _word(value: Any) -> str:
    """A parameter as a label says it: a number as %g prints it, a shape as 3x32x32."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"


@dataclass(frozen=True, repr=False)
class GaussianNoise(Corruption):
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
class SaltAndPepper(Corruption):
    """Each number becomes 0 or 1, equally often, with probability `fraction`."""

    kind: ClassVar[str] = "salt-and-pepper"
    level: ClassVar[str] = "fraction"
    fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("fraction", self.fraction)


@dataclass(frozen=True, repr=False)
class Masking(Corruption):
    """Each pixel, in all its channels, becomes 0 with probability `fraction` (Vincent et al. 2008).

    Of samples that are no images, each number is a pixel.
    """

    kind: ClassVar[str] = "masking"
    level: ClassVar[str] = "fraction"
    fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("fraction", self.fraction)


@dataclass(frozen=True, repr=False)
class Occlusion(Corruption):
    """A square of size × size pixels becomes `value` in all channels: anywhere within the image, for each sample anew.

    size: a whole number of pixels, kept as an int. image_shape: (channels, height, width), for samples that come as
    (n, n_features); else the samples have it.
    """

    kind: ClassVar[str] = "occlusion"
    level: ClassVar[str] = "size"
    size: float
    value: float = 0.0
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.size, float) and self.size.is_integer():  # a study's levels are floats
            object.__setattr__(self, "size", int(self.size))
        _count("size", self.size)
        require(_is_number(self.value) and math.isfinite(self.value), "value", "a number", self.value)
        if self.image_shape is not None:
            _image_shape(self)


@dataclass(frozen=True, repr=False)
class Poisson(Corruption):
    """Shot noise, x_noisy ~ Poisson(x · peak) / peak: its mean is x, its variance x / peak. Needs x of at least 0.

    peak: how many events, photons or electrons, a pixel of 1 counts on average; few make much noise.
    """

    kind: ClassVar[str] = "poisson"
    level: ClassVar[str] = "peak"
    clean_level: ClassVar[float | None] = None
    peak: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("peak", self.peak)


@dataclass(frozen=True, repr=False)
class Sequence(Part):
    """One corruption after the other.

    It has no level of its own: a study's levels go into the one part that leaves its own level out.
    """

    kind: ClassVar[str] = "sequence"
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        several = isinstance(self.parts, list | tuple) and len(self.parts) > 0
        require(several, "parts", "a list of at least one corruption", self.parts)
        for part in self.parts:
            require(isinstance(part, Corruption), "each of parts", "a corruption other than a sequence", part)
        object.__setattr__(self, "parts", tuple(self.parts))
        below_zero = False  # whether what has gone before may have left numbers below zero
        for part in self.parts:
            if isinstance(part, Poisson) and below_zero:
                raise RequestError(f"Poisson noise needs numbers of at least 0: put it first, or clip, in {self!r}")
            if isinstance(part, GaussianNoise):
                below_zero = not part.clip
            below_zero = below_zero or (isinstance(part, Occlusion) and part.value < 0)

    @property
    def label(self) -> str:
        """The labels of its parts: `gaussian(0.3)+masking(0.2)`."""
        return "+".join(part.label for part in self.parts if isinstance(part, Corruption))

    def table(self) -> dict[str, Any]:
        return {"kind": self.kind, "parts": [part.table() for part in self.parts]}


@dataclass(frozen=True, repr=False)
class L1(Part):
    """weight * |code|, which drives units to zero (Tibshirani 1996).

    per: "sample" sums over units and averages over samples; "element" averages over units too; "batch" sums over
    everything, so its strength grows with the batch size: what some notebooks do, and why their codes collapse.
    warmup: epochs over which the weight grows, step by step, from 0 to what it is.
    """

    kind: ClassVar[str] = "l1"
    weight: float
    per: str = "sample"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative("weight", self.weight)
        one_of('value of "per"', self.per, PER)
        _not_negative("warmup", self.warmup)


@dataclass(frozen=True, repr=False)
class KL(Part):
    """weight * KL(Bernoulli(target) ‖ Bernoulli(ρ_j)), ρ_j the mean of unit j's code over the batch.

    Drives each unit to be on in a share `target` of the samples (Lee, Ekanadham, Ng 2007; Ng 2011). Needs codes in
    (0, 1), a sigmoid's. per: "sample" sums over units, "element" averages over them. warmup: as `L1`'s.
    """

    kind: ClassVar[str] = "kl"
    weight: float
    target: float = 0.05
    per: str = "sample"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative("weight", self.weight)
        require(_is_number(self.target) and 0 < self.target < 1, "target", "above 0 and below 1", self.target)
        require(self.per != "batch", "per", '"sample" or "element", for ρ is of the whole batch already', self.per)
        one_of('value of "per"', self.per, ("element", "sample"))
        _not_negative("warmup", self.warmup)


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
    """What a study says of a principal component analysis, which is scikit-learn's own.

    n_components: a number, or "best": as many as draw validation images best, under the model's corruption.
    center: whether the mean is taken away before images are projected, and added again after. False is what some
    notebooks do: components of centred images, onto which images are projected that are not.
    """

    kind: ClassVar[str] = "pca"
    n_components: int | str
    whiten: bool = False
    center: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_components != "best":
            require(not isinstance(self.n_components, str), "n_components", 'a number or "best"', self.n_components)
            _count("n_components", self.n_components)
        _flag("whiten", self.whiten)
        _flag("center", self.center)


@dataclass(frozen=True, repr=False)
class DictionaryLearning(Part):
    """What a study says of scikit-learn's `MiniBatchDictionaryLearning` (Mairal, Bach, Ponce, Sapiro 2009).

    n_nonzero: atoms with which an image is drawn, found by orthogonal matching pursuit. alpha: its L1 penalty when it
    learns. n_images: the first so many training images, for it is slow; passes: over these.
    """

    kind: ClassVar[str] = "dictionary-learning"
    n_atoms: int = 256
    n_nonzero: int = 20
    alpha: float = 0.1
    batch_size: int = 256
    n_images: int = 10_000
    passes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_atoms", "n_nonzero", "batch_size", "n_images", "passes"):
            _count(name, getattr(self, name))
        require(self.n_nonzero <= self.n_atoms, "n_nonzero", f"at most n_atoms = {self.n_atoms}", self.n_nonzero)
        _positive("alpha", self.alpha)


@dataclass(frozen=True, repr=False)
class CodeSearch(Part):
    """What a study says of a `DecoderPrior`, whose decoder is that of the model it is of."""

    kind: ClassVar[str] = "decoder-prior"
    solver: str = "gauss-newton"
    start: str = "encoder"
    n_starts: int = 1
    lower: float | str | None = "auto"
    max_iter: int = 50
    tol: float = 1e-4
    learning_rate: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("solver", self.solver, ("adam", "gauss-newton", "gradient-descent"))
        one_of("start", self.start, ("encoder", "random"))
        _count("n_starts", self.n_starts)
        _count("max_iter", self.max_iter)
        _positive("tol", self.tol)
        _positive("learning_rate", self.learning_rate)
        _flag("clip", self.clip)
        bound = _is_number(self.lower) or self.lower in ("auto", "none")
        require(bound, "lower", 'a number, "auto" or "none"', self.lower)


@dataclass(frozen=True, repr=False)
class Training(Part):
    """How the one loop runs: the arguments that `Autoencoder` passes on to it, checked in one place.

    shuffle: True draws a new order each epoch, "once" one order for all epochs, False keeps the order of the data.
    patience: stop after so many epochs without a better validation loss, and keep the best weights.
    start: "random" weights as they were drawn, or scaled to the first "data", see `training.start`.
    recipe: what chooses the arguments that are not given, see `training.recipe`; None for the defaults here.
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
    start: str = "random"
    recipe: str | None = None

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
        one_of("start", self.start, STARTS)
        if self.recipe is not None:
            one_of("recipe", self.recipe, RECIPES)


NETWORKS: dict[str, type[Part]] = {part.kind: part for part in (Conv, Dense, Dictionary)}
CORRUPTIONS: dict[str, type[Part]] = {
    part.kind: part for part in (GaussianNoise, SaltAndPepper, Masking, Occlusion, Poisson, Sequence)
}
PENALTIES: dict[str, type[Part]] = {part.kind: part for part in (L1, KL)}
LOSSES: dict[str, type[Part]] = {part.kind: part for part in (MSE, BCE)}

# The arguments of an `Autoencoder` that take a part, with the closed set of parts that each takes.
ROLES: dict[str, dict[str, type[Part]]] = {
    "network": NETWORKS,
    "corruption": CORRUPTIONS,
    "penalty": PENALTIES,
    "loss": LOSSES,
}


def from_table(kinds: Mapping[str, type[Part]], table: Mapping[str, Any]) -> Any:
    """The part that `Part.table` wrote down, one of `kinds`. Raises KeyError, TypeError or ValueError for other tables.

    >>> from_table(PENALTIES, L1(0.1).table())
    L1(weight=0.1)
    """
    fields = dict(table)
    kind = kinds[fields.pop("kind")]
    if kind is Sequence:
        fields["parts"] = [from_table(kinds, one) for one in fields["parts"]]
    return kind(**fields)


# --- what no part can know alone ---


def contradiction(network: Any, penalty: Any, loss: Any) -> str | None:
    """The sentence that says why these cannot be trained together; None if they can."""
    output, code = getattr(network, "output", None), _code_activation(network)
    if isinstance(loss, BCE) and output != "sigmoid":
        return f'loss "bce" needs output="sigmoid", got output="{output}" in {network!r}'
    if isinstance(penalty, KL) and code != "sigmoid":
        return f'penalty "kl" needs codes between 0 and 1, code_activation="sigmoid", got "{code}" in {network!r}'
    return None


def doubt(network: Any, penalty: Any) -> str | None:
    """The sentence that says why these may not do what is hoped for; None if nothing speaks against them."""
    code = _code_activation(network)
    if isinstance(penalty, L1) and penalty.weight > 0 and code != "relu":
        return (
            f'L1 makes this code small but never exactly zero, for its activation is "{code}"; '
            'with code_activation="relu" units can be off'
        )
    return None


def _code_activation(network: Any) -> str | None:
    return getattr(network, "code_activation", None) or getattr(network, "activation", None)
