"""Images of a study that are a person's own: a folder with what to train on and what to measure on."""

from __future__ import annotations

from pathlib import Path

from isthmus.data.collections.collection import open_images
from isthmus.data.images import Dataset, Images
from isthmus.data.sources.registry import Unseen
from isthmus.errors import DataError, RequestError, counted

NAME = "images"
_PARTS = ("train", "test")
_ENDINGS = ("", ".npy", ".npz")


def load(path: str | None, data_dir: Path | None) -> Dataset:
    """The images of train and test in a folder: each a folder of images or of shards, or an array, as `open_images`
    reads them.

    path: the folder that a study names; data_dir takes its place. Raises RequestError for a folder without them, and
    DataError for images that cannot be used, or of different sizes.
    """
    folder = _folder(path, data_dir)
    train, test = (open_images(_part(folder, part)) for part in _PARTS)
    if train.shape != test.shape:
        sizes = [
            f"{'×'.join(map(str, images.shape))} in {part}" for part, images in zip(_PARTS, (train, test), strict=True)
        ]
        raise DataError(f"{folder}: images have {' and '.join(sizes)}; bring them to one size")
    if train.label_names != test.label_names:
        raise DataError(f"{folder}: the classes in {_PARTS[0]} and {_PARTS[1]} are not the same; give both all of them")
    sums = {part: images.fingerprint for part, images in zip(_PARTS, (train, test), strict=True)}
    notes = tuple(dict.fromkeys((*train.notes, *test.notes)))
    title = f"{_count(train)} to train on, {len(test):,} to measure, of {folder.name}"
    return Dataset(NAME, title, train, test, notes, sums, {"path": str(folder.resolve())})


def load_unseen(path: str, data_dir: Path | None = None) -> Unseen:
    """The test images alone, of a run that was made with `path`. Raises as `load`."""
    folder = _folder(path, data_dir)
    test = open_images(_part(folder, _PARTS[1]))
    title = f"{_count(test)}, the test images of {folder.name}"
    return Unseen(title, test, test.notes, {_PARTS[1]: test.fingerprint}, None)


def _folder(path: str | None, data_dir: Path | None) -> Path:
    folder = data_dir or (Path(path).expanduser() if path else None)
    if folder is None:
        raise RequestError(f'the data "{NAME}" have no path in the study; give their folder with --data-dir')
    return folder


def _part(folder: Path, part: str) -> Path:
    place = next((place for ending in _ENDINGS if (place := folder / f"{part}{ending}").exists()), None)
    if place is None:
        known = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) if folder.is_dir() else "no folder"
        raise RequestError(
            f"{folder} has no {part}, a folder of images or of shards, or {part}.npy; it holds {known or 'nothing'}"
        )
    return place


def _count(images: Images) -> str:
    return f"{counted(len(images), 'image')} of {'×'.join(map(str, images.shape))}"
