"""Any image collection as `Images`: a folder, a file, an array or a tensor.

What was done to the images on the way is said in their `notes`; what cannot be done without guessing is an error
that offers the choices. Nothing is resized unless it is asked for.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data import cache as decoded
from isthmus.data.arrays import as_pixels, from_any, read_npy, read_npz
from isthmus.data.framing import Framing
from isthmus.data.image_file import NOTES, SUFFIXES
from isthmus.data.images import Images
from isthmus.data.listing import Listing, list_images
from isthmus.data.readers import read_idx
from isthmus.data.reading import read_all, read_shapes
from isthmus.data.sizes import Size
from isthmus.data.stack import SizesDifferError, Stack
from isthmus.errors import DataError, RequestError, SkippedWarning, counted, require
from isthmus.files import open_regular
from isthmus.machine import cores

OnProgress = Callable[[int, int], None]
_LISTED = 10  # damaged files that a warning names


def open_images(
    source: Any,
    *,
    resize: Size | None = None,
    crop: Size | None = None,
    patches: Size | None = None,
    patches_per_image: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    cache: bool = True,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Images:
    """The images of a collection, all of one size, in one array.

    source: a folder with PNG, JPEG, TIFF, BMP or WebP files in it and below it, whose direct sub-folders, if all
        images lie in at least two of them, are the labels; one such file; a .npy, .npz or IDX file; a NumPy array or
        a torch tensor of shape (n, h, w), (n, c, h, w) or (n, h, w, c), uint8, uint16, bool or float in [0, 1].
    resize, crop, patches: (height, width). Each image is brought to a size, anti-aliased, its proportions not kept;
        then its centre is taken; then it is cut into overlapping patches that cover it, or `patches_per_image` random
        ones, drawn from `seed`.
    skip_bad: leave out damaged files, with a SkippedWarning and a note that count and list them.
    cache: keep what was decoded of a folder in the user's cache folder ($ISTHMUS_CACHE), and read it back from there.
    threads: that read files; the cores by default. on_progress: called with the files done so far, and all of them.

    Images of 8 bits stay uint8; 16 bits become float32 in [0, 1]. Grey images beside colour ones become RGB.
    Raises RequestError for a path that is not there, and DataError, with the path, for anything that cannot be read
    or that differs in size.
    """
    framing = Framing(resize, crop, patches, patches_per_image, seed)
    threads = cores() if threads is None else threads
    require(isinstance(threads, int) and threads >= 1, "threads", "at least 1", threads)
    array = from_any(source)
    if array is not None:
        return _framed(as_pixels(array, "the array"), None, "an array", framing)
    if not isinstance(source, str | os.PathLike):
        raise RequestError(f"images must be a path, a NumPy array or a torch tensor, got {type(source).__name__}")
    path = Path(source)
    if path.is_dir():
        listing = list_images(path)
    elif not os.path.lexists(path):
        raise RequestError(_missing(path))
    elif path.suffix.lower() in SUFFIXES:
        listing = Listing(path.parent, (path.name,), None, (), ())
    else:
        pixels, labels = _read_array_file(path)
        return _framed(as_pixels(pixels, str(path)), labels, str(path), framing)
    key = None
    if cache:
        options = {**dataclasses.asdict(framing), "skip_bad": skip_bad}
        if framing.patches_per_image is None:
            del options["seed"]  # nothing is drawn, so whatever the seed, it is the same images
        key = decoded.key(listing.folder, listing.names, options)
    if key and (kept := decoded.fetch(key, str(path))):
        if on_progress:
            on_progress(len(listing.names), len(listing.names))
        return kept
    images = _read_files(listing, str(path), framing, skip_bad, threads, on_progress)
    if key and len(set(images.names)) == len(listing.names):  # damaged files are to be said each time
        decoded.keep(key, images)
    return images


def _missing(path: Path) -> str:
    """The sentence for a path that is not there, with the nearest name that is."""
    parent = path.parent
    if not parent.is_dir():
        return f"{path} is not there: {parent} is no folder"
    near = difflib.get_close_matches(path.name, [p.name for p in parent.iterdir()], n=1, cutoff=0.5)
    return f"{path} is not there" + (f'; did you mean "{parent / near[0]}"?' if near else "; check its name")


# --- arrays ---


def _read_array_file(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels of a .npy, .npz or IDX file, told apart by their first bytes."""
    try:
        with open_regular(path) as file:
            start = file.read(6)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if start == b"\x93NUMPY" or path.suffix == ".npy":
        return read_npy(path), None
    if start[:2] == b"PK" or path.suffix == ".npz":
        return read_npz(path)
    if start[:2] not in (b"\0\0", b"\x1f\x8b"):
        held = start.hex(" ") or "nothing"
        raise DataError(
            f"{path} is no image and no array; give a folder of images, one image ({', '.join(SUFFIXES)}), or an "
            f".npy, .npz or IDX file, also IDX in gzip (this file starts with {held})"
        )
    return read_idx(path).array, _idx_labels(path)


def _idx_labels(path: Path) -> np.ndarray | None:
    """The labels beside an IDX file of images, if they are named as MNIST's are."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    if name == path.name.removesuffix(".gz"):
        return None
    for beside in (path.with_name(name), path.with_name(f"{name}.gz")):
        if beside.is_file():
            return read_idx(beside).array
    return None


def _framed(pixels: np.ndarray, labels: np.ndarray | None, source: str, framing: Framing) -> Images:
    """Images of pixels (n, c, h, w) of one size."""
    if labels is not None:
        labels = np.asarray(labels)
        if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
            labels = labels.astype(np.int64)
    images = Images(pixels, labels, source)
    if framing == Framing(seed=framing.seed):
        return images
    count = framing.count(images.shape[1:], source)
    stack = Stack([count] * len(images), source, framing.patches is not None)
    places = None
    if framing.patches:
        corners = [framing.corners(images.shape[1:], i, source) for i in range(len(images))]
        places = _places(range(len(images)), corners)
    for i, image in enumerate(images.pixels):
        stack.put(i, framing(image, i, f"{source}, image {i},"))
    labels = None if images.labels is None else images.labels.repeat(count)
    return Images(stack.pixels(), labels, source, places=places)


def _places(numbers: Iterable[int], corners: Sequence[np.ndarray]) -> np.ndarray:
    """(n, 3): the number of each patch's photograph, and its corner there."""
    which = np.repeat(list(numbers), [len(one) for one in corners])
    return np.column_stack([which, np.concatenate(corners)])


# --- files ---


def _read_files(
    listing: Listing,
    source: str,
    framing: Framing,
    skip_bad: bool,
    threads: int,
    on_progress: OnProgress | None,
) -> Images:
    paths, n = listing.paths(), len(listing.names)
    bad: dict[int, DataError] = {}
    corners = _corners(paths, framing, bad) if framing.patches else None
    counts = [1] * n if corners is None else [len(one) for one in corners]
    stack = Stack(counts, source, framing.patches is not None)
    kinds = Counter[str]()
    for i, block in enumerate(read_all(paths, framing, threads)):
        if isinstance(block, DataError):
            if not skip_bad:
                raise DataError(f"{block}" + (" (--skip-bad leaves it out)" if n > 1 else ""))
            bad[i] = block
        elif i not in bad:
            try:
                stack.put(i, block[0])
            except SizesDifferError:
                raise DataError(_sizes(paths, source, framing)) from None
            kinds.update(block[1])
        if on_progress:
            on_progress(i + 1, n)
    notes = [*listing.notes, *(NOTES[kind].format(n=counted(kinds[kind], "file")) for kind in NOTES if kinds[kind])]
    if stack.mixed_colours:
        notes.append("grey and colour images together: all became RGB")
    if stack.mixed_depths:
        notes.append("8 and 16 bits together: all became floats")
    if bad:
        notes.append(_skipped([listing.names[i] for i in sorted(bad)]))
        if len(bad) == n:
            raise DataError(f"{source}: none of {counted(n, 'file')} can be read; the first: {bad[min(bad)]}")
        warnings.warn(f"{source}: {notes[-1]}", SkippedWarning, stacklevel=3)
    good = [i for i in range(n) if i not in bad]
    which = np.repeat(good, [counts[i] for i in good])
    labels = None if listing.labels is None else np.array(listing.labels, np.int64)[which]
    names = tuple(listing.names[i] for i in which)
    places = None if corners is None else _places(range(len(good)), [corners[i] for i in good])
    return Images(stack.pixels(), labels, source, listing.label_names, names, tuple(notes), places)


def _corners(paths: Sequence[str], framing: Framing, bad: dict[int, DataError]) -> list[np.ndarray]:
    """The corners of each file's patches; those whose header cannot be read have none, and go to `bad`."""
    corners = []
    for i, shape in enumerate(read_shapes(paths)):
        if isinstance(shape, DataError):
            bad[i] = shape  # and the reader of the pixels, which comes to it in its turn, says so
            corners.append(np.empty((0, 2), np.int64))
        else:
            corners.append(framing.corners(shape[1:], i, paths[i]))
    return corners


def _sizes(paths: Sequence[str], source: str, framing: Framing) -> str:
    """The sentence for images of several sizes: which, how many of each, and the ways out."""
    found = Counter(shape[1:] for shape in read_shapes(paths) if not isinstance(shape, DataError))
    listed = ", ".join(f"{h}×{w} ({count:,})" for (h, w), count in found.most_common(5))
    more = f", and {len(found) - 5:,} more" if len(found) > 5 else ""
    return (
        f"{source} holds images of {len(found):,} sizes: {listed}{more}; choose --resize HxW (anti-aliased), "
        "--crop HxW (the centre) or --patches HxW (overlapping pieces)"
    )


def _skipped(names: list[str]) -> str:
    more = f", and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f"{counted(len(names), 'damaged file')} left out: {', '.join(names[:_LISTED])}{more}"
