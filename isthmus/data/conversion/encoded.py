"""Images as the bytes of image files, wherever these are: decoded on all cores, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from isthmus.data.collections.pieces import block_of, page_name
from isthmus.data.conversion.source import Converted, Label
from isthmus.data.formats.image_file import Page, faults_named, format_of, quiet_readers
from isthmus.data.framing import Framing
from isthmus.errors import DataError
from isthmus.machine import cores

_TOGETHER = 32  # images that are decoded at a time


@dataclass(frozen=True)
class Encoded:
    """The bytes of an image file. position: where the source goes on after it; where: it, in messages; fault: what is
    wrong with it, if that is known already.
    """

    position: int
    data: bytes
    name: str
    where: str
    label: Label = None
    fault: str = ""


def pages_of(image: Encoded) -> list[Page]:
    """What is in it. Raises DataError for what is no image, or a damaged one."""
    if image.fault:
        raise DataError(image.fault)
    if not image.data:
        raise DataError(f"{image.where} is empty (0 bytes); replace it, or leave it out")
    with faults_named(image.where):
        return list(format_of(image.where, image.data).pages(image.data))


def decoded(images: Iterable[Encoded], framing: Framing, *, skip_bad: bool) -> Iterator[Converted]:
    """A piece of each image. Raises DataError for one that cannot be used, or says that it was left out."""

    def decode(image: Encoded) -> Any:
        try:
            return block_of(pages_of(image), image.where, image.position, framing)
        except DataError as error:
            return error

    with quiet_readers(), ThreadPoolExecutor(cores()) as pool:
        remaining = iter(images)
        while some := list(islice(remaining, _TOGETHER)):
            for image, block in zip(some, pool.map(decode, some), strict=True):
                if isinstance(block, DataError):
                    if not skip_bad:
                        raise DataError(f"{block} (--skip-bad leaves it out)")
                    yield Converted.without(image.position, image.name, str(block))
                    continue
                pages, kinds, identities = block
                names = [page_name(image.name, number, len(pages)) for number in range(len(pages))]
                labels = [] if image.label is None else [image.label] * len(pages)
                yield Converted(image.position, np.concatenate(pages), names, labels, identities, kinds)


def form_of(images: Iterable[Encoded], framing: Framing) -> tuple[int, bool]:
    """The channels of images, and whether some have more than 8 bits; of those that can be read."""
    channels, is_fine = 1, framing.value_range is not None
    with quiet_readers():
        for image in images:
            try:
                pages = pages_of(image)
            except DataError:
                continue
            channels = max(channels, *(len(page.pixels) for page in pages))
            is_fine |= any(page.white is None or page.white > 255 for page in pages)
    return 1 if framing.grey else channels, is_fine
