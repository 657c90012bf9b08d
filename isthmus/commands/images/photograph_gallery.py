"""Photographs for `isthmus explore` of a denoiser: the files of DATA, or those that it was fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isthmus import console, persistence
from isthmus.commands.images.inputs import existing, is_named
from isthmus.commands.images.leakage import collection_of
from isthmus.data.collections.listing import is_mvtec, list_images
from isthmus.data.collections.pieces import file_of
from isthmus.data.formats.image_file import is_image
from isthmus.errors import IsthmusError, RequestError, counted
from isthmus.explore.folder import Gallery
from isthmus.kinds import COMPUTES, KINDS

MOST_FILES = 500


def is_of_photographs(model: Path) -> bool:
    """Whether a folder's model takes images of any size, without loading it."""
    kind = KINDS["estimator"].get(persistence.read_config(model)["class"])
    return kind is not None and COMPUTES["estimator"][kind].takes_any_size


def photograph_gallery(model: Path, data: str | None = None) -> Gallery:
    """The files to show a denoiser: those that were held out of its training, where that is known.

    Without DATA those of its own collection, if they are where they were, with the same names and sizes. Raises
    RequestError for a DATA that is no folder of image files.
    """
    extra = persistence.read_config(model).get("extra", {})
    seen = extra["seen"] if isinstance(extra.get("seen"), dict) else {}
    images = extra.get("images")
    places = [data] if data is not None else []
    if data is None and isinstance(images, str):
        places = [str(place) for place in (Path(images), model.parent / images) if _is_same(str(place), seen)]
        if not places:
            console.say(f"{model} was fitted on {images}, which has moved or changed; give photographs as DATA")
    if not places:
        return Gallery(photographs=True)
    folder, files = Path(places[0]), _files(places[0])
    which, left_out = "", seen.get("left_out")
    if isinstance(left_out, list) and _is_same(places[0], seen):
        names = {file_of(name) for name in left_out}
        held_out = tuple(file for file in files if file.relative_to(folder).as_posix() in names)
        files, which = (held_out, ", held out of the training") if held_out else (files, "")
    return Gallery(None, f"{folder}: {counted(len(files), 'photograph')}{which}", files=files[:MOST_FILES])


def _is_same(data: str, seen: dict[str, Any]) -> bool:
    """Whether DATA is what the model was fitted on."""
    try:
        return Path(data).exists() and collection_of(data, "train") == seen.get("collection")
    except (IsthmusError, OSError):
        return False


def _files(data: str) -> tuple[Path, ...]:
    if not is_named(data):
        path = existing(data)
        if path.is_dir():
            return tuple(Path(file) for file in list_images(path / "test" if is_mvtec(path) else path).paths())
        if is_image(path):
            return (path,)
    raise RequestError(f"{data}: a denoiser is shown photographs; give a folder of image files, or one")
