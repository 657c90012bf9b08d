"""PNG files: grey and RGB by imagecodecs, palettes and animations by Pillow, and every checksum verified."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from isthmus.data.formats import pillow
from isthmus.data.formats.metadata import profile_fits, written_exif, written_xmp
from isthmus.data.formats.page import Form, Page, check_size, forget, unread, upright

START = b"\x89PNG\r\n\x1a\n"
STARTS = (START,)
KINDS = {".png": "PNG"}
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


def pages(data: bytes) -> Iterator[Page]:
    """The picture, or each frame of an animation, upright. Raises Refused, OSError or RuntimeError for damage."""
    kinds = {kind for kind, _, _ in chunks(data)}
    if not _is_direct(data, kinds):
        yield from pillow.pages(data)
        return
    import imagecodecs

    if b"acTL" in kinds:
        raise unread("PNG", "an animation of 16 bits a channel; save its frames as files of their own")
    values = imagecodecs.png_decode(data)  # faster than Pillow, of which 16 bits of colour become 8
    values = values[:, :, None] if values.ndim == 2 else values
    colours = 1 if values.shape[2] < 3 else 3
    orientation = _orientation(data, kinds)
    notes = [*(["alpha"] if values.shape[2] > colours else []), *(["turned"] if orientation != 1 else [])]
    pixels = upright(values[:, :, :colours].transpose(2, 0, 1), orientation)
    yield Page(pixels, data[24], tuple(notes))


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width) of each picture, from the header where it says. Raises as `pages`."""
    kinds = {kind for kind, _, _ in chunks(data)}
    if not _is_direct(data, kinds):
        return pillow.shapes(data)
    width, height = _size(data)
    size = (width, height) if _orientation(data, kinds) >= 5 else (height, width)
    return [(1 if data[25] in (0, 4) else 3, *size)]


def forms(data: bytes) -> list[Form]:
    """How each picture is stored, from the header where it says. Raises as `pages`."""
    if not _is_direct(data, {kind for kind, _, _ in chunks(data)}):
        return pillow.forms(data)
    return [Form(1 if data[25] in (0, 4) else 3, np.dtype(np.uint8 if data[24] == 8 else np.uint16), data[24])]


def _size(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _is_direct(data: bytes, kinds: set[bytes]) -> bool:
    """Whether its pixels are grey or RGB in 8 or 16 bits. Raises Refused for sizes that imagecodecs would believe."""
    if data[12:16] != b"IHDR":
        raise OSError("it does not start with its header")
    bits, channels = data[24], _CHANNELS.get(data[25])
    if channels is None or not (bits == 16 or (bits == 8 and not kinds & {b"acTL", b"tRNS"})):
        return False
    check_size(*_size(data), channels * bits // 8, 1, len(data))
    return True


def _orientation(data: bytes, kinds: set[bytes]) -> int:
    """The EXIF orientation, which a PNG may have in several places."""
    if not kinds & {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}:
        return 1
    with pillow.opened(data) as image:
        return pillow.orientation_of(image)


# --- writing ---


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write pictures (c, h, w), uint8 or uint16, as PNG, with what is beside the pixels of `data`.

    Returns sentences on what is not kept.
    """
    with pillow.opened(data) as image:
        profile = image.info.get("icc_profile") or b""
        orientation = pillow.orientation_of(image)
        notes = pillow.lost_modes(image)
    channels, height, width = pictures[0].shape
    fits, extras = profile_fits(profile, grey=channels == 1), []
    for kind, start, stop in chunks(data):
        stays = kind in _KEPT and (kind != b"iCCP" or fits)
        if stays and (content := _upright_chunk(kind, data[start:stop], orientation, (height, width))):
            extras.append(chunk(kind, content))
    if len(pictures) > 1:
        buffer = io.BytesIO()
        notes = pillow.write(buffer, data, pictures)
        made = buffer.getbuffer()
    else:
        picture, alpha = pictures[0], _alpha(data, orientation)
        if alpha is not None and alpha.shape[1:] == (height, width):  # not after --crop
            notes.remove(pillow.NO_ALPHA)
            picture = np.concatenate([picture, alpha])
        forget(data)
        made = encoded(picture)
    if profile and not fits:
        notes.append("a colour profile of other channels is not kept")
    end = len(START) + 25  # of the header, which comes first
    file.write(made[:end])
    file.writelines(extras)
    file.write(made[end:])
    return notes


def _alpha(data: bytes, orientation: int) -> np.ndarray | None:
    """The alpha channel, (1, h, w) upright, of a PNG of grey or RGB that has one."""
    import imagecodecs

    if data[25] not in (4, 6) or not _is_direct(data, {kind for kind, _, _ in chunks(data)}):
        return None
    return upright(imagecodecs.png_decode(data)[:, :, -1:].transpose(2, 0, 1), orientation)


def encoded(picture: np.ndarray) -> memoryview:
    """A PNG of a uint8 or uint16 picture (c, h, w), its alpha channel the last of 2 or 4."""
    import imagecodecs

    values = picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))
    # more than deflate ever needs, of which what is not written takes no memory: else the result would be copied once
    most = bytearray(values.nbytes + values.nbytes // 512 + len(values) + (1 << 16))
    return memoryview(imagecodecs.png_encode(values, level=6, strategy=1, out=most))  # filtered: as small as Pillow's


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
