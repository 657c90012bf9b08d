"""Images for `isthmus explore MODEL`: those of DATA, or of the collection that the model was fitted on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.commands.images.inputs import existing, is_named, load_images
from isthmus.commands.images.leakage import Status, collection_of, memory_of, photographs_of
from isthmus.data.collections.listing import is_mvtec, list_images
from isthmus.data.collections.pieces import file_of
from isthmus.data.formats.image_file import is_image
from isthmus.data.framing import Framing, framing_from
from isthmus.data.images import Images
from isthmus.data.stored.shard_folder import is_shards
from isthmus.errors import IsthmusError, counted
from isthmus.explore.folder import Gallery
from isthmus.rng import numpy_generator

_MOST = 3000  # images, as many as the page's map shows
MOST_FILES = 500


def gallery_of(model: Path, data: str | None = None, data_dir: Path | None = None) -> Gallery:
    """The images for a model by itself, prepared as for its training: those that were held out, where that is known.

    Without DATA those of the model's own collection, if its files are where they were when it was fitted, with the same
    names and sizes. Raises what `load_images` raises for the images of DATA.
    """
    extra = persistence.read_config(model).get("extra", {})
    if data is not None:
        return _gallery(extra, model, data, data_dir)
    known = remembered(extra, model)
    if known is not None:
        try:
            return _gallery(extra, model, known, data_dir)
        except (IsthmusError, OSError) as error:
            console.say(f"the images of {model} are left out: {error}")
    elif "images" in extra:
        console.say(
            f"{model} was fitted on {extra['images']}, which has moved or changed; to see the model on images, "
            f"give them: isthmus explore {model} DATA"
        )
    # a folder or a file is not known to be of drawings, as the named data sets are
    return Gallery(photographs="images" in extra and known is None)


def remembered(extra: dict[str, Any], model: Path) -> str | None:
    """DATA as it was given to `isthmus fit`, if it still is what it was.

    Only the path that the fit was given is tried, and only what has the same names and sizes is shown.
    """
    table, path = extra.get("seen"), extra.get("images")
    collection = table.get("collection") if isinstance(table, dict) else None
    if not isinstance(collection, str) or not isinstance(path, str):
        return None
    name = collection.split(" ")[0]
    if is_named(name):
        return name
    places = (str(place) for place in (Path(path), model.parent / path))
    return next((place for place in places if is_unchanged(place, collection)), None)


def is_unchanged(data: str, collection: Any) -> bool:
    """Whether DATA is what a model was fitted on: as many files of the same names and sizes."""
    try:
        return Path(data).exists() and collection_of(data, "train") == collection
    except (IsthmusError, OSError):
        return False


def _gallery(extra: dict[str, Any], model: Path, data: str, data_dir: Path | None) -> Gallery:
    framing = framing_from(extra.get("preparation", {}), str(model / persistence.CONFIG))
    files = () if is_named(data) else files_of(existing(data))
    if framing.patches and files:  # all patches of many photographs would be gigabytes
        framing = _of_patches(framing, len(files))
    images = load_images(data, framing, data_dir=data_dir, skip_bad=True)
    memory = memory_of(extra.get("seen"), data, "test", str(model))
    statuses = memory.of_all(images)
    trained_on = {
        file_of(name) for name, status in zip(photographs_of(images)[0], statuses, strict=True) if status.trained_on
    }
    seen = memory.about(statuses)
    images, which = _held_out(images, statuses)
    order = numpy_generator(0, "patch").permutation(len(images))[:_MOST]
    if framing.patches:
        images = images.take(order)  # neighbours are of one photograph, and the first are what models are measured on
    elif len(images) > _MOST:
        images = images.take(np.sort(order))
    notes = (f"{seen.sentence}.",) if seen.sentence and not which else ()
    files = tuple(file for file in files if _name(file, data) not in trained_on) or files
    count = counted(len(images), "patch", "patches") if framing.patches else counted(len(images), "image")
    title = f"{data}: {count}{which}"
    return Gallery(images, title, notes, files[:MOST_FILES], photographs=not is_named(data))


def _of_patches(framing: Framing, n_files: int) -> Framing:
    return dataclasses.replace(framing, patches_per_image=max(1, -(-_MOST // n_files)), stride=None)


def files_of(path: Path) -> tuple[Path, ...]:
    """The pictures of a folder, or one picture; none of an array or of shards."""
    if path.is_dir() and not is_shards(path):
        return tuple(Path(file) for file in list_images(path / "test" if is_mvtec(path) else path).paths())
    return (path,) if is_image(path) else ()


def _name(file: Path, data: str) -> str:
    """A picture's name as its collection has it."""
    folder = Path(data)
    return file.relative_to(folder).as_posix() if folder.is_dir() else file.name


def _held_out(images: Images, statuses: list[Status]) -> tuple[Images, str]:
    """The images that the model saw least of, and the words for it; all of them if that is not known.

    statuses: of the photographs.
    """
    if not any(status.trained_on for status in statuses):
        return images, ""
    photographs = np.unique(images.photographs, return_inverse=True)[1]
    left_out = np.array([status.trained_on is False for status in statuses])[photographs]
    selected_on = np.array([status.selected_on is True for status in statuses])[photographs]
    for mask, words in (
        (left_out & ~selected_on, ", held out of the training"),
        (left_out, ", which the best epoch was chosen by"),
    ):
        if mask.any():
            return images.take(np.flatnonzero(mask)), words
    return images, ""
