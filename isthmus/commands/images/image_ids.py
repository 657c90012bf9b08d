"""Identities of training images as text in config.json."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np

from isthmus.data.identity import identities_of
from isthmus.data.images import Images

MOST = 100_000  # images whose marks config.json lists, in a megabyte
_DTYPE = "<u8"


def marks_of(images: Images) -> np.ndarray | None:
    """(n,) integers, one for each image; patches have that of their photograph. None where that is not known."""
    if images.identities is not None:
        return images.identities
    return None if images.places is not None else identities_of(images.pixels)


def to_text(marks: Iterable[int] | np.ndarray | None) -> str | None:
    """Marks as config.json has them; None for those that are not known, or too many."""
    if marks is None:
        return None
    array = np.unique(np.asarray(marks, _DTYPE))
    return None if len(array) > MOST else base64.b64encode(array.tobytes()).decode("ascii")


def from_text(text: Any) -> np.ndarray | None:
    """What `to_text` wrote; None for anything else, which is nothing known."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), _DTYPE)
    except (TypeError, ValueError):
        return None
