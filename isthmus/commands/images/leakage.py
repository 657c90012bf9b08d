"""Leakage: which images a model was fitted on, or chose its best epoch by, so that their errors are too small.

The model's folder keeps a hash of each image's pixels (`data.identity`), so that an image is known again one by one:
renamed, moved, among others, in another kind of file. A folder of an earlier version knows a collection as a whole, by
its files' names and sizes, or a data set by its name and split.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.commands.images.holdout import Parts
from isthmus.commands.images.inputs import is_named
from isthmus.data.collections.listing import is_mvtec, list_images
from isthmus.data.identity import among, from_text, marks_of
from isthmus.data.images import Images
from isthmus.data.stored.shard_folder import INDEX, is_shards
from isthmus.errors import counted

MAX_NAMES = 10_000  # that config.json lists


def collection_of(data: str, split: str) -> str:
    """What DATA is known by: the same for the same files in another place. Raises DataError, as for reading it."""
    if is_named(data):
        return f"{data} {split}"
    path = Path(data)
    path = path / split if is_mvtec(path) else path
    folder = path if path.is_dir() else path.parent
    names = (path.name,) if folder != path else (INDEX,) if is_shards(path) else list_images(path).names
    facts = [[name, _size(folder / name)] for name in names]
    return "sha256 " + hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _size(path: Path) -> int | None:
    """The size of a file; None for a link that leads nowhere, or what was deleted during the training."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def tables_of(value: Any) -> list[dict[str, Any]]:
    """The tables of the models that a model began with, as its own table has them."""
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


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
        tables = [table, *tables_of(table.get("before"))]
        trained = [from_text(entry.get("trained")) for entry in tables]
        selected = [from_text(entry.get("selected")) for entry in tables]
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


def copies(parts: Parts) -> str:
    """The sentence for images that errors are measured on and that are trained on too, as copies; "" for none."""
    if parts.regions:
        return ""
    measured = _marks_of_photographs(parts.measured)
    n = int(among(measured, _marks_of_photographs(parts.train)).sum())
    words = f"{n:,} of {counted(len(measured), 'image')} to measure the errors"
    are = "is a copy" if n == 1 else "are copies"
    return f"{words} {are} of images to train on: expect larger errors on new ones" if n else ""


def photographs_of(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """The names ("" where there are none) and the identities of the photographs: of patches each counts once."""
    first = np.unique(images.photographs, return_index=True)[1]
    names = np.array(images.names, object)[first] if images.names else np.full(len(first), "", object)
    return names, _marks_of_photographs(images)


def _marks_of_photographs(images: Images) -> np.ndarray:
    marks, n = marks_of(images), images.n_photographs
    first = slice(None) if images.are_single else np.unique(images.photographs, return_index=True)[1]
    return np.zeros(n, np.uint64) if marks is None else marks[first]


@dataclass(frozen=True)
class Status:
    """What a model's folder knows of one image. selected: not trained on, but its best epoch was chosen by it.

    None for what nobody knows.
    """

    trained_on: bool | None = None
    selected_on: bool | None = None


@cache
def _status(trained_on: bool | None, selected_on: bool | None) -> Status:
    """One object for each of the few that there are, for a million images."""
    return Status(trained_on, selected_on)


@dataclass(frozen=True)
class Memory:
    """What a model's folder knows of the images of a command.

    trained_on, selected_on: identities; None in a folder of an earlier version, which knows `whole` at most: the
    sentence on this collection, the names that were not trained on, and those of them that chose the best epoch.
    """

    model: str
    trained_on: frozenset[int] | None = None
    selected_on: frozenset[int] = frozenset()
    whole: Whole | None = None

    def of(self, name: str, identity: int) -> Status:
        """What is known of one image, by its file's name and its identity."""
        if self.trained_on is not None:
            return _status(identity in self.trained_on, identity in self.selected_on)
        if self.whole is None:
            return Status()
        left_out, selected_on = self.whole.left_out, self.whole.selected_on
        return _status(
            None if left_out is None else name not in left_out, None if selected_on is None else name in selected_on
        )

    def of_all(self, images: Images) -> list[Status]:
        """What is known of each photograph."""
        names, identities = photographs_of(images)
        return [self.of(name, identity) for name, identity in zip(names, identities.tolist(), strict=True)]

    def about(self, statuses: Sequence[Status]) -> Seen:
        """What is to be said of these images together."""
        if self.trained_on is None:
            return Seen() if self.whole is None else self.whole.seen
        n, n_selected = (
            sum(status.trained_on is True for status in statuses),
            sum(status.selected_on is True for status in statuses),
        )
        return _seen(self.model, len(statuses), n, n_selected)


@dataclass(frozen=True)
class Seen:
    """What is known of the images of a command together.

    sentence: to be said with their errors; "" if none of them is known. is_trained_on, is_selected_on: whether any is,
    None where nobody knows. n_trained_on, n_selected_on: how many.
    """

    sentence: str = ""
    n_trained_on: int | None = None
    n_selected_on: int | None = None

    @property
    def words(self) -> str:
        """For the head of a table, which is read without the messages: ", 37 of them trained on"."""
        counts = ((self.n_trained_on, "trained on"), (self.n_selected_on, "selected on"))
        return "".join(f", {n:,} {purpose}" for n, purpose in counts if n)


@dataclass(frozen=True)
class Whole:
    """What a folder of an earlier version knows of the collection that it was fitted on."""

    seen: Seen
    left_out: frozenset[str] | None = None
    selected_on: frozenset[str] | None = None


def memory_of(table: Any, data: str, split: str, model: str) -> Memory:
    """What `training_record.table_of` kept, held against DATA; anything else that stands in its place is nothing known.

    A folder of an earlier version does not know which images chose the best epoch.
    """
    former = Former.of(table)
    if former is not None:
        trained_on = frozenset(former.trained.tolist())
        return Memory(model, trained_on, frozenset(former.selected.tolist()) - trained_on)
    tables = [table, *tables_of(table.get("before"))] if isinstance(table, dict) else []
    collection = collection_of(data, split) if tables else ""
    table = next((candidate for candidate in tables if candidate.get("collection") == collection), None)
    if table is None:
        return Memory(model)
    counts = (table.get(name) for name in ("n", "n_trained_on", "n_selected_on"))
    whole = Whole(_seen(model, *counts), _names(table.get("left_out")), _names(table.get("selected_on")))
    return Memory(model, whole=whole)


def _seen(model: str, n: Any, n_trained_on: Any, n_selected_on: Any) -> Seen:
    """The sentence for counts, which a file that was edited may not have."""
    n_selected = n_selected_on if type(n_selected_on) is int else None
    n_trained = n_trained_on if type(n_trained_on) is int else None
    if n_trained == 0:
        if not n_selected:
            return Seen("", 0, n_selected)
        return Seen(
            f"{model}'s best epoch was chosen by {_of_these(n, n_selected)}: expect larger errors on new ones",
            0,
            n_selected,
        )
    chose = f", and {n_selected:,} more chose its best epoch" if n_selected else ""
    sentence = f"{model} was trained on {_of_these(n, n_trained)}{chose}: expect larger errors on new ones"
    return Seen(sentence, n_trained, n_selected)


def _names(value: Any) -> frozenset[str] | None:
    return frozenset(map(str, value)) if isinstance(value, list) else None


def _of_these(n: Any, some: Any) -> str:
    """How many of a collection's images, in words; the file may have been edited."""
    if type(n) is not int or type(some) is not int:
        return "these images"
    images = counted(n, "image")
    if some < n:
        return f"{some:,} of these {images}"
    return f"these {images}" if n > 1 else "this image"
