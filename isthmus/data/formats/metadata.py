"""Metadata beside the pixels: EXIF and XMP, kept except for orientation and size, and colour profiles."""

from __future__ import annotations

import re

_ORIENTATION, _DETAILS = 274, 0x8769  # of the second the value is the place of another list of tags
_WIDTHS, _HEIGHTS = (256, 0xA002), (257, 0xA003)
_LONG = 4  # the type of a tag's value, of four bytes
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[1-8]")
_XMP_WIDTH = re.compile(rb"((?:tiff:ImageWidth|exif:PixelXDimension)(?:=[\"']|>))\d+")
_XMP_HEIGHT = re.compile(rb"((?:tiff:ImageLength|exif:PixelYDimension)(?:=[\"']|>))\d+")


def written_exif(exif: bytes, size: tuple[int, int]) -> bytes:
    """EXIF, with or without its "Exif" in front, of an upright picture of this (height, width), without a thumbnail.

    Every other byte stays where it was: maker's notes say where in the file they lie, so that EXIF that is taken apart
    and written again loses them. A thumbnail shows the picture as it was before.
    """
    front = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "little", b"MM": "big"}.get(exif[front : front + 2])
    if order is None:
        return exif
    done = bytearray(exif)
    height, width = size

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)  # type: ignore[arg-type]

    def put(at: int, value: int, size: int) -> None:
        done[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]

    def mend(at: int) -> int:
        """Write the tags of the list at this place anew; where the list of details is, or 0."""
        details = 0
        for entry in range(at + 2, min(at + 2 + 12 * number(at, 2), len(exif) - 11), 12):
            tag = number(entry, 2)
            if tag == _ORIENTATION:
                put(entry + 8, 1, 2)
            elif tag in _WIDTHS or tag in _HEIGHTS:
                put(entry + 2, _LONG, 2)
                put(entry + 4, 1, 4)
                put(entry + 8, width if tag in _WIDTHS else height, 4)
            elif tag == _DETAILS:
                details = number(entry + 8, 4)
        return details

    first = front + number(front + 4, 4)
    if details := mend(first):
        mend(front + details)
    thumbnail = first + 2 + 12 * number(first, 2)  # where the place of its list of tags is
    if thumbnail + 4 <= len(exif):
        put(thumbnail, 0, 4)
    return bytes(done)


def written_xmp(xmp: bytes, size: tuple[int, int]) -> bytes:
    """XMP of an upright picture of this (height, width).

    >>> written_xmp(b'<x tiff:Orientation="6" tiff:ImageWidth="30"/>', (30, 20))
    b'<x tiff:Orientation="1" tiff:ImageWidth="20"/>'
    """
    for pattern, value in ((_XMP_ORIENTATION, 1), (_XMP_HEIGHT, size[0]), (_XMP_WIDTH, size[1])):
        xmp = pattern.sub(rb"\g<1>%d" % value, xmp)
    return xmp


def profile_fits(profile: bytes, *, grey: bool) -> bool:
    """Whether a colour profile can be one of an image that is grey, or RGB: it says so in its bytes 16 to 19."""
    return profile[16:20] not in {b"GRAY", b"RGB ", b"CMYK", b"Lab ", b"YCbr"} - {b"GRAY" if grey else b"RGB "}
