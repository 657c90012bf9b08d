"""What a study says of an estimator that is no autoencoder: its arguments, checked before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isthmus.errors import one_of, require
from isthmus.parts import checks
from isthmus.parts.corruptions import GaussianNoise
from isthmus.parts.image_networks import ImageNetworkPart, Residual
from isthmus.parts.part import Corruption, Part
from isthmus.parts.training import Training


class EstimatorPart(Part):
    """What a study says of an estimator that is no autoencoder, and what is known of it before it is fitted.

    learns: whether anything is fitted. any_size: whether it takes photographs of any sizes, and has no code. searches:
    whether it searches for codes with the decoder of the model that it is of; then it has the code and the weights of
    that one. seconds_to_fit, seconds_to_code: roughly, for an image, of
    what is not counted in operations.
    """

    learns: ClassVar[bool] = True
    any_size: ClassVar[bool] = False
    searches: ClassVar[bool] = False
    seconds_to_fit: ClassVar[float] = 0.0

    @property
    def training(self) -> Training | None:
        """How it is trained, as far as the study says, if it is trained by the loop all the same."""
        return None

    @property
    def of_crops(self) -> tuple[ImageNetworkPart, int] | None:
        """The network of images of any size that is trained, and the side of the crops that it is trained on."""
        return None

    @property
    def seconds_to_code(self) -> float:
        return 0.0

    @property
    def has_code(self) -> bool:
        """Whether it makes a code of its own at once."""
        return self.learns and not (self.searches or self.any_size)

    def n_fitted(self, n: int) -> int:
        """Of n images, how many it is fitted to."""
        return n

    def n_per_epoch(self, n: int) -> int:
        """Of n samples, how many an epoch has."""
        return n

    def code_width(self, n_features: int) -> int:
        """Numbers in a code."""
        return n_features

    def n_weights(self, n_features: int) -> int:
        """Numbers that are learned."""
        return (self.code_width(n_features) + 1) * n_features if self.learns else 0

    def check(self, n: int, n_features: int, *, validated: bool) -> None:
        """Raise RequestError unless it can be fitted to (n, n_features) samples. validated: with validation images."""


@dataclass(frozen=True, repr=False)
class Identity(EstimatorPart):
    """What a study says of the identity: nothing."""

    kind: ClassVar[str] = "identity"
    learns: ClassVar[bool] = False


@dataclass(frozen=True, repr=False)
class Projection(EstimatorPart):
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
            checks.count("n_components", self.n_components)
        checks.flag("whiten", self.whiten)
        checks.flag("center", self.center)

    def code_width(self, n_features: int) -> int:
        return n_features if isinstance(self.n_components, str) else self.n_components

    def check(self, n: int, n_features: int, *, validated: bool) -> None:
        best, limit = isinstance(self.n_components, str), min(n, n_features)
        samples = f"at most {limit} ({n:,} samples of {n_features} numbers)"
        require(best or self.code_width(n_features) <= limit, "n_components", samples, self.n_components)
        rule = 'more than 0 in [data] for n_components = "best"'
        require(validated or not best, "validation", rule, 0)


@dataclass(frozen=True, repr=False)
class DictionaryLearning(EstimatorPart):
    """What a study says of scikit-learn's `MiniBatchDictionaryLearning` (Mairal, Bach, Ponce, Sapiro 2009).

    n_nonzero: atoms with which an image is drawn, found by orthogonal matching pursuit. alpha: its L1 penalty when it
    learns. n_images: the first so many training images, for it is slow; passes: over these.
    """

    kind: ClassVar[str] = "dictionary-learning"
    seconds_to_fit: ClassVar[float] = 0.003
    n_atoms: int = 256
    n_nonzero: int = 20
    alpha: float = 0.1
    batch_size: int = 256
    n_images: int = 10_000
    passes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_atoms", "n_nonzero", "batch_size", "n_images", "passes"):
            checks.count(name, getattr(self, name))
        require(self.n_nonzero <= self.n_atoms, "n_nonzero", f"at most n_atoms = {self.n_atoms}", self.n_nonzero)
        checks.positive("alpha", self.alpha)

    @property
    def seconds_to_code(self) -> float:
        return 0.001  # by matching pursuit

    def n_fitted(self, n: int) -> int:
        return min(n, self.n_images)

    def code_width(self, n_features: int) -> int:
        return self.n_atoms


@dataclass(frozen=True, repr=False)
class CodeSearch(EstimatorPart):
    """What a study says of a `DecoderPrior`, whose decoder is that of the model it is of."""

    kind: ClassVar[str] = "decoder-prior"
    searches: ClassVar[bool] = True
    solver: str = "gauss-newton"
    start: str = "encoder"
    n_starts: int = 1
    lower: float | str = "auto"
    max_iter: int = 50
    tol: float = 1e-4
    learning_rate: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("solver", self.solver, ("adam", "gauss-newton", "gradient-descent"))
        one_of("start", self.start, ("encoder", "random"))
        checks.count("n_starts", self.n_starts)
        checks.count("max_iter", self.max_iter)
        checks.positive("tol", self.tol)
        checks.positive("learning_rate", self.learning_rate)
        checks.flag("clip", self.clip)
        bound = checks.is_finite(self.lower) or self.lower in ("auto", "none")
        require(bound, "lower", 'a number, "auto" or "none"', self.lower)

    @property
    def seconds_to_code(self) -> float:
        return 0.005 if self.solver == "gauss-newton" else 0.04


@dataclass(frozen=True, repr=False)
class Denoising(EstimatorPart):
    """What a study says of a `Denoiser` of photographs; for None there are its defaults, or what a recipe chooses.

    A model that is of another one has the weights of that. blind: it is never told the level of the noise.
    self_ensemble: it takes the mean of the eight flips and turns of an image.
    """

    kind: ClassVar[str] = "denoiser"
    any_size: ClassVar[bool] = True
    network: ImageNetworkPart = Residual()  # noqa: RUF009  # frozen
    noise: Corruption = GaussianNoise((0.0, 0.2))  # noqa: RUF009
    target: str = "clean"
    blind: bool = False
    self_ensemble: bool = False
    crop: int = 64
    crops_per_epoch: int = 8192
    optimizer: str | None = None
    learning_rate: float | None = None
    schedule: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    patience: int | None = None
    precision: str | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("target", self.target, ("clean", "noisy"))
        checks.flag("blind", self.blind)
        checks.flag("self_ensemble", self.self_ensemble)
        checks.count("crop", self.crop, 8)
        checks.count("crops_per_epoch", self.crops_per_epoch)
        require(self.noise.for_denoiser() == self.noise, "noise", "Gaussian and not clipped, or Poisson", self.noise)
        _ = self.training

    @property
    def training(self) -> Training:
        names = ("optimizer", "learning_rate", "schedule", "epochs", "batch_size", "patience", "precision", "recipe")
        return Training(**{name: value for name in names if (value := getattr(self, name)) is not None})

    @property
    def of_crops(self) -> tuple[ImageNetworkPart, int]:
        return self.network, self.crop

    def n_per_epoch(self, n: int) -> int:
        return self.crops_per_epoch


@dataclass(frozen=True, repr=False)
class Classical(EstimatorPart):
    """What a study says of a method that takes noise out of photographs and learns nothing but how strongly.

    n_images: the photographs that its strength is chosen on, the first so many of those to train on.
    """

    kind: ClassVar[str] = "classical"
    any_size: ClassVar[bool] = True
    seconds_to_fit: ClassVar[float] = 1.0
    method: str
    n_images: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("method", self.method, CLASSICAL)
        checks.count("n_images", self.n_images)

    @property
    def seconds_to_code(self) -> float:
        return 0.5 if self.method == "non-local-means" else 0.05

    def n_fitted(self, n: int) -> int:
        return min(n, self.n_images)


CLASSICAL = ("nothing", "gaussian-blur", "wavelets", "total-variation", "non-local-means")
