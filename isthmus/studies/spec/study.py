"""A study as it is asked for: what to train, on what, what to measure and to plot. `parser` makes it from TOML."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.errors import RequestError, one_of, require, unknown
from isthmus.parts import (
    Classical,
    CodePart,
    CodeSearch,
    Denoising,
    DictionaryLearning,
    EstimatorPart,
    Identity,
    Plain,
    Projection,
    Training,
)
from isthmus.studies.spec.data_table import Data
from isthmus.studies.spec.figures import SPLITS, Figure
from isthmus.studies.spec.levels import at_levels
from isthmus.studies.spec.quantities import CODE_METRICS, CODE_ONLY, ERROR_METRICS, NLL, PUBLISHED_SSE, REPRESENTATION
from isthmus.studies.spec.reference import Reference
from isthmus.training.recipe import network_of

# What a study says of each estimator but autoencoders, which are composed of parts
ARGUMENTS: dict[str, type[EstimatorPart]] = {
    part.kind: part for part in (Classical, CodeSearch, Denoising, DictionaryLearning, Identity, Projection)
}
ESTIMATORS = ("autoencoder", *ARGUMENTS)
_SEEDS = 2**31  # NumPy's seeds end at 2**32, and those of further trainings are added to the study's
# What takes the place of the arguments that decide how long an estimator takes.
_QUICK: dict[str, dict[str, Any]] = {
    "autoencoder": {"epochs": 1},
    "classical": {"n_images": 1},
    "decoder-prior": {"max_iter": 5, "n_starts": 1},
    "denoiser": {"epochs": 2, "crops_per_epoch": 32, "crop": 32},
    "dictionary-learning": {"n_images": 500, "passes": 1},
}
_DRAWS = 20
# What a figure's rows are called beside its models, and what NumPy calls the file.
RESERVED = (
    "atoms", "code", "file", "input", "labels", "original", "pixels", "positions", "reconstruction", "trained", "usage",
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One model of a study. arguments: its estimator's constructor arguments, with parts as objects.

    pool_test: overrides the study's, so that a model as published and one done right stand side by side.
    seed_offset: for another start than the other models: it is added to the run's seed where this one is trained.
    """

    name: str
    estimator: str
    label: str = ""
    note: str = ""
    of: str | None = None
    pool_test: bool | None = None
    seed_offset: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name):
            rule = "small letters, digits, dots and hyphens, beginning with a letter or digit"
            raise RequestError(f"a model's name must be {rule}, got {self.name!r}")
        require(self.name not in RESERVED, "a model's name", f"none of {', '.join(RESERVED)}", self.name)
        one_of("estimator", self.estimator, ESTIMATORS)
        require(self.seed_offset >= 0, "seed_offset", "at least 0", self.seed_offset)

    @property
    def training(self) -> Training | None:
        """How it is trained, if it is trained by the loop; what a recipe chooses is known when the images are."""
        if self.part is not None:
            return None if self.of else self.part.training
        return Training(**self.training_arguments)

    @property
    def part(self) -> EstimatorPart | None:
        """What is said of an estimator other than an autoencoder."""
        kind = ARGUMENTS.get(self.estimator)
        if kind is None:
            return None
        names = {f.name for f in dataclasses.fields(kind)}
        return kind(**{name: value for name, value in self.arguments.items() if name in names})

    @property
    def has_code(self) -> bool:
        """Whether it has filters, and codes that another model may be of."""
        return self.part is None or self.part.has_code

    @property
    def network(self) -> Any:
        """The network of an autoencoder."""
        parts = {role: self.arguments.get(role) for role in ("penalty", "loss", "corruption", "code")}
        return network_of(self.arguments.get("network"), self.arguments.get("recipe"), **parts)

    @property
    def code(self) -> CodePart:
        """What lies between its encoder and its decoder."""
        return self.arguments.get("code") or Plain()

    @property
    def training_arguments(self) -> dict[str, Any]:
        """The arguments of its training. Numbers in studies are of images as they are, unless it says otherwise."""
        names = {f.name for f in dataclasses.fields(Training)}
        return {"standardize": False, **{k: v for k, v in self.arguments.items() if k in names}}


@dataclass(frozen=True)
class Measure:
    """Which models are measured by which metrics, on which split, under which corruption at which levels.

    images: positions in the split, for published_sse alone, which is not measured on a whole set. n_samples: weighted
    draws for each image, for nll alone, which is of clean images, and of models whose code is a Gaussian.
    """

    models: tuple[str, ...] = ("*",)
    metrics: tuple[str, ...] = ("mse", "psnr")
    split: str = "test"
    corruption: dict[str, Any] | list[Any] | None = None
    levels: tuple[float, ...] = ()
    images: tuple[int, ...] = ()
    n_samples: int | None = None

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        for metric in self.metrics:
            one_of("metric", metric, (*ERROR_METRICS, CODE_ONLY, *CODE_METRICS, NLL, *REPRESENTATION, PUBLISHED_SSE))
        rule = f'at least 1, given with "{NLL}" among the metrics and no corruption, and only then'
        is_whole = self.n_samples is None or (self.n_samples >= 1 and self.corruption is None)
        require(is_whole and (self.n_samples is not None) == (NLL in self.metrics), "n_samples", rule, self.n_samples)
        if of_codes := [metric for metric in self.metrics if metric in REPRESENTATION]:
            rule = f"left out with {of_codes[0]}, which is of clean images"
            require(self.corruption is None, "corruption of a measure", rule, self.corruption)
        rule = f"given with metrics = [{PUBLISHED_SSE!r}], and only then"
        require(bool(self.images) == (self.metrics == (PUBLISHED_SSE,)), "images of a measure", rule, self.images)
        require(not self.images or min(self.images) >= 0, "images", "positions of at least 0", self.images)
        self.corruptions()

    def corruptions(self) -> list[Any]:
        """The corruption at each of its levels, or as it is; [None] for the images as they are."""
        return at_levels(self.corruption, self.levels)


@dataclass(frozen=True)
class Compare:
    """Two models, image by image on the same images: the mean of the differences of their errors, with its interval.

    metric: "mse", or "psnr" in dB.
    """

    models: tuple[str, ...]
    split: str = "test"
    corruption: dict[str, Any] | list[Any] | None = None
    levels: tuple[float, ...] = ()
    section: str = ""
    metric: str = "mse"

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        one_of("metric of a comparison", self.metric, ("mse", "psnr"))
        require(len(set(self.models)) == len(self.models) == 2, "the models of a comparison", "two names", self.models)
        self.corruptions()

    def corruptions(self) -> list[Any]:
        """As `Measure.corruptions`."""
        return at_levels(self.corruption, self.levels)


@dataclass(frozen=True)
class Trap:
    """Something that the published study did wrong, and what is done instead."""

    what: str
    instead: str
    section: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report: models, figures and traps that belong together. models: patterns, for its tables."""

    name: str
    title: str
    text: str = ""
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        good = re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.name)
        require(bool(good), "a section's name", "small letters, digits and hyphens", self.name)


@dataclass(frozen=True)
class Study:
    """A whole study, checked: names are unique, and everything that is referred to exists.

    text: the TOML that it was read from, for processes that are to read it again; "" if it was made in another way.
    """

    name: str
    title: str
    data: Data
    models: tuple[Model, ...]
    question: str = ""
    seed: int = 0
    measures: tuple[Measure, ...] = ()
    figures: tuple[Figure, ...] = ()
    references: tuple[Reference, ...] = ()
    traps: tuple[Trap, ...] = ()
    sections: tuple[Section, ...] = ()
    compares: tuple[Compare, ...] = ()
    text: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        require(0 <= self.seed < _SEEDS, "seed", f"at least 0 and below {_SEEDS:,}", self.seed)
        draws = sorted({measure.n_samples for measure in self.measures if measure.n_samples is not None})
        require(len(draws) <= 1, "n_samples", "the same wherever nll is measured", draws)

    def model(self, name: str) -> Model:
        """The model of this name."""
        return next(model for model in self.models if model.name == name)

    def named(self, globs: Iterable[str]) -> list[str]:
        """The names of the models that match one of the patterns, in the study's order."""
        return [model.name for model in self.models if matches(model, globs)]

    def pools(self, model: Model) -> bool:
        """Whether a model is fitted on train + test."""
        return self.data.pool_test if model.pool_test is None else model.pool_test

    def only(self, globs: Iterable[str]) -> tuple[Model, ...]:
        """The models that match one of the patterns, and those that they depend on. All, for no pattern."""
        globs = tuple(globs)
        if not globs:
            return self.models
        for glob in globs:
            if not any(matches(model, [glob]) for model in self.models):
                raise RequestError(f"{self.name}: {unknown('model', glob, [m.name for m in self.models])}")
        wanted = {model.name for model in self.models if matches(model, globs)}
        for model in reversed(self.models):  # what a model is of comes before it
            if model.name in wanted and model.of:
                wanted.add(model.of)
        return tuple(model for model in self.models if model.name in wanted)

    def quick(self, available: int) -> Study:
        """The same study in one epoch on few of the `available` images, with few draws, to see whether it runs."""
        models = tuple(
            dataclasses.replace(model, arguments={**model.arguments, **_QUICK.get(model.estimator, {})})
            for model in self.models
        )
        measures = tuple(
            measure
            if measure.n_samples is None
            else dataclasses.replace(measure, n_samples=min(measure.n_samples, _DRAWS))
            for measure in self.measures
        )
        return dataclasses.replace(self, data=self.data.quick(available), models=models, measures=measures)

    def within(self, sizes: Mapping[str, int]) -> Study:
        """The same study with other images wherever a split of these sizes has none at a position."""
        few: dict[str, Any] = {
            name: tuple(
                entry
                if getattr(entry, "source", "")
                else dataclasses.replace(entry, images=tuple(i % sizes[entry.split] for i in entry.images))
                for entry in getattr(self, name)
            )
            for name in ("measures", "figures", "references")
        }
        return dataclasses.replace(self, **few)


def matches(model: Model, globs: Iterable[str]) -> bool:
    """Whether a model's name matches one of the patterns."""
    return any(fnmatch.fnmatchcase(model.name, glob) for glob in globs)
