"""Photographs for `isthmus explore` of a denoiser: the files of DATA, or those that it was fitted on."""

from __future__ import annotations

from pathlib import Path

from isthmus import console, persistence
from isthmus.commands.images.gallery import MOST_FILES, files_of, is_unchanged, remembered
from isthmus.commands.images.inputs import existing, is_named
from isthmus.data.collections.pieces import file_of
from isthmus.errors import RequestError, counted
from isthmus.explore.folder import Gallery
from isthmus.kinds import COMPUTES, KINDS


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
    place = remembered(extra, model) if data is None else data
    if place is None:
        if "images" in extra:
            console.say(
                f"{model} was fitted on {extra['images']}, which has moved or changed; give photographs as DATA"
            )
        return Gallery(photographs=True)
    files = () if is_named(place) else files_of(existing(place))
    if not files:
        raise RequestError(f"{place}: a denoiser is shown photographs; give a folder of image files, or one")
    which, seen = "", extra.get("seen")
    if (
        isinstance(seen, dict)
        and isinstance(seen.get("left_out"), list)
        and is_unchanged(place, seen.get("collection"))
    ):
        names = {file_of(name) for name in seen["left_out"]}
        held_out = tuple(file for file in files if file.relative_to(place).as_posix() in names)
        files, which = (held_out, ", held out of the training") if held_out else (files, "")
    return Gallery(None, f"{place}: {counted(len(files), 'photograph')}{which}", files=files[:MOST_FILES])
