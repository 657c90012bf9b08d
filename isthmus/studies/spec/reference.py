"""A published number, and what may be measured beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from isthmus.errors import RequestError, one_of, require
from isthmus.studies.spec.figures import SPLITS
from isthmus.studies.spec.levels import at_levels
from isthmus.studies.spec.quantities import (
    CODE_METRICS,
    CODE_ONLY,
    COUNTS,
    ERROR_METRICS,
    NLL,
    PER_IMAGE,
    PUBLISHED_SSE,
    REPRESENTATION,
    TRAINING_METRICS,
)

_OF_IMAGES = (*ERROR_METRICS, CODE_ONLY, *CODE_METRICS, *REPRESENTATION, NLL, PUBLISHED_SSE)
_METRICS = (*_OF_IMAGES, *COUNTS, *TRAINING_METRICS)
LEAST_SEEDS = 10  # fewer tell little of how far one more falls from their mean


@dataclass(frozen=True)
class Reference:
    """A published number, or a list of them.

    metric "loss": the training loss of the last epoch; a list's, at `epochs`, or at all. "step_loss": of the last step.
    images: positions in the split, for a number that was published for a few images; a list has one for each.
    corruption: what they were measured under, complete; or with `levels`, one for each of the images.
    over_seeds: what the seeds from the study's on measured, one after the other, as `benchmarks.references` writes it;
    where it is given, it decides what agrees, and not the tolerance: see `verdict`.
    by: whose number it is, where that is another method: then no tolerance is given, for nothing has to agree, and the
    difference says how the model stands to it.
    """

    id: str
    model: str
    metric: str
    value: float | tuple[float, ...]
    split: str = "test"
    rtol: float | None = None
    atol: float | None = None
    epochs: tuple[int, ...] = ()
    images: tuple[int, ...] = ()
    corruption: dict[str, Any] | list[Any] | None = None
    levels: tuple[float, ...] = ()
    over_seeds: tuple[float, ...] = ()
    note: str = ""
    by: str = ""

    def __post_init__(self) -> None:
        one_of("metric", self.metric, _METRICS)
        one_of("split", self.split, SPLITS)
        if sum((self.rtol is not None, self.atol is not None, bool(self.by))) != 1:
            raise RequestError("one of rtol and atol must be given, or by for another method's number")
        tolerance = 0.0 if self.by else self.atol if self.rtol is None else self.rtol
        require(tolerance is not None and 0 <= tolerance < math.inf, "a tolerance", "at least 0", tolerance)
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        require(len(values) > 0 and all(map(math.isfinite, values)), "value", "finite numbers", self.value)
        require(all(epoch >= 1 for epoch in self.epochs), "epochs", "at least 1", self.epochs)
        if self.images:
            one_of("metric of single images", self.metric, PER_IMAGE)
            require(min(self.images) >= 0, "images", "positions of at least 0", self.images)
        require(self.metric != PUBLISHED_SSE or bool(self.images), "images", f"given for {PUBLISHED_SSE}", self.images)
        if isinstance(self.value, tuple):
            listed = self.metric == "loss" or bool(self.images)
            require(listed, "value", "a number; lists are of loss, or of images", self.value)
            for name, places in (("epochs", self.epochs), ("images", self.images)):
                require(len(places) in (0, len(self.value)), name, "as many as values", places)
        else:
            require(not self.epochs, "epochs", "left out for one number, which is the last epoch's", self.epochs)
        if self.levels:
            rule = "as many as images, and a corruption"
            require(self.corruption is not None and len(self.levels) == len(self.images), "levels", rule, self.levels)
        if self.over_seeds:
            enough = len(self.over_seeds) >= LEAST_SEEDS and all(map(math.isfinite, self.over_seeds))
            require(enough, "over_seeds", f"finite numbers of at least {LEAST_SEEDS} seeds", self.over_seeds)
            require(not isinstance(self.value, tuple), "over_seeds", "left out for a list of values", self.over_seeds)
        self.parts()

    def parts(self) -> list[Any]:
        """The corruption, or None, as one; with levels, one for each image."""
        return at_levels(self.corruption, self.levels)

    def part(self) -> Any:
        """The corruption, or None; None too where each image has a level of its own."""
        return None if self.levels else self.parts()[0]
