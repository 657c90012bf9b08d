"""Folders of shards: images in arrays of some hundred megabytes, with an index, and what is known of each image.

    shards.json        the index: shape, type and number of images, and each shard's name, length and digest
    00000.npy ...      pixels, (m, c, h, w), uint8, float16 or float32
    labels.npy, identities.npy, names.txt    of all images, where they are known

`isthmus data convert` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.images import Images
from isthmus.data.stored.array_file import DTYPES, ArrayFile
from isthmus.data.stored.digests import Digest, check_range, digests_of
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.errors import DataError, counted
from isthmus.files import atomic_file
from isthmus.fingerprints import table_fingerprint

INDEX, UNFINISHED = "shards.json", "conversion.json"
LABELS, IDENTITIES, NAMES = "labels.npy", "identities.npy", "names.txt"
FORMAT = 1
STORED_BYTES = 1 << 30  # a larger array stays on the disk, whatever this machine's memory: its order is another
OnProgress = Callable[[int, int], None]


def is_shards(path: Path) -> bool:
    """Whether a path is a folder of shards, or of some that are not finished."""
    return any((path / name).is_file() for name in (INDEX, UNFINISHED))


def open_shards(folder: Path, on_progress: OnProgress | None = None) -> Images:
    """The images of a folder of shards, which stay there.

    The first time, and after any change, each shard is read and held against its digest. on_progress: called with the
    bytes, done and all. Raises DataError for shards that are missing, damaged, or not those of the index.
    """
    if not (folder / INDEX).is_file():
        raise DataError(
            f"{folder} holds shards that are not finished; the same `isthmus data convert` goes on with them"
        )
    try:
        index = json.loads((folder / INDEX).read_bytes())
        shape, dtype, n = tuple(index["shape"]), np.dtype(index["dtype"]), index["n"]
        shards = [(folder / shard["name"], shard) for shard in index["shards"]]
        texts = f"{folder}, of {index['source']}", tuple(index["label_names"]), tuple(index["notes"])
        known, is_sound = index["format"] == FORMAT, dtype in DTYPES and sum(shard["n"] for _, shard in shards) == n
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder, f"{INDEX} cannot be read ({type(error).__name__})") from None
    if not known:
        raise DataError(
            f"{folder} is of another version of isthmus (format {index['format']}); convert the images again"
        )
    if not is_sound or len(shape) != 3:
        raise _damaged(folder, f"{INDEX} contradicts itself")
    files = []
    for path, shard in shards:
        if not path.is_file():
            raise _damaged(folder, f"{path.name} is missing")
        file = ArrayFile.open(path)
        if (file.dtype, file.shape) != (dtype, (shard["n"], *shape)):
            raise _damaged(folder, f"{path.name} holds {_words(file.shape, file.dtype)}, not what the index says")
        files.append(file)
    digests = digests_of(files, on_progress)
    for file, (_, shard), digest in zip(files, shards, digests, strict=True):
        if digest.sha256 != shard["sha256"]:
            raise _damaged(folder, f"{file.path.name} is not as it was written (its sha256 differs)")
        check_range(digest, dtype, str(file.path))
    labels = _column(folder, LABELS, n, np.integer) if index["has_labels"] else None
    identities = _column(folder, IDENTITIES, n, np.uint64) if index["has_identities"] else None
    names = _names(folder, n) if index["has_names"] else ()
    source, label_names, notes = texts
    ends = min(digest.low for digest in digests), max(digest.high for digest in digests)
    pixels = StoredPixels(files, (shape[0], shape[1], shape[2]), digest_of_shards(index["shards"]), None, ends)
    return Images(pixels, labels, source, label_names, names, notes, None, identities)  # type: ignore[arg-type]


def stays_stored(path: Path) -> bool:
    """Whether a file is an array that is too large for memory, of images that can stay as they are stored."""
    if path.suffix != ".npy" or path.stat().st_size <= STORED_BYTES:
        return False
    return image_shape(ArrayFile.open(path)) is not None


def open_map(path: Path, on_progress: OnProgress | None = None) -> Images:
    """The images of a .npy file, which stay there: (n, c, h, w) or (n, h, w), uint8, float16 or float32 in [0, 1].

    on_progress: as of `open_shards`; the first time, and after any change, the file is read. Raises DataError.
    """
    file = ArrayFile.open(path)
    if (shape := image_shape(file)) is None:
        raise DataError(
            f"{path} holds {_words(file.shape, file.dtype)}, {file.n_bytes:,} bytes; so large it must be (n, h, w) or "
            "(n, c, h, w) of uint8, float16 or float32: `isthmus data convert` makes that of it"
        )
    digest = digests_of([file], on_progress)[0]
    check_range(digest, file.dtype, str(path))
    pixels = StoredPixels([file], shape, digest.sha256, None, (digest.low, digest.high))
    return Images(pixels, source=str(path))  # type: ignore[arg-type]


def image_shape(file: ArrayFile) -> tuple[int, int, int] | None:
    """(c, h, w) of an array's images; None if they cannot stay as they are stored."""
    if file.dtype not in DTYPES or 0 in file.shape or not file.dtype.isnative:
        return None
    if len(file.shape) == 3 and file.shape[2] not in (1, 3):
        return (1, file.shape[1], file.shape[2])
    if (
        len(file.shape) == 4
        and file.shape[1] in (1, 3)
        and (file.shape[3] not in (1, 3) or file.shape[1:] == (1, 1, 1))
    ):
        return (file.shape[1], file.shape[2], file.shape[3])
    return None


def shard_table(name: str, n: int, digest: Digest) -> dict[str, Any]:
    """What the index has of a shard."""
    return {"name": name, "n": n, "sha256": digest.sha256, "low": digest.low, "high": digest.high}


def digest_of_shards(shards: Sequence[dict[str, Any]]) -> str:
    """sha256 of all shards' own."""
    return table_fingerprint([[shard["n"], shard["sha256"]] for shard in shards])


def write_names(folder: Path, names: Sequence[str]) -> None:
    """Names, a line of JSON each, for a name may have a line's end in it."""
    text = "".join(json.dumps(name, ensure_ascii=False) + "\n" for name in names)
    with atomic_file(folder / NAMES) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def _names(folder: Path, n: int) -> tuple[str, ...]:
    try:
        lines = (folder / NAMES).read_bytes().decode("utf-8", "surrogateescape").split("\n")[:-1]
        names = tuple(str(json.loads(line)) for line in lines)
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{NAMES} cannot be read ({type(error).__name__})") from None
    if len(names) != n:
        raise _damaged(folder, f"{NAMES} has {counted(len(names), 'name')} for {counted(n, 'image')}")
    return names


def _column(folder: Path, name: str, n: int, dtype: Any) -> np.ndarray:
    if not (folder / name).is_file():
        raise _damaged(folder, f"{name} is missing")
    try:
        column = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, f"{name} cannot be read ({type(error).__name__})") from None
    if column.shape != (n,) or not np.issubdtype(column.dtype, dtype):
        raise _damaged(folder, f"{name} holds {_words(column.shape, column.dtype)}, not one number for each image")
    return column


def _damaged(folder: Path, fault: str) -> DataError:
    return DataError(f"{folder}: {fault}; copy it again, or convert the images again")


def _words(shape: tuple[int, ...], dtype: np.dtype) -> str:
    return f"{'×'.join(map(str, shape)) or 'one number'} {dtype}"
