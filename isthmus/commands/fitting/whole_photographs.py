"""The uncut photographs, or regions of them, that a fit of patches measures errors on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.commands.images.inputs import is_named
from isthmus.commands.images.pictures import Picture, Pictures
from isthmus.data.collections.collection import open_images
from isthmus.data.collections.listing import is_mvtec
from isthmus.data.collections.reader_pool import read_all
from isthmus.data.formats.image_file import is_image
from isthmus.data.framing import Framing, table_of
from isthmus.data.images import Images
from isthmus.data.sizes import Size
from isthmus.data.sources import registry
from isthmus.errors import DataError, counted
from isthmus.machine import cores
from isthmus.rng import numpy_generator

# As much is measured of many photographs, or of large ones, which takes some seconds for each model: the photograph
# that passes the limit is the last, and of one that alone passes it twice the middle is taken.
MOST_PATCHES, MOST_PIXELS = 1 << 18, 1 << 24


@dataclass(frozen=True)
class Region:
    """A rectangle of a photograph. number: the photograph's, as in `Images.places`. name: of its page, if it has one.

    box: (top, left, bottom, right); None for the whole photograph.
    """

    number: int
    name: str
    box: tuple[int, ...] | None


@dataclass(frozen=True)
class HeldOut:
    """Photographs to measure errors on, or regions of them. where: which they are, for the head of a table. stride: of
    the patches that they are put together of. are_whole: none is a region."""

    pictures: Pictures
    where: str
    stride: Size | None
    are_whole: bool


@dataclass(frozen=True)
class Uncut:
    """The photographs of DATA that a fit has cut into patches. data, data_dir, framing: as they were read.

    by_regions: each photograph is in all parts, and a part's region of it is the box around the part's patches.
    """

    data: str
    data_dir: Path | None
    framing: Framing
    seed: int
    by_regions: bool

    def of(self, part: Images) -> HeldOut:
        """The photographs of these patches, in the order of the seed as far as they are not too many.

        They are read once more: random patches do not cover them. Raises DataError if they are gone.
        """
        regions, of_all, is_middle = self._regions(part)
        pixels = list(self._from_files(regions) if part.names else self._from_array(regions))
        for i, (image, region) in enumerate(zip(pixels, regions, strict=True)):
            if region.box is not None:
                top, left, bottom, right = region.box
                pixels[i] = np.ascontiguousarray(image[:, top:bottom, left:right])

        def read() -> Iterator[Picture]:
            for i, (image, region) in enumerate(zip(pixels, regions, strict=True)):
                x = Images(image[None], source=region.name or self.data).pixels[0]
                yield Picture(region.name, np.repeat(x, part.shape[0] // len(x), axis=0), identity=0, number=i)

        n = len(regions)
        where = counted(n, "photograph") if n == of_all else f"{n:,} of {counted(of_all, 'photograph')}"
        where = f"regions of {where}" if self.by_regions else where
        where = f"{where} (of large ones the middle)" if is_middle else where
        are_whole = all(region.box is None for region in regions)
        return HeldOut(Pictures(n, pixels[0].dtype, read), where, self.framing.stride, are_whole)

    def images(self, part: Images) -> Iterator[np.ndarray]:
        """The same photographs (c, h, w), float32, read when the first of them is asked for."""
        yield from (picture.x for picture in self.of(part).pictures)

    def _regions(self, part: Images) -> tuple[list[Region], int, bool]:
        """What is measured, in the order of the photographs; how many photographs there are; whether a middle alone."""
        assert part.places is not None
        size = np.array(part.shape[1:])
        most = min(MOST_PATCHES * math.prod(self.framing.stride or ((size + 1) // 2).tolist()), MOST_PIXELS)
        numbers, first = np.unique(part.places[:, 0], return_index=True)
        regions, total, is_middle = list[Region](), 0, False
        for i in numpy_generator(self.seed, "split").permutation(len(numbers)).tolist():
            if total >= most:
                break
            corners = part.places[part.places[:, 0] == numbers[i], 1:]
            start, stop = corners.min(axis=0), corners.max(axis=0) + size
            area = int((stop - start).prod())
            if is_large := area > 2 * most:
                sides = np.maximum(size, ((stop - start) * np.sqrt(most / area)).astype(int))
                start = start + (stop - start - sides) // 2
                stop, is_middle = start + sides, True
            name = part.names[first[i]] if part.names else ""
            box = (*start.tolist(), *stop.tolist()) if self.by_regions or is_large else None
            regions.append(Region(int(numbers[i]), name, box))
            total += min(area, most)
        return sorted(regions, key=lambda region: region.number), len(numbers), is_middle

    def _from_files(self, regions: list[Region]) -> Iterator[np.ndarray]:
        path = Path(self.data)
        path = path / "train" if is_mvtec(path) else path
        folder = path if path.is_dir() else path.parent
        by_file = [(file, list(pages)) for file, pages in groupby(map(_page, regions), key=lambda entry: entry[0])]
        paths = [str(folder / file) for file, _ in by_file]
        for block, (_, pages) in zip(read_all(paths, self.framing.whole, cores()), by_file, strict=True):
            if isinstance(block, DataError):
                raise block
            yield from (block[0][page][0] for _, page in pages)

    def _from_array(self, regions: list[Region]) -> Iterator[np.ndarray]:
        source: Any = registry.load(self.data, self.data_dir).train.pixels if is_named(self.data) else Path(self.data)
        if table_of(self.framing.whole) or not is_named(self.data):
            source = open_images(source, **dataclasses.asdict(self.framing.whole)).pixels
        return (source[region.number] for region in regions)


def _page(region: Region) -> tuple[str, int]:
    """The file of a region, and which of its pages it is on: what `page_name` put together."""
    if is_image(region.name):
        return region.name, 0
    file, _, page = region.name.rpartition("#")
    return file, int(page) - 1
