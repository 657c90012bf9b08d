"""Load and prepare the images of a command."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console
from isthmus.data.collections.collection import AUTO, find_range, open_images
from isthmus.data.collections.listing import MASKS, is_mvtec
from isthmus.data.formats.page import range_option
from isthmus.data.framing import Framing, table_of
from isthmus.data.identity import identities_of
from isthmus.data.images import Images
from isthmus.data.sources import registry
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.errors import RequestError, SkippedWarning, unknown

SIZES = ("resize", "crop", "patches")  # options, and fields of `Framing`


def framing_of(options: argparse.Namespace, default: Framing | None = None) -> Framing:
    """How the command line prepares images, except for --range auto, which needs the images.

    default: where it gives no size, no --stride, no --grey or no --range.
    """
    default = default or Framing()
    sizes = options if any(getattr(options, name) for name in SIZES) else default
    value_range = default.value_range if options.range is None else options.range
    return Framing(
        sizes.resize,
        sizes.crop,
        sizes.patches,
        getattr(options, "patches_per_image", None),
        getattr(options, "seed", 0),
        options.grey or default.grey,
        None if options.range == AUTO else value_range,
        options.stride or sizes.stride,
    )


def with_range(framing: Framing, options: argparse.Namespace, split: str | None = None) -> Framing:
    """With what --range auto finds in DATA, which is said. split: of it; None for a path, whole."""
    if options.range != AUTO:
        return framing
    source: Any = options.data
    if split is None:
        source = existing(source)
    elif is_named(source):
        source = _named(source, split, options.data_dir).pixels
    else:
        source = part_of(source, split)
    ranged = replace(framing, value_range=find_range(source, skip_bad=options.skip_bad))
    assert ranged.value_range
    console.say(f"--range auto is {range_option(ranged.value_range)}, the smallest and the largest value in the images")
    return ranged


def part_of(data: str, split: str) -> Path:
    """The path that DATA is: of a folder in MVTec's layout, its training or its test images, which is said."""
    path = existing(data)
    if not is_mvtec(path):
        return path
    console.say(f"{data} is in MVTec's layout: {split}/ is read, and the masks in {MASKS}/ are left out")
    return path / split


def is_named(data: str) -> bool:
    """Whether DATA is the name of a data set; a folder of that name is given as ./digits."""
    return data in registry.names()


def load_images(
    data: str, framing: Framing, *, split: str = "test", data_dir: Path | None = None, skip_bad: bool = False
) -> Images:
    """All images of DATA in memory, prepared. What was done to them is said on stderr.

    Raises RequestError for a DATA that is neither there nor known, DataError for images that cannot be used.
    """
    preparation = dataclasses.asdict(framing)
    if is_named(data):
        images = _named(data, split, data_dir, notes=True)
        if Path(data).exists():
            console.say(f"{data} is the data set of that name; the folder is ./{data}")
        if not table_of(framing):
            return images
        framing.count(images.shape[1:], data)  # which raises, with the name, if they are too small
        prepared = open_images(images.pixels, **preparation)
        for note in prepared.notes:
            console.say(note)
        labels = None if images.labels is None else images.labels.repeat(len(prepared) // len(images))
        return replace(prepared, labels=labels, source=images.source, label_names=images.label_names)
    with console.progress("reading") as on_progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)  # a note says the same
        images = open_images(part_of(data, split), **preparation, skip_bad=skip_bad, on_progress=on_progress)
    if images.stored is not None and images.identities is None:  # a large array, whose parts need not be read for it
        images = replace(images, identities=_identities(images.stored))
    for note in images.notes:
        console.say(note)
    return images


def _identities(images: StoredPixels) -> np.ndarray:
    marks, done = np.empty(len(images), np.uint64), 0
    with console.progress("images looked at") as on_progress:
        for chunk in images.chunks():
            marks[done : done + len(chunk)] = identities_of(chunk)
            done += len(chunk)
            on_progress(done, len(images))
    return marks


def _named(data: str, split: str, data_dir: Path | None, *, notes: bool = False) -> Images:
    dataset = registry.load(data, data_dir)
    for note in dataset.notes if notes else ():
        console.say(note)
    return dataset.train if split == "train" else dataset.test


def existing(data: str) -> Path:
    """DATA as a path. Raises RequestError for a word that is neither a file, a folder nor a data set."""
    path = Path(data)
    if path.name == data and not os.path.lexists(path):
        sentence = f"there is no file or folder {data}, and {unknown('data set', data, registry.names())}"
        near = difflib.get_close_matches(data, os.listdir(), n=1)
        raise RequestError(sentence + (f'. Did you mean "{near[0]}"?' if near and not sentence.endswith("?") else ""))
    return path


def label_of(images: Images, word: str) -> int:
    """The label that a word stands for: a class' name, or its number. Raises RequestError with the known ones."""
    if images.labels is None:
        raise RequestError(f"{images.source} has no labels; put the images of each class into a sub-folder")
    if word in images.label_names:
        return images.label_names.index(word)
    known = [str(label) for label in np.unique(images.labels).tolist()]
    if word not in known:
        raise RequestError(unknown("class", word, [*images.label_names] or known))
    return int(word)


def label_word(images: Images, i: int) -> str:
    """The name of an image's label; "" where there is none."""
    if images.labels is None:
        return ""
    label = int(images.labels[i])
    return images.label_names[label] if images.label_names else str(label)
