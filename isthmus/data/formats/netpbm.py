"""PBM, PGM and PPM files (Netpbm's P1 to P6): a few words of text, then numbers, as text or as bytes.

Pillow reads them with 8 bits of colour; this keeps all 16.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from isthmus.data.formats.page import Page, check_size

Shape = tuple[int, int, int]
KINDS = {".pbm": "PBM", ".pgm": "PGM", ".ppm": "PPM", ".pnm": "PNM"}
KEEPS_BITS = True  # 12 bits are written as 12
STARTS = tuple(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b" \t\r\n#")
_SPACE = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])"
_BITS = re.compile(rb"P[14]%b+(\d{1,9})%b+(\d{1,9})[ \t\r\n\v\f]" % (_SPACE, _SPACE))
_NUMBERS = re.compile(rb"P[2356]%b+(\d{1,9})%b+(\d{1,9})%b+(\d{1,5})[ \t\r\n\v\f]" % (_SPACE, _SPACE, _SPACE))


def _headers(data: bytes, *, first: bool = False) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each picture: its kind (1 to 6), width, height, largest number, and where the numbers start."""
    at = 0
    while True:
        kind = data[at + 1] - ord("0")
        match = (_BITS if kind in (1, 4) else _NUMBERS).match(data, at)
        if match is None:
            raise OSError("no header of its kind")
        width, height = int(match[1]), int(match[2])
        white = 1 if kind in (1, 4) else int(match[3])
        if not 0 < white < 65536:
            raise OSError(f"the largest number is {white}")
        check_size(width, height, 1, 1, len(data))
        yield kind, width, height, white, match.end()
        at = match.end() + _length(kind, width, height, white)
        if kind < 4 or not data.startswith(STARTS, at):  # as text there is one picture only
            return


def _length(kind: int, width: int, height: int, white: int) -> int:
    """Bytes of the numbers of a binary kind."""
    if kind == 4:
        return (width + 7) // 8 * height
    return width * height * (3 if kind == 6 else 1) * (2 if white > 255 else 1)


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width) of each picture. Raises what `pages` raises for a header."""
    return [(3 if kind in (3, 6) else 1, height, width) for kind, width, height, *_ in _headers(data)]


def pages(data: bytes) -> Iterator[Page]:
    """Each picture; a bit that is set is black. Raises Refused for sizes, ValueError or OSError for damage."""
    for kind, width, height, white, start in _headers(data):
        c = 3 if kind in (3, 6) else 1
        n = width * height * c
        if kind == 4:
            rows = np.frombuffer(data, np.uint8, _length(kind, width, height, white), start).reshape(height, -1)
            values = 1 - np.unpackbits(rows, axis=1)[:, :width]
        elif kind == 1:
            text = re.sub(rb"#[^\r\n]*|\s", b"", data[start:])
            values = 1 - (np.frombuffer(text, np.uint8, n) - ord("0"))
        elif kind in (2, 3):
            values = np.array(re.sub(rb"#[^\r\n]*", b"", data[start:]).split()[:n], np.int64)
        else:
            values = np.frombuffer(data, ">u2" if white > 255 else np.uint8, n, start)
        if values.size < n:
            raise OSError("cut short")
        if values.min() < 0 or values.max() > white:
            raise OSError(f"numbers beyond {white}")
        yield Page(_of_all_bits(values.reshape(height, width, c).transpose(2, 0, 1), white), _bits(white))


def _bits(white: int) -> int:
    return white.bit_length() if white & (white + 1) == 0 else 8 if white < 256 else 16


def _of_all_bits(values: np.ndarray, white: int) -> np.ndarray:
    """Of whole numbers in 0..white, those whose white is one less than a power of two."""
    full = 2 ** _bits(white) - 1
    if full != white:
        values = np.rint(values * (full / white))
    return np.ascontiguousarray(values, np.uint8 if white < 256 else np.uint16)


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write pictures (c, h, w), uint8 or uint16, with the largest number that those of `data` have, as bytes.

    Returns sentences on what is not kept.
    """
    notes = []
    for (kind, *_, white, start), picture in zip(_headers(data), pictures, strict=True):
        header = data[data.rindex(b"P%d" % kind, 0, start) : start]
        full = 2 ** _bits(white) - 1
        if kind in (1, 4):
            notes.append("a palette or two levels are not kept: written with 8 bits per channel")
            white = full = 255
        if b"#" in header:
            notes.append("the comments of a Netpbm file are not kept")
        c, h, w = picture.shape
        values = picture.transpose(1, 2, 0) if white == full else np.rint(picture.transpose(1, 2, 0) * (white / full))
        file.write(b"P%d\n%d %d\n%d\n" % (6 if c == 3 else 5, w, h, white))
        file.write(values.astype(">u2" if white > 255 else np.uint8).tobytes())
    return notes
