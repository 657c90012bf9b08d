"""Summary of a collection: counts, sizes, values, labels, and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from isthmus.data.collections.arrays import channels_first
from isthmus.data.collections.collection import listing_of, open_images, read_array_file
from isthmus.data.collections.listing import Listing
from isthmus.data.collections.loading import left_out
from isthmus.data.collections.pieces import page_name
from isthmus.data.collections.stack import mixed_words
from isthmus.data.collections.values import Values, values_by_kind
from isthmus.data.formats.image_file import Shape, quiet_readers, read_pages
from isthmus.data.formats.page import DARK, NOTES, Page, range_option
from isthmus.data.framing import Framing, TooSmallError
from isthmus.data.images import Images
from isthmus.data.stored.shard_folder import is_shards
from isthmus.errors import DataError, counted
from isthmus.machine import cores

_LISTED = 10


@dataclass(frozen=True)
class _File:
    """The shapes of a file's pages, its numbers, the kinds of notes on it, and the error by which a fit refuses it.

    forms: the channels and the types that a fit makes of the pages.
    """

    shapes: list[Shape]
    values: dict[str, Values]
    notes: tuple[str, ...]
    forms: set[tuple[int, np.dtype]]
    fault: DataError | None = None


def summary(path: Path, framing: Framing | None = None, *, skip_bad: bool = False) -> list[str]:
    """Lines that describe a collection, even one that cannot be used as it is. Raises as `open_images`.

    framing: the preparation of a fit. skip_bad: leave out what a fit with that option leaves out.
    """
    framing = framing or Framing()
    if is_shards(path):
        return _of_images(open_images(path, **vars(framing)))
    listing = listing_of(path)
    return _of_array(path, framing) if listing is None else _of_files(path, listing, framing, skip_bad=skip_bad)


def framed_words(shapes: Iterable[Shape], framing: Framing, where: str) -> list[str]:
    """The line on what becomes of images of these (channels, height, width); none if they stay as they are.

    Raises TooSmallError.
    """
    if not (framing.resize or framing.crop or framing.patches):
        return []
    n = sum(framing.count(shape[1:], where) for shape in shapes)
    h, w = framing.patches or framing.crop or framing.resize or (0, 0)
    count = counted(n, "patch", "patches") if framing.patches else counted(n, "image")
    return [f"with {framing.words()}: {count} of {h}×{w}"]


def _of_array(path: Path, framing: Framing) -> list[str]:
    array, _ = read_array_file(path)
    array = array.astype(np.uint8) if array.dtype == np.bool_ else array
    pixels = channels_first(array, str(path))
    page = Page(pixels.reshape(1, 1, -1), pixels.dtype.itemsize * 8)
    values = [f"         {kind}: {_words(numbers, framing)}" for kind, numbers in values_by_kind([page]).items()]
    made = framed_words([pixels.shape[1:]] * len(pixels), framing, str(path))
    try:
        return [*_of_images(open_images(path, value_range=framing.value_range, grey=framing.grey)), *values, *made]
    except DataError as error:
        c, h, w = pixels.shape[1:]
        return [_line(len(pixels), f"{c}×{h}×{w} {pixels.dtype}"), *values, f"refused as it is: {error}"]


def _of_files(path: Path, listing: Listing, framing: Framing, *, skip_bad: bool) -> list[str]:
    bad: dict[str, DataError] = {}  # cannot be read, or are too small
    files: list[_File] = []
    values: dict[str, Values] = {}
    refused = dict[str, DataError]()  # can be read, and are to be used with a --range alone
    for name, inspected in zip(listing.names, _inspected(listing.paths(), framing), strict=True):
        error = inspected if isinstance(inspected, DataError) else inspected.fault
        if error is not None and (skip_bad or not isinstance(inspected, _File) or isinstance(error, TooSmallError)):
            bad[name] = error
        elif error is not None:
            refused[name] = error
        if isinstance(inspected, _File) and not (skip_bad and error):
            for kind, numbers in inspected.values.items():
                values[kind].merge(numbers) if kind in values else values.setdefault(kind, numbers)
            files.append(replace(inspected, values={}))  # which are large
    if not files and bad:
        first = next(iter(bad.values()))
        raise DataError(f"{path}: none of {counted(len(listing.names), 'file')} can be used; the first: {first}")
    sizes = Counter(shape for file in files for shape in file.shapes)
    lines = []
    if not bad and not refused and len({shape[1:] for shape in sizes}) == 1:
        lines = _of_images(open_images(path, value_range=framing.value_range, grey=framing.grey))
        rest = lines[1:]
        lines = lines[:1]
    else:
        n = counted(len(listing.names) - (len(bad) if skip_bad else 0), "file")
        lines += [f"{n}, images of {counted(len(sizes), 'size')}:"] if len(sizes) > 1 else []
        lines += [_line(count, f"{c}×{h}×{w}") for (c, h, w), count in sizes.most_common(_LISTED)]
        if len(sizes) > _LISTED:
            lines.append(f"         and {len(sizes) - _LISTED:,} more sizes")
        kinds = Counter(kind for file in files for kind in file.notes)
        notes = [NOTES[kind].format(n=counted(kinds[kind], "file")) for kind in NOTES if kinds[kind]]
        channels, types = ({form[i] for file in files if not file.fault for form in file.forms} for i in (0, 1))
        notes += mixed_words(colours=len(channels) > 1, depths=len(types) > 1)
        labels = [_labels(np.array(listing.labels), listing.label_names)] if listing.labels is not None else []
        rest = [*labels, f"from  {path}", *listing.notes, *notes]
    lines += [f"         {kind}: {numbers.pages:,}, {_words(numbers, framing)}" for kind, numbers in values.items()]
    lines += rest
    usable = [shape for file in files if file.fault is None for shape in file.shapes]
    made = framed_words(usable, framing, str(path))
    if len(sizes) > 1 and not made:
        lines.append("the sizes differ: use it with --resize HxW, --crop HxW or --patches HxW")
    lines += made
    lines += _listed(f"{len(refused):,} to be used with --range alone:", refused)
    if skip_bad:
        return lines + left_out(bad)
    small = {name: error for name, error in bad.items() if isinstance(error, TooSmallError)}
    unread = {name: error for name, error in bad.items() if name not in small}
    lines += _listed(f"{len(unread):,} that cannot be read, to be left out with --skip-bad:", unread)
    return lines + _listed(f"{len(small):,} too small, to be left out with --skip-bad:", small)


def _inspected(paths: list[str], framing: Framing) -> Iterator[_File | DataError]:
    """What is in each file, in order; what cannot be read is what a fit cannot read either."""

    def inspect(path: str) -> _File | DataError:
        try:
            pages = read_pages(path)
        except DataError as error:
            return error
        fault, notes, forms = None, list[str](), set[tuple[int, np.dtype]]()
        try:
            for number, page in enumerate(pages):
                where = page_name(path, number, len(pages))
                image, kinds = framing.pixels(page, where)
                notes += kinds
                forms.add((len(image), image.dtype))
                framing.size(page.pixels.shape[1:], where)
        except DataError as error:
            fault, notes = error, [kind for page in pages for kind in page.notes]
        shapes = [page.pixels.shape for page in pages]
        return _File(shapes, values_by_kind(pages), tuple(dict.fromkeys(notes)), forms, fault)

    with quiet_readers(), ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(inspect, paths)


def _words(values: Values, framing: Framing) -> str:
    """The numbers in words, with the option that would use all of the scale if they do not and no range is said."""
    text = values.words()
    if (
        framing.value_range is None
        and values.dtype.kind == "u"
        and values.bits > 8
        and 0 < values.high <= DARK * (2**values.bits - 1)
    ):
        text += f": {range_option((0, 2 ** int(values.high).bit_length() - 1))} says what is white"
    return text


def _listed(head: str, faults: Mapping[str, DataError]) -> list[str]:
    if not faults:
        return []
    sentences = [str(sentence) for sentence in faults.values()]
    more = [f"  and {len(sentences) - _LISTED:,} more"] if len(sentences) > _LISTED else []
    return [head, *(f"  {sentence}" for sentence in sentences[:_LISTED]), *more]


def _of_images(images: Images) -> list[str]:
    c, h, w = images.shape
    bits = "8 bits" if images.pixels.dtype == np.uint8 else "read as floats"
    lines = [_line(len(images), f"{c}×{h}×{w} {images.pixels.dtype} ({bits})  sha256 {images.fingerprint}")]
    if images.labels is not None:
        lines.append(_labels(images.labels, images.label_names))
    return [*lines, f"from  {images.source}", *images.notes]


def _line(n: int, description: str) -> str:
    return f"{n:>8,} {'images' if n != 1 else 'image '}  {description}"


def _labels(labels: np.ndarray, label_names: tuple[str, ...]) -> str:
    values, counts = np.unique(labels, return_counts=True)
    shown = (label_names[i] if label_names else str(i) for i in values)
    return "        " + ", ".join(f"{name}: {n:,}" for name, n in zip(shown, counts, strict=True))
