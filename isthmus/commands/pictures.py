"""Whole pictures, one after the other, through a model: for commands that give a picture back for each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console
from isthmus.commands.encode import label_word
from isthmus.commands.inputs import existing, is_named, load_images, whole
from isthmus.commands.opened import Opened
from isthmus.commands.options import printable
from isthmus.corruption import noisy_version
from isthmus.data.image_file import SUFFIXES, read_shape
from isthmus.data.images import Images
from isthmus.data.listing import Listing, list_images
from isthmus.data.reading import read_all
from isthmus.data.sizes import resized
from isthmus.errors import DataError
from isthmus.estimators.common import CHUNK, reconstruct
from isthmus.machine import cores
from isthmus.parts import Part
from isthmus.patchwork import patchwork


@dataclass(frozen=True)
class Picture:
    """One picture: x (c, h, w) float32 in [0, 1], as the model is given it. path: its file, if it has one.

    grey: it was grey, and made RGB for a model of RGB images. size: its (height, width) before it was resized.
    """

    name: str
    x: np.ndarray
    label: str = ""
    path: Path | None = None
    grey: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Result:
    """A picture, what the model was given (the picture, or a corrupted one), and what it made of it: (c, h, w)."""

    picture: Picture
    x_in: np.ndarray
    x_hat: np.ndarray

    def written(self) -> np.ndarray:
        """What is written of it: grey again if the picture was, of the picture's own size, in [0, 1]."""
        x_hat = self.x_hat.mean(axis=0, keepdims=True) if self.picture.grey else self.x_hat
        x_hat = np.clip(x_hat, 0, 1)
        return x_hat if self.picture.size is None else resized(x_hat, self.picture.size)


@dataclass(frozen=True)
class Pictures:
    """What DATA holds, read when it is needed, and as often as it is gone through. dtype: of an array's pixels."""

    n: int
    dtype: np.dtype
    read: Callable[[], Iterator[Picture]]


def pictures_of(options: argparse.Namespace, opened: Opened) -> Pictures:
    """The pictures of DATA, whole: files one by one, whatever their sizes; the images of an array.

    Raises RequestError for pictures that do not fit the model.
    """
    if not is_named(options.data):
        path = existing(options.data)
        if path.is_dir() or path.suffix.lower() in SUFFIXES:
            listing = list_images(path) if path.is_dir() else Listing(path.parent, (path.name,), None, (), ())
            for note in listing.notes:
                console.say(note)
            return Pictures(len(listing.names), np.dtype(np.float32), lambda: _from_files(listing, options, opened))
    images = load_images(
        options.data,
        whole(opened.framing),
        split=options.split,
        data_dir=options.data_dir,
        skip_bad=options.skip_bad,
    )
    opened.check(images.shape, images.source, patches=True)
    return Pictures(len(images), images.pixels.dtype, lambda: _from_images(images))


def _from_images(images: Images) -> Iterator[Picture]:
    width = len(str(len(images) - 1))
    for i in range(len(images)):
        name = f"{i:0{width}d}"
        yield Picture(name, images.floats(slice(i, i + 1)).reshape(images.shape), label_word(images, i))


def _from_files(listing: Listing, options: argparse.Namespace, opened: Opened) -> Iterator[Picture]:
    paths, skipped = listing.paths(), []
    blocks = read_all(paths, whole(opened.framing), cores())
    for i, (name, path, block) in enumerate(zip(listing.names, paths, blocks, strict=True)):
        if isinstance(block, DataError):
            if not options.skip_bad:
                raise DataError(f"{block}" + (" (--skip-bad leaves it out)" if len(paths) > 1 else ""))
            skipped.append(str(block))
            continue
        pixels = block[0][0]
        x = Images(pixels[None], source=printable(path)).floats().reshape(pixels.shape)
        grey = len(x) == 1 and opened.shape is not None and opened.shape[0] == 3
        x = np.repeat(x, 3, axis=0) if grey else x
        opened.check(x.shape, printable(path), patches=True, grey=grey)
        size = read_shape(path)[1:] if opened.framing.resize and not opened.framing.crop else None
        yield Picture(name, x, listing.label_names[listing.labels[i]] if listing.labels else "", Path(path), grey, size)
    if len(skipped) == len(paths):
        raise DataError(f"{listing.folder}: none of its {len(skipped)} images can be read; the first: {skipped[0]}")
    if skipped:
        more = f"; and {len(skipped) - 10} more" if len(skipped) > 10 else ""
        console.say(f"left out {len(skipped)} of {len(paths)} files: {'; '.join(skipped[:10])}{more}")


# --- through the model ---


def through(
    opened: Opened,
    pictures: Pictures,
    *,
    model: Any = None,
    corruption: Part | None = None,
    what: str = "images",
) -> Iterator[Result]:
    """Each picture with what the model makes of it, in order; many small ones go through the model at a time.

    model: in place of the opened one, like a search of its decoder. corruption: applied to the whole picture first,
    with its own noise. Said on stderr: how far it is.
    """
    model = opened.model if model is None else model
    done = 0
    with console.progress(what) as on_progress:
        for group in _groups(pictures.read(), opened):
            given = [_corrupted(one.x, corruption) for one in group]
            if opened.takes(group[0].x.shape):
                flat = np.stack(given).reshape(len(group), -1)
                made = list(reconstruct(model, flat).reshape(len(group), *group[0].x.shape))
            else:
                assert opened.shape is not None
                size = opened.shape[1:]
                made = [patchwork(lambda x: reconstruct(model, x), x, size) for x in given]
            done += len(group)
            on_progress(done, pictures.n)
            yield from (Result(*one) for one in zip(group, given, made, strict=True))


def _groups(pictures: Iterable[Picture], opened: Opened) -> Iterator[list[Picture]]:
    """Neighbours of the model's own size together, as many as go through it at a time; larger ones alone."""
    group: list[Picture] = []
    for one in pictures:
        if group and (len(group) == CHUNK or one.x.shape != group[0].x.shape or not opened.takes(one.x.shape)):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _corrupted(x: np.ndarray, part: Part | None) -> np.ndarray:
    if part is None:
        return x
    return noisy_version(x.reshape(1, -1), part, x.shape).reshape(x.shape)
