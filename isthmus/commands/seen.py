"""Which images a model was fitted on, and which chose its best epoch: errors on them say little of new ones.

As far as the model's folder can know: a folder of images is known again by its files' names and sizes, a data set by
its name and split. Copies under other names are not.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.commands.held_out import Parts
from isthmus.commands.inputs import is_named
from isthmus.data.images import Images
from isthmus.data.listing import is_mvtec, list_images
from isthmus.errors import counted

MAX_NAMES = 10_000  # that config.json lists


def collection_of(data: str, split: str) -> str:
    """What DATA is known by: the same for the same files in another place. Raises DataError, as for reading it."""
    if is_named(data):
        return f"{data} {split}"
    path = Path(data)
    path = path / split if is_mvtec(path) else path
    names = list_images(path).names if path.is_dir() else (path.name,)
    folder = path if path.is_dir() else path.parent
    facts = [[name, os.stat(folder / name).st_size] for name in names]
    return "sha256 " + hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def table_of(data: str, split: str, images: Images, parts: Parts) -> dict[str, Any]:
    """What config.json keeps: the collection, how many of its images were trained on, and which were not; and how many
    and which of these chose the best epoch.

    They are named, if they have names, patches by that of their image, and there are at most MAX_NAMES.
    """
    trained_on = set(parts.train.names)
    left_out = sorted(set(images.names) - trained_on)
    selected_on = sorted(set(parts.validation.names) - trained_on)
    known = bool(images.names) and len(left_out) <= MAX_NAMES
    # the patches of an image count as the image
    n, n_trained_on, n_selected_on = (
        len(np.unique(one.photographs)) for one in (images, parts.train, parts.validation)
    )
    return {
        "collection": collection_of(data, split),
        "n": n,
        "n_trained_on": n_trained_on,
        "left_out": left_out if known else None,
        "n_selected_on": 0 if parts.regions else n_selected_on,
        "selected_on": selected_on if known else None,
    }


@dataclass(frozen=True)
class Seen:
    """What is known of the images of a command.

    sentence: to be said before their errors are shown; "" if the model's folder knows nothing of this collection.
    left_out: not trained on. selected_on: those of them that chose the best epoch. None for what nobody knows.
    """

    sentence: str = ""
    left_out: frozenset[str] | None = None
    selected_on: frozenset[str] | None = None
    is_selected: bool | None = None

    def of(self, name: str) -> bool | None:
        """Whether an image was trained on, by its file's name; None where nobody knows."""
        if not self.sentence:
            return None
        return None if self.left_out is None else name not in self.left_out

    def selected(self, name: str) -> bool | None:
        """Whether an image that was not trained on chose the best epoch; None where nobody knows."""
        return None if self.selected_on is None else name in self.selected_on


def seen(table: Any, data: str, split: str, model: str) -> Seen:
    """What `table_of` kept, held against DATA; anything else that stands in its place is nothing known.

    A folder of an earlier version does not know which images chose the best epoch.
    """
    if not isinstance(table, dict) or table.get("collection") != collection_of(data, split):
        return Seen()
    some = _of_these(table.get("n"), table.get("n_trained_on"))
    n = table.get("n_selected_on")
    chose = f", and {n:,} more chose its best epoch" if type(n) is int and n else ""
    return Seen(
        f"{model} was trained on {some}{chose}: expect larger errors on new ones",
        _names(table.get("left_out")),
        _names(table.get("selected_on")),
        n > 0 if type(n) is int else None,
    )


def _names(value: Any) -> frozenset[str] | None:
    return frozenset(map(str, value)) if isinstance(value, list) else None


def _of_these(n: Any, n_trained_on: Any) -> str:
    """How many of a collection's images were trained on, in words; the file may have been edited."""
    if type(n) is not int or type(n_trained_on) is not int:
        return "these images"
    images = counted(n, "image")
    if n_trained_on < n:
        return f"{n_trained_on:,} of these {images}"
    return f"these {images}" if n > 1 else "this image"
