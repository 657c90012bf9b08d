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
from isthmus.commands.marks import from_text, marks_of, to_text
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


def table_of(
    data: str, split: str, images: Images, parts: Parts, before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What config.json keeps: the collection, how many of its images were trained on, and which were not; and how many
    and which of these chose the best epoch.

    They are named, if they have names, patches by that of their image, and there are at most MAX_NAMES. "trained" and
    "selected" are marks of images. before: the table of the model that the fit began with, of which "before" then has
    what is still true.
    """
    marks, trained, selected = (marks_of(data, split, one) for one in (images, parts.train, parts.validation))
    earlier = Former.of(before)
    trained_on = set(parts.train.names)
    if earlier is not None and marks is not None and images.names:
        trained_on |= {images.names[i] for i in np.flatnonzero(earlier.trained_on(marks))}
    left_out = sorted(set(images.names) - trained_on)
    selected_on = sorted(set(parts.validation.names) - trained_on)
    known = bool(images.names) and len(left_out) <= MAX_NAMES and not parts.doubt
    # the patches of an image count as the image
    n, n_trained_on, n_selected_on = (
        len(np.unique(one.photographs)) for one in (images, parts.train, parts.validation)
    )
    if parts.doubt:  # so it is said of all of them
        n_trained_on = n
    elif earlier is not None and marks is not None and trained is not None:
        by_either = earlier.trained_on(marks) | np.isin(marks, trained)
        n_trained_on = len(np.unique(images.photographs[by_either]))
    table = {
        "collection": collection_of(data, split),
        "n": n,
        "n_trained_on": n_trained_on,
        "left_out": left_out if known else None,
        "n_selected_on": 0 if parts.regions else n_selected_on,
        "selected_on": selected_on if known else None,
        "trained": to_text(trained),
        "selected": to_text(selected),
    }
    if parts.doubt:
        table["doubt"] = parts.doubt
    if before is not None:
        table["before"] = [_without(one, trained_on) for one in (before, *_tables(before.get("before")))]
    return table


def _tables(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _without(table: dict[str, Any], trained_on: set[str]) -> dict[str, Any]:
    """A former table, in which nothing is called left out that was trained on since."""
    kept = {name: value for name, value in table.items() if name != "before"}
    for name in ("left_out", "selected_on"):
        if isinstance(kept.get(name), list):
            kept[name] = [one for one in kept[name] if one not in trained_on]
    return kept


@dataclass(frozen=True)
class Former:
    """What a model knows of the images that it, and those that it began with, were trained on and selected by."""

    trained: np.ndarray
    selected: np.ndarray

    @classmethod
    def of(cls, table: Any) -> Former | None:
        """By the table in config.json; None where it does not know them all."""
        if not isinstance(table, dict):
            return None
        tables = [table, *_tables(table.get("before"))]
        trained = [from_text(one.get("trained")) for one in tables]
        selected = [from_text(one.get("selected")) for one in tables]
        known = [marks for marks in (*trained, *selected) if marks is not None]
        if len(known) < 2 * len(tables):
            return None
        return cls(np.concatenate(known[: len(tables)]), np.concatenate(known[len(tables) :]))

    def trained_on(self, marks: np.ndarray) -> np.ndarray:
        """(n,): which images were trained on."""
        return np.isin(marks, self.trained)

    def selected_on(self, marks: np.ndarray) -> np.ndarray:
        """(n,): which images chose an epoch."""
        return np.isin(marks, self.selected)


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
    tables = [table, *_tables(table.get("before"))] if isinstance(table, dict) else []
    collection = collection_of(data, split) if tables else ""
    table = next((one for one in tables if one.get("collection") == collection), None)
    if table is None:
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
