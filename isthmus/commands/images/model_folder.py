"""Open a model's folder, and check that images fit the model."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.commands.images.inputs import SIZES, framing_of, load_images, with_range
from isthmus.commands.images.leakage import Memory, memory_of
from isthmus.commands.shared.part_syntax import read_as_trained, read_words
from isthmus.data.collections.loading import MixedSizesError
from isthmus.data.formats.page import range_option
from isthmus.data.framing import Framing, TooSmallError, framing_from
from isthmus.data.images import Images
from isthmus.errors import RequestError, counted
from isthmus.estimators.adapters import adapter_of
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.networks.standardization import SPREAD
from isthmus.parts import Corruption

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Opened:
    """A fitted model and the facts in its folder.

    shape: of its images; None where it was fitted on rows of n_features numbers, which is None where any will do.
    framing: what was done to the images that it was fitted on. extra: what else `isthmus fit` noted of them.
    """

    model: Any
    folder: Path
    shape: Shape | None
    n_features: int | None
    framing: Framing
    weights_sha256: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def autoencoder(self) -> Autoencoder | None:
        """The autoencoder that it is, or whose decoder is searched; None for a PCA and its like."""
        return adapter_of(self.model).trained

    @property
    def trained_on(self) -> Corruption | None:
        """What corrupted the images of its fit; None for clean ones, and of denoisers of photographs, whose noise is
        `model.noise`."""
        return None if self.autoencoder is None else self.autoencoder.corruption

    @property
    def channels(self) -> int | None:
        """How many channels its images have; None where nobody knows."""
        return getattr(self.model, "n_channels_", None) if self.shape is None else self.shape[0]

    @property
    def held_out_mse(self) -> float | None:
        """The error of images that were held out of the fit: those that chose nothing, if there were such."""
        for name in ("test", "validation"):
            part = self.extra.get(name)
            if isinstance(part, dict) and isinstance(part.get("mse"), float):  # the file may have been edited
                return part["mse"]
        return None

    @property
    def is_prepared_as_trained(self) -> bool:
        """Whether a command's images are prepared as those of the fit, so that errors compare with theirs."""
        known = framing_from(self.extra.get("preparation", {}), str(self.folder / persistence.CONFIG))
        # a model's channels are one or three already, so --grey alone makes no difference to images that fit it
        return replace(known, grey=False).words() == replace(self.framing, grey=False).words()

    @property
    def noisy_target(self) -> str:
        """A note on the errors of a denoiser that never saw clean images; "" for other models."""
        if getattr(self.model, "target", "clean") != "noisy":
            return ""
        return (
            f"{self.folder} learned from noisy images alone; its errors here are against the images as they are, so "
            "that of noisy ones leaving the noise would have the least: they say how much it changes, not how well"
        )

    def facts(self) -> dict[str, str]:
        """What results say of the model that made them."""
        return {"folder": str(self.folder), "weights_sha256": self.weights_sha256}

    def takes(self, shape: Shape) -> bool:
        """Whether images of this shape can be given to the model as they are."""
        return shape == self.shape or (self.shape is None and self.n_features in (None, math.prod(shape)))

    def corruption(self, text: str) -> Corruption:
        """The corruption of an option's words, in which what is unsaid is as in the training, which is printed."""
        trained = self.trained_on
        if adapter_of(self.model).takes_any_size:
            part, trained = read_words("corruption", text, "--corruption"), self.model.noise
            if {step.kind for step in part.steps} - {step.kind for step in self.model.noise.steps}:
                trained = part.for_denoiser() or trained  # nor is other noise of photographs clipped
        return as_trained(text, trained, self.folder)[1]

    def memory(self, options: argparse.Namespace) -> Memory:
        """What the model's folder knows of a command's images: which of them it was trained on."""
        return memory_of(self.extra.get("seen"), options.data, options.split, str(self.folder))

    def check(self, shape: Shape, source: str, *, patches: bool = False, grey: bool = False) -> None:
        """Raise RequestError unless images of this shape can be given to the model: both shapes, and the way out.

        patches: larger ones will be cut, if the model is one of patches. grey: three channels were made of one.
        """
        if self.takes(shape):
            return
        if self.shape is None:
            raise RequestError(
                f"{source}: {in_words(shape)} are {math.prod(shape):,} numbers; {self.folder} takes {self.n_features:,}"
            )
        h, w = self.shape[1:]
        mismatch = (
            f"{source}: {in_words((1, *shape[1:]) if grey else shape)}; {self.folder} takes {in_words(self.shape)}"
        )
        if shape[0] != self.shape[0]:
            make_grey = "add --grey, or " if self.shape[0] == 1 and shape[0] == 3 else ""
            raise RequestError(f"{mismatch}; {make_grey}fit a model on images of {counted(shape[0], 'channel')}")
        larger = shape[1] >= h and shape[2] >= w
        if patches and larger and self.framing.patches == (h, w):
            return
        is_cut = larger and not (self.trained_on is not None and self.trained_on.takes_one_region)
        ways = [f"--{way} {h}x{w}" for way, fits in (("resize", True), ("crop", larger), ("patches", is_cut)) if fits]
        kind = RequestError if larger else TooSmallError
        raise kind(f"{mismatch}; add {', '.join(ways)}, or fit a model on images of this size")


def in_words(shape: Shape) -> str:
    """A shape in words: 28×28 grey, 64×64 RGB."""
    c, h, w = shape
    return f"{h}×{w} " + {1: "grey", 3: "RGB"}.get(c, f"of {c} channels")


def as_trained(text: str, trained: Corruption | None, folder: Path) -> tuple[str, Corruption]:
    """The words of --corruption with all that the model's own says where they say nothing, and what they mean."""
    completed, note = read_as_trained(text, trained, "--corruption")
    if note:
        console.say(f"what --corruption {text} leaves unsaid is as {folder} was trained: --corruption {note}")
    return completed, read_words("corruption", completed, "--corruption")


def open_model(options: argparse.Namespace) -> Opened:
    """Load the model of a command.

    Raises RequestError for a folder that is no model, DataError for a damaged one.
    """
    folder: Path = options.model
    if not (folder / persistence.CONFIG).is_file():
        missing = "does not exist" if not folder.exists() else f"holds no {persistence.CONFIG}, so it is not a model"
        raise RequestError(f"{folder} {missing}; `isthmus fit DATA -o MODEL` makes one")
    model = persistence.load(folder)
    config = persistence.read_config(folder)
    extra = config.get("extra", {})
    framing = as_for_the_training(options, extra, folder)
    framing = with_range(framing, options, options.split)
    shape: Shape | None = getattr(adapter_of(model).trained, "image_shape_", None)
    whole = shape is not None and "patches" not in extra.get("preparation", {}) and shape[1:] != options.patches
    if options.patches and (whole or adapter_of(model).takes_any_size):
        of = "of any size" if shape is None else f"of {shape[1]}×{shape[2]}"
        raise RequestError(f"{folder} was fitted on whole images, and takes those {of}; leave --patches out")
    faults = extra.get("faults", [])
    for fault in faults if isinstance(faults, list) else []:  # the file may have been edited
        console.say(f"{folder}, when it was fitted: {fault}")
    if "preparation" not in extra and (numbers := _other_numbers(model)):
        console.say(
            f"{folder} was fitted in Python to {numbers}; the commands give it images in [0, 1], so what it makes of "
            "them means nothing: use it in Python, or fit one with `isthmus fit --range LOW:HIGH`"
        )
    return Opened(
        model, folder, shape, getattr(model, "n_features_in_", None), framing, config["weights_sha256"], extra
    )


def _other_numbers(model: Any) -> str:
    """The numbers that a model which standardizes was fitted to, if they cannot have been in [0, 1]; else ""."""
    known = getattr(getattr(adapter_of(model).trained, "network_", None), "standardization", None)
    if known is None:
        return ""
    middle, spread = float(np.median(known.offset)), SPREAD * float(np.median(np.abs(known.scale)))
    if spread <= 1 and -1 <= middle <= 2:
        return ""
    return f"numbers about {middle:.3g}, with a standard deviation of {spread:.2g}"


def as_for_the_training(options: argparse.Namespace, extra: dict[str, Any], folder: Path) -> Framing:
    """The preparation of a command's images: what its options say, and for the rest the model's, which is printed."""
    known = framing_from(extra.get("preparation", {}), str(folder / persistence.CONFIG))
    framing = framing_of(options, known)
    given = [name for name in SIZES if getattr(options, name)]
    if lost := [name for name in SIZES if given and getattr(known, name) and name not in given]:
        former = " ".join("--{} {}x{}".format(name, *getattr(known, name)) for name in lost)
        sizes = " ".join(f"--{name}" for name in given)
        console.say(f"{sizes} replaces the sizes of the fit: {former} is dropped, unless you give it too")
    if options.range not in (None, known.value_range) and "preparation" in extra:
        former = range_option(known.value_range) if known.value_range else "no --range"
        console.say(f"{folder} was trained with {former}: with another its errors and its images are in other units")
    if framing.words() and framing.words() == known.words():
        console.say(f"images are prepared as for the training: {known.words()}")
    return framing


def images_for(opened: Opened, options: argparse.Namespace) -> Images:
    """The images of a command in memory, ready for its model. Raises RequestError if they do not fit it."""
    try:
        images = load_images(
            options.data, opened.framing, split=options.split, data_dir=options.data_dir, skip_bad=options.skip_bad
        )
    except MixedSizesError as error:
        if opened.shape is None:
            raise
        h, w = opened.shape[1:]
        raise MixedSizesError(error.sizes, f"{h}x{w}") from None
    opened.check(images.shape, images.source)
    return images
