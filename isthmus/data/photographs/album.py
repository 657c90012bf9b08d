"""Photographs of any sizes of a folder: in memory, or, if they are many, in a cache of decoded pixels on disk.

An entry of the cache is a folder with pixels.bin, the pages one after the other in their own types of numbers, and
index.json, which says of each page where it lies, and has a checksum of each mebibyte. Its name is a hash of the
folder's path and of the options; it holds as long as no file has changed. Pages are mapped into memory when they are
read, so memory is as little as what is read at a time. Where an entry cannot be, photographs are decoded again whenever
they are needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.collections import pixel_cache
from isthmus.data.collections.listing import Listing
from isthmus.data.collections.loading import way_out
from isthmus.data.collections.pieces import page_name
from isthmus.data.collections.reader_pool import all_shapes
from isthmus.data.formats.image_file import iterate_pages, quiet_readers
from isthmus.data.framing import Framing
from isthmus.data.identity import identity_of
from isthmus.data.photographs.photograph import Photograph
from isthmus.data.photographs.pixel_sources import AHEAD, BLOCK, Decoder, InMemory, PixelFile
from isthmus.errors import DataError, counted
from isthmus.files import atomic_folder, remove, sweep_dead_processes
from isthmus.fingerprints import array_fingerprint, table_fingerprint
from isthmus.machine import cores

OnProgress = Callable[[int, int], None]
FORMAT = 1
WORTH_BYTES = 64 << 20  # of pixels; fewer are decoded in a second and stay in memory
MAX_BYTES = 64 << 30  # of all entries
RESERVE = 512 << 20  # left free on the disk
_LARGE = 1 << 20  # files of so many pixels are worth a thread
_PIXELS, _INDEX = "pixels.bin", "index.json"


@dataclass(frozen=True)
class Album:
    """The photographs that could be read. names: of the pages. marks: their identities. left_out: what is wrong with
    the files that were left out. notes: what to tell the user. entry: of the cache, if there is one."""

    photographs: tuple[Photograph, ...]
    names: tuple[str, ...]
    marks: np.ndarray
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    entry: Path | None = None

    @property
    def unit(self) -> float:
        """What the numbers are multiplied by to be in [0, 1]."""
        return 1 / 255 if self.photographs[0].is_8_bit and not self.photographs[0].as_floats else 1.0


def folder() -> Path:
    """Where entries lie: beside those of `pixel_cache`."""
    return pixel_cache.folder().with_name("photographs")


def open_album(
    listing: Listing,
    framing: Framing,
    *,
    skip_bad: bool = False,
    cache: bool = True,
    on_progress: OnProgress = lambda done, n: None,
) -> Album:
    """The photographs of these files. framing: its `grey` and `value_range` alone count. cache: make an entry.

    Raises DataError for a file that cannot be read, unless such files are left out, and if none can.
    """
    place = [os.path.realpath(listing.folder), *(listing.names if len(listing.names) == 1 else ())]
    options = [FORMAT, place, framing.grey, framing.value_range, skip_bad]
    entry, files = folder() / table_fingerprint(options), pixel_cache.stamp(listing.folder, listing.names)
    state = None if files is None else files[0]
    reader = _Reader(listing, framing, skip_bad, on_progress)
    if state and (index := _read_index(entry, state)):
        on_progress(len(listing.names), len(listing.names))
        return reader.album(index, entry)
    total = reader.decoded_bytes()
    if total < WORTH_BYTES:
        return reader.album(reader.read(in_memory=True))
    note = "" if cache and state else "decoded"
    if not note and not (note := _make_room(entry, total)):
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(entry) as building, open(building / _PIXELS, "wb") as file:
                index = reader.read(file)
                file.close()
                index["state"] = state
                (building / _INDEX).write_text(json.dumps({"sha256": table_fingerprint(index), **index}))
            pixel_cache.make_room(entry.parent, MAX_BYTES)
            return reader.album(index, entry, is_sound=True)
        except OSError as error:
            note = f"{entry.parent} cannot be written: {error.strerror or error}"
    index = reader.read()
    if cache:
        index["notes"] = [f"{note}; photographs are decoded whenever they are needed, which takes long"]
    return reader.album(index)


class _Reader:
    """Goes through all files, in order, and describes their pages in an index."""

    def __init__(self, listing: Listing, framing: Framing, skip_bad: bool, on_progress: OnProgress) -> None:
        self.listing, self.skip_bad, self.on_progress = listing, skip_bad, on_progress
        self.framing = Framing(grey=framing.grey, value_range=framing.value_range)
        self.paths = listing.paths()
        self.sizes = [0] * len(self.paths)  # bytes of pixels
        self.in_memory: list[np.ndarray] = []

    def decoded_bytes(self) -> int:
        """What all pixels take: the headers say their number, and the first file of each kind has their type."""
        types: dict[str, int] = {}
        for i, (path, shapes) in enumerate(zip(self.paths, all_shapes(self.paths), strict=True)):
            if isinstance(shapes, DataError):
                continue
            ending = os.path.splitext(path)[1].lower()
            if ending not in types:
                with contextlib.suppress(DataError), quiet_readers():
                    types[ending] = next(iterate_pages(path)).pixels.itemsize
            self.sizes[i] = sum(int(np.prod(shape)) for shape in shapes) * types.get(ending, 1)
        return sum(self.sizes)

    def read(self, file: Any = None, *, in_memory: bool = False) -> dict[str, Any]:
        """The index of all pages. file: their pixels are written to it. Raises DataError, and OSError for the file."""
        index: dict[str, Any] = {"pages": [], "left_out": [], "notes": [], "bytes": 0}
        n = len(self.paths)
        with quiet_readers():
            for i, pages in enumerate(self._decoded()):
                try:
                    rows = []
                    for number, (pixels, row) in enumerate(pages):
                        rows.append({"file": i, "page": number, "offset": index["bytes"], **row})
                        index["bytes"] += pixels.nbytes
                        if file is not None:
                            file.write(pixels.data)
                        if in_memory:
                            self.in_memory.append(pixels)
                except DataError as error:
                    if not self.skip_bad:
                        raise DataError(f"{error}{way_out(n)}") from None
                    index["left_out"].append(str(error))
                    rows = []
                for row in rows:
                    row["name"] = page_name(self.listing.names[i], row["page"], len(rows))
                index["pages"] += rows
                self.on_progress(i + 1, n)
        if not index["pages"]:
            first = index["left_out"][0]
            raise DataError(f"{self.listing.folder}: none of {counted(n, 'file')} can be read; the first: {first}")
        return index

    def _decoded(self) -> Iterator[Iterator[tuple[np.ndarray, dict[str, Any]]]]:
        """Each file's pages, read ahead by threads as far as they are worth it and memory is bounded."""
        ahead: deque[tuple[Any, int]] = deque()
        with contextlib.ExitStack() as stack:
            pool = ThreadPoolExecutor(cores())
            stack.callback(pool.shutdown, cancel_futures=True)
            for path, size in zip(self.paths, self.sizes, strict=True):
                while ahead and sum(bytes_ahead for _, bytes_ahead in ahead) + size > AHEAD:
                    yield _result(ahead.popleft()[0])
                pages: Any = partial(_measured, path, self.framing)
                if _LARGE < size < AHEAD and cores() > 1:
                    pages = pool.submit(_pages, path, self.framing)
                ahead.append((pages, size))
            while ahead:
                yield _result(ahead.popleft()[0])

    def album(self, index: dict[str, Any], entry: Path | None = None, *, is_sound: bool = False) -> Album:
        """The photographs of an index. is_sound: what lies in the entry was written just now."""
        pages = index["pages"]
        source: Any = Decoder(self.paths, pages)
        if entry is not None:
            source = PixelFile(entry / _PIXELS, pages, source, is_sound)
        elif self.in_memory:
            source = InMemory(self.in_memory)
        photographs = [
            Photograph(
                partial(source.rows, i),
                tuple(page["shape"]),
                np.dtype(page["dtype"]),
                page["bits"],
                page["sha256"],
                self.framing.value_range,
                self.framing.grey,
            )
            for i, page in enumerate(pages)
        ]
        channels = 1 if self.framing.grey else max(photo.stored[0] for photo in photographs)
        as_floats = not all(photo.is_8_bit for photo in photographs)
        notes = list(index["notes"])
        if grey := sum(photo.stored[0] < channels for photo in photographs):
            are = counted(grey, "photograph is", "photographs are")
            notes.append(f"{are} grey among colour ones, and made colour")
        return Album(
            tuple(replace(photo, channels=channels, as_floats=as_floats) for photo in photographs),
            tuple(page["name"] for page in pages),
            np.array([page["identity"] for page in pages], np.uint64),
            tuple(index["left_out"]),
            tuple(notes),
            entry,
        )


def _measured(path: str, framing: Framing) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """The pixels of each page as they are stored, and what the index says of them."""
    for number, page in enumerate(iterate_pages(path)):
        framing.pixels(page, page_name(path, number, 1 + (number > 0)))  # which raises what is wrong with them
        pixels = np.ascontiguousarray(page.pixels)
        flat = pixels.reshape(-1).view(np.uint8)
        yield (
            pixels,
            {
                "shape": pixels.shape,
                "dtype": pixels.dtype.str,
                "bits": page.bits,
                "sha256": array_fingerprint(pixels),
                "identity": identity_of(page),
                "crc": [zlib.crc32(flat[start : start + BLOCK].data) for start in range(0, len(flat), BLOCK)],
            },
        )


def _pages(path: str, framing: Framing) -> list[tuple[np.ndarray, dict[str, Any]]] | DataError:
    try:
        return list(_measured(path, framing))
    except DataError as error:
        return error


def _result(pages: Any) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    if not isinstance(pages, Future):
        yield from pages()
        return
    if isinstance(result := pages.result(), DataError):
        raise result
    yield from result


# --- entries ---


def _read_index(entry: Path, state: str) -> dict[str, Any] | None:
    """The index of an entry, or None if it is missing, damaged, or of files that have changed."""
    try:
        index: dict[str, Any] = json.loads((entry / _INDEX).read_bytes())
        if index.pop("sha256") != table_fingerprint(index) or index["state"] != state:
            return None
        if (entry / _PIXELS).stat().st_size != index["bytes"]:
            return None
        os.utime(entry)  # it was used now
        return index
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _make_room(entry: Path, needed: int) -> str:
    """Remove entries, the longest unused first, until another fits on the disk; why it cannot, else ""."""
    place = entry.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        sweep_dead_processes(place)
        remove(entry)  # of files that have changed, or damaged
        others = pixel_cache.entries(place)
        free = shutil.disk_usage(place).free
        if free + sum(size for _, size, _ in others) < needed + RESERVE:
            sizes = f"{(needed + RESERVE) / 2**30:.1f} GiB are needed for a cache, and {free / 2**30:.1f} are free"
            return f"{sizes} in {place} (ISTHMUS_CACHE names another folder)"
        for _, _, other in others:
            if shutil.disk_usage(place).free >= needed + RESERVE:
                break
            remove(other)
    except OSError as error:
        return f"{place} cannot be written: {error.strerror or error}"
    return ""
