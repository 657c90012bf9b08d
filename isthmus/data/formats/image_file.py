"""Read an image file of any format: its pages, checked and turned upright.

The format is told by the first bytes, not by the name, so that a file from a stranger meets one reader alone.
"""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from isthmus.data.formats import jpeg2000, netpbm, pillow, png, tiff
from isthmus.data.formats.page import MAX_PIXELS, STUMBLES, Page, Refused, reason_of
from isthmus.errors import DataError, RequestError
from isthmus.files import open_regular

__all__ = ["KINDS", "Format", "Page", "Shape", "quiet_readers", "read_pages", "read_shapes", "register"]

Shape = tuple[int, int, int]


class Format(Protocol):
    """A format of image files: a module, or any object that has these.

    KINDS: what the files are called, by their endings (".png": "PNG"). STARTS: their first bytes.
    """

    @property
    def __name__(self) -> str: ...

    @property
    def KINDS(self) -> Mapping[str, str]: ...  # noqa: N802

    @property
    def STARTS(self) -> tuple[bytes, ...]: ...  # noqa: N802

    def pages(self, data: bytes, /) -> Iterator[Page]:
        """Each picture of a file's bytes. Raises `page.Refused`, or any of `page.STUMBLES` on damage."""

    def shapes(self, data: bytes, /) -> list[Shape]:
        """(channels, height, width) of each picture, from the header alone where that has it."""

    def write(self, file: Any, data: bytes, pictures: Sequence[np.ndarray], /) -> list[str]:
        """Write pictures (c, h, w), of the types of the pages of `data`, in their place; sentences on what is lost."""


_FORMATS: list[Format] = [png, pillow, tiff, jpeg2000, netpbm]
_LARGE = 16 << 20  # bytes of a file
_OUTSIDE: list[str] = []  # modules that were registered
KINDS = {ending: kind for module in _FORMATS for ending, kind in module.KINDS.items()}
# Formats that are common and not read, by their first bytes
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


def register(module: Format) -> None:
    """Read and write files of one more format, from here on and in this process and the workers that it starts.

    Raises RequestError for endings or first bytes that another format has.
    """
    if taken := [ending for ending in module.KINDS if ending in KINDS]:
        raise RequestError(f"{taken[0]} files are read already, as {KINDS[taken[0]]}")
    if taken_starts := [start for start in module.STARTS for known in _FORMATS if start.startswith(known.STARTS)]:
        raise RequestError(f"files that start with {taken_starts[0]!r} are read already")
    _FORMATS.append(module)
    _OUTSIDE.append(module.__name__)
    KINDS.update(module.KINDS)


def registered() -> list[str]:
    """The names of the modules that were registered: what a worker needs to read the same files."""
    return list(_OUTSIDE)


def register_all(names: Sequence[str]) -> None:
    """In a worker: what `registered` listed in the process that started it."""
    for name in names:
        module = importlib.import_module(name)  # which may register itself
        if name not in _OUTSIDE:
            register(module)


def is_image(path: Path | str) -> bool:
    """Whether a file's name ends as one of an image that is read."""
    return Path(path).suffix.lower() in KINDS


def known_endings() -> str:
    """The endings of image files, in words."""
    return ", ".join(sorted(KINDS))


def read_pages(path: Path | str) -> list[Page]:
    """The pictures of an image file as they are stored: one, or each page of a TIFF, or each frame of an animation.

    Raises DataError, with the path, for a file that is empty, damaged, too large, unreadable, or of no known format.
    """
    return list(iterate_pages(path))


def iterate_pages(path: Path | str) -> Iterator[Page]:
    """The pictures of an image file, one at a time. Raises as `read_pages`."""
    data = bytes_or_map(path)
    with faults_named(path):
        yield from format_of(path, data).pages(data)


def read_shapes(path: Path | str) -> list[Shape]:
    """(channels, height, width) of each page, from the header alone. Raises as `read_pages`."""
    data = bytes_or_map(path)
    with faults_named(path):
        return format_of(path, data).shapes(data)


@contextlib.contextmanager
def faults_named(path: Path | str) -> Iterator[None]:
    """Turn what a format's reader raises into a DataError that starts with the path."""
    try:
        yield
    except DataError:
        raise
    except Refused as error:
        raise DataError(f"{path} {error}") from None
    except STUMBLES as error:
        raise DataError(f"{path} is a damaged image ({reason_of(error)}); replace it, or leave it out") from None
    except Exception as error:
        if type(error).__name__ != "DecompressionBombError":  # Pillow's, for a later frame
            raise
        raise DataError(f"{path} promises more pixels than the limit of {MAX_PIXELS:,}; leave it out") from None


class quiet_readers(warnings.catch_warnings):  # noqa: N801
    """Hide the warnings of Pillow and tifffile: what matters in them is an error or a note here."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module=r"(PIL|tifffile)\b")


def bytes_of(path: Path | str) -> bytes:
    """A file's bytes. Raises DataError, with the path, if it cannot be read or is empty."""
    # whole and at once: half the time of Pillow's many small reads, and checksums can be verified
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise DataError(f"{path} is empty (0 bytes); replace it, or leave it out")
    return data


def bytes_or_map(path: Path | str) -> Any:
    """A file's bytes; of a large TIFF or PNG a map, of which only what is read takes memory. Raises as `bytes_of`.

    Nothing that is read of it may stay a view: a file that is cut short later would end the program.
    """
    with contextlib.suppress(OSError), open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _LARGE and file.read(8).startswith((*tiff.STARTS, png.START)):
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # which stays when the file is closed
    return bytes_of(path)


def format_of(path: Path | str, data: bytes) -> Format:
    """The format of these bytes. Raises DataError for anything that is not an image, naming it where it is known."""
    head = data[:64]
    for module in _FORMATS:
        if head.startswith(module.STARTS) and not (head.startswith(pillow.WEBP) and head[8:12] != b"WEBP"):
            return module
    refuse_others(path, head)
    *kinds, last = dict.fromkeys(KINDS.values())
    start = head[:8].hex(" ")
    raise DataError(f"{path} is not a {', '.join(kinds)} or {last} image; leave it out (it starts with {start})")


def refuse_others(path: Path | str, data: bytes) -> None:
    """Raise DataError for a common format that is not read. data: the start of the file."""
    if name := other_kind(data):
        raise DataError(f"{path} is {name}, which is not read; convert it to PNG or TIFF, or leave it out")


def other_kind(start: bytes) -> str:
    """The name of a common format that is not read, by its first bytes; "" for any other."""
    return next((name for at, starts, name in _OTHERS if start.startswith(starts, at)), "")
