"""Stream whole pictures through a model, for commands that write one for each."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from isthmus import console
from isthmus.commands.images.inputs import existing, is_named, label_word, load_images, part_of
from isthmus.commands.images.leakage import Memory, Seen
from isthmus.commands.images.model_folder import Opened, Shape
from isthmus.commands.shared.options import printable
from isthmus.data.collections.listing import Listing, list_images
from isthmus.data.collections.loading import dark_words, left_out, listed, way_out
from isthmus.data.collections.pieces import page_name
from isthmus.data.collections.reader_pool import all_shapes, read_all
from isthmus.data.formats.image_file import is_image, read_shapes
from isthmus.data.formats.page import DARK, NOTES, bands, full_scale_of
from isthmus.data.identity import identities_of
from isthmus.data.images import Images, floats_of
from isthmus.data.stored.shard_folder import is_shards
from isthmus.errors import DataError, counted
from isthmus.machine import cores
from isthmus.metrics import squared_error


@dataclass(eq=False)
class Picture:
    """One picture. pixels: (c, h, w), uint8, uint16 or float32 in [0, 1], with as many channels as the model's.

    number: its place, or its file's, in DATA. path: its file, if it has one; file: as DATA names it. page: which of the
    file's pages it is, from 0. grey: it was grey, and made RGB for a model of RGB images. size: its (height, width)
    before it was resized. identity: what it is known again by.
    """

    name: str
    pixels: np.ndarray
    identity: int
    label: str = ""
    number: int = 0
    path: Path | None = None
    file: str = ""
    page: int = 0
    pages: int = 1
    grey: bool = False
    size: tuple[int, int] | None = None

    def forget(self) -> None:
        """Let the pixels go, when they are not needed any more: of a large image they take as much as the result."""
        self.pixels = self.pixels[:, :0].copy()

    @property
    def is_written_as_it_is(self) -> bool:
        """Whether what the model makes of it is written without a change but rounding to the bits that it has."""
        return full_scale_of(self.pixels.dtype) > 1 and not self.grey and self.size is None

    @property
    def x(self) -> np.ndarray:
        """The picture as a model is given it, float32 in [0, 1]: a new array."""
        return floats_of(self.pixels)

    def squared_error(self, x_hat: np.ndarray) -> float:
        """`metrics.squared_error` of one picture; of a large one band by band, as its float64 would fill memory."""
        parts = list(bands(self.pixels.shape))
        pairs = ((self.pixels[None, :, rows], x_hat[None, :, rows]) for rows in parts)
        errors = [squared_error(floats_of(x), floats_of(made))[0] for x, made in pairs]
        if len(errors) == 1:
            return float(errors[0])
        return float(np.average(errors, weights=[rows.stop - rows.start for rows in parts]))


@dataclass(frozen=True)
class Pictures:
    """What DATA holds, read when it is needed, and as often as it is gone through.

    n: files, or images of an array. dtype: of an array's pixels. left_out: the files that cannot be used, as far as
    they were come to. identities: of the pictures, by name, as far as they were come to. shapes: of what is written of
    each file's pages, with their names, from the headers alone; none of an array, whose images have one.
    """

    n: int
    dtype: np.dtype
    read: Callable[[], Iterator[Picture]]
    left_out: dict[str, DataError] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    shapes: Callable[[], Iterable[tuple[str, Shape]]] = tuple

    def __iter__(self) -> Iterator[Picture]:
        for picture in self.read():
            self.identities[picture.name] = picture.identity
            yield picture

    def seen(self, memory: Memory) -> Seen:
        """What a model's folder knows of them together, when all were gone through."""
        return memory.about([memory.of(name, identity) for name, identity in self.identities.items()])

    def counted(self, n: int) -> str:
        """How many images came of the files, in words, when all were gone through."""
        if not self.left_out:
            return counted(n, "image")
        files = self.n - len(self.left_out)
        if n == files:
            return f"{n:,} of {counted(self.n, 'image')}"
        return f"{counted(n, 'image')} of {files:,} of {counted(self.n, 'file')}"

    def rest(self) -> str:
        """The end of a sentence on them: which files were left out."""
        return f"; {len(self.left_out):,} left out: {listed(self.left_out)}" if self.left_out else ""


def pictures_of(options: argparse.Namespace, opened: Opened) -> Pictures:
    """The pictures of DATA, whole: files one by one, whatever their sizes, and each of their pages; or an array's.

    Raises RequestError for pictures that do not fit the model.
    """
    if not is_named(options.data):
        path = existing(options.data)
        if (path.is_dir() or is_image(path)) and not is_shards(path):
            path = part_of(options.data, options.split)
            listing = list_images(path) if path.is_dir() else Listing(path.parent, (path.name,), None, (), ())
            for note in listing.notes:
                console.say(note)
            notes = set[str]()  # already printed: files may be read twice
            bad = dict[str, DataError]()
            read = partial(_from_files, listing, options, opened, notes, bad)
            shapes = partial(_written_shapes, listing, opened)
            return Pictures(len(listing.names), np.dtype(np.float32), read, bad, shapes=shapes)
    images = load_images(
        options.data,
        opened.framing.whole,
        split=options.split,
        data_dir=options.data_dir,
        skip_bad=options.skip_bad,
    )
    opened.check(images.shape, images.source, patches=True)
    return Pictures(len(images), images.pixels.dtype, lambda: _from_images(images))


def _from_images(images: Images) -> Iterator[Picture]:
    width = len(str(len(images) - 1))
    identities = identities_of(images.pixels) if images.identities is None else images.identities
    for i, (identity, pixels) in enumerate(zip(identities.tolist(), images.pixels, strict=True)):
        name = images.names[i] if images.names else f"{i:0{width}d}"
        x = pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels
        yield Picture(name, x, identity, label_word(images, i), i)


def _from_files(
    listing: Listing, options: argparse.Namespace, opened: Opened, printed: set[str], bad: dict[str, DataError]
) -> Iterator[Picture]:
    paths, n, kinds = listing.paths(), len(listing.names), Counter[str]()
    framing = opened.framing.whole.as_stored
    resized_only = framing.resize and not framing.crop
    brightest = 0.0  # of white; 8 bits use theirs
    for i, (name, path, block) in enumerate(zip(listing.names, paths, read_all(paths, framing, cores()), strict=True)):
        try:
            if isinstance(block, DataError):
                raise block
            shapes = read_shapes(path) if resized_only else []
            several = [image for (image,) in block[0]]
            block[0].clear()  # the pictures alone have the pixels, and may let them go
            label = listing.label_names[listing.labels[i]] if listing.labels else ""
            pictures = []
            for page, pixels in enumerate(several):
                page_of = page_name(name, page, len(several))
                grey = len(pixels) == 1 and opened.channels == 3
                x = np.broadcast_to(pixels, (3, *pixels.shape[1:])) if grey else pixels
                opened.check(x.shape, page_name(printable(path), page, len(several)), patches=True, grey=grey)
                is_coarse = x.dtype == np.uint8 or framing.value_range is not None
                brightest = max(brightest, 1.0 if is_coarse else float(x.max()) / full_scale_of(x.dtype))
                size = shapes[page][1:] if shapes else None
                known = block[2][page]
                pictures.append(Picture(page_of, x, known, label, i, Path(path), name, page, len(several), grey, size))
        except DataError as error:
            if not options.skip_bad:
                raise DataError(f"{error}{way_out(n)}") from None
            bad[name] = error
            continue
        kinds.update(block[1])
        del several, pixels, x
        yield from pictures
    if len(bad) == n:
        raise DataError(
            f"{listing.folder}: none of {counted(n, 'file')} can be used; the first: {bad[listing.names[0]]}"
        )
    notes = [NOTES[kind].format(n=counted(kinds[kind], "file")) for kind in NOTES if kinds[kind]]
    for note in [*notes, *([dark_words(brightest)] if brightest <= DARK else []), *left_out(bad)]:
        if note not in printed:
            printed.add(note)
            console.say(note)


def _written_shapes(listing: Listing, opened: Opened) -> Iterator[tuple[str, Shape]]:
    """The name and the shape of what is written of each page; of files that cannot be used, none."""
    framing = opened.framing.whole
    for name, shapes in zip(listing.names, all_shapes(listing.paths()), strict=True):
        if isinstance(shapes, DataError):
            continue
        written = []
        try:
            for page, (channels, *size) in enumerate(shapes):
                c, given = 1 if framing.grey else channels, framing.size((size[0], size[1]), name)
                made_rgb = c == 1 and opened.channels == 3
                h, w = framing.crop or given
                opened.check((3 if made_rgb else c, h, w), name, patches=True, grey=made_rgb)
                h, w = framing.crop or size  # one that was only resized gets its own size again
                written.append((page_name(name, page, len(shapes)), (c, h, w)))
        except DataError:
            continue
        yield from written
