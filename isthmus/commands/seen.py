"""Which images a model was fitted on, as far as its folder can know: errors on them say little of new ones.

A folder of images is known again by its files' names and sizes, a data set by its name and split. Copies under other
names are not.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.commands.inputs import is_named
from isthmus.data.images import Images
from isthmus.data.listing import is_mvtec, list_images

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


def table_of(data: str, split: str, images: Images, trained_on: Images) -> dict[str, Any]:
    """What config.json keeps: the collection, how many of its images were trained on, and which were not.

    Those are named, if they have names, patches by that of their image, and there are at most MAX_NAMES.
    """
    left_out = sorted(set(images.names) - set(trained_on.names))
    known = bool(images.names) and len(left_out) <= MAX_NAMES
    # the patches of an image count as the image
    counts = {"n": len(set(images.names) or images), "n_trained_on": len(set(trained_on.names) or trained_on)}
    return {"collection": collection_of(data, split), **counts, "left_out": left_out if known else None}


@dataclass(frozen=True)
class Seen:
    """What is known of the images of a command. of(name): whether the model was trained on it; None if unknown.

    sentence: to be said before their errors are shown; "" if the model's folder knows nothing of this collection.
    """

    sentence: str = ""
    left_out: frozenset[str] | None = None

    def of(self, name: str) -> bool | None:
        """Whether an image was trained on, by its file's name; None where nobody knows."""
        if not self.sentence:
            return None
        return None if self.left_out is None else name not in self.left_out


def seen(table: Any, data: str, split: str, model: str) -> Seen:
    """What `table_of` kept, held against DATA; anything else that stands in its place is nothing known."""
    if not isinstance(table, dict) or table.get("collection") != collection_of(data, split):
        return Seen()
    counts = [table.get("n"), table.get("n_trained_on")]
    some = f"{counts[1]:,} of these {counts[0]:,}" if all(type(n) is int for n in counts) else "these"
    left_out = table.get("left_out")
    names = frozenset(map(str, left_out)) if isinstance(left_out, list) else None
    return Seen(f"{model} was trained on {some} images: expect larger errors on new ones", names)
