"""Open any image collection as `Images`: a folder, a file, an array or a tensor.

The `notes` say what was done to the images. What would need a guess is an error that offers the choices. Nothing is
resized unless requested.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.collections import pixel_cache as decoded
from isthmus.data.collections.arrays import (
    as_pixels,
    channels_first,
    from_any,
    last_axis_doubt,
    range_of_array,
    read_npy,
    read_npz,
)
from isthmus.data.collections.listing import Listing, list_images
from isthmus.data.collections.loading import dark_note, gather, places_of, range_of_files
from isthmus.data.collections.stack import Stack
from isthmus.data.formats.image_file import is_image, known_endings, refuse_others
from isthmus.data.formats.page import NOTES, ValueRange, grey_of, misfits, range_option, stretched
from isthmus.data.framing import Framing
from isthmus.data.identity import identities_of
from isthmus.data.images import Images
from isthmus.data.sizes import Size
from isthmus.data.sources.idx import read_idx
from isthmus.data.stored.shard_folder import is_shards, open_map, open_shards, stays_stored
from isthmus.data.torch_datasets import is_torch_data, read_samples
from isthmus.errors import DataError, RequestError, counted, require
from isthmus.files import open_regular
from isthmus.machine import cores

OnProgress = Callable[[int, int], None]
AUTO = "auto"


def open_images(
    source: Any,
    *,
    resize: Size | None = None,
    crop: Size | None = None,
    patches: Size | None = None,
    patches_per_image: int | None = None,
    seed: int = 0,
    grey: bool = False,
    value_range: ValueRange | str | None = None,
    stride: Size | None = None,
    skip_bad: bool = False,
    cache: bool = True,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Images:
    """The images of a collection, all of one size, in one array.

    source: a folder with PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, PGM or PPM files in it and below it, whose direct
        sub-folders, if all images lie in at least two of them, are the labels; one such file; a .npy, .npz or IDX file;
        a NumPy array or a torch tensor of shape (n, h, w), (n, c, h, w) or (n, h, w, c), or a list of n such images,
        uint8, uint16, bool or float in [0, 1], or any numbers with a value_range; a torch Dataset or DataLoader, which
        is read once, into memory, and gives such images, or tuples with a label after each. Each page of a TIFF and
        each frame of an animation is an image. A folder of shards (`isthmus data convert`), and a .npy file of more
        than a gibibyte with (n, h, w) or (n, c, h, w) of uint8, float16 or float32, stay on the disk, where they are
        read as they are needed; they are as they were stored, without any of the preparation below.
    resize, crop, patches: (height, width). Each image is brought to a size, anti-aliased, its proportions not kept;
        then its centre is taken; then it is cut into patches that cover it, `stride` (height, width) apart, by default
        half a patch, or into `patches_per_image` random ones, drawn from `seed`.
    grey: make colour images grey. value_range: (low, high), the numbers that are black and white, or "auto" for the
        smallest and the largest there are.
    skip_bad: leave out files that are damaged, or smaller than what is to be cut out of them, with a SkippedWarning and
        a note that count and list them.
    cache: keep what was decoded of a folder in the user's cache folder ($ISTHMUS_CACHE), and read it back from there.
    threads: that read files; the cores by default. on_progress: called with the files done so far, and all of them.

    Images of 8 bits stay uint8; 16 bits become float32 in [0, 1]. Grey images beside colour ones become RGB.
    Raises RequestError for a path that is not there, and DataError, with the path, for anything that cannot be read
    or that differs in size.
    """
    threads = cores() if threads is None else threads
    require(isinstance(threads, int) and threads >= 1, "threads", "at least 1", threads)
    kind, labels, label_names = "array", None, tuple[str, ...]()
    if is_torch_data(source):
        kind = type(source).__name__
        source, labels, label_names = read_samples(source, f"the {kind}")
    if isinstance(value_range, str):
        require(value_range == AUTO, "value_range", '(low, high) or "auto"', value_range)
        value_range = find_range(source, skip_bad=skip_bad)
    framing = Framing(resize, crop, patches, patches_per_image, seed, grey, value_range, stride)
    array = from_any(source)
    if array is not None:
        images = _framed(array, labels, f"the {kind}", f"{'an' if kind == 'array' else 'a'} {kind}", framing)
        return replace(images, label_names=label_names) if label_names else images
    if not isinstance(source, str | os.PathLike):
        raise RequestError(f"images must be a path, a NumPy array or a torch tensor, got {type(source).__name__}")
    path = Path(source)
    is_plain = framing == Framing(seed=seed)
    if is_shards(path):
        if not is_plain:
            raise DataError(
                f"{path} holds shards, whose images were prepared when they were converted; leave "
                f"{framing.words() or 'the preparation'} out, or convert them again with it"
            )
        return open_shards(path, on_progress)
    listing = listing_of(path)
    if listing is None and is_plain and stays_stored(path):
        return open_map(path, on_progress)
    if listing is None:
        pixels, labels = read_array_file(path)
        return _framed(pixels, labels, str(path), str(path), framing)
    key = None
    if cache:
        options = {**dataclasses.asdict(framing), "skip_bad": skip_bad}
        if framing.patches_per_image is None:
            del options["seed"]  # nothing is random
        key = decoded.key(listing.folder, listing.names, options)
    if key and (cached := decoded.fetch(key, str(path))):
        if on_progress:
            on_progress(len(listing.names), len(listing.names))
        return cached
    images, whole = gather(listing, str(path), framing, skip_bad, threads, on_progress)
    if key and whole:  # damaged files are reported each time
        decoded.keep(key, images)
    return images


def find_range(source: Any, *, skip_bad: bool = False) -> ValueRange:
    """The smallest and the largest number of all images of a collection, as they are stored. Raises as `open_images`.

    skip_bad: files that cannot be read are passed over; without it they are errors.
    """
    array = from_any(source)
    if array is not None:
        return range_of_array(array, "the array")
    if is_shards(Path(source)):
        raise DataError(f"{source} holds shards, whose numbers are in [0, 1] already; leave --range out")
    listing = listing_of(Path(source))
    if listing is None:
        return range_of_array(read_array_file(Path(source))[0], str(source))
    return range_of_files(listing, str(source), skip_bad=skip_bad)


def listing_of(path: Path) -> Listing | None:
    """The image files that a path stands for; None for a file of an array, and for shards.

    Raises RequestError if it is not there.
    """
    if path.is_dir():
        return None if is_shards(path) else list_images(path)
    if not os.path.lexists(path):
        raise RequestError(_missing(path))
    return Listing(path.parent, (path.name,), None, (), ()) if is_image(path) else None


def _missing(path: Path) -> str:
    """The error for a missing path, with the nearest name that exists."""
    parent = path.parent
    if not parent.is_dir():
        return f"{path} does not exist: {parent} is not a folder"
    near = difflib.get_close_matches(path.name, [p.name for p in parent.iterdir()], n=1, cutoff=0.5)
    return f"{path} does not exist" + (f'; did you mean "{parent / near[0]}"?' if near else "; check its name")


# --- arrays ---


def read_array_file(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels of a .npy, .npz or IDX file, told apart by their first bytes."""
    try:
        with open_regular(path) as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if start.startswith(b"\x93NUMPY") or path.suffix == ".npy":
        return read_npy(path), None
    if start[:2] == b"PK" or path.suffix == ".npz":
        return read_npz(path)
    refuse_others(path, start)  # whose endings are no image's that is read, as .heic
    if start[:2] not in (b"\0\0", b"\x1f\x8b"):
        held = start[:6].hex(" ") or "nothing"
        raise DataError(
            f"{path} is neither an image nor an array; give a folder of images, one image ({known_endings()}), or "
            f"an .npy, .npz or IDX file, also IDX in gzip (this file starts with {held})"
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


def _framed(array: np.ndarray, labels: np.ndarray | None, name: str, source: str, framing: Framing) -> Images:
    """Images of an array. name: what errors call it."""
    labels, label_names = (None, ()) if labels is None else _labelled(labels, name)
    stored = channels_first(array, name)
    pixels = stretched(stored, framing.value_range) if framing.value_range else as_pixels(stored, name)
    images = Images(pixels, labels, source, label_names)
    notes = _notes(stored, pixels, framing)
    if sentence := last_axis_doubt(array, name):
        notes = (sentence, *notes)
    if notes:
        images = replace(images, notes=notes)
    if framing != Framing(seed=framing.seed):
        images = replace(images, identities=identities_of(stored))
    if framing.grey:
        images = replace(images, pixels=np.stack([grey_of(image) for image in images.pixels]))
    if framing == Framing(seed=framing.seed, grey=framing.grey, value_range=framing.value_range):
        return images
    count = framing.count(images.shape[1:], source)
    stack = Stack(count * len(images), source, framing.patches is not None)
    places = None
    if framing.patches:
        corners = [framing.corners(images.shape[1:], i, source) for i in range(len(images))]
        places = places_of(corners)
    for i, image in enumerate(images.pixels):
        stack.put(framing(image, i, f"{source}, image {i},"))
    labels = None if images.labels is None else images.labels.repeat(count)
    identities = None if images.identities is None else images.identities.repeat(count)
    return replace(images, pixels=stack.pixels(), labels=labels, places=places, identities=identities)


def _labelled(labels: np.ndarray, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Integers, (n,), and what they stand for, where labels are text. Raises DataError for what are no labels."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind in "US" and labels.ndim == 1:
        try:
            names, numbers = np.unique(labels, return_inverse=True)
            words = names.tolist() if names.dtype.kind == "U" else [name.decode() for name in names]
        except ValueError as error:
            raise DataError(f"{source}: its labels are no text ({error})") from None
        return numbers.astype(np.int64), tuple(words)
    with np.errstate(invalid="ignore"):  # NaN is no number
        whole = labels.astype(np.int64) if labels.dtype.kind in "bfiu" else labels
    if labels.ndim != 1 or not np.array_equal(whole, labels):
        raise DataError(
            f"{source}: labels must be a whole number or text for each image, got {labels.dtype} of {labels.shape}; "
            "save them so, or leave them out"
        )
    return whole, ()


def _notes(stored: np.ndarray, pixels: np.ndarray, framing: Framing) -> tuple[str, ...]:
    """Notes on an array's numbers and their range."""
    if framing.value_range is None:
        likely = range_option((0, 2 ** int(stored.max()).bit_length() - 1)) if stored.dtype == np.uint16 else ""
        return (dark,) if likely and (dark := dark_note(pixels, likely)) else ()
    white = int(np.iinfo(stored.dtype).max) if stored.dtype in (np.uint8, np.uint16) else None
    kinds = misfits(stored, white, framing.value_range)
    counts = dict.fromkeys(kinds, counted(len(stored), "image"))
    for kind in {"clipped", "cut"} & {*kinds}:
        low, high = framing.value_range
        outside = sum(bool(image.min() < low or image.max() > high) for image in stored)
        counts[kind] = counted(outside, "image")
    return tuple(NOTES[kind].format(n=counts[kind]) for kind in kinds)
