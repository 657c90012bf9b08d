"""The images that a command is given, prepared as the model needs them."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console
from isthmus.data import sources
from isthmus.data.images import Images
from isthmus.errors import RequestError, unknown

Size = tuple[int, int]


@dataclass(frozen=True)
class Preparation:
    """What is done to images before a model sees them: brought to a size, cropped, or cut into patches."""

    resize: Size | None = None
    crop: Size | None = None
    patches: Size | None = None

    def __post_init__(self) -> None:
        several = [f"--{name}" for name, value in asdict(self).items() if value]
        if len(several) > 1:
            raise RequestError(f"{' and '.join(several)} exclude each other; choose one")

    def without_patches(self) -> Preparation:
        """For images that stay whole."""
        return Preparation(self.resize, self.crop)

    def table(self) -> dict[str, list[int]]:
        """As config.json keeps it."""
        return {name: list(value) for name, value in asdict(self).items() if value}

    def __str__(self) -> str:
        return " ".join(f"--{name} {h}x{w}" for name, (h, w) in self.table().items())


def preparation_of(options: argparse.Namespace) -> Preparation:
    """What the command line says."""
    return Preparation(options.resize, options.crop, options.patches)


def is_named(data: str) -> bool:
    """Whether DATA is the name of a data set; a folder of that name is given as ./digits."""
    return data in sources.names()


def load_images(
    data: str,
    preparation: Preparation,
    *,
    split: str = "test",
    data_dir: Path | None = None,
    skip_bad: bool = False,
    patches_per_image: int | None = None,
) -> Images:
    """All images of DATA in memory, prepared. What was done to them is said on stderr.

    Raises RequestError for a DATA that is neither there nor known, DataError for images that cannot be used.
    """
    if is_named(data):
        dataset = sources.load(data, data_dir)
        for note in dataset.notes:
            console.say(note)
        images = dataset.train if split == "train" else dataset.test
        return _prepared(images, preparation, patches_per_image)
    from isthmus.data.collection import open_images

    with console.progress("reading") as on_progress:
        images = open_images(
            existing(data),
            **_sizes(preparation),
            patches_per_image=patches_per_image,
            skip_bad=skip_bad,
            on_progress=on_progress,
        )
    for note in images.notes:
        console.say(note)
    return images


def existing(data: str) -> Path:
    """The path that DATA is. Raises RequestError with the nearest name of a data set."""
    path = Path(data)
    if not path.exists() and path.name == data:
        raise RequestError(f"no file or folder {data} is here, and {unknown('data set', data, sources.names())}")
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    return path


def _sizes(preparation: Preparation) -> dict[str, Any]:
    return {"resize": preparation.resize, "crop": preparation.crop, "patches": preparation.patches}


def _prepared(images: Images, preparation: Preparation, patches_per_image: int | None) -> Images:
    """A named data set, prepared as a file's images would be."""
    if not preparation.table():
        return images
    from isthmus.data.collection import open_images

    prepared = open_images(images.pixels, **_sizes(preparation), patches_per_image=patches_per_image, cache=False)
    labels = images.labels if len(prepared) == len(images) else None
    return Images(prepared.pixels, labels, images.source, images.label_names)


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
