"""A collection in a few lines, for a person: how many images, of which sizes, numbers and labels, and what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isthmus.data.arrays import channels_first
from isthmus.data.collection import listing_of, open_images, read_array_file
from isthmus.data.formats.page import NOTES, Page, range_option
from isthmus.data.framing import Framing
from isthmus.data.image_file import quiet_readers, read_pages
from isthmus.data.images import Images
from isthmus.data.listing import Listing
from isthmus.data.pieces import page_name
from isthmus.data.values import Values, values_by_kind
from isthmus.errors import DataError, counted
from isthmus.machine import cores

_LISTED = 10
_DARK = 0.25  # of white: whole numbers that stay below it are worth a --range


@dataclass(frozen=True)
class _File:
    """The shapes of a file's pages, its numbers, the kinds of notes on it, and why a fit refuses it."""

    shapes: list[tuple[int, ...]]
    values: dict[str, Values]
    notes: tuple[str, ...]
    fault: str = ""


def summary(path: Path) -> list[str]:
    """Lines that describe a collection, also one that cannot be used as it is. Raises what `open_images` raises."""
    listing = listing_of(path)
    return _of_array(path) if listing is None else _of_files(path, listing)


def _of_array(path: Path) -> list[str]:
    array, _ = read_array_file(path)
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    pixels = channels_first(array, str(path))
    page = Page(pixels.reshape(1, 1, -1), pixels.dtype.itemsize * 8)
    values = [f"         {kind}: {_words(one)}" for kind, one in values_by_kind([page]).items()]
    try:
        return [*_of_images(open_images(path)), *values]
    except DataError as error:
        c, h, w = pixels.shape[1:]
        return [_line(len(pixels), f"{c}×{h}×{w} {pixels.dtype}"), *values, f"to be used with --range: {error}"]


def _of_files(path: Path, listing: Listing) -> list[str]:
    bad: dict[str, str] = {}
    files: list[_File] = []
    for name, found in zip(listing.names, _inspected(listing.paths()), strict=True):
        if isinstance(found, DataError):
            bad[name] = str(found)
        else:
            files.append(found)
    sizes = Counter(shape for file in files for shape in file.shapes)
    need_range = [file.fault for file in files if file.fault]
    lines = []
    if not bad and not need_range and len({shape[1:] for shape in sizes}) == 1:
        lines = _of_images(open_images(path))
        rest = lines[1:]
        lines = lines[:1]
    else:
        n = counted(len(listing.names), "file")
        lines += [f"{n}, images of {counted(len(sizes), 'size')}:"] if len(sizes) > 1 else []
        lines += [_line(count, f"{c}×{h}×{w}") for (c, h, w), count in sizes.most_common(_LISTED)]
        if len(sizes) > _LISTED:
            lines.append(f"         and {len(sizes) - _LISTED:,} more sizes")
        kinds = Counter(kind for file in files for kind in file.notes)
        notes = [NOTES[kind].format(n=counted(kinds[kind], "file")) for kind in NOTES if kinds[kind]]
        labels = [_labels(np.array(listing.labels), listing.label_names)] if listing.labels is not None else []
        rest = [*labels, f"from  {path}", *listing.notes, *notes]
    values: dict[str, Values] = {}
    for file in files:
        for kind, one in file.values.items():
            values[kind].merge(one) if kind in values else values.setdefault(kind, one)
    lines += [f"         {kind}: {one.pages:,}, {_words(one)}" for kind, one in values.items()]
    lines += rest
    if len(sizes) > 1:
        lines.append("the sizes differ: use it with --resize HxW, --crop HxW or --patches HxW")
    lines += _listed(f"{len(need_range):,} to be used with --range alone:", need_range)
    return lines + _listed(f"{len(bad):,} that cannot be read, to be left out with --skip-bad:", list(bad.values()))


def _inspected(paths: list[str]) -> Iterator[_File | DataError]:
    """What is in each file, in order; what cannot be read is what a fit cannot read either."""

    def inspect(path: str) -> _File | DataError:
        try:
            pages = read_pages(path)
        except DataError as error:
            return error
        fault = ""
        try:
            for number, page in enumerate(pages):
                Framing().pixels(page, page_name(path, number, len(pages)))
        except DataError as error:
            fault = str(error)
        notes = tuple(dict.fromkeys(kind for page in pages for kind in page.notes))
        return _File([page.pixels.shape for page in pages], values_by_kind(pages), notes, fault)

    with quiet_readers(), ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(inspect, paths)


def _words(values: Values) -> str:
    """The numbers in words, with the option that would use all of the scale if they do not."""
    said = values.words()
    if values.dtype.kind == "u" and values.bits > 8 and 0 < values.high <= _DARK * (2**values.bits - 1):
        said += f": {range_option((0, 2 ** int(values.high).bit_length() - 1))} says what is white"
    return said


def _listed(head: str, sentences: list[str]) -> list[str]:
    if not sentences:
        return []
    more = [f"  and {len(sentences) - _LISTED:,} more"] if len(sentences) > _LISTED else []
    return [head, *(f"  {one}" for one in sentences[:_LISTED]), *more]


def _of_images(images: Images) -> list[str]:
    c, h, w = images.shape
    bits = "8 bits" if images.pixels.dtype == np.uint8 else "floats"
    lines = [_line(len(images), f"{c}×{h}×{w} {images.pixels.dtype} ({bits})  sha256 {images.fingerprint}")]
    if images.labels is not None:
        lines.append(_labels(images.labels, images.label_names))
    return [*lines, f"from  {images.source}", *images.notes]


def _line(n: int, said: str) -> str:
    return f"{n:>8,} {'images' if n != 1 else 'image '}  {said}"


def _labels(labels: np.ndarray, label_names: tuple[str, ...]) -> str:
    values, counts = np.unique(labels, return_counts=True)
    shown = (label_names[i] if label_names else str(i) for i in values)
    return "        " + ", ".join(f"{name}: {n:,}" for name, n in zip(shown, counts, strict=True))
