"""The images that a command is given, prepared as the model needs them."""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console
from isthmus.data import sources
from isthmus.data.collection import open_images
from isthmus.data.framing import Framing
from isthmus.data.images import Images
from isthmus.errors import DataError, RequestError, SkippedWarning, unknown


def framing_of(options: argparse.Namespace) -> Framing:
    """What the command line says is to be done to each image."""
    n = getattr(options, "patches_per_image", None)
    return Framing(options.resize, options.crop, options.patches, n, getattr(options, "seed", 0))


def whole(framing: Framing) -> Framing:
    """The same for images that are not to be cut into patches."""
    return Framing(framing.resize, framing.crop)


def table_of(framing: Framing) -> dict[str, list[int]]:
    """The sizes as config.json keeps them; `framing_from` reads them back."""
    sizes = {"resize": framing.resize, "crop": framing.crop, "patches": framing.patches}
    return {name: list(size) for name, size in sizes.items() if size}


def framing_from(table: Any, where: str) -> Framing:
    """What `table_of` wrote. Raises DataError for anything else."""
    try:
        sizes: dict[str, Any] = {name: tuple(size) for name, size in table.items()}
        return Framing(**sizes)
    except (AttributeError, TypeError, RequestError):
        raise DataError(f"{where}: {table!r} does not say how images are prepared") from None


def words_of(framing: Framing) -> str:
    """As options say it: --resize 32x32."""
    return " ".join(f"--{name} {h}x{w}" for name, (h, w) in table_of(framing).items())


def is_named(data: str) -> bool:
    """Whether DATA is the name of a data set; a folder of that name is given as ./digits."""
    return data in sources.names()


def load_images(
    data: str, framing: Framing, *, split: str = "test", data_dir: Path | None = None, skip_bad: bool = False
) -> Images:
    """All images of DATA in memory, prepared. What was done to them is said on stderr.

    Raises RequestError for a DATA that is neither there nor known, DataError for images that cannot be used.
    """
    sizes: dict[str, Any] = {
        "resize": framing.resize,
        "crop": framing.crop,
        "patches": framing.patches,
        "patches_per_image": framing.patches_per_image,
        "seed": framing.seed,
    }
    if is_named(data):
        dataset = sources.load(data, data_dir)
        for note in dataset.notes:
            console.say(note)
        if Path(data).exists():
            console.say(f"{data} is the data set of that name; the folder is ./{data}")
        images = dataset.train if split == "train" else dataset.test
        if not table_of(framing):
            return images
        framing.count(images.shape[1:], data)  # which raises, with the name, if they are too small
        prepared = open_images(images.pixels, **sizes)
        labels = None if images.labels is None else images.labels.repeat(len(prepared) // len(images))
        return Images(prepared.pixels, labels, images.source, images.label_names, places=prepared.places)
    with console.progress("reading") as on_progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)  # a note says the same
        images = open_images(existing(data), **sizes, skip_bad=skip_bad, on_progress=on_progress)
    for note in images.notes:
        console.say(note)
    return images


def existing(data: str) -> Path:
    """The path that DATA is; what is wrong with it is for its reader to say.

    Raises RequestError for a word that is neither here nor a data set.
    """
    path = Path(data)
    if path.name == data and not os.path.lexists(path):
        raise RequestError(f"no file or folder {data} is here, and {unknown('data set', data, sources.names())}")
    return path


def label_of(images: Images, word: str) -> int:
    """The label that a word stands for: a class' name, or its number. Raises RequestError with the known ones."""
    if images.labels is None:
        raise RequestError(f"{images.source} has no labels; put the images of each class into a folder of its own")
    if word in images.label_names:
        return images.label_names.index(word)
    known = [str(one) for one in np.unique(images.labels).tolist()]
    if word not in known:
        raise RequestError(unknown("class", word, [*images.label_names] or known))
    return int(word)
