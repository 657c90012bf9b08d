"""One image file of any kind, read to its pages: checked, turned upright, never silently made smaller.

What a file is, its first bytes say, not its name, so that no other format's reader is run on a stranger's file.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from isthmus.data.formats import jpeg2000, netpbm, pillow, png, tiff
from isthmus.data.formats.page import MAX_PIXELS, NOTES, STUMBLES, Page, Refused, reason_of
from isthmus.errors import DataError
from isthmus.files import open_regular

__all__ = [
    "MAX_PIXELS",
    "NOTES",
    "STUMBLES",
    "SUFFIXES",
    "Page",
    "quiet_readers",
    "read_image",
    "read_pages",
    "read_shapes",
]

Shape = tuple[int, int, int]
# ending -> what the files are called
KINDS = {
    ".bmp": "BMP", ".gif": "GIF", ".j2c": "JPEG 2000", ".j2k": "JPEG 2000", ".jfif": "JPEG", ".jp2": "JPEG 2000",
    ".jpe": "JPEG", ".jpeg": "JPEG", ".jpg": "JPEG", ".pbm": "PBM", ".pgm": "PGM", ".png": "PNG", ".pnm": "PNM",
    ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP",
}  # fmt: skip
SUFFIXES = tuple(KINDS)
KNOWN = "PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, PBM, PGM or PPM"
_FORMATS: tuple[tuple[tuple[bytes, ...], ModuleType], ...] = (
    ((png.START,), png),
    (pillow.STARTS, pillow),
    (tiff.STARTS, tiff),
    (jpeg2000.STARTS, jpeg2000),
    (netpbm.STARTS, netpbm),
)
# Others that people have, by their first bytes
_OTHERS = (
    (4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc"), "a HEIC image"),
    (4, (b"ftypavif", b"ftypavis"), "an AVIF image"),
    (4, (b"ftyp",), "a film"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), "a JPEG XL image"),
    (0, (b"8BPS",), "a Photoshop file"),
    (0, (b"%PDF",), "a PDF"),
    (0, (b"<svg", b"<?xml"), "a drawing or XML"),
    (0, (b"\x76\x2f\x31\x01",), "an OpenEXR image"),
    (0, (b"PF\n", b"Pf\n", b"P7\n"), "a PFM or PAM image"),
)


def read_pages(path: Path | str) -> list[Page]:
    """The pictures of an image file as they are stored: one, or each page of a TIFF, each frame of an animation.

    Raises DataError, with the path, for what is empty, no image, of a kind that is not read, damaged, cut short, too
    large or unreadable.
    """
    data = bytes_of(path)
    with faults_named(path):
        return list(format_of(path, data).pages(data))


def read_image(path: Path | str) -> Page:
    """The picture of a file with one, its numbers brought to uint8 or float32 in [0, 1].

    Raises what `read_pages` raises, and DataError for several pages and for numbers that do not say what is white.
    """
    pages = read_pages(path)
    if len(pages) > 1:
        raise DataError(f"{path} has {len(pages)} pages; give one of them in a file of its own")
    with faults_named(path):
        return Page(pages[0].scaled(), pages[0].bits, pages[0].notes)


def read_shapes(path: Path | str) -> list[Shape]:
    """(channels, height, width) of each page that `read_pages` gives, from the header alone. Raises what it raises."""
    data = bytes_of(path)
    with faults_named(path):
        shapes: list[Shape] = format_of(path, data).shapes(data)
        return shapes


@contextlib.contextmanager
def faults_named(path: Path | str) -> Iterator[None]:
    """Within it, what a format's reader raises becomes a DataError that starts with the path."""
    try:
        yield
    except DataError:
        raise
    except Refused as error:
        raise DataError(f"{path} {error}") from None
    except STUMBLES as error:
        raise DataError(f"{path} is a damaged image ({reason_of(error)}); replace it, or leave it out") from None
    except Exception as error:
        if type(error).__name__ != "DecompressionBombError":  # Pillow's, and none of the STUMBLES; a later frame's
            raise
        raise DataError(f"{path} promises more pixels than the limit of {MAX_PIXELS:,}; leave it out") from None


class quiet_readers(warnings.catch_warnings):  # noqa: N801
    """Within it, warnings of Pillow and tifffile are not shown: what matters in them is an error or a note here."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module=r"(PIL|tifffile)\b")


def bytes_of(path: Path | str) -> bytes:
    """A file's bytes. Raises DataError, with the path, if it cannot be read or is empty."""
    # whole and at once: half the time of Pillow's many small reads, and sums can be held against it
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise DataError(f"{path} is empty (0 bytes); replace it, or leave it out")
    return data


def format_of(path: Path | str, data: bytes) -> ModuleType:
    """The module of `formats` for these bytes. Raises DataError for what is no image, and names what it is."""
    for starts, module in _FORMATS:
        if data.startswith(starts) and not (data.startswith(pillow.WEBP) and data[8:12] != b"WEBP"):
            return module
    refuse_others(path, data)
    start = data[:8].hex(" ")
    raise DataError(f"{path} is not a {KNOWN} image; leave it out (it starts with {start})")


def refuse_others(path: Path | str, data: bytes) -> None:
    """Raise DataError, with its name, for a kind of file that people have and that is not read. data: its start."""
    if name := other_kind(data):
        raise DataError(f"{path} is {name}, which is not read; convert it to PNG or TIFF, or leave it out")


def other_kind(start: bytes) -> str:
    """The kind of a file that is not read, in words, by its first bytes; "" if they are no known one's."""
    return next((name for at, starts, name in _OTHERS if start.startswith(starts, at)), "")
