"""Folders of image files, single image files, and arrays, as what is converted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isthmus.data.collections.arrays import as_pixels, channels_first, last_axis_doubt
from isthmus.data.collections.collection import listing_of, read_array_file
from isthmus.data.collections.listing import Listing
from isthmus.data.collections.loading import dark_words, way_out
from isthmus.data.collections.pieces import page_name
from isthmus.data.collections.pixel_cache import stamp
from isthmus.data.collections.reader_pool import all_shapes, read_all
from isthmus.data.conversion.source import OUTSIDE, Converted, OfFiles
from isthmus.data.formats.image_file import quiet_readers, read_pages
from isthmus.data.formats.page import DARK, grey_of, range_option, stretched
from isthmus.data.framing import Framing, table_of
from isthmus.data.identity import identities_of, marks_of
from isthmus.data.images import Images
from isthmus.data.stored.array_file import ArrayFile, Readers
from isthmus.errors import DataError
from isthmus.machine import cores

_SAMPLED = 100  # files of which the channels and the depth are looked at
_CHUNK = 8 << 20  # bytes of an array that are converted at once


class FolderSource(OfFiles):
    """Image files of a folder, or one. A position is a file's."""

    def __init__(self, path: Path, framing: Framing, *, skip_bad: bool = False) -> None:
        listing = listing_of(path)
        assert listing is not None
        self.listing: Listing = listing
        self.words, self.framing, self.skip_bad = str(path), framing, skip_bad
        self.n, self.label_names, self.notes = len(listing.names), listing.label_names, listing.notes
        stamped = stamp(listing.folder, listing.names)
        self.facts = [os.path.realpath(path), self.n, stamped and stamped[0], table_of(framing), skip_bad]

    def form(self) -> tuple[int, bool]:
        paths = self.listing.paths()
        some = paths[:: max(1, len(paths) // _SAMPLED)]
        channels = [shape[0] for shapes in all_shapes(some) if not isinstance(shapes, DataError) for shape in shapes]
        with quiet_readers():
            return 1 if self.framing.grey else max(channels, default=1), any(
                map(self._is_fine, some[:: len(some) // 10 or 1])
            )

    def _is_fine(self, path: str) -> bool:
        if self.framing.value_range is not None:
            return True
        try:
            return any(page.white is None or page.white > 255 for page in read_pages(path))
        except DataError:
            return False

    def pieces(self, position: int) -> Iterator[Converted]:
        names, labels = self.listing.names, self.listing.labels
        blocks = read_all(self.listing.paths()[position:], self.framing, cores())
        for i, block in enumerate(blocks, position):
            if isinstance(block, DataError):
                if not self.skip_bad:
                    raise DataError(f"{block}{way_out(self.n)}")
                yield Converted.without(i + 1, names[i], str(block))
                continue
            pages, kinds, identities = block
            sizes = {page.shape[1:] for page in pages}
            if len(sizes) > 1:
                raise DataError(
                    f"{self.words}: {names[i]} has pages of several sizes; choose --resize HxW or --crop HxW"
                )
            page_names = [page_name(names[i], number, len(pages)) for number in range(len(pages))]
            of_class = [] if labels is None else [labels[i]] * len(pages)
            yield Converted(i + 1, np.concatenate(pages), page_names, of_class, identities, kinds)


class ArraySource:
    """A .npy file of any length, an .npz or an IDX file. A position is an image's."""

    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, framing: Framing) -> None:
        self.words, self.framing = str(path), framing
        facts = path.stat()
        self.facts = [os.path.realpath(path), facts.st_size, facts.st_mtime_ns, table_of(framing)]
        self.array: np.ndarray | None = None
        self.labels: list[int] | list[str] = []
        if path.suffix == ".npy":
            self.file, self.readers = ArrayFile.open(path), Readers()
            self.n = len(self.file) if self.file.shape else 0
            if self.n and (doubt := last_axis_doubt(np.load(path, mmap_mode="r", allow_pickle=False), str(path))):
                self.notes = (doubt,)
            return
        self.array, labels = read_array_file(path)
        self.labels = [] if labels is None else labels.tolist()
        self.n = len(self.array)
        if labels is not None and len(labels) != self.n:
            raise DataError(f"{path}: {self.n} images and {len(labels)} labels; give one label for each image, or none")

    def dark_note(self, brightest: float) -> str:
        dtype = self.file.dtype if self.array is None else self.array.dtype
        if dtype != np.uint16 or self.framing.value_range is not None or brightest > DARK:
            return ""
        most = 2 ** round(brightest * 65535).bit_length() - 1
        return dark_words(brightest, range_option((0, most)))

    def form(self) -> tuple[int, bool]:
        if not self.n:
            raise DataError(f"{self.words}: there are no images")
        pixels = self._pixels(0, min(2, self.n))[1]
        return pixels.shape[1], pixels.dtype != np.uint8

    def pieces(self, position: int) -> Iterator[Converted]:
        row_bytes = self.file.row_bytes if self.array is None else self.array[:1].nbytes
        step = max(1, _CHUNK // max(1, row_bytes))
        for start in range(position, self.n, step):
            stop = min(start + step, self.n)
            stored, pixels = self._pixels(start, stop)
            yield Converted(stop, pixels, (), self.labels[start:stop], identities_of(stored).tolist())

    def _pixels(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Some images as they are stored, channels first, and as they become."""
        if self.array is not None:
            rows = self.array[start:stop]
        else:
            rows = np.empty((stop - start, *self.file.shape[1:]), self.file.dtype)
            self.readers.read(self.file, start, rows.reshape(-1).view(np.uint8).data)
            rows = rows.astype(self.file.dtype.newbyteorder("="), copy=False)
        stored, framing = channels_first(rows, self.words), self.framing
        pixels = stretched(stored, framing.value_range) if framing.value_range else as_pixels(stored, self.words)
        if pixels.dtype != np.uint8:
            low, high = float(pixels.min()), float(pixels.max())
            if not (low >= 0 and high <= 1):
                held = f"{low:g} to {high:g}" if np.isfinite([low, high]).all() else "NaN or infinity"
                where = f"{self.words}, images {start:,} to {stop - 1:,}"
                raise DataError(f"{where}: {OUTSIDE.format(held=held)}")
            pixels = pixels.astype(np.float32, copy=False)
        if framing != Framing(value_range=framing.value_range):
            pixels = np.concatenate([self._framed(image, i) for i, image in enumerate(pixels, start)])
        return stored, pixels

    def _framed(self, image: np.ndarray, i: int) -> np.ndarray:
        return self.framing(grey_of(image) if self.framing.grey else image, i, f"{self.words}: image {i:,}")


class ImagesSource:
    """Images that are in memory, and prepared. A position is an image's."""

    def __init__(self, images: Images) -> None:
        self.notes = images.notes
        self.images, self.words, self.n, self.label_names = images, images.source, len(images), images.label_names
        self.facts = images.fingerprint

    def dark_note(self, brightest: float) -> str:
        return ""  # it is among the notes of the images

    def form(self) -> tuple[int, bool]:
        return self.images.shape[0], self.images.pixels.dtype != np.uint8

    def pieces(self, position: int) -> Iterator[Converted]:
        step = max(1, _CHUNK // self.images.pixels[:1].nbytes)
        for start in range(position, self.n, step):
            some = self.images.take(slice(start, start + step))
            labels = [] if some.labels is None else some.labels.tolist()
            marks = marks_of(some)
            known = [] if marks is None else marks.tolist()
            yield Converted(start + len(some), some.pixels, some.names, labels, known)
