"""Marks of images: a few bytes by which a model knows those again that it was trained on, in any collection.

A file is known by its name and size, an image of an array by its pixels. So copies under other names are not known.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.images import Images
from isthmus.data.listing import is_mvtec
from isthmus.data.pieces import file_of

MOST = 100_000  # images whose marks config.json lists, in half a megabyte
_DTYPE = "<u4"  # of a hundred thousand others, one in 40,000 new images is taken for one of them


def marks_of(data: str, split: str, images: Images) -> np.ndarray | None:
    """(n,) integers, one for each image; patches have that of their photograph. None for patches of an array."""
    if images.names:
        path = Path(data)
        path = path / split if is_mvtec(path) else path
        folder = path if path.is_dir() else path.parent
        names, of = np.unique(images.names, return_inverse=True)
        return np.array([_mark(name, folder) for name in names.tolist()], _DTYPE)[of]
    if images.places is not None:
        return None
    rows = np.ascontiguousarray(images.pixels)
    return np.array([_hash(row.data) for row in rows], _DTYPE)


def _mark(name: str, folder: Path) -> int:
    file = folder / name
    size = os.stat(file if file.exists() else folder / file_of(name)).st_size
    return _hash(f"{name}\0{size}".encode("utf-8", "surrogateescape"))


def _hash(content: Any) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=4).digest(), "little")


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
