"""PNG files: every checksum is held against its chunk; plain images are decoded without Pillow's reader of files, those
of 16 bits by imagecodecs, which keeps them, and the rest by Pillow.

Plain is an image of 8 bits, grey or RGB, in one pass, without a chunk that changes what its pixels mean. Pillow's
decoder undoes its rows, as it does for Pillow's reader; but that reader's own work would take half of the time of an
image of 64×64, and it looks at no checksum of the pixels.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from isthmus.data.formats import pillow
from isthmus.data.formats.metadata import profile_fits, written_exif, written_xmp
from isthmus.data.formats.page import Page, check_size, unread, upright

START = b"\x89PNG\r\n\x1a\n"
STARTS = (START,)
KINDS = {".png": "PNG"}
MAX_PLAIN = 64 << 20  # bytes of pixels; what is larger is the careful reader's, who knows a decompression bomb
_MODES = {0: ("L", 1), 2: ("RGB", 3)}  # colour type -> Pillow's mode, channels
# They speak of the screen, the paper and the time, and Pillow does not touch the pixels because of them
_ASIDE = {b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD", b"sBIT"}
# What is kept of a PNG beside its pixels: what colours mean, the resolution, EXIF, text and time
_KEPT = {b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt"}
_KEPT |= {b"tIME"}
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type -> channels, alpha too
Shape = tuple[int, int, int]


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


def pages(data: bytes) -> Iterator[Page]:
    """The picture, or each frame of an animation, upright. Raises Refused, OSError or ValueError for damage."""
    if (plain := plain_pixels(data)) is not None:
        yield Page(np.ascontiguousarray(plain.transpose(2, 0, 1)), 8)
        return
    kinds = {kind for kind, _, _ in chunks(data)}
    if not _is_deep(data):
        yield from pillow.pages(data)
        return
    import imagecodecs

    with pillow.opened(data) as image:
        orientation = pillow.orientation_of(image)
    if b"acTL" in kinds:
        raise unread("PNG", "an animation of 16 bits a channel; save its frames as files of their own")
    values = imagecodecs.png_decode(data)
    values = values[:, :, None] if values.ndim == 2 else values
    colours = 1 if values.shape[2] < 3 else 3
    notes = [*(["alpha"] if values.shape[2] > colours else []), *(["turned"] if orientation != 1 else [])]
    pixels = upright(values[:, :, :colours].transpose(2, 0, 1), orientation)
    yield Page(np.ascontiguousarray(pixels), 16, tuple(notes))


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width) of each picture, from the header where it says. Raises what `pages` raises."""
    for _ in chunks(data):  # which holds their checksums against them
        pass
    if not _is_deep(data):
        return pillow.shapes(data)
    with pillow.opened(data) as image:
        width, height = image.size
        size = (width, height) if pillow.orientation_of(image) >= 5 else (height, width)
        return [(1 if data[25] in (0, 4) else 3, *size)]


def _is_deep(data: bytes) -> bool:
    """Whether channels have 16 bits; its size is checked then, for imagecodecs believes what it is told."""
    if len(data) < 26 or data[24] != 16:
        return False
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    check_size(width, height, 2 * _CHANNELS.get(data[25], 4), 1, len(data))
    return True


# --- writing ---


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write pictures (c, h, w), uint8 or uint16, as PNG, with what is beside the pixels of `data`.

    Returns sentences on what is not kept.
    """
    buffer = io.BytesIO()
    with pillow.opened(data) as image:
        profile = image.info.get("icc_profile") or b""
        orientation = pillow.orientation_of(image)
        notes = pillow.lost_modes(image)
    if pictures[0].dtype == np.uint8:
        notes = pillow.write(buffer, data, pictures)
    else:
        buffer.write(encoded(pictures[0]))
    made = buffer.getvalue()
    fits = profile_fits(profile, grey=len(pictures[0]) == 1)
    if profile and not fits:
        notes.append("a colour profile of other channels is not kept")
    end = len(START) + 25  # of the header, which comes first
    file.write(made[:end])
    for kind, start, stop in chunks(data):
        if kind in _KEPT and (kind != b"iCCP" or fits):
            _, height, width = pictures[0].shape
            if content := _upright_chunk(kind, data[start:stop], orientation, (height, width)):
                file.write(chunk(kind, content))
    file.write(made[end:])
    return notes


def encoded(picture: np.ndarray) -> bytes:
    """A PNG of a uint16 picture (c, h, w)."""
    import imagecodecs

    values = picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))
    return bytes(imagecodecs.png_encode(values, level=6))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and its checksum."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _upright_chunk(kind: bytes, content: bytes, orientation: int, size: tuple[int, int]) -> bytes:
    """A chunk as it holds for the picture turned upright, of this (height, width); b"" if it no longer does."""
    if kind == b"eXIf":
        return written_exif(content, size)
    if kind == b"pHYs" and orientation >= 5:
        return content[4:8] + content[:4] + content[8:]
    if kind in (b"tEXt", b"zTXt") and content.startswith(b"Raw profile type ") and orientation != 1:
        return b""
    return written_xmp(content, size) if kind == b"iTXt" else content
