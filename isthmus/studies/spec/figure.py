"""A picture as a study asks for it: what to draw, of which models and images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from isthmus.errors import one_of, require
from isthmus.parts import GaussianNoise
from isthmus.studies.spec.levels import at_levels

SPLITS = ("train", "validation", "test", "all")
DATA = ("digits", "fashion-mnist", "kmnist", "mnist")  # what `data.sources` knows, which costs numpy to import
FIGURES = (
    "activations", "atoms", "curves", "denoising", "filters", "images", "interpolation", "latent-noise", "levels",
    "nearest", "reconstructions", "scatter", "top-atoms", "usage",
)  # fmt: skip
ONE_MODEL = ("atoms", "latent-noise", "scatter", "top-atoms")  # kinds that show one model
LEVELLED = ("denoising", "latent-noise", "levels")  # kinds that need levels
ERRORS = ("mse", "psnr")
AXES = ("level", "square", "noise")


@dataclass(frozen=True)
class Figure:
    """A picture. Which keys matter depends on its kind.

    images: positions in the split, or in the test images of `source`. source: "noise" for images of uniform noise, or
    another data set. n: how many images of the scatter, atoms, steps of the interpolation. first_epoch, per: of the
    curves, by "epoch" or "step". side, channel, units: which filters. corruption, levels: as a measure's; the levels of
    latent-noise are standard deviations on the code; if `relative`, in units of its own spread. metric: of levels.
    axis: of levels, the "level", its "square", or the "noise" that there really is, which is the error of the model
    identity. theory: of levels, also the line of a search: what is left at level 0, and k/n of the noise.
    """

    kind: str
    name: str
    models: tuple[str, ...] = ()
    section: str = ""
    split: str = "test"
    images: tuple[int, ...] = tuple(range(10))
    source: str = ""
    n: int | None = None
    first_epoch: int = 1
    per: str = "epoch"
    side: str = "encoder"
    channel: int = 0
    units: tuple[int, ...] = ()
    corruption: dict[str, Any] | list[Any] | None = None
    levels: tuple[float, ...] = ()
    relative: bool = False
    metric: str = "mse"
    axis: str = "level"
    theory: bool = False
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        one_of("figure kind", self.kind, FIGURES)
        one_of("split", self.split, SPLITS)
        good = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name)
        require(bool(good), "a figure's name", "small letters, digits, dots and hyphens", self.name)
        require(len(self.images) > 0 and min(self.images) >= 0, "images", "positions of at least 0", self.images)
        require(not self.units or min(self.units) >= 0, "units", "positions of at least 0", self.units)
        require(self.channel >= 0, "channel", "at least 0", self.channel)
        for name, value in (("n", self.n), ("first_epoch", self.first_epoch)):
            require(value is None or value >= 1, name, "at least 1", value)
        one_of('value of "per"', self.per, ("epoch", "step"))
        one_of("side", self.side, ("encoder", "decoder"))
        one_of("metric of a figure", self.metric, ERRORS)
        one_of("axis", self.axis, AXES)
        if self.source:
            one_of("source", self.source, ("noise", *DATA))
        require(self.kind == "images" or len(self.models) > 0, "models", "a list of at least one model", self.models)
        if self.kind in ONE_MODEL:
            require(len(self.models) == 1, f"the models of a {self.kind} figure", "one model", self.models)
        if self.kind == "interpolation":
            require(len(self.images) == 2, "the images of an interpolation", "two", self.images)
        self._check_levels()

    def _check_levels(self) -> None:
        for level in self.levels:
            require(level >= 0, "levels", "numbers of at least 0", self.levels)
        if self.kind == "latent-noise":
            require(len(self.levels) > 0, "the levels of a latent-noise figure", "at least one number", self.levels)
            require(self.corruption is None, "the corruption of a latent-noise figure", "left out", self.corruption)
            return
        if self.kind in ("denoising", "levels", "top-atoms"):
            require(self.corruption is not None, f"the corruption of a {self.kind} figure", "a table", None)
        if self.kind == "levels":
            require(len(self.levels) > 1, "the levels of a levels figure", "at least two", self.levels)
        if self.kind == "denoising":
            require(not self.source, "the source of a denoising figure", "left out", self.source)
        parts = self.corruptions()
        if self.theory:
            known = self.kind == "levels" and all(isinstance(one, GaussianNoise) and not one.clip for one in parts)
            require(known, "theory", "of a levels figure under Gaussian noise that is not clipped", self.corruption)

    def corruptions(self) -> list[Any]:
        """The corruption at each of its levels, or as it is; [None] for the images as they are."""
        return [None] if self.kind == "latent-noise" else at_levels(self.corruption, self.levels)


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
