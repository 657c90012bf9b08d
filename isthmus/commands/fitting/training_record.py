"""Record of a training's images in config.json: which were trained on, and which chose. `leakage` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.commands.images.holdout import Parts
from isthmus.commands.images.leakage import MAX_NAMES, Former, collection_of, tables_of
from isthmus.data.identity import from_text, marks_of, to_text
from isthmus.data.images import Images


@dataclass(frozen=True)
class Marked:
    """Images by what they are known again. names: of their files, if they have some. marks: (n,), None for unknown.

    photographs: (n,) integers, the same for patches of one image. n: how many images these are.
    """

    names: tuple[str, ...]
    marks: np.ndarray | None
    photographs: np.ndarray
    n: int

    @classmethod
    def of(cls, images: Images) -> Marked:
        """Images of one size, whole or patches."""
        return cls(images.names, marks_of(images), images.photographs, images.n_photographs)


NONE = Marked((), np.empty(0, np.uint64), np.empty(0, int), 0)


def table_of(
    data: str, split: str, images: Images, parts: Parts, before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The record of images that are split into parts. before: of the model that the fit began with."""
    marked = (Marked.of(some) for some in (images, parts.train, parts.validation))
    return record_of(data, split, *marked, before=before, regions=parts.regions, doubt=parts.doubt)


def record_of(
    data: str,
    split: str,
    images: Marked,
    train: Marked,
    validation: Marked,
    *,
    before: dict[str, Any] | None = None,
    regions: bool = False,
    doubt: str = "",
) -> dict[str, Any]:
    """What config.json keeps: the collection, how many of its images were trained on, and which were not; and how many
    and which of these chose the best epoch.

    They are named, if they have names, patches by that of their image, and there are at most MAX_NAMES. "trained" and
    "selected" are marks of images. before: the table of the model that the fit began with, of which "before" then has
    what is still true. regions, doubt: as of `Parts`.
    """
    marks, earlier = images.marks, Former.of(before)
    trained_on = set(train.names)
    if earlier is not None and marks is not None and images.names:
        trained_on |= {images.names[i] for i in np.flatnonzero(earlier.trained_on(marks))}
    left_out = sorted(set(images.names) - trained_on)
    selected_on = sorted(set(validation.names) - trained_on)
    known = bool(images.names) and len(left_out) <= MAX_NAMES and not doubt
    # the patches of an image count as the image
    chose = validation.photographs
    if earlier is not None and validation.marks is not None:
        chose = chose[~earlier.trained_on(validation.marks)]
    n, n_trained_on, n_selected_on = images.n, train.n, len(np.unique(chose))
    if doubt:  # so it is said of all of them
        n_trained_on = n
    elif earlier is not None and marks is not None and train.marks is not None:
        by_either = earlier.trained_on(marks) | np.isin(marks, train.marks)
        n_trained_on = len(np.unique(images.photographs[by_either]))
    table = {
        "collection": collection_of(data, split),
        "n": n,
        "n_trained_on": n_trained_on,
        "left_out": left_out if known else None,
        "n_selected_on": 0 if regions else n_selected_on,
        "selected_on": selected_on if known else None,
        "trained": to_text(train.marks),
        "selected": to_text(validation.marks),
    }
    if doubt:
        table["doubt"] = doubt
    if before is not None:
        table["before"] = [_without(subset, trained_on) for subset in (before, *tables_of(before.get("before")))]
    return table


def trained_on_selected(table: dict[str, Any]) -> dict[str, Any]:
    """The table of `table_of` for a model that in the end was fitted to the images too that it chose by."""
    trained, selected = (from_text(table[name]) for name in ("trained", "selected"))
    names = set(table["selected_on"] or ())
    now = _without(table, names) | {
        "n_trained_on": min(table["n"], table["n_trained_on"] + table["n_selected_on"]),
        "n_selected_on": 0,
        "trained": None if trained is None or selected is None else to_text(np.concatenate([trained, selected])),
    }
    return now | {"before": [_without(former, names) for former in table["before"]]} if "before" in table else now


def _without(table: dict[str, Any], trained_on: set[str]) -> dict[str, Any]:
    """A former table, in which nothing is called left out that was trained on since."""
    remaining = {name: value for name, value in table.items() if name != "before"}
    for name in ("left_out", "selected_on"):
        if isinstance(remaining.get(name), list):
            remaining[name] = [image_name for image_name in remaining[name] if image_name not in trained_on]
    return remaining
