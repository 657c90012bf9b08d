"""The images of a fit in three parts: to train on, to choose the best epoch by, and to measure the errors on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isthmus.data.images import Images
from isthmus.data.splits import SEVERAL, by_regions, is_cut, split
from isthmus.errors import RequestError, counted

# Epochs are compared on the same images, so that few tell which is best; a mean error is known to some 10 % from twenty
# images and to 1 % from two thousand, and more than these are better trained on.
_SHARE, _MOST = 0.1, 2000
_MEASURED = 10  # images to measure on, where that is not more than a fifth of all

_PURPOSES = ("to train on", "to choose the best epoch by", "to measure the errors on")


@dataclass(frozen=True)
class Parts:
    """train: fitted on. validation: they choose the best epoch, and a PCA's numbers. test: they choose nothing.

    test is None where there are too few images, or none were asked for: then errors are measured on `validation`, and
    are called selected on. said: the sentence with the sizes. regions: each photograph is in all parts.
    """

    train: Images
    validation: Images
    test: Images | None
    said: str
    regions: bool = False

    @property
    def measured(self) -> Images:
        """The images that errors are measured on."""
        return self.validation if self.test is None else self.test

    def head(self, photographs: str | None = None) -> str:
        """What a table of errors is of. photographs: which of them they are measured on, if not on these images."""
        said = photographs or counted(len(np.unique(self.measured.photographs)), "image")
        if self.test is None:
            return f"on {said}, selected on"
        return f"on {said}, held out" if photographs else f"on {said.replace(' ', ' held-out ')}"


def hold_out(images: Images, seed: int, validation: float | None = None, test: float | None = None) -> Parts:
    """Split the images, no pixel in two parts. validation, test: the shares of two of them; None for the default.

    With validation alone, or a test of 0, there are two parts. Raises RequestError for too few images, and as `split`.
    """
    n = len(np.unique(images.photographs))
    if len(images) == 1:
        raise RequestError(
            f"{images.source}: one image is too few to train on and hold out; give more, or cut it with --patches HxW, "
            "like --patches 16x16"
        )
    if len(images) == 2 and not is_cut(images):  # no share leaves two of them
        raise RequestError(
            f"{images.source}: two images are too few to train on and hold one out; give more, or cut them with "
            "--patches HxW, like --patches 16x16"
        )
    regions = by_regions(images)
    shares = _shares(n, validation, test, regions)
    try:
        found = split(images, shares, seed)
    except RequestError:
        if test or len(shares) == 1:
            raise
        found = split(images, shares[:1], seed)
    parts = [images.take(which) for which in found]
    return Parts(parts[0], parts[1], parts[2] if len(parts) == 3 else None, _said(images, parts, regions), regions)


def _shares(n: int, validation: float | None, test: float | None, regions: bool) -> tuple[float, ...]:
    """The shares of n images to hold out: to choose by, and, where they are enough or it was asked for, to measure."""
    few = n < SEVERAL and not regions
    n_chosen_by = min(_MOST, max(1, round(n * _SHARE)))
    first = validation or (_SHARE if few or regions else n_chosen_by / n)
    if test is not None:
        return (first, test) if test else (first,)
    if validation is not None or few:
        return (first,)
    return (first, _SHARE if regions else min(_MOST, max(n_chosen_by, min(_MEASURED, n // 5))) / n)


def _said(images: Images, parts: Sequence[Images], regions: bool) -> str:
    cut = is_cut(images)
    words = [counted(len(parts[0]), "patch", "patches") if cut else counted(len(parts[0]), "image")]
    words += [f"{len(part):,}" for part in parts[1:]]
    if cut and not regions:
        numbers = [len(np.unique(part.photographs)) for part in parts]
        of = [counted(numbers[0], "image"), *(f"{n:,}" for n in numbers[1:])]
        words = [f"{word} of {n}" for word, n in zip(words, of, strict=True)]
    purposes = [*_PURPOSES]
    if len(parts) == 2:
        purposes[1] += " and to measure the errors on, which are then selected on"
    said = ", ".join(f"{word} {purpose}" for word, purpose in zip(words, purposes, strict=False))
    if regions:
        left = len(images) - sum(map(len, parts))
        touching = f"; {left:,} that touch two of them are left out" if left else ""
        said += f": regions of {counted(len(np.unique(images.photographs)), 'image')} that share no pixel{touching}"
    return said
