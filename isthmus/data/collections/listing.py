"""List the image files of a folder in natural order, with the classes of its sub-folders."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from isthmus.data.formats.image_file import KINDS, known_endings, other_kind
from isthmus.errors import DataError, counted
from isthmus.files import open_regular

MASKS = "ground_truth"  # a folder in MVTec's layout has it beside train/good and test
ACCOUNT = "isthmus.json"  # in every folder of results: what made it, and under "drawn" the pictures about them
_MODEL = {"model.safetensors", "config.json"}  # as in `persistence`, which imports torch
_PREVIEW = "preview.png"  # beside them
_NUMBERS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Listing:
    """The image files below `folder`.

    names: their paths relative to it, '/'-separated, in natural order. labels: for each its class, a position in
    label_names, or None if the folder has no classes. notes: what was left out.
    """

    folder: Path
    names: tuple[str, ...]
    labels: tuple[int, ...] | None
    label_names: tuple[str, ...]
    notes: tuple[str, ...]

    def paths(self) -> list[str]:
        """The files, in the order of the names; as text, for a Path takes longer to make than a small file to open."""
        return [os.path.join(self.folder, name) for name in self.names]


def natural(text: str) -> tuple[list[int | str], str]:
    """A key that sorts numbers by value and words without regard to case: a2 before a10 before B1.

    >>> sorted(["b1", "a10", "a2", "A3"], key=natural)
    ['a2', 'A3', 'a10', 'b1']
    """
    # words and numbers alternate, a word first (maybe empty), so that words are compared with words
    parts: list[int | str] = list(_NUMBERS.split(text.casefold()))
    parts[1::2] = [int(digits[:4000]) for digits in parts[1::2]]  # type: ignore[index]
    return parts, text  # the text decides between names that differ only in case or leading zeros


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _not_read(folder: Path, names: list[str]) -> str:
    """The sentence on the first of these files that is of a kind that people have, and that is not read; or ""."""
    for name in names:
        with contextlib.suppress(OSError), open_regular(folder / name) as file:
            if kind := other_kind(file.read(16)):
                return f"{name} is {kind}, which is not read; convert such files to PNG or TIFF"
    return ""


def is_mvtec(folder: Path) -> bool:
    """Whether a folder has the layout of the data set MVTec AD: train/good, test/..., ground_truth/... of masks."""
    return all((folder / part).is_dir() for part in ("train/good", "test", MASKS))


def plotted(folder: Path | str) -> set[str]:
    """The previews and maps in a folder of results, by the account in it; empty for any other folder."""
    try:
        account = json.loads((Path(folder) / ACCOUNT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return set()
    names = account.get("drawn") if isinstance(account, dict) else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def list_images(folder: Path) -> Listing:
    """The image files in a folder and all folders below it.

    Left out are hidden files and folders, the masks of a folder in MVTec's layout, and previews of models and results.
    Links to files are followed, links to folders are not: they may form loops. If all images lie in at least two direct
    sub-folders, these are their classes. Raises DataError if there are no images, naming what there is.
    """
    names, others, linked, masks, pictures = [], Counter[str](), 0, list[str](), list[str]()
    other_files: dict[str, str] = {}  # one of each ending

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {error.strerror}; leave it out, or allow it to be read")

    for where, folders, files in os.walk(folder, onerror=refuse):
        linked += sum(os.path.islink(os.path.join(where, name)) for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
        if MASKS in folders and is_mvtec(Path(where)):
            folders.remove(MASKS)
            masks.append(where)
        inside = Path(where).relative_to(folder).as_posix()
        inside = "" if inside == "." else f"{inside}/"
        about = plotted(where) if ACCOUNT in files else {_PREVIEW} if set(files) >= _MODEL else set[str]()
        pictures += [inside + name for name in folders if name in about]
        folders[:] = [name for name in folders if name not in about]
        for name in files:
            if name.startswith("."):
                continue
            if name in about:
                pictures.append(inside + name)
                continue
            ending = os.path.splitext(name)[1].lower()
            if ending in KINDS:
                names.append(inside + name)
            else:
                others[ending or "no ending"] += 1
                other_files.setdefault(ending or "no ending", inside + name)
    listed = ", ".join(f"{n:,} {ending}" for ending, n in others.most_common(5))
    if not names:
        contents = f"other files ({listed})" if others else "no files"
        known = _not_read(folder, [other_files[ending] for ending, _ in others.most_common(5)])
        raise DataError(f"{folder} holds {contents} and no images; {known or 'known: ' + known_endings()}")
    if any("/" in name for name in names):
        names.sort(key=lambda name: [natural(part) for part in name.split("/")])
    else:  # the same order in two thirds of the time
        names.sort(key=natural)
    notes = []
    if others:
        notes.append(f"{counted(sum(others.values()), 'other file')} left out ({listed})")
    if pictures:
        notes.append(f"left out, as a preview of a model or of results: {pictures[0]}" + _and_more(pictures))
    if linked:
        notes.append(f"{counted(linked, 'link')} to folders not followed")
    if masks:
        notes.append(
            f"{masks[0]}{_and_more(masks)} is in MVTec's layout: the masks in {MASKS}/ were left out; train/ and "
            "test/ are both here, so give one of them"
        )
    tops = {name.partition("/")[0] for name in names if "/" in name}
    if len(tops) < 2 or not all("/" in name for name in names):
        return Listing(folder, tuple(names), None, (), tuple(notes))
    label_names = tuple(sorted(tops, key=natural))
    place = {name: i for i, name in enumerate(label_names)}
    labels = tuple(place[name.partition("/")[0]] for name in names)
    return Listing(folder, tuple(names), labels, label_names, tuple(notes))
