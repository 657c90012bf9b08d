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
    return Dataset(
        NAME, _title(folder, train, test), train, test, _notes(train, test), place={"path": str(folder.resolve())}
    )


def load_unseen(path: str, data_dir: Path | None = None) -> Unseen:
    """The test images alone, of a run that was made with `path`. Raises as `load`."""
    dataset = load(path, data_dir)
    return Unseen(dataset.title, dataset.test, dataset.notes, {}, dataset.fingerprint)


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


def _title(folder: Path, train: Images, test: Images) -> str:
    size = "×".join(map(str, train.shape))
    return f"{counted(len(train), 'image')} of {size} to train on, {len(test):,} to measure, of {folder.name}"


def _notes(train: Images, test: Images) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*train.notes, *test.notes)))
