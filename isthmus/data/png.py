"""PNG files: every checksum is held against its chunk, and plain images are decoded without Pillow's reader of files.

Plain is an image of 8 bits, grey or RGB, in one pass, without a chunk that changes what its pixels mean. Pillow's
decoder undoes its rows, as it does for Pillow's reader; but that reader's own work would take half of the time of an
image of 64×64, and it looks at no checksum of the pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

START = b"\x89PNG\r\n\x1a\n"
MAX_PLAIN = 64 << 20  # bytes of pixels; what is larger is the careful reader's, who knows a decompression bomb
_MODES = {0: ("L", 1), 2: ("RGB", 3)}  # colour type -> Pillow's mode, channels
# They speak of the screen, the paper and the time, and Pillow does not touch the pixels because of them
_ASIDE = {b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD", b"sBIT"}


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk, and where its content starts and ends; the last is IEND.

    Raises OSError where the file is cut short or a checksum is wrong. What follows the end is not looked at, as no
    other program does.
    """
    view, at, kind = memoryview(data), len(START), b""
    while kind != b"IEND":
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            raise OSError("cut short" if at + 8 <= len(data) else "cut short: it has no end")
        kind = data[at + 4 : at + 8]
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise OSError(f"wrong checksum of its chunk {kind.decode('latin-1')!r}")
        yield kind, at + 8, end
        at = end + 4


def plain_pixels(data: bytes) -> np.ndarray | None:
    """(h, w, c) uint8 of a plain PNG; None for any other file, of which only the beginning may have been looked at.

    Raises OSError or ValueError if the file is damaged.
    """
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    mode, channels = _MODES.get(data[25], ("", 0)) if len(data) > 33 else ("", 0)
    # a header of 13 bytes comes first; then depth 8, and the one way to pack and to filter, in one pass
    if not mode or data[8:16] != b"\0\0\0\rIHDR" or data[24] != 8 or data[26:29] != b"\0\0\0":
        return None
    if not 0 < width * height * channels <= MAX_PLAIN:
        return None
    pieces: list[bytes] = []
    aside = True  # whether the chunk before was none of pixels
    for kind, start, end in chunks(data):
        if kind == b"IDAT":
            if pieces and aside:
                return None
            pieces.append(data[start:end])
        elif kind not in _ASIDE and (kind != b"IHDR" or start != 16) and kind != b"IEND":
            return None
        aside = kind != b"IDAT"
    if not pieces:
        return None
    from PIL import Image

    packed = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    image = Image.frombytes(mode, (width, height), packed, "zip", mode)
    # np.asarray(image) does the same, and takes longer
    return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, channels)
