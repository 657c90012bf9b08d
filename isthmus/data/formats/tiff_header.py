"""Headers of TIFF files: which pages are pictures, their shapes, and what of them is not read."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from isthmus.data.formats.page import Refused, as_file, check_size, is_grey, unread

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

Shape = tuple[int, int, int]
MAX_PAGES = 100_000
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
JPEGS = (6, 7, 34892, 33007)  # of which tifffile makes RGB
_JPEG_2000 = (33003, 33004, 33005, 34712)
_ENDIAN: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
ORIENTATION = 274  # a tag


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[TiffFile]:
    from tifffile import TiffFile

    log = logging.getLogger("tifffile")
    if not log.handlers:  # what matters in what it says is an error here; without a handler it goes to stderr
        log.addHandler(logging.NullHandler())
    with TiffFile(as_file(data), _multifile=False) as file:
        yield file


def pictures_of(file: TiffFile) -> tuple[list[TiffPage], bool]:
    """The pages that are pictures, and whether smaller copies or masks lie beside them."""
    if len(file.pages) > MAX_PAGES:
        raise Refused(f"has more than {MAX_PAGES:,} pages; split it")
    pages: list[Any] = list(file.pages)
    if _next_page(file, pages[-1].offset) not in {0, *(page.offset for page in pages)}:  # tifffile ends where it fails
        raise Refused("is a damaged image (cut short: not all of its pages are there); replace it, or leave it out")
    aside = [int(page.subfiletype) & (_REDUCED | _MASK) for page in pages]
    if (all(aside) and len(pages) > 1) or (aside and aside[0] and 330 in pages[0].tags):
        raise unread("TIFF", "it holds only smaller copies of a picture, as a camera's raw files do; develop it first")
    some = [page for page, not_one in zip(pages, aside, strict=True) if not not_one] or pages
    return some, len(some) < len(pages)


def _next_page(file: TiffFile, offset: int) -> int:
    """Where the page after the one at this offset begins; 0 after the last, -1 where that is not there."""
    stored, tiff = file.filehandle, file.tiff
    stored.seek(offset)
    n_tags = int.from_bytes(stored.read(tiff.tagnosize), _ENDIAN[tiff.byteorder])
    stored.seek(offset + tiff.tagnosize + n_tags * tiff.tagsize)
    link = stored.read(tiff.offsetsize)
    return int.from_bytes(link, _ENDIAN[tiff.byteorder]) if len(link) == tiff.offsetsize else -1


def shape_of(page: TiffPage) -> Shape:
    """(channels, height, width) as stored. Raises Refused for what cannot be a picture, or is not read."""
    colour = int(page.photometric) if page.photometric is not None else BLACK_IS_ZERO
    extra = page.samplesperpixel - {RGB: 3, CMYK: 4, YCBCR: 3}.get(colour, 1)
    check_size(page.imagewidth, page.imagelength, 0, 1, 0)
    if isinstance(page.bitspersample, tuple):
        raise unread("TIFF", f"channels of {', '.join(map(str, page.bitspersample))} bits; save it with 8 or 16")
    if page.dtype is None or page.dtype.kind not in "buif":
        kind = "complex numbers" if page.sampleformat in (5, 6) else f"{page.bitspersample} bits of its sample format"
        raise unread("TIFF", f"{kind}; save it as floats or whole numbers")
    if colour not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR):
        raise unread("TIFF", f"its colours are {name_of(page.photometric)}; save it as RGB or grey")
    if int(page.compression) in _JPEG_2000 and page.bitspersample > 16:
        raise unread("TIFF", f"JPEG 2000 of {page.bitspersample} bits, which its decoder does not keep; save it again")
    if colour == CMYK and page.dtype.kind != "u":
        raise unread("TIFF", f"CMYK in {page.dtype} numbers; save it as RGB")
    if colour == WHITE_IS_ZERO and page.dtype.kind == "i":
        raise unread("TIFF", "signed numbers of which zero is white; save it with black as zero")
    if extra < 0 or (colour == PALETTE and (extra or page.colormap is None)):
        raise unread("TIFF", f"{page.samplesperpixel} channels for {name_of(page.photometric)}")
    if extra and colour not in (RGB, YCBCR) and not has_alpha(page, extra):
        n = page.samplesperpixel
        raise unread("TIFF", f"{n} channels a pixel that are no colours; save each as a page or a file of its own")
    grey = colour in (WHITE_IS_ZERO, BLACK_IS_ZERO) or (colour == PALETTE and is_grey(palette_of(page)))
    return (1 if grey else 3), page.imagelength, page.imagewidth


def name_of(enumerated: object) -> str:
    return str(getattr(enumerated, "name", enumerated))


def has_alpha(page: TiffPage, extra: int) -> bool:
    return extra == 1 and len(page.extrasamples) == 1 and int(page.extrasamples[0]) in (1, 2)


def check(page: TiffPage, size: int) -> None:
    """Hold where the pixels should lie against the file: what is not there would be read as zeros."""
    if len(page.dataoffsets) == 0:
        raise Refused("is a damaged image (it does not say where its pixels are); replace it, or leave it out")
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count:
            raise unread("TIFF", "parts of it are not stored at all; save it again")
        if offset + count > size:
            raise Refused("is a damaged image (cut short); replace it, or leave it out")


def n_slices(file: TiffFile, page: TiffPage, *, single: bool) -> int:
    n = page.imagedepth or 1
    if single and (file.is_shaped or file.is_imagej):
        n = max(n, int(np.prod(file.series[0].shape, dtype=np.int64)) // int(np.prod(page.shape, dtype=np.int64)))
    return n


def palette_of(page: TiffPage) -> np.ndarray:
    """(n, 3) uint8; some programs write the colours with 8 bits where 16 are meant."""
    colours = np.asarray(page.colormap).T
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)


def orientation_of(page: TiffPage) -> int:
    value = page.tags.valueof(ORIENTATION, 1)
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def is_plain(file: TiffFile, page: TiffPage) -> bool:
    """Whether its pixels lie in one piece of the file, in numbers of 8 or 16 bits as this machine has them."""
    is_native = file.byteorder == ("<" if sys.byteorder == "little" else ">")
    return bool(page.is_contiguous) and (page.dtype == np.uint8 or (page.dtype == np.uint16 and is_native))
