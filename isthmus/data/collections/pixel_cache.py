"""Cache of decoded pixels in the user's cache folder, valid while nothing in the collection has changed.

An entry is a folder with pixels.npy, about.json and, for patches, places.npy. Its name is the sha256 of the folder's
path, each file's name, size and times, the options, and the version of this format. A damaged entry is made again; the
least recently used entries are removed beyond a limit. A cache that cannot be written is not an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.collections.arrays import read_npy
from isthmus.data.images import Images
from isthmus.errors import DataError
from isthmus.files import atomic_folder, cache_folder, is_temporary, remove
from isthmus.fingerprints import array_fingerprint

FORMAT = 4
MAX_BYTES = 4 << 30
WORTH_FILES, WORTH_BYTES = 200, 16 << 20  # a smaller folder is read as fast as its entry would be
_PIXELS, _PLACES, _ABOUT = "pixels.npy", "places.npy", "about.json"


def folder() -> Path:
    """Where entries lie."""
    return cache_folder("decoded")


def key(root: Path, names: tuple[str, ...], options: dict[str, Any]) -> str | None:
    """The name of a folder's entry, or None if the folder is too small to be worth one, or a file has no stat."""
    files = stamp(root, names)
    if files is None or (len(names) < WORTH_FILES and files[1] < WORTH_BYTES):
        return None
    return hashlib.sha256(json.dumps([FORMAT, os.path.realpath(root), options, files[0]]).encode()).hexdigest()


def stamp(root: Path, names: tuple[str, ...]) -> tuple[str, int] | None:
    """A hash of what would change with any of the files, and the bytes of all; None if one has no stat.

    It includes ctime: unpacked archives may give other files the same size and mtime, but nothing can set a ctime.
    """
    total, digest = 0, hashlib.sha256()
    try:
        for name in names:
            facts = os.stat(os.path.join(root, name))
            total += facts.st_size
            line = f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ctime_ns}\0"
            digest.update(line.encode("utf-8", "surrogateescape"))
    except OSError:
        return None
    return digest.hexdigest(), total


def fetch(name: str, source: str) -> Images | None:
    """The images of an entry, or None if it is missing or damaged. source: theirs."""
    entry = folder() / name
    try:
        about = json.loads((entry / _ABOUT).read_text("utf-8"))
        pixels = read_npy(entry / _PIXELS, max_bytes=(entry / _PIXELS).stat().st_size)
        labels = None if about["labels"] is None else np.array(about["labels"], np.int64)
        label_names, names, notes = (tuple(about[field]) for field in ("label_names", "names", "notes"))
        places = read_npy(entry / _PLACES) if about["cut"] else None
        identities = np.array(about["identities"], np.uint64)
        images = Images(pixels, labels, source, label_names, names, notes, places, identities)
        if _digest(images) != about["sha256"]:
            return None
        os.utime(entry)  # it was used now
        return images
    except (OSError, DataError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # damaged, or not there: it will be made


def keep(name: str, images: Images) -> None:
    """Make an entry, and remove old ones beyond the limit."""
    if images.pixels.nbytes > MAX_BYTES // 2:
        return
    about = {
        "sha256": _digest(images),
        "labels": None if images.labels is None else images.labels.tolist(),
        "label_names": images.label_names,
        "names": images.names,
        "notes": images.notes,
        "cut": images.places is not None,
        "identities": None if images.identities is None else images.identities.tolist(),
    }
    with contextlib.suppress(OSError, UnicodeError):  # a full disk, a read-only home, a name that is no text
        folder().mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder() / name) as building:
            (building / _ABOUT).write_text(json.dumps(about), "utf-8")
            np.save(building / _PIXELS, images.pixels, allow_pickle=False)
            if images.places is not None:
                np.save(building / _PLACES, images.places, allow_pickle=False)
        make_room(folder(), MAX_BYTES)


def _digest(images: Images) -> str:
    """sha256 of all that is kept; the fingerprint in it is computed once and needed later in any case."""
    places = None if images.places is None else array_fingerprint(images.places)
    identities = None if images.identities is None else array_fingerprint(images.identities)
    rest = [images.fingerprint, images.label_names, images.names, images.notes, places, identities]
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()


def make_room(place: Path, limit: int) -> None:
    """Remove entries, the longest unused first, until the rest fits in `limit` bytes."""
    known = entries(place)
    total = sum(size for _, size, _ in known)
    for _, size, entry in known[:-1]:  # never the newest
        if total <= limit:
            break
        remove(entry)
        total -= size


def entries(place: Path) -> list[tuple[int, int, Path]]:
    """When each entry was last used, its bytes, and where it is: the longest unused first."""
    known = []
    for entry in place.iterdir():
        if not is_temporary(entry):  # which another process is writing
            facts = entry.stat()
            known.append((facts.st_mtime_ns, sum(file.stat().st_size for file in entry.iterdir()), entry))
    return sorted(known)
