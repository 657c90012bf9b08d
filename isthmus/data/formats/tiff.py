"""TIFF files, read and written by tifffile with imagecodecs: every page, of any type, layout and compression."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from isthmus.data.formats.metadata import profile_fits
from isthmus.data.formats.page import (
    Page,
    Refused,
    check_size,
    from_cmyk,
    is_grey,
    unread,
    upright,
    with_palette,
    without_alpha,
)

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffTag

Shape = tuple[int, int, int]
STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_PAGES = 100_000
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_JPEGS = (6, 7, 34892, 33007)  # of which tifffile makes RGB
_JPEG_2000 = (33003, 33004, 33005, 34712)
_LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}  # none, LZW, deflate twice, packbits, LZMA, zstd
_PREDICTED = {5, 8, 32946, 34925, 50000}
_ENDIAN: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_DESCRIPTION, _SOFTWARE, _DATE, _ORIENTATION, _PROFILE, _EXIF, _GPS = 270, 305, 306, 274, 34675, 34665, 34853
# What describes a picture and says nothing of how its pixels are stored: the maker and model of a camera, names and
# places of the page, the artist, the computer, copyright, XMP, IPTC, ImageJ's two tags, and GeoTIFF's
_DESCRIBING: tuple[int, ...] = (271, 272, 285, 286, 287, 297, 315, 316, 33432, 700, 33723, 50838, 50839)
_DESCRIBING += (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[TiffFile]:
    from tifffile import TiffFile

    log = logging.getLogger("tifffile")
    if not log.handlers:  # what matters in what it says is an error here; without a handler it goes to stderr
        log.addHandler(logging.NullHandler())
    with TiffFile(io.BytesIO(data), _multifile=False) as file:
        yield file


def _pictures(file: TiffFile) -> tuple[list[TiffPage], bool]:
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
    found = stored.read(tiff.offsetsize)
    return int.from_bytes(found, _ENDIAN[tiff.byteorder]) if len(found) == tiff.offsetsize else -1


def pages(data: bytes) -> Iterator[Page]:
    """Each page, upright. Raises Refused for kinds that are not read, and what tifffile raises on damage."""
    with _opened(data) as file:
        some, aside = _pictures(file)
        sizes = [_shape(page) for page in some]
        total = sum(page.nbytes for page in some)
        check_size(*sizes[0][:0:-1], 1, 1, len(data))
        check_size(1, 1, total, 1, len(data))
        for page in some:
            _check(page, len(data))
            for values in _slices(file, page, single=len(file.pages) == 1):
                yield _page(page, values, ["reduced"] if aside else [])


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width) of each page, from its header. Raises what `pages` raises for it."""
    with _opened(data) as file:
        some, _ = _pictures(file)
        found = []
        for page in some:
            c, h, w = _shape(page)
            n = _n_slices(file, page, single=len(file.pages) == 1)
            found += [(c, w, h) if _orientation(page) >= 5 else (c, h, w)] * n
        return found


def _shape(page: TiffPage) -> Shape:
    """(channels, height, width) as stored. Raises Refused for what cannot be a picture, or is not read."""
    colour = int(page.photometric) if page.photometric is not None else _BLACK_IS_ZERO
    extra = page.samplesperpixel - {_RGB: 3, _CMYK: 4, _YCBCR: 3}.get(colour, 1)
    check_size(page.imagewidth, page.imagelength, 1, 1, 0)
    if isinstance(page.bitspersample, tuple):
        raise unread("TIFF", f"channels of {', '.join(map(str, page.bitspersample))} bits; save it with 8 or 16")
    if page.dtype is None or page.dtype.kind not in "buif":
        kind = "complex numbers" if page.sampleformat in (5, 6) else f"{page.bitspersample} bits of its sample format"
        raise unread("TIFF", f"{kind}; save it as floats or whole numbers")
    if colour not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR):
        raise unread("TIFF", f"its colours are {_name(page.photometric)}; save it as RGB or grey")
    if int(page.compression) in _JPEG_2000 and page.bitspersample > 16:
        raise unread("TIFF", f"JPEG 2000 of {page.bitspersample} bits, which its decoder does not keep; save it again")
    if colour == _CMYK and page.dtype.kind != "u":
        raise unread("TIFF", f"CMYK in {page.dtype} numbers; save it as RGB")
    if colour == _WHITE_IS_ZERO and page.dtype.kind == "i":
        raise unread("TIFF", "signed numbers of which zero is white; save it with black as zero")
    if extra < 0 or (colour == _PALETTE and (extra or page.colormap is None)):
        raise unread("TIFF", f"{page.samplesperpixel} channels for {_name(page.photometric)}")
    if extra and colour not in (_RGB, _YCBCR) and not _has_alpha(page, extra):
        n = page.samplesperpixel
        raise unread("TIFF", f"{n} channels a pixel that are no colours; save each as a page or a file of its own")
    grey = colour in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) or (colour == _PALETTE and is_grey(_palette(page)))
    return (1 if grey else 3), page.imagelength, page.imagewidth


def _name(enumerated: object) -> str:
    return str(getattr(enumerated, "name", enumerated))


def _has_alpha(page: TiffPage, extra: int) -> bool:
    return extra == 1 and len(page.extrasamples) == 1 and int(page.extrasamples[0]) in (1, 2)


def _check(page: TiffPage, size: int) -> None:
    """Hold where the pixels should lie against the file: what is not there would be read as zeros."""
    if len(page.dataoffsets) == 0:
        raise Refused("is a damaged image (it does not say where its pixels are); replace it, or leave it out")
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count:
            raise unread("TIFF", "parts of it are not stored at all; save it again")
        if offset + count > size:
            raise Refused("is a damaged image (cut short); replace it, or leave it out")


def _n_slices(file: TiffFile, page: TiffPage, *, single: bool) -> int:
    n = page.imagedepth or 1
    if single and (file.is_shaped or file.is_imagej):
        n = max(n, int(np.prod(file.series[0].shape, dtype=np.int64)) // int(np.prod(page.shape, dtype=np.int64)))
    return n


def _slices(file: TiffFile, page: TiffPage, *, single: bool) -> Iterator[np.ndarray]:
    """The pictures of a page, (h, w, samples) each: several where it is a volume, or others follow it unlisted."""
    n = _n_slices(file, page, single=single)
    if n > (page.imagedepth or 1):
        values = file.series[0].asarray(maxworkers=1)
    else:
        values = page.asarray(maxworkers=1)
    if values.dtype != page.dtype and page.dtype is not None and values.dtype.kind != page.dtype.kind:
        raise Refused(f"is a damaged image (it promises {page.dtype} and holds {values.dtype}); replace it")
    values = values.reshape(n, *_stored(page))
    if "S" in page.axes and page.axes.index("S") < page.axes.index("Y"):
        values = np.moveaxis(values, 1, -1)
    yield from values


def _stored(page: TiffPage) -> tuple[int, ...]:
    """The shape of a picture in memory: (samples, h, w) where each channel is kept apart, or (h, w, samples)."""
    h, w, s = page.imagelength, page.imagewidth, page.samplesperpixel
    apart = "S" in page.axes and page.axes.index("S") < page.axes.index("Y")
    return (s, h, w) if apart else (h, w, s)


def _page(page: TiffPage, values: np.ndarray, notes: list[str]) -> Page:
    """The picture that the values (h, w, samples) are."""
    colour = int(page.photometric) if page.photometric is not None else _BLACK_IS_ZERO
    bits = int(page.bitspersample)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if colour == _PALETTE:
        pixels, bits = with_palette(values[..., 0], _palette(page)), 8
    else:
        n = {_RGB: 3, _CMYK: 4, _YCBCR: 3}.get(colour, 1)
        if extra := values.shape[-1] - n:
            alpha = _has_alpha(page, extra)
            notes.append("alpha" if alpha else "extra")
            multiplied = alpha and int(page.extrasamples[0]) == 1
            values = without_alpha(values, associated=True) if multiplied else values[..., :n]
        if colour == _CMYK:
            notes.append("cmyk")
            values = from_cmyk(values)
        if colour == _YCBCR and int(page.compression) not in _JPEGS:
            values = _rgb_of(page, values)
        if colour == _WHITE_IS_ZERO:
            values = negative(values, bits)
        pixels = values.transpose(2, 0, 1)
    if (orientation := _orientation(page)) != 1:
        pixels = upright(pixels, orientation)
        notes.append("turned")
    return Page(np.ascontiguousarray(pixels), bits, tuple(notes))


def _rgb_of(page: TiffPage, values: np.ndarray) -> np.ndarray:
    """RGB of uint8 YCbCr (h, w, 3) of full range."""
    if values.dtype != np.uint8:
        raise unread("TIFF", f"YCbCr in {values.dtype} numbers; save it as RGB")
    from PIL import Image

    return np.asarray(Image.frombytes("YCbCr", values.shape[1::-1], values.tobytes()).convert("RGB"))


def negative(values: np.ndarray, bits: int) -> np.ndarray:
    """White where it was black: its own inverse."""
    return (1 if values.dtype.kind == "f" else values.dtype.type(2**bits - 1)) - values


def _palette(page: TiffPage) -> np.ndarray:
    """(n, 3) uint8; some programs write the colours with 8 bits where 16 are meant."""
    colours = np.asarray(page.colormap).T
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8)


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, 1)
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


# --- writing ---


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write pictures (c, h, w), of the types to store, as the pages of `data` were stored, with what describes them.

    Returns sentences on what is not kept.
    """
    from tifffile import TiffWriter

    notes: list[str] = []
    with _opened(data) as original:
        some, aside = _pictures(original)
        if aside:
            notes.append("smaller copies and masks in a TIFF are not kept")
        models = [page for page in some for _ in range(_n_slices(original, page, single=len(original.pages) == 1))]
        with TiffWriter(file, bigtiff=original.is_bigtiff, byteorder=original.byteorder) as writer:
            for page, picture in zip(models, pictures, strict=True):
                notes += _lost_colours(page)
                writer.write(_stored_again(page, picture), **_options(page, picture, notes))
    return notes


def _lost_colours(page: TiffPage) -> list[str]:
    colour, extra = int(page.photometric or 0), len(page.extrasamples)
    lost = {
        "CMYK is not kept": colour == _CMYK,
        "YCbCr in a TIFF is not kept": colour == _YCBCR and int(page.compression) not in _JPEGS,
        "a palette or two levels are not kept: written with 8 bits per channel": colour == _PALETTE
        or int(page.bitspersample) < 8,
        "the alpha channel is not kept": _has_alpha(page, extra),
        "channels beyond red, green and blue are not kept": bool(extra) and not _has_alpha(page, extra),
    }
    return [sentence for sentence, holds in lost.items() if holds]


def _stored_again(page: TiffPage, picture: np.ndarray) -> np.ndarray:
    if len(picture) == 1:
        return negative(picture[0], picture.itemsize * 8) if page.photometric == _WHITE_IS_ZERO else picture[0]
    return picture if page.planarconfig == 2 else np.ascontiguousarray(picture.transpose(1, 2, 0))


def _description(page: TiffPage) -> str:
    """What a page's description says; of tifffile's own, all but the array's shape, which may be another now."""
    value = page.tags.valueof(_DESCRIPTION)
    if not isinstance(value, str) or not value.startswith('{"shape":'):
        return value if isinstance(value, str) else ""
    try:
        noted = json.loads(value)
    except ValueError:
        return ""
    noted.pop("shape")
    return json.dumps(noted) if noted else ""


def _stored_value(page: TiffPage, tag: TiffTag) -> bytes:
    """The bytes of a tag, which tifffile gives in a form of its own for some, such as ImageJ's."""
    file = page.parent.filehandle
    file.seek(tag.valueoffset)
    return bytes(file.read(tag.valuebytecount))


def _options(page: TiffPage, picture: np.ndarray, notes: list[str]) -> dict[str, Any]:
    """What tifffile is told when it writes a page as this one."""
    grey = len(picture) == 1
    options: dict[str, Any] = {"metadata": None, "contiguous": False}
    if grey:
        options["photometric"] = _WHITE_IS_ZERO if page.photometric == _WHITE_IS_ZERO else _BLACK_IS_ZERO
    else:
        options |= {"photometric": _RGB, "planarconfig": 2 if page.planarconfig == 2 else 1}
    packed = int(page.compression)
    options["compression"] = packed if packed in _LOSSLESS else 8
    if packed not in _LOSSLESS:
        notes.append(f"a TIFF's compression {_name(page.compression)} is not kept: written with deflate, lossless")
    predictor = int(page.predictor)
    floats = picture.dtype.kind == "f"
    if options["compression"] in _PREDICTED and predictor == (3 if floats else 2):
        options["predictor"] = predictor
    if page.is_tiled and page.tilewidth % 16 == 0 and page.tilelength % 16 == 0:
        options["tile"] = (page.tilelength, page.tilewidth)
    x, y = page.tags.valueof(282), page.tags.valueof(283)
    if isinstance(x, tuple) and isinstance(y, tuple) and x[1] and y[1]:
        options["resolution"] = (y, x) if _orientation(page) >= 5 else (x, y)
        options["resolutionunit"] = int(page.tags.valueof(296, 2))
    if description := _description(page):
        options["description"] = description.encode()
    for tag, name in ((_SOFTWARE, "software"), (_DATE, "datetime")):
        if isinstance(value := page.tags.valueof(tag), str) and value.isascii():
            options[name] = value
    options.setdefault("software", False)
    profile = page.tags.valueof(_PROFILE)
    if isinstance(profile, bytes) and profile_fits(profile, grey=grey):
        options["iccprofile"] = profile
    elif profile:
        notes.append("a colour profile of other channels is not kept")
    tags = [page.tags[code] for code in _DESCRIBING if code in page.tags]
    options["extratags"] = [(tag.code, tag.dtype, tag.count, _stored_value(page, tag), True) for tag in tags]
    if _EXIF in page.tags or _GPS in page.tags:
        notes.append("the EXIF of a TIFF is not kept")
    return options
