"""Photographs of a fit: read, their noise, and split into those to train on and those to measure the errors on."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from isthmus import console
from isthmus.commands.fitting.continuation import Base, known_images, was_split_so
from isthmus.commands.fitting.training_record import Marked
from isthmus.commands.images.inputs import load_images, part_of
from isthmus.data.collections.collection import listing_of
from isthmus.data.collections.pieces import file_of
from isthmus.data.framing import Framing
from isthmus.data.identity import marks_of
from isthmus.data.noise_correlation import correlated_in
from isthmus.data.noise_estimate import CLEAN, Growth, growth_of, noise_in, sigmas_of
from isthmus.data.photographs.album import open_album
from isthmus.data.photographs.image_list import ImageList, of_album
from isthmus.data.photographs.stored_list import StoredList
from isthmus.errors import RequestError, counted
from isthmus.estimators.denoising.unit_doubts import are_others
from isthmus.parts import Corruption, GaussianNoise
from isthmus.rng import numpy_generator

_SHARE = 0.1  # held out


@dataclass(frozen=True)
class Photographs:
    """What was read. marks: by which each is known again. framing: how they were prepared."""

    images: ImageList
    marks: np.ndarray
    framing: Framing

    @property
    def marked(self) -> Marked:
        """By what they are known again."""
        return Marked(self.images.names, self.marks, np.arange(len(self.marks)), len(self.marks))

    @property
    def files(self) -> np.ndarray:
        """(n,): the file of each, of whose pages one may tell of the next; of an array each is a file."""
        names = self.images.names
        return np.array([file_of(name) for name in names] or np.arange(len(self.images)).astype(str))

    def subset(self, which: np.ndarray) -> Photographs:
        """The photographs at these positions."""
        return replace(self, images=self.images.take(which), marks=self.marks[which])


@dataclass(frozen=True)
class PhotographParts:
    """train: fitted on. test: measured on; None for none. where: which these are, in words.

    doubt: why they are not to be called held out: the model that the fit began with may know them. note: on those that
    it does know, for the summary.
    """

    train: Photographs
    test: Photographs | None
    where: str = ""
    doubt: str = ""
    note: str = ""

    @property
    def summary(self) -> str:
        """The sentence with the sizes."""
        measured_on = (
            f"{self.where} to measure the errors on" if self.where else "none held out, so nothing is measured"
        )
        return f"{counted(len(self.train.images), 'photograph')} to train on, {measured_on}{self.note}"

    def head(self, where: str) -> str:
        """What a table of errors is of. where: the photographs that they are measured on, in words."""
        return f"on {where}, {self.doubt or 'held out'}"


def read(options: argparse.Namespace, framing: Framing) -> Photographs:
    """The photographs of DATA. Grey ones among colour ones become colour. Raises DataError if none can be read."""
    path = part_of(options.data, "train")
    listing = listing_of(path)
    if listing is None:
        whole = load_images(options.data, framing, split="train")
        unit = 1 / 255 if whole.pixels.dtype == np.uint8 else 1.0
        marks = marks_of(whole)  # as they are stored, without --range
        assert marks is not None
        arrays = tuple(whole.pixels) if whole.stored is None else StoredList(whole.stored)
        return Photographs(ImageList(arrays, unit), marks, framing)
    with console.progress("photographs read") as on_progress:
        album = open_album(listing, framing, skip_bad=options.skip_bad, on_progress=on_progress)
    for note in [*(f"left out: {error}" for error in album.left_out), *album.notes]:
        console.say(note)
    return Photographs(of_album(album), album.marks, framing)


def check_photographs(base: Base, images: ImageList) -> None:
    """Raise RequestError for photographs of other channels than the model's, or in other numbers."""
    model = base.model
    if images.channels != model.n_channels_:
        kinds = {1: "grey", 3: "colour"}
        way = "add --grey" if model.n_channels_ == 1 else "give colour ones"
        raise RequestError(
            f"{kinds.get(images.channels, images.channels)} photographs; {base.folder} takes "
            f"{kinds.get(model.n_channels_, model.n_channels_)} ones: {way}, or fit a new model without --from"
        )
    if are_others(span := images.span(), model.scale_) or are_others(model.scale_, 1.0):  # that of files
        raise RequestError(
            f"{base.folder} was fitted to numbers that span {model.scale_:.3g}, and those of these photographs span "
            f"{span:.3g}: fit it further in Python, or fit a new model without --from"
        )


def say_noise(noise: Corruption, images: ImageList) -> None:
    """Say the noise that photographs are given, and what they seem to have."""
    low, high = noise.sigma_range
    levels = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    words = noise.label if noise.shot_and_read[0] else f"Gaussian noise of {levels} of black to white"
    console.say(f"a denoiser of photographs of any size: {words}, not clipped")
    if noisy := noise_in(images.arrays):
        console.say(noisy)


def noise_of(images: ImageList) -> tuple[GaussianNoise, Growth | None]:
    """The noise of the photographs themselves, which is said, and how it grows with their brightness, if it does."""
    sigmas = sigmas_of(images.arrays)
    low, typical, high = (round(float(sigma), 4) for sigma in (min(sigmas), np.median(sigmas), max(sigmas)))
    console.say(
        "a denoiser of photographs of any size, of noisy ones alone: noise is what is independent from pixel to pixel; "
        "without clean ones, every second pixel is denoised to measure, and held against its noisy neighbour; the loss "
        "may rise while it learns, for what it is held against is corrected by the network itself"
    )
    growth = growth_of(images.arrays)
    of_what = "of most of their pixels" if growth else "texture counts as some"
    console.say(f"their noise, estimated: sigma {typical:g} of black to white ({low:g} to {high:g}; {of_what})")
    if growth:
        peak = f"{float(f'{growth.peak:.2g}'):g}"
        console.say(
            "their noise grows with the brightness, as that of photons does: sigma is about "
            f"{growth.dark:.2g} where they are dark and {growth.bright:.2g} where bright, and one for all is a "
            "compromise; if there are clean images like them, as of long exposures, fit these with "
            f"--corruption poisson:{peak} in place of --noisy"
        )
    if correlated := correlated_in(images.arrays):
        console.say(
            f"{correlated}; a pixel then tells its neighbour's noise, and little of it is learned to be taken out: "
            "make the photographs half their size first, or take each scene twice (Denoiser().fit(X, Y) in Python)"
        )
    elif typical < CLEAN:
        console.say("they have hardly any noise to learn from; of clean photographs, give --corruption gaussian:0..0.2")
    # of a crop the estimate is less certain, so the network has seen others; and without the texture it is lower
    return GaussianNoise((0.75 * low, 1.1 * high)), growth


def hold_out(
    photographs: Photographs, seed: int, share: float | None, known: np.ndarray | None = None
) -> PhotographParts:
    """What to train on, and what to measure on: nothing for a share of 0.

    Whole files are held out, for pages that follow each other are nearly the same: of one file its last pages, without
    those beside them, and of one photograph its right quarter. Copies of what is trained on are not measured.

    known: (n,), what a former fit was trained on, which is not held out; not all of them, and whole files.
    """
    images, share = photographs.images, _SHARE if share is None else share
    n = len(images)
    if share == 0:
        return PhotographParts(photographs, None)
    if n == 1:
        whole = np.asarray(images.arrays[0])
        cut = whole.shape[2] * 3 // 4
        parts = (replace(images, arrays=(part,)) for part in (whole[..., :cut], whole[..., cut:]))
        left, right = (replace(photographs, images=part) for part in parts)
        return PhotographParts(left, right, "the right quarter of one photograph")
    unseen, files = np.ones(n, bool) if known is None else ~known, photographs.files
    distinct = list(dict.fromkeys(files.tolist()))
    n_test = max(1, round((n if len(distinct) == 1 else len(distinct)) * share))
    if len(distinct) == 1:
        apart = unseen & ~_widened(~unseen)
        test = np.flatnonzero(apart if apart.any() else unseen)[-min(n_test, n - 1) :]
        beside = _widened(np.isin(np.arange(n), test))
        train_on = np.array([0]) if beside.all() else np.flatnonzero(~beside)
    else:
        order = numpy_generator(seed, "split").permutation(len(distinct))
        candidates = np.array(distinct)[order]
        candidates = candidates[np.isin(candidates, files[unseen])]
        is_test = np.isin(files, candidates[: min(n_test, len(distinct) - 1)])
        train_on, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    copies = np.isin(photographs.marks[test], photographs.marks[train_on])
    if copies.any() and not copies.all():
        console.say(f"left out of the measure, as copies of what is trained on: {copies.sum()} of {len(test)}")
        test = test[~copies]
    return PhotographParts(photographs.subset(train_on), photographs.subset(test), counted(len(test), "photograph"))


def _widened(pages: np.ndarray) -> np.ndarray:
    """Which pages are among these, (n,) bool, or beside one of them."""
    wide = pages.copy()
    wide[1:] |= pages[:-1]
    wide[:-1] |= pages[1:]
    return wide


def hold_out_again(base: Base, photographs: Photographs, options: argparse.Namespace) -> PhotographParts:
    """Split the photographs so that none is held out that the model was trained on, as far as it knows them.

    Where it does not, or knows them all, the parts say so.
    """
    split = partial(hold_out, photographs, options.seed, options.test)
    if was_split_so(base, photographs.images.fingerprint, options):
        return split()  # the very parts that it had
    known = known_images(base, photographs.marks, photographs.images.names, options.data)
    if known is None:
        return replace(split(), doubt=f"which {base.folder} may have been trained on")
    trained_on, files = known[0], photographs.files
    if len(set(files.tolist())) > 1:  # of one, pages are held out
        trained_on = np.isin(files, files[trained_on])
    if trained_on.all():
        return replace(split(), doubt=f"which {base.folder} was trained on")
    parts, n = split(trained_on), int(known[0].sum())
    note = f"; {base.folder} was trained on {n:,} of them, none of which is held out" if n and parts.test else ""
    return replace(parts, note=note)
