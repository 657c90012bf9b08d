"""JPEG 2000 files, in their boxes (JP2) or bare, read and written with all their bits by imagecodecs.

The boxes and the size marker are looked at here: they say what the channels are, and how many bits a number has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.data.formats.page import Page, check_size, from_cmyk, unread

Shape = tuple[int, int, int]
_BOXES, _BARE = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
STARTS = (_BOXES, _BARE)
KINDS = dict.fromkeys((".jp2", ".j2k", ".j2c"), "JPEG 2000")
KEEPS_BITS = True  # 12 bits are written as 12
_COLOURS = {12: "CMYK", 16: "RGB", 17: "grey", 18: "sYCC"}  # EnumCS of the box colr
_COMMENT, _TILE = b"\xff\x64", b"\xff\x90"
_BY_ITSELF = (b"Created by OpenJPEG", b"Kakadu")  # what encoders call themselves
_WITHIN = {b"jp2h", b"res "}  # boxes of boxes


@dataclass(frozen=True)
class _Header:
    """What a file says: the colours of its box, "" for none; of each channel the bits, and whether it is signed."""

    width: int
    height: int
    bits: tuple[int, ...]
    signed: bool
    colours: str
    beside: bool  # whether there is a profile, a resolution, XMP or a comment

    @property
    def channels(self) -> int:
        """Of colour: 1, 3 or 4. Raises Refused for kinds that are not read."""
        n = len(self.bits)
        if len(set(self.bits)) > 1 or max(self.bits) > 16:
            raise unread("JPEG 2000", f"channels of {', '.join(map(str, self.bits))} bits; save it with 8 or 16")
        if (self.colours == "sYCC" and self.bits[0] != 8) or n > (5 if self.colours == "CMYK" else 4):
            raise unread("JPEG 2000", f"{n} channels of {self.colours or 'no named colours'}; save it as RGB or grey")
        return 4 if self.colours == "CMYK" else 1 if n < 3 or self.colours == "grey" else 3


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box, and where its content starts and ends, those within others too."""
    while at + 8 <= end:
        length, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        stop = end if length == 0 else at + length
        if stop > end or stop < start:
            raise OSError("cut short")
        yield kind, start, stop
        if kind in _WITHIN:
            yield from _boxes(data, start, stop)
        at = stop


def _header(data: bytes) -> _Header:
    boxes = list(_boxes(data, 0, len(data))) if data.startswith(_BOXES) else [(b"jp2c", 0, len(data))]
    colours, beside, at, end = "", False, -1, -1
    for kind, start, stop in boxes:
        if kind == b"colr" and not colours:
            named = data[start] == 1
            colours = _COLOURS.get(int.from_bytes(data[start + 3 : start + 7], "big"), "other") if named else ""
            beside |= not named
        elif kind in (b"res ", b"xml ", b"uuid"):
            beside = True
        elif kind == b"pclr":
            raise unread("JPEG 2000", "a palette; save it as RGB")
        elif kind == b"jp2c" and at < 0:
            at, end = start, stop
    if at < 0 or data[at : at + 4] != _BARE:
        raise OSError("no picture in it")
    if data[end - 2 : end] != b"\xff\xd9":
        raise OSError("cut short")
    right, down, left, top = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (8, 12, 16, 20))
    n = int.from_bytes(data[at + 40 : at + 42], "big")
    channels = [data[at + 42 + 3 * i : at + 45 + 3 * i] for i in range(min(n, 16))]
    if not channels or len(channels[-1]) < 3:
        raise OSError("no channels")
    if any(item[1:] != b"\1\1" for item in channels):
        raise unread("JPEG 2000", "channels of different sizes; save it as RGB or grey")
    bits = tuple((item[0] & 127) + 1 for item in channels)
    signed = any(item[0] & 128 for item in channels)
    beside |= any(not item.startswith(_BY_ITSELF) for item in _comments(data, at, end))
    check_size(right - left, down - top, n * (2 if max(bits) > 8 else 1), 1, len(data))
    return _Header(right - left, down - top, bits, signed, colours, beside)


def _comments(data: bytes, at: int, end: int) -> Iterator[bytes]:
    """The comments in a code stream's header."""
    at += 2
    while at + 4 <= end and data[at : at + 2] != _TILE:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 2] == _COMMENT:
            yield data[at + 6 : at + 2 + length]
        at += 2 + max(2, length)


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width), in a list, for there is one. Raises what `pages` raises for a header."""
    header = _header(data)
    return [(1 if header.channels == 1 else 3, header.height, header.width)]


def pages(data: bytes) -> Iterator[Page]:
    """The picture. Raises Refused for kinds that are not read, and what imagecodecs raises on damage."""
    import imagecodecs

    header = _header(data)
    n = header.channels
    values = imagecodecs.jpeg2k_decode(data)
    values = values.reshape(header.height, header.width, -1)
    if values.shape[2] != len(header.bits):
        raise OSError(f"{values.shape[2]} channels in place of {len(header.bits)}")
    notes = ["alpha"] if values.shape[2] > n else []
    values = values[:, :, :n]
    if n == 4:
        notes.append("cmyk")
        if header.signed or header.bits[0] not in (8, 16):
            raise unread("JPEG 2000", f"CMYK of {header.bits[0]} bits; save it as RGB")
        values = from_cmyk(values)
    yield Page(np.ascontiguousarray(values.transpose(2, 0, 1)), header.bits[0], tuple(notes))


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write the picture (c, h, w) in the boxes, or bare, and with as many bits as that of `data`, without loss.

    Returns sentences on what is not kept.
    """
    import imagecodecs

    header, (picture,) = _header(data), pictures
    values = picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))
    kind = "jp2" if data.startswith(_BOXES) else "j2k"
    bits = max(8, header.bits[0])
    file.write(imagecodecs.jpeg2k_encode(values, level=0, codecformat=kind, reversible=True, bitspersample=bits))
    lost = {
        "the resolution, profile, XMP and comment of a JPEG 2000 are not kept": header.beside,
        "the alpha channel is not kept": len(header.bits) > header.channels,
        "CMYK is not kept": header.channels == 4,
    }
    return [sentence for sentence, holds in lost.items() if holds]
