"""Kinds of figures: what a study may say of each, and the arrays that it is plotted from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isthmus import kinds
from isthmus.studies.spec.figures.code_rows import Activations, Scatter, Usage
from isthmus.studies.spec.figures.figure import DATA, SPLITS, Figure
from isthmus.studies.spec.figures.graphs import Curves, Levels
from isthmus.studies.spec.figures.picture_rows import (
    Denoising,
    Interpolation,
    LatentNoise,
    Nearest,
    PhotographCrops,
    Pictures,
    Reconstructions,
)
from isthmus.studies.spec.figures.prior_rows import Nats, Samples, Traversals
from isthmus.studies.spec.figures.weight_rows import Atoms, Filters, TopAtoms

_CLASSES = (Activations, Atoms, Curves, Denoising, Pictures, Filters, Interpolation, LatentNoise, Levels, Nats, Nearest,
        PhotographCrops, Reconstructions, Samples, Scatter, TopAtoms, Traversals, Usage)  # fmt: skip
FIGURES: dict[str, type[Figure]] = kinds.KINDS["figure"]
FIGURES |= {kind.kind: kind for kind in _CLASSES}
OWN = frozenset(FIGURES)  # without those from outside the package


def register(kind: type[Figure], plot: Callable[[Any, Any], Any]) -> None:
    """Let figures of one's own stand in studies and reports.

    kind: a subclass of `Figure` with a word of its own as `kind`, and `arrays`. plot: (facts, arrays) → a matplotlib
    figure, from what results.json lists of it and the arrays. Raises RequestError for a kind that there is.
    """
    kinds.register("figure", kind, plot)


__all__ = ["DATA", "FIGURES", "OWN", "SPLITS", "Figure", "register"]
