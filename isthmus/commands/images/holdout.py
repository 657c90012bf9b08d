"""Split the images of a fit: to train on, to choose the best epoch, and to measure the errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isthmus.data.images import Images
from isthmus.data.splits import SEVERAL, by_regions, by_runs, have_neighbours, is_cut, split, together
from isthmus.errors import RequestError, counted
from isthmus.rng import numpy_generator

# Epochs are compared on the same images, so that few tell which is best; a mean error is known to some 10 % from twenty
# images and to 1 % from two thousand, and more than these are better trained on.
_SHARE, _MOST = 0.1, 2000
_MEASURED = 10  # images to measure on, where that is not more than a fifth of all

_PURPOSES = ("to train on", "to choose the best epoch", "to measure the errors")


@dataclass(frozen=True)
class Parts:
    """train: fitted on. validation: they choose the best epoch, and a PCA's numbers. test: they choose nothing.

    test is None where there are too few images, or none were asked for: then errors are measured on `validation`, and
    are called selected on. summary: the sentence with the sizes. regions: each photograph is in all parts. doubt: why
    the images of validation and test are not to be called held out: the model that the fit began with may know them.
    """

    train: Images
    validation: Images
    test: Images | None
    summary: str
    regions: bool = False
    doubt: str = ""

    @property
    def measured(self) -> Images:
        """The images that errors are measured on."""
        return self.validation if self.test is None else self.test

    def head(self, photographs: str | None = None) -> str:
        """What a table of errors is of. photographs: which of them they are measured on, if not on these images."""
        count = photographs or counted(self.measured.n_photographs, "image")
        if self.doubt:
            return f"on {count}, {self.doubt}"
        if self.test is None:
            return f"on {count}, selected on"
        return f"on {count}, held out" if photographs else f"on {count.replace(' ', ' held-out ')}"


def hold_out(images: Images, seed: int, validation: float | None = None, test: float | None = None) -> Parts:
    """Split the images, no pixel in two parts. validation, test: the shares of two of them; None for the default.

    With validation alone, or a test of 0, there are two parts. Raises RequestError for too few images, and as `split`.
    """
    n = images.n_photographs
    if len(images) == 1:
        raise RequestError(
            f"{images.source}: one image is too few to train on and hold one out; give more, or cut it with --patches "
            "HxW, like --patches 16x16"
        )
    if len(images) == 2 and not is_cut(images):  # no share leaves two of them
        raise RequestError(
            f"{images.source}: two images are too few to train on and hold one out; give more, or cut them with "
            "--patches HxW, like --patches 16x16"
        )
    regions = by_regions(images)
    shares = _shares(n, validation, test, regions)
    try:
        positions = split(images, shares, seed)
    except RequestError:
        if test or len(shares) == 1:
            raise
        positions = split(images, shares[:1], seed)
    parts = [images.take(which) for which in positions]
    return Parts(parts[0], parts[1], parts[2] if len(parts) == 3 else None, _summary(images, parts, regions), regions)


def hold_out_unseen(
    images: Images,
    seed: int,
    validation: float | None,
    test: float | None,
    *,
    trained_on: np.ndarray,
    selected_on: np.ndarray,
) -> Parts | None:
    """Split like `hold_out`, with nothing held out that a former fit was trained on; None where nothing else is left.

    trained_on, selected_on: (n,) bool. What chose a former fit's epoch is not measured on, but may choose again: of the
    same collection, the parts are the same as before. Patches of few photographs cannot be split so.
    """
    if not trained_on.any() and not selected_on.any():
        return hold_out(images, seed, validation, test)
    if by_regions(images):
        return None
    _, of = np.unique(together(images), return_inverse=True)
    n = of.max() + 1
    trained, selected = np.zeros(n, bool), np.zeros(n, bool)
    trained[of[trained_on]], selected[of[selected_on]] = True, True
    order = numpy_generator(seed, "split").permutation(n)
    chosen_by, unseen = order[selected[order] & ~trained[order]], order[~selected[order] & ~trained[order]]
    shares = _shares(n, validation, test, regions=False)
    counts = [max(1, round(n * share)) for share in shares]
    n_test = min(counts[1], len(unseen) - (0 if len(chosen_by) else 1)) if len(counts) == 2 and len(unseen) else 0
    held = [np.concatenate([chosen_by, unseen[n_test:]])[: counts[0]], unseen[:n_test]]
    if not len(held[0]):
        return None
    parts = [images.take(np.flatnonzero(np.isin(of, groups))) for groups in held if len(groups)]
    train = images.take(np.flatnonzero(~np.isin(of, np.concatenate(held))))
    if len(train) < 2:
        raise RequestError(f"{images.source}: {counted(len(train), 'image')} would be left to train on; give more")
    return Parts(train, parts[0], parts[1] if n_test else None, _summary(images, [train, *parts], regions=False))


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


def _summary(images: Images, parts: Sequence[Images], regions: bool) -> str:
    cut = is_cut(images)
    words = [counted(len(parts[0]), "patch", "patches") if cut else counted(len(parts[0]), "image")]
    words += [f"{len(part):,}" for part in parts[1:]]
    if cut and not regions:
        numbers = [part.n_photographs for part in parts]
        of = [counted(numbers[0], "image"), *(f"{n:,}" for n in numbers[1:])]
        words = [f"{word} of {n}" for word, n in zip(words, of, strict=True)]
    purposes = [*_PURPOSES]
    if len(parts) == 2:
        purposes[1] += " and to measure the errors, which are then selected on"
    sentence = ", ".join(f"{word} {purpose}" for word, purpose in zip(words, purposes, strict=False))
    if have_neighbours(parts) and not regions:
        sentence += ": neighbouring pages of a file are in two parts, so expect larger errors on other files"
    elif by_runs(images) and not regions:
        n, n_left = (sum(part.n_photographs for part in some) for some in ([images], parts))
        sentence += f": runs of neighbouring pages; {n - n_left:,} next to them are left out"
    if regions:
        left = len(images) - sum(map(len, parts))
        touching = f"; {left:,} that touch two of them are left out" if left else ""
        sentence += f": regions of {counted(images.n_photographs, 'image')} that share no pixel{touching}"
    return sentence
