"""Named data sets: their sources and checksums, and where they are looked for.

They are looked for in `--data-dir`, then in `$ISTHMUS_DATA`, then in the user's cache folder; each may hold a folder
`<name>/` or the files themselves. Published checksums are verified.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.images import Dataset, Images
from isthmus.data.sources.built_in import BUILT_IN
from isthmus.data.sources.idx import read_idx
from isthmus.errors import DataError, RequestError, unknown

_ROLES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Source:
    """A public data set of four IDX files. md5: of each .gz as published; sha256: of its uncompressed contents."""

    name: str
    title: str
    mirrors: tuple[str, ...]
    md5: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    sample: str = ""  # a smaller folder that stands in where the whole is not found


def _sums(*sums: str) -> dict[str, str]:
    """Checksums of the four files, in the order of `_ROLES`."""
    return dict(zip(_ROLES, sums, strict=True))


_MNIST = Source(
    "mnist",
    "MNIST: 70,000 handwritten digits, 28×28",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/",),
    sha256=_sums(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
# fmt: off
_FASHION = Source(
    "fashion-mnist",
    "Fashion-MNIST: 70,000 pictures of clothing, 28×28",
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    md5=_sums(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    label_names=(
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    sample="fashion-mnist-sample",
)
# fmt: on
_KMNIST = Source(
    "kmnist",
    "Kuzushiji-MNIST: 70,000 cursive Japanese characters, 28×28",
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    md5=_sums(
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
)
SOURCES = {source.name: source for source in (_MNIST, _FASHION, _KMNIST)}


def names() -> list[str]:
    """The names that `load` knows."""
    return [*BUILT_IN, *SOURCES]


def cache_folder() -> Path:
    """The user's cache folder for data, by the platform's convention."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("isthmus", appauthor=False)) / "data"


def roots(data_dir: Path | None = None) -> list[Path]:
    """The folders in which data is looked for, in this order."""
    from_environment = os.environ.get("ISTHMUS_DATA")
    return [Path(root) for root in (data_dir, from_environment, cache_folder()) if root]


def find(name: str, data_dir: Path | None = None) -> tuple[Path, dict[str, Path]] | None:
    """The first folder that holds all four files of a source, and the files by their published names, or None."""
    for root in roots(data_dir):
        for folder in (root / name, root):
            if files := _files_in(folder, _ROLES):
                return folder, files
    return None


def _files_in(folder: Path, wanted: tuple[str, ...]) -> dict[str, Path] | None:
    files = {}
    for name in wanted:
        candidates = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if not candidates:
            return None
        files[name] = candidates[0]
    return files


def find_sample(source: Source, data_dir: Path | None = None) -> dict[str, Path] | None:
    """The files of the sample that stands in for a source, or None."""
    wanted = ("sample-images-idx3-ubyte", "sample-labels-idx1-ubyte")
    folders = [folder for root in roots(data_dir) for folder in (root / source.sample, root)] if source.sample else []
    return next((files for folder in folders if (files := _files_in(folder, wanted))), None)


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Read a named data set. Raises RequestError with the way to get it, DataError for files that are not it."""
    if name in BUILT_IN:
        return BUILT_IN[name][0]()
    if name not in SOURCES:
        raise RequestError(unknown("data set", name, names()))
    source = SOURCES[name]
    if location := find(name, data_dir):
        return _read_source(source, location[1])
    if sample := find_sample(source, data_dir):
        return _read_sample(source, sample)
    looked = ", ".join(str(root) for root in roots(data_dir))
    raise RequestError(
        f"{name} is not on this machine (looked in {looked}); "
        f"fetch it with `isthmus data get {name}`, or use digits, which is built in, or letters"
    )


@dataclass(frozen=True)
class Unseen:
    """The test images of a data set, read without those to train on where that can be.

    files: sha256 of what was read, by name. fingerprint: of the whole data set, or None where it was not read.
    """

    title: str
    images: Images
    notes: tuple[str, ...]
    files: dict[str, str]
    fingerprint: str | None

    def is_of(self, data: dict[str, Any]) -> bool:
        """Whether these are the images of the run with `data` in its results.json, as far as is known."""
        if self.fingerprint is not None:
            return bool(self.fingerprint == data["sha256"])
        known = data.get("files") or self.files  # a run of an earlier version does not say
        return self.files.items() <= known.items()


def load_unseen(name: str, data_dir: Path | None = None) -> Unseen:
    """The test images of a named data set: of MNIST in a fifth of the time of `load`. Raises what `load` raises."""
    if name in SOURCES and (location := find(name, data_dir)):
        source, files = SOURCES[name], {role: path for role, path in location[1].items() if role.startswith("t10k")}
        arrays, sums = _read_files(source, files)
        return Unseen(source.title, _part("t10k", arrays, files, source), (), sums, None)
    whole = load(name, data_dir)
    return Unseen(whole.title, whole.test, whole.notes, whole.files, whole.fingerprint)


def _read_source(source: Source, files: dict[str, Path]) -> Dataset:
    arrays, sums = _read_files(source, files)
    train, test = (_part(part, arrays, files, source) for part in ("train", "t10k"))
    if train.shape != test.shape:
        raise DataError(f"{train.source}: training images of shape {train.shape} and test images of {test.shape}")
    return Dataset(source.name, source.title, train, test, files=sums)


def _read_files(source: Source, files: dict[str, Path]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and sha256 of files by their published names, held against what is known of them."""
    arrays, sums = {}, {}
    for role, path in files.items():
        content = read_idx(path)
        known = source.sha256.get(role)
        if known and content.sha256 != known:
            raise DataError(
                f"{path} is not {source.name}'s {role}: sha256 {content.sha256[:12]}…, expected {known[:12]}…; "
                f"remove it and run `isthmus data get {source.name}`"
            )
        # the three data sets name their files alike, and one folder may hold any of them
        for other in SOURCES.values():
            if other.name != source.name and content.sha256 == other.sha256.get(role):
                raise DataError(f"{path} is {other.name}'s, not {source.name}'s; keep each in a folder of its own name")
        if md5 := source.md5.get(role):
            _check_md5(path, md5, source)
        arrays[role], sums[role] = content.array, content.sha256
    return arrays, sums


def _part(part: str, arrays: dict[str, np.ndarray], files: dict[str, Path], source: Source) -> Images:
    return _images(arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"], files, source)


def _check_md5(path: Path, expected: str, source: Source) -> None:
    """Hold a .gz whose published md5 is known against it; an unpacked file has no known sum and is accepted."""
    if path.suffix != ".gz":
        return
    with open(path, "rb") as file:
        measured = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if measured != expected:
        raise DataError(
            f"{path} is not {source.name}'s file: md5 {measured}, expected {expected}; "
            f"remove it and run `isthmus data get {source.name}`"
        )


def _read_sample(source: Source, files: dict[str, Path]) -> Dataset:
    contents = {role: read_idx(path) for role, path in files.items()}
    images = _images(
        contents["sample-images-idx3-ubyte"].array, contents["sample-labels-idx1-ubyte"].array, files, source
    )
    note = f"The {len(images)} images of {source.sample} stand in for {source.name}, which is not on this machine."
    held_out = np.arange(len(images)) % 5 == 4
    return Dataset(
        source.name,
        f"{source.title} (a sample of {len(images)})",
        images.take(np.flatnonzero(~held_out)),
        images.take(np.flatnonzero(held_out)),
        (note,),
        {role: content.sha256 for role, content in contents.items()},
    )


def _images(pixels: np.ndarray, labels: np.ndarray, files: dict[str, Path], source: Source) -> Images:
    folder = next(iter(files.values())).parent
    if pixels.ndim != 3 or labels.ndim != 1 or len(pixels) != len(labels):
        raise DataError(
            f"{folder}: images of shape {pixels.shape} and labels of shape {labels.shape} do not belong together"
        )
    if np.issubdtype(labels.dtype, np.integer):
        labels = labels.astype(np.int64)
    return Images(pixels[:, None], labels, f"{source.name} in {folder}", source.label_names)
