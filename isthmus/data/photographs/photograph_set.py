"""Photographs of a study: as benchmarks split them, or some files of a folder of one's own held out whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.collections.listing import list_images
from isthmus.data.collections.pieces import file_of
from isthmus.data.framing import Framing
from isthmus.data.images import Dataset
from isthmus.data.photographs.album import Album, open_album
from isthmus.data.photographs.image_list import ImageList, of_album
from isthmus.data.sizes import cropped
from isthmus.data.sources.registry import roots
from isthmus.errors import RequestError, counted, require
from isthmus.rng import numpy_generator

NAME = "photographs"
PROTOCOL = ("train400", "bsd68")  # sub-folders: what Gaussian denoisers are usually trained on, and measured on
_SHARE, _MOST, _LEAST = 0.1, 24, 3  # of photographs without these: held out, at most, and how many there must be


def load(path: str | None, data_dir: Path | None, side: int) -> Dataset:
    """The photographs of a folder, in its published split if it has one, else some of its files held out whole.

    path: the folder that a study names; data_dir takes its place. Of test photographs with more than `side` pixels to a
    side the middle is measured. Raises RequestError for a folder without photographs, or with too few.
    """
    folder = find(path, data_dir)
    is_published = _has_protocol(folder)
    train, test, which = _published(folder) if is_published else _held_out(folder)
    require(train.channels == test.channels, "photographs", f"all grey or all colour in {folder}", test.channels)
    small = tuple(_middle(x, side) for x in test.arrays)
    notes = [*(train.album.notes if train.album else ())]
    if any(max(x.shape[1:]) > side for x in test.arrays):
        notes.append(f"Of test photographs with more than {side:,} pixels to a side the middle is measured.")
    kind = "grey" if train.channels == 1 else "colour"
    title = f"{counted(len(train), f'{kind} photograph')} to train on, {len(test)} to measure, of {folder.name}"
    test_names = [f"{which}{name}" for name in test.names]
    place = {"path": str(folder.resolve()), "test_images": list(dict.fromkeys(map(file_of, test_names)))}
    return Dataset(NAME, title, train, replace(test, arrays=small), tuple(notes), {}, place, is_published)


def find(path: str | None = None, data_dir: Path | None = None) -> Path:
    """The folder of photographs: `data_dir` or what a study names, or where data sets are looked for.

    It may be their own, or hold them in a folder of the name "photographs". Raises RequestError if there is none.
    """
    given = data_dir or (Path(path).expanduser() if path else None)
    places = [place for root in ([given] if given else roots()) for place in (root / NAME, root)]
    if published := next((place for place in places if _has_protocol(place)), None):
        return published
    if there := next((place for place in (places if given else places[::2]) if place.is_dir()), None):
        return there
    looked = given or ", ".join(map(str, places[::2]))
    raise RequestError(f"there is no folder of photographs: {looked}; give one with --data-dir")


def _has_protocol(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in PROTOCOL)


def _published(folder: Path) -> tuple[ImageList, ImageList, str]:
    train, test = (of_album(_album(folder / name)) for name in PROTOCOL)
    return train, test, f"{PROTOCOL[1]}/"


def _held_out(folder: Path) -> tuple[ImageList, ImageList, str]:
    """Some files by a draw that is always the same, without copies of what is trained on."""
    album = _album(folder)
    images = of_album(album)
    files = np.array([file_of(name) for name in images.names])
    distinct = list(dict.fromkeys(files.tolist()))
    require(len(distinct) >= _LEAST, f"the photographs in {folder}", f"at least {_LEAST} files", len(distinct))
    order = numpy_generator(0, "split").permutation(len(distinct))
    n_test = max(1, min(_MOST, round(_SHARE * len(distinct))))
    is_test = np.isin(files, [distinct[i] for i in order[:n_test]])
    is_copy = np.isin(album.marks, album.marks[is_test]) & ~is_test
    return images.take(np.flatnonzero(~is_test & ~is_copy)), images.take(np.flatnonzero(is_test)), ""


def _album(folder: Path) -> Album:
    return open_album(list_images(folder), Framing())


def _middle(x: Any, side: int) -> np.ndarray:
    return np.ascontiguousarray(cropped(x, (min(side, x.shape[1]), min(side, x.shape[2]))))
