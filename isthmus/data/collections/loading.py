"""Load the files of a collection into one array, with names, labels and notes."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from isthmus.data.collections.arrays import checked_ends, range_of
from isthmus.data.collections.listing import Listing
from isthmus.data.collections.pieces import page_index, page_name
from isthmus.data.collections.reader_pool import all_shapes, read_all
from isthmus.data.collections.stack import SizesDifferError, Stack, mixed_words
from isthmus.data.formats.image_file import quiet_readers, read_pages
from isthmus.data.formats.page import DARK, NOTES, ValueRange
from isthmus.data.framing import Framing, TooSmallError
from isthmus.data.images import Images
from isthmus.errors import DataError, SkippedWarning, counted
from isthmus.machine import cores

OnProgress = Callable[[int, int], None]
_LISTED = 10  # files that a warning names


class MixedSizesError(DataError):
    """Images of several sizes cannot become one array. sizes: in words; size: the one to suggest."""

    def __init__(self, sizes: str, size: str = "HxW") -> None:
        super().__init__(
            f"{sizes}; choose --resize {size} (anti-aliased), --crop {size} (the centre) or --patches {size} "
            "(overlapping pieces)"
        )
        self.sizes = sizes


def gather(
    listing: Listing,
    source: str,
    framing: Framing,
    skip_bad: bool,
    threads: int,
    on_progress: OnProgress | None,
) -> tuple[Images, bool]:
    """The images of all files, and whether no file was left out. Raises DataError for files that cannot be used."""
    paths, n = listing.paths(), len(listing.names)
    bad: dict[int, DataError] = {}
    corners = _corners(paths, framing, bad, skip_bad=skip_bad) if framing.patches else None
    expected = n if corners is None else sum(len(patches) for pages in corners for patches in pages)
    stack = Stack(expected, source, framing.patches is not None)
    kinds, names, which, identities = Counter[str](), list[str](), list[int](), list[int]()
    for i, block in enumerate(read_all(paths, framing, threads)):
        if isinstance(block, DataError):
            if not skip_bad:
                raise DataError(f"{block}{way_out(n)}")
            bad[i] = block
            if corners is not None:
                corners[i] = []  # its header may have been sound
        elif i not in bad:
            pages, notes_of_file, known = block
            for number, page in enumerate(pages):
                try:
                    stack.put(page)
                except SizesDifferError:
                    raise MixedSizesError(_sizes(paths, source)) from None
                names += [page_name(listing.names[i], number, len(pages))] * len(page)
                which += [i] * len(page)
                identities += [known[number]] * len(page)
            if notes_of_file:
                kinds.update(notes_of_file)
        if on_progress:
            on_progress(i + 1, n)
    notes = [*listing.notes, *(NOTES[kind].format(n=counted(kinds[kind], "file")) for kind in NOTES if kinds[kind])]
    notes += mixed_words(colours=stack.mixed_colours, depths=stack.mixed_depths)
    if bad:
        if len(bad) == n:
            raise DataError(f"{source}: none of {counted(n, 'file')} can be read; the first: {bad[min(bad)]}")
        skipped = left_out({listing.names[i]: bad[i] for i in sorted(bad)})
        warnings.warn(f"{source}: {'; '.join(skipped)}", SkippedWarning, stacklevel=3)
        notes += skipped
    pixels = stack.pixels()
    if framing.value_range is None and (dark := dark_note(pixels)):
        notes.append(dark)
    labels = None if listing.labels is None else np.array(listing.labels, np.int64)[which]
    places = None if corners is None else places_of([patches for pages in corners for patches in pages])
    known_by = np.array(identities, np.uint64)
    images = Images(pixels, labels, source, listing.label_names, tuple(names), tuple(notes), places, known_by)
    return images, not bad


def dark_note(pixels: np.ndarray, likely: str = "--range LOW:HIGH") -> str:
    """A note on float images that are dark throughout; "" for others. likely: the option that may be what they need."""
    if pixels.dtype == np.uint8 or not (brightest := float(pixels.max())) <= DARK:
        return ""
    return dark_words(brightest, likely)


def dark_words(brightest: float, likely: str = "--range LOW:HIGH") -> str:
    """The note on images whose brightest pixel is that share of white."""
    return f"the brightest pixel is {brightest:.3g} of white: {likely} or --range auto says what is white"


def way_out(n: int) -> str:
    """The way out for one bad file among n."""
    return " (--skip-bad leaves it out)" if n > 1 else ""


def left_out(bad: dict[str, DataError]) -> list[str]:
    """Sentences for files that were left out: how many, and the first of them."""
    small = [name for name, error in bad.items() if isinstance(error, TooSmallError)]
    others = [name for name, error in bad.items() if not isinstance(error, TooSmallError)]
    sentences = []
    for kind, names in (("unreadable file", others), ("file", small)):
        if names:
            too = " too small to be cut and" if names is small else ""
            sentences.append(f"{counted(len(names), kind)}{too} left out: {listed(names)}")
    return sentences


def listed(names: Iterable[str]) -> str:
    """The first of some files, and how many more there are."""
    first = list(names)
    more = f", and {len(first) - _LISTED:,} more" if len(first) > _LISTED else ""
    return ", ".join(first[:_LISTED]) + more


def _corners(
    paths: Sequence[str], framing: Framing, bad: dict[int, DataError], *, skip_bad: bool
) -> list[list[np.ndarray]]:
    """The corners of the patches of each file's pages; files whose header cannot be read have none, and go to `bad`.

    Raises TooSmallError before anything else is read, unless such files are left out.
    """
    corners: list[list[np.ndarray]] = []
    for i, shapes in enumerate(all_shapes(paths)):
        corners.append([])
        if isinstance(shapes, DataError):
            bad[i] = shapes  # and the reader of the pixels, which comes to it in its turn, says so
            continue
        try:
            for number, shape in enumerate(shapes):
                where = page_name(paths[i], number, len(shapes))
                corners[i].append(framing.corners(shape[1:], page_index(i, number), where))
        except TooSmallError as error:
            if not skip_bad:
                raise TooSmallError(f"{error}{way_out(len(paths))}") from None
            corners[i], bad[i] = [], error
    return corners


def places_of(corners: Sequence[np.ndarray]) -> np.ndarray:
    """(n, 3) of the corners of each photograph's patches: the number of each patch's photograph, and its corner."""
    which = np.repeat(range(len(corners)), [len(patches) for patches in corners])
    return np.column_stack([which, np.concatenate(corners)])


def _sizes(paths: Sequence[str], source: str) -> str:
    """The sizes of images in words, with their counts."""
    counts = Counter(shape[1:] for shapes in all_shapes(paths) if not isinstance(shapes, DataError) for shape in shapes)
    listed = ", ".join(f"{h}×{w} ({count:,})" for (h, w), count in counts.most_common(5))
    more = f", and {len(counts) - 5:,} more" if len(counts) > 5 else ""
    return f"{source} holds images of {len(counts):,} sizes: {listed}{more}"


def range_of_files(listing: Listing, source: str, *, skip_bad: bool) -> ValueRange:
    """The smallest and the largest number in files of images. Raises DataError if there are no two."""

    def ends(path: str) -> ValueRange | DataError:
        try:
            pages = read_pages(path)
        except DataError as error:
            return error
        ranges = [range_of(page.pixels) for page in pages]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    low, high = np.inf, -np.inf
    with quiet_readers(), ThreadPoolExecutor(cores()) as pool:
        for result in pool.map(ends, listing.paths()):
            if isinstance(result, DataError):
                if not skip_bad:
                    raise DataError(f"{result}{way_out(len(listing.names))}")
            else:
                low, high = min(low, result[0]), max(high, result[1])
    return checked_ends(low, high, source)
