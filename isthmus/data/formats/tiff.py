"""TIFF files, read and written by tifffile with imagecodecs: every page, of any type, layout and compression."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.data.formats.metadata import profile_fits
from isthmus.data.formats.page import (
    Form,
    Page,
    Refused,
    check_size,
    copied,
    from_cmyk,
    multiplied,
    unread,
    upright,
    with_palette,
    without_alpha,
)
from isthmus.data.formats.tiff_exif import Layout, Tags, add_lists, lists_of
from isthmus.data.formats.tiff_header import (
    BLACK_IS_ZERO,
    CMYK,
    JPEGS,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Shape,
    check,
    has_alpha,
    is_plain,
    n_slices,
    name_of,
    opened,
    orientation_of,
    palette_of,
    pictures_of,
    shape_of,
)

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffTag

KINDS = {".tif": "TIFF", ".tiff": "TIFF"}
STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}  # none, LZW, deflate twice, packbits, LZMA, zstd
_PREDICTED = {5, 8, 32946, 34925, 50000}
_DESCRIPTION, _SOFTWARE, _DATE, _PROFILE = 270, 305, 306, 34675
# What describes a picture and says nothing of how its pixels are stored: the maker and model of a camera, names and
# places of the page, the artist, the computer, copyright, XMP, IPTC, ImageJ's two tags, and GeoTIFF's
_DESCRIBING: tuple[int, ...] = (271, 272, 285, 286, 287, 297, 315, 316, 33432, 700, 33723, 50838, 50839)
_DESCRIBING += (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)


def pages(data: bytes) -> Iterator[Page]:
    """Each page, upright. Raises Refused for kinds that are not read, and what tifffile raises on damage."""
    with opened(data) as file:
        some, aside = pictures_of(file)
        sizes = [shape_of(page) for page in some]
        total = sum(page.nbytes for page in some)
        check_size(*sizes[0][:0:-1], 1, 1, len(data))
        check_size(1, 1, total, 1, len(data))
        for page in some:
            check(page, len(data))
            for values in _slices(file, page, data, single=len(file.pages) == 1):
                yield _page(page, values, ["reduced"] if aside else [], data)


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width) of each page, from its header. Raises what `pages` raises for it."""
    with opened(data) as file:
        some, _ = pictures_of(file)
        result = []
        for page in some:
            c, h, w = shape_of(page)
            n = n_slices(file, page, single=len(file.pages) == 1)
            result += [(c, w, h) if orientation_of(page) >= 5 else (c, h, w)] * n
        return result


def forms(data: bytes) -> list[Form]:
    """How each page is stored, from its header. Raises what `pages` raises for it."""
    with opened(data) as file:
        result = []
        for page in pictures_of(file)[0]:
            c, n = shape_of(page)[0], n_slices(file, page, single=len(file.pages) == 1)
            is_plain = page.photometric != PALETTE and page.dtype is not None and page.dtype.kind != "b"
            dtype = np.dtype(page.dtype) if is_plain else np.dtype(np.uint8)
            result += [Form(c, dtype, 8 if page.photometric == PALETTE else int(page.bitspersample))] * n
        return result


def _slices(file: TiffFile, page: TiffPage, data: bytes, *, single: bool) -> Iterator[np.ndarray]:
    """The pictures of a page, (h, w, samples) each: several where it is a volume, or others follow it unlisted."""
    n = n_slices(file, page, single=single)
    if n > (page.imagedepth or 1):
        values = file.series[0].asarray(maxworkers=1)
    elif is_plain(file, page) and page.dataoffsets[0] + page.nbytes <= len(data):
        dtype = np.dtype(page.dtype)  # a large image is not copied
        values = np.frombuffer(
            data, dtype, page.nbytes // dtype.itemsize, page.dataoffsets[0]
        )  # not copied: it is large
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


def _page(page: TiffPage, values: np.ndarray, notes: list[str], data: Any) -> Page:
    """The picture that the values (h, w, samples) are."""
    colour = int(page.photometric) if page.photometric is not None else BLACK_IS_ZERO
    bits = int(page.bitspersample)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if colour == PALETTE:
        pixels, bits = with_palette(values[..., 0], palette_of(page)), 8
    else:
        n = {RGB: 3, CMYK: 4, YCBCR: 3}.get(colour, 1)
        if extra := values.shape[-1] - n:
            alpha = has_alpha(page, extra)
            notes.append("alpha" if alpha else "extra")
            associated = alpha and int(page.extrasamples[0]) == 1
            values = without_alpha(values, associated=True) if associated else values[..., :n]
        if colour == CMYK:
            notes.append("cmyk")
            values = from_cmyk(values)
        if colour == YCBCR and int(page.compression) not in JPEGS:
            values = _rgb_of(page, values)
        if colour == WHITE_IS_ZERO:
            values = negative(values, bits)
        pixels = values.transpose(2, 0, 1)
    if (orientation := orientation_of(page)) != 1:
        pixels = upright(pixels, orientation)
        notes.append("turned")
    return Page(copied(pixels, data), bits, tuple(notes))


def _rgb_of(page: TiffPage, values: np.ndarray) -> np.ndarray:
    """RGB of uint8 YCbCr (h, w, 3) of full range."""
    if values.dtype != np.uint8:
        raise unread("TIFF", f"YCbCr in {values.dtype} numbers; save it as RGB")
    from PIL import Image

    return np.asarray(Image.frombytes("YCbCr", values.shape[1::-1], values.tobytes()).convert("RGB"))


def negative(values: np.ndarray, bits: int) -> np.ndarray:
    """White where it was black: its own inverse."""
    return (1 if values.dtype.kind == "f" else values.dtype.type(2**bits - 1)) - values


# --- writing ---


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write pictures (c, h, w), of the types to store, as the pages of `data` were stored, with what describes them.

    Returns sentences on what is not kept.
    """
    from tifffile import TiffWriter

    notes, lists, written = list[str](), list[dict[int, Tags]](), iter(pictures)
    with opened(data) as original:
        some, aside = pictures_of(original)
        if aside:
            notes.append("smaller copies and masks in a TIFF are not kept")
        layout = Layout(original.byteorder, original.is_bigtiff)
        with TiffWriter(file, bigtiff=original.is_bigtiff, byteorder=original.byteorder) as writer:
            for page in some:
                alphas = _alphas(original, page, data)
                for i in range(n_slices(original, page, single=len(original.pages) == 1)):
                    picture = next(written)
                    lists.append(lists_of(page, data, layout, picture.shape, notes))
                    alpha = None
                    if alphas is not None and alphas[i].shape[1:] == picture.shape[1:]:  # not after --crop
                        alpha = _of_type(alphas[i], int(page.bitspersample), picture.dtype)
                    notes += _lost_colours(page, alpha)
                    writer.write(_stored_again(page, picture, alpha), **_options(page, picture, alpha, notes))
        if any(lists):
            add_lists(file, layout, lists)
    return notes


def _alphas(file: TiffFile, page: TiffPage, data: bytes) -> list[np.ndarray] | None:
    """The alpha channels, (1, h, w) upright, of the pictures of a page that has them; None for any other."""
    if not has_alpha(page, len(page.extrasamples)):
        return None
    slices = _slices(file, page, data, single=len(file.pages) == 1)
    return [upright(values[..., -1:].transpose(2, 0, 1), orientation_of(page)).copy() for values in slices]


def _of_type(alpha: np.ndarray, bits: int, dtype: np.dtype) -> np.ndarray:
    """An alpha channel of so many bits in the numbers of the colours beside it, which fill their type."""
    if dtype.kind != "u" or bits == 8 * dtype.itemsize:
        return alpha.astype(dtype)
    return np.rint(alpha * (np.iinfo(dtype).max / (2**bits - 1))).astype(dtype)


def _lost_colours(page: TiffPage, alpha: np.ndarray | None) -> list[str]:
    colour, extra = int(page.photometric or 0), len(page.extrasamples)
    lost = {
        "CMYK is not kept": colour == CMYK,
        "YCbCr in a TIFF is not kept": colour == YCBCR and int(page.compression) not in JPEGS,
        "a palette or two levels are not kept: written with 8 bits per channel": colour == PALETTE
        or int(page.bitspersample) < 8,
        "the alpha channel is not kept": has_alpha(page, extra) and alpha is None,
        "channels beyond red, green and blue are not kept": bool(extra) and not has_alpha(page, extra),
    }
    return [sentence for sentence, holds in lost.items() if holds]


def _stored_again(page: TiffPage, picture: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    if len(picture) == 1 and page.photometric == WHITE_IS_ZERO:
        picture = negative(picture, picture.itemsize * 8)
    if alpha is not None:
        if int(page.extrasamples[0]) == 1:  # what its colours were divided by
            picture = multiplied(picture, alpha)
        picture = np.concatenate([picture, alpha])
    if len(picture) == 1:
        return picture[0]
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


def _options(page: TiffPage, picture: np.ndarray, alpha: np.ndarray | None, notes: list[str]) -> dict[str, Any]:
    """What tifffile is told when it writes a page as this one."""
    grey = len(picture) == 1
    options: dict[str, Any] = {"metadata": None, "contiguous": False, "photometric": RGB}
    if grey:
        options["photometric"] = WHITE_IS_ZERO if page.photometric == WHITE_IS_ZERO else BLACK_IS_ZERO
    if not grey or alpha is not None:
        options["planarconfig"] = 2 if page.planarconfig == 2 else 1
    if alpha is not None:
        options["extrasamples"] = [int(page.extrasamples[0])]
    packed = int(page.compression)
    options["compression"] = packed if packed in _LOSSLESS else 8
    if packed not in _LOSSLESS:
        notes.append(f"a TIFF's compression {name_of(page.compression)} is not kept: written with deflate, lossless")
    predictor = int(page.predictor)
    floats = picture.dtype.kind == "f"
    if options["compression"] in _PREDICTED and predictor == (3 if floats else 2):
        options["predictor"] = predictor
    if page.is_tiled and page.tilewidth % 16 == 0 and page.tilelength % 16 == 0:
        options["tile"] = (page.tilelength, page.tilewidth)
    x, y = page.tags.valueof(282), page.tags.valueof(283)
    if isinstance(x, tuple) and isinstance(y, tuple) and x[1] and y[1]:
        options["resolution"] = (y, x) if orientation_of(page) >= 5 else (x, y)
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
    return options
