"""One image file, PNG, JPEG, TIFF, BMP or WebP, read to pixels: checked, turned upright, never silently made smaller.

Pillow decodes. Its readers are called by what the file's first bytes say, not by its name, so that no other format's
reader is ever run on a stranger's file; what Pillow would read wrongly is mended or refused here, and said.
"""

from __future__ import annotations

import contextlib
import functools
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from isthmus.data import png
from isthmus.errors import DataError, one_line
from isthmus.files import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = (".bmp", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 178_956_970  # where Pillow itself refuses; a larger limit here would be its limit all the same
# An image of more than BOMB_BYTES that was BOMB_RATIO times smaller is no photograph: deflate reaches 1,030
BOMB_RATIO, BOMB_BYTES = 200, 64 << 20
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
# What Pillow's parsers raise when they stumble over bytes that they do not expect
STUMBLES = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
    EOFError, NotImplementedError, RuntimeError, MemoryError, struct.error, zlib.error,
)  # fmt: skip
_WITHOUT_ALPHA = {"LA": "L", "La": "LA", "PA": "RGBA", "RGBA": "RGB", "RGBa": "RGBA"}


@dataclass(frozen=True)
class Decoded:
    """An image, (c, h, w), uint8 or float32 in [0, 1], and the kinds of `NOTES` that hold for its file."""

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


# kind of note -> what is said of n files
NOTES = {
    "alpha": "{n}: an alpha channel was dropped",
    "turned": "{n}: turned upright, as the camera's orientation (EXIF) says",
    "cmyk": "{n}: converted from CMYK to RGB",
    "deep": "{n}: 16 bits per channel, of which Pillow reads 8 in colour images",
    "frames": "{n}: more than one picture in a file, of which the first was read",
}


def read_image(path: Path | str) -> Decoded:
    """The pixels of an image file: grey stays grey, palettes become what they stand for, 16 bits become float32.

    Raises DataError, with the path, for what is empty, no image, damaged, cut short, too large or unreadable.
    """
    data = _bytes_of(path)
    with _stumbles_said(path):
        if data.startswith(png.START) and (plain := png.plain_pixels(data)) is not None:
            return Decoded(np.ascontiguousarray(plain.transpose(2, 0, 1)))
        with _open(path, data) as image:
            return _decode(path, image)


def read_shape(path: Path | str) -> tuple[int, int, int]:
    """(channels, height, width) as `read_image` would give them, from the header alone. Raises what it raises."""
    with open_header(path) as image:
        if image.mode == "P" or (image.format == "PNG" and b"eXIf" in image.fp.getvalue()):  # type: ignore[union-attr]
            image.load()  # only then is it known which colours a palette has, or which way up a PNG is
        width, height = image.size
        sideways = image.format != "TIFF" and _orientation(image) >= 5  # of a TIFF, Pillow gives the size turned
        return (1 if is_grey(image) else 3, *((width, height) if sideways else (height, width)))


def read_depth(path: Path | str) -> int:
    """The bits of a channel in an image file, 8, 16, or up to 32, from the header alone. Raises what it raises."""
    with open_header(path) as image:
        if image.mode == "F":
            return 32
        white = _white(path, image)
        return white.bit_length() if white else 16 if is_deep(image) else 8


@contextlib.contextmanager
def open_header(path: Path | str) -> Iterator[ImageFile]:
    """Pillow's reader of an image file, for what its header says. Raises what `read_image` raises."""
    data = _bytes_of(path)
    with _stumbles_said(path), _open(path, data) as image:
        yield image


@contextlib.contextmanager
def _stumbles_said(path: Path | str) -> Iterator[None]:
    """Within it, what Pillow raises becomes the sentence that the file is damaged."""
    try:
        yield
    except DataError:
        raise
    except STUMBLES as error:
        raise DataError(f"{path} is a damaged image ({_said(error)}); replace it, or leave it out") from None


class quiet_pillow(warnings.catch_warnings):  # noqa: N801
    """Within it, Pillow's own warnings are not shown: what matters in them is an error or a note here."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module=r"PIL\.")


def is_grey(image: ImageFile) -> bool:
    """Whether an image file has one channel, alpha aside; a palette counts as colours unless all of them are grey."""
    if image.mode == "P":
        return _has_grey_palette(image)
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode[0] == "I" or _rawmode(image) == "LA;16B"


def is_deep(image: ImageFile) -> bool:
    """Whether a file has 16 bits per channel, of which Pillow reads 8."""
    return ";16" in _rawmode(image) and not image.mode.startswith("I")


def _has_grey_palette(image: Image) -> bool:
    palette = np.reshape(image.getpalette() or [0, 0, 0], (-1, 3))
    return bool((palette == palette[:, :1]).all())


def _bytes_of(path: Path | str) -> bytes:
    # whole and at once: half the time of Pillow's many small reads, and sums can be held against it
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise DataError(f"{path} is empty (0 bytes); replace it, or leave it out")
    return data


def _said(error: BaseException) -> str:
    return one_line(error)[:200] or type(error).__name__


@functools.cache
def _readers() -> tuple[tuple[bytes, Callable[[IO[bytes]], ImageFile]], ...]:
    """First bytes, and Pillow's reader of what starts with them."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    tiff = TiffImagePlugin.TiffImageFile
    return (
        (png.START, PngImagePlugin.PngImageFile),
        (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
        *((start, tiff) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        (b"BM", BmpImagePlugin.BmpImageFile),
        (b"RIFF", WebPImagePlugin.WebPImageFile),
    )


def _open(path: Path | str, data: bytes) -> ImageFile:
    """Pillow's reader for these bytes, its header read and its size checked; nothing is decoded yet."""
    reader = next((reader for start, reader in _readers() if data.startswith(start)), None)
    if reader is None or (data.startswith(b"RIFF") and data[8:12] != b"WEBP"):
        start = data[:8].hex(" ")
        raise DataError(f"{path} is not a PNG, JPEG, TIFF, BMP or WebP image; leave it out (it starts with {start})")
    if data.startswith(png.START):
        for _ in png.chunks(data):  # which holds their checksums against them
            pass
    from PIL.Image import DecompressionBombError

    try:
        image = reader(io.BytesIO(data))
    except DecompressionBombError:  # some readers ask for the size themselves, and this is none of the STUMBLES
        raise DataError(
            f"{path} promises more than {MAX_PIXELS:,} pixels, which is the limit; cut it or leave it out"
        ) from None
    width, height = image.size
    if width < 1 or height < 1:
        raise DataError(f"{path} is an image of {height}×{width}, without pixels; leave it out")
    decoded = width * height * len(image.getbands())
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} promises {height}×{width} pixels; the limit is {MAX_PIXELS:,}, so cut it or leave it out"
        )
    if decoded > BOMB_BYTES and decoded > BOMB_RATIO * len(data):
        raise DataError(
            f"{path} would grow from {len(data):,} to {decoded:,} bytes, more than {BOMB_RATIO} times: "
            "a decompression bomb, not a photograph; leave it out"
        )
    return image


def _decode(path: Path | str, image: ImageFile) -> Decoded:
    # asked before the pixels are loaded, after which Pillow forgets how they were kept
    tiff = image.format == "TIFF"
    rawmode = _rawmode(image)
    orientation = _orientation(image) if tiff else 1
    white = _white(path, image)
    inverted = tiff and image.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    notes = []
    if getattr(image, "is_animated", False) and image.format != "MPO":  # an MPO's others are previews and depth maps
        notes.append("frames")
    image.load()
    if white or image.mode == "F":
        from isthmus.data.arrays import scaled

        values = np.asarray(image)
        grey = scaled(values, white) if white else _checked_floats(path, values)
        pixels = (1 - grey if inverted else grey)[:, :, None]  # Pillow inverts 8 bits of "white is zero", and only 8
    else:
        plain = _plain(image, notes)
        # np.asarray(plain) does the same, and a small image is read a tenth slower
        pixels = np.frombuffer(plain.tobytes(), np.uint8).reshape(plain.height, plain.width, -1)
        if rawmode == "LA;16B":  # Pillow has no such mode and makes three channels of the grey one
            pixels = pixels[:, :, :1]
        if ";16" in rawmode:
            notes.append("deep")
    if "transparency" in image.info and "alpha" not in notes:
        notes.append("alpha")
    if not tiff:
        orientation = _orientation(image)
    if orientation != 1:
        notes.append("turned")
        if not tiff:  # which Pillow turns when it loads it, and nothing else
            pixels = _upright(pixels, orientation)
    return Decoded(np.ascontiguousarray(pixels.transpose(2, 0, 1)), tuple(notes))


def _rawmode(image: ImageFile) -> str:
    """How the file keeps its pixels, in Pillow's words: "RGB;16B" is read with 8 of its 16 bits."""
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _white(path: Path | str, image: ImageFile) -> int:
    """The integer that stands for white in a grey image of more than 8 bits, 0 for other images."""
    if image.format != "TIFF" or image.mode not in ("I", "F", "I;16", "I;16B"):
        return 65535 if image.mode.startswith("I;16") else 0
    # libtiff swaps the bytes of a packed big-endian file, and Pillow swaps them once more in these two modes
    if image.mode in ("I", "F") and image.tag_v2.prefix == b"MM" and image.tile[0].codec_name == "libtiff":  # type: ignore[attr-defined]
        raise DataError(
            f"{path} is a compressed big-endian TIFF of such pixels as Pillow misreads; save it uncompressed"
        )
    if image.mode == "I":
        raise DataError(f"{path} has signed or 32-bit whole numbers as pixels; save it with 8 or 16 bits, unsigned")
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]  # type: ignore[attr-defined]
    return 0 if image.mode == "F" else 2**bits - 1


def _checked_floats(path: Path | str, values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())  # NaN if any is
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{path}: float pixels must lie in [0, 1], got {low:g} to {high:g}; scale them, or leave it out"
        )
    return values


def _plain(image: Image, notes: list[str]) -> Image:
    """The image in mode L or RGB."""
    while image.mode in _WITHOUT_ALPHA:
        if "alpha" not in notes:
            notes.append("alpha")
        image = image.convert(_WITHOUT_ALPHA[image.mode])
    if image.mode == "CMYK":
        notes.append("cmyk")
    if image.mode == "P":
        return image.convert("L" if _has_grey_palette(image) else "RGB")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _orientation(image: ImageFile) -> int:
    """The EXIF orientation, 1 (upright) to 8."""
    try:
        if image.format == "TIFF":
            value = image.tag_v2.get(_ORIENTATION)  # type: ignore[attr-defined]
        elif image.info.keys() & {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}:
            value = image.getexif().get(_ORIENTATION)
        else:
            return 1
    except STUMBLES:  # a photograph whose EXIF is damaged is a photograph all the same
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(h, w, c) pixels, turned and mirrored as an EXIF orientation asks."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::down, ::across]
