"""What stands beside a picture's pixels: EXIF and XMP, kept but for which way is up (that was done), and profiles."""

from __future__ import annotations

import re

_ORIENTATION = 274
_XMP = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[1-8]")


def upright_exif(exif: bytes) -> bytes:
    """EXIF, with or without its "Exif" in front, whose orientation is 1; every other byte stays where it was.

    Maker's notes say where in the file they lie, so that EXIF that is taken apart and written again loses them.
    """
    front = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "little", b"MM": "big"}.get(exif[front : front + 2])
    if order is None:
        return exif
    done = bytearray(exif)

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)  # type: ignore[arg-type]

    at = front + number(front + 4, 4)
    for i in range(number(at, 2)):
        entry = at + 2 + 12 * i
        if number(entry, 2) == _ORIENTATION and entry + 12 <= len(exif):
            done[entry + 8 : entry + 10] = (1).to_bytes(2, order)  # type: ignore[arg-type]
    return bytes(done)


def upright_xmp(xmp: bytes) -> bytes:
    """XMP whose orientation is 1.

    >>> upright_xmp(b'<x tiff:Orientation="6"/>')
    b'<x tiff:Orientation="1"/>'
    """
    return _XMP.sub(rb"\g<1>1", xmp)


def profile_fits(profile: bytes, *, grey: bool) -> bool:
    """Whether a colour profile can be one of an image that is grey, or RGB: it says so in its bytes 16 to 19."""
    return profile[16:20] not in {b"GRAY", b"RGB ", b"CMYK", b"Lab ", b"YCbr"} - {b"GRAY" if grey else b"RGB "}
