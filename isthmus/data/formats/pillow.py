"""JPEG, BMP, WebP and GIF files, and PNGs of 8 bits, read and written by Pillow.

Its readers are called by what the file's first bytes say, so that no other format's reader is ever run on a stranger's
file; what Pillow would read wrongly is mended or refused here, and said.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from isthmus.data.formats.metadata import profile_fits, written_exif, written_xmp
from isthmus.data.formats.page import STUMBLES, Form, Page, Refused, as_file, check_size, is_grey, unread, upright

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Shape = tuple[int, int, int]
JPEG, BMP, WEBP, GIF, PNG = b"\xff\xd8\xff", b"BM", b"RIFF", b"GIF8", b"\x89PNG\r\n\x1a\n"
STARTS = (JPEG, BMP, WEBP, GIF)
KINDS = dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG") | {".bmp": "BMP", ".webp": "WebP", ".gif": "GIF"}
_ORIENTATION = 274
NO_ALPHA = "the alpha channel is not kept"
_QUALITY = 95  # of JPEG and lossy WebP: above it files grow and nothing is seen
_WITHOUT_ALPHA = {"LA": "L", "La": "LA", "PA": "RGBA", "RGBA": "RGB", "RGBa": "RGBA", "RGBX": "RGB"}
_PLAIN = ("1", "L", "RGB")


@functools.cache
def _readers() -> dict[bytes, Callable[[IO[bytes]], ImageFile]]:
    """Pillow's reader of what starts with these bytes."""
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    return {
        JPEG: JpegImagePlugin.jpeg_factory,
        BMP: BmpImagePlugin.BmpImageFile,
        WEBP: WebPImagePlugin.WebPImageFile,
        GIF: GifImagePlugin.GifImageFile,
        PNG: PngImagePlugin.PngImageFile,
    }


def opened(data: bytes) -> ImageFile:
    """Pillow's reader for these bytes, its header read and its size checked; nothing is decoded yet."""
    from PIL.Image import DecompressionBombError

    reader = next(reader for start, reader in _readers().items() if data[:8].startswith(start))
    try:
        image = reader(as_file(data))
    except DecompressionBombError:  # some readers ask for the size themselves, and this is none of the STUMBLES
        raise Refused("promises more pixels than Pillow's limit; cut it or leave it out") from None
    except SyntaxError as error:
        if "cannot handle" in str(error):  # JPEG of 12 bits, lossless JPEG
            raise unread("JPEG", f"Pillow {error}; save it as PNG or TIFF") from None
        raise
    check_size(*image.size, len(image.getbands()), n_pages(image), len(data))
    return image


def n_pages(image: ImageFile) -> int:
    """The pictures in a file; those of an MPO are previews and depth maps beside one."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def pages(data: bytes) -> Iterator[Page]:
    """Each picture, upright. Raises Refused for kinds that are not read, and what Pillow raises on damage."""
    with opened(data) as image:
        first_grey = _may_be_grey(image)
        for i in range(n_pages(image)):
            if i:
                image.seek(i)
                check_size(*image.size, len(image.getbands()), 1, len(data))  # a frame may be larger than the first
            notes: list[str] = []
            image.load()
            plain = _plain(image, notes)
            # np.asarray(plain) does the same, and a small image is read a tenth slower
            pixels = np.frombuffer(plain.tobytes(), np.uint8).reshape(plain.height, plain.width, -1)
            if (
                i and first_grey and pixels.shape[2] == 3 and is_grey(pixels.reshape(-1, 3))
            ):  # later frames of a grey GIF come as RGB
                pixels = pixels[:, :, :1]
            if "transparency" in image.info and "alpha" not in notes:
                notes.append("alpha")
            pixels = pixels.transpose(2, 0, 1)
            if (orientation := orientation_of(image)) != 1:
                notes.append("turned")
                pixels = upright(pixels, orientation)
            yield Page(np.ascontiguousarray(pixels), 8, tuple(notes))


def shapes(data: bytes) -> list[Shape]:
    """(channels, height, width) of each picture, from the header where it says. Raises what `pages` raises."""
    with opened(data) as image:
        if n_pages(image) > 1:
            return [page.pixels.shape for page in pages(data)]
        if image.mode == "P" or (image.format == "PNG" and data.find(b"eXIf") >= 0):
            image.load()  # only then is it known which colours a palette has, or which way up a PNG is
        width, height = image.size
        size = (width, height) if orientation_of(image) >= 5 else (height, width)
        return [(1 if _may_be_grey(image) else 3, *size)]


def forms(data: bytes) -> list[Form]:
    """How each picture is stored, from the header where it says. Raises what `pages` raises."""
    return [Form(channels, np.dtype(np.uint8), 8) for channels, *_ in shapes(data)]


def _may_be_grey(image: Image) -> bool:
    if image.mode == "P":
        return is_grey(np.reshape(image.getpalette() or [0, 0, 0], (-1, 3)))
    return image.mode in ("1", "L", "LA", "La")


def _plain(image: Image, notes: list[str]) -> Image:
    """The image in mode L or RGB."""
    while image.mode in _WITHOUT_ALPHA:
        if "alpha" not in notes and image.mode != "RGBX":
            notes.append("alpha")
        image = image.convert(_WITHOUT_ALPHA[image.mode])
    if image.mode == "CMYK":
        notes.append("cmyk")
    if image.mode == "P":
        return image.convert("L" if _may_be_grey(image) else "RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("L", "RGB"):
        return image
    if image.mode not in ("CMYK", "YCbCr", "HSV"):
        raise unread("image", f"Pillow's mode {image.mode}; save it as RGB or grey")
    return image.convert("RGB")


def orientation_of(image: ImageFile) -> int:
    """The EXIF orientation, 1 (upright) to 8."""
    try:
        if not image.info.keys() & {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}:
            return 1
        value = image.getexif().get(_ORIENTATION)
    except STUMBLES:  # a photograph whose EXIF is damaged is a photograph all the same
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


# --- writing ---


def write(file: Any, data: bytes, pictures: Sequence[np.ndarray]) -> list[str]:
    """Write uint8 pictures (c, h, w) in the format of `data`, with what is beside its pixels.

    Returns sentences on what is not kept.
    """
    from PIL import Image

    with opened(data) as image:
        notes, alphas = lost_modes(image), list[Any]()
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        grey = len(pictures[0]) == 1
        options = {**_beside(image, kind, pictures[0].shape, notes), **_options(image, data, kind, notes)}
        has_alpha, turn = kind == "WEBP" and image.mode == "RGBA", orientation_of(image)
        if (n := n_pages(image)) > 1 or has_alpha:
            durations = []
            for i in range(n):
                image.seek(i)
                image.load()  # only then does a WebP say for how long
                durations.append(int(image.info.get("duration", 0)))
                if has_alpha:
                    alphas.append(upright(np.asarray(image.getchannel("A"))[None], turn))
        if n > 1:
            options |= {"save_all": True, "duration": durations}
            if "loop" in image.info:  # a GIF that does not say so is played once
                options["loop"] = image.info["loop"]
    if alphas and alphas[0].shape[1:] == pictures[0].shape[1:]:  # not after --crop
        notes.remove(NO_ALPHA)
        pictures = [np.concatenate(pair) for pair in zip(pictures, alphas, strict=True)]
    planes = [
        picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0)) for picture in pictures
    ]
    made = [Image.fromarray(plane) for plane in planes]
    if kind == "GIF" and not grey:
        notes.append("a GIF has 256 colours at most, so they are not kept exactly")
        made = [picture.quantize(256) for picture in made]
    if len(made) > 1:
        options["append_images"] = made[1:]
    buffer = io.BytesIO()  # Pillow goes back and forth in what it writes
    made[0].save(buffer, kind, **options)
    file.write(buffer.getbuffer())
    return notes


def lost_modes(image: ImageFile) -> list[str]:
    """Sentences on what is not kept of how an image is stored."""
    notes = []
    if image.mode in ("P", "1") and image.format != "GIF":
        notes.append("a palette or two levels are not kept: written with 8 bits per channel")
    if image.mode == "CMYK":
        notes.append("CMYK is not kept")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        notes.append(NO_ALPHA)
    if image.format == "MPO":
        notes.append("the previews and depth maps beside a photograph (MPO) are not kept")
    return notes


def _beside(image: ImageFile, kind: str, shape: tuple[int, ...], notes: list[str]) -> dict[str, Any]:
    """The resolution, EXIF, XMP, profile and comment, as Pillow's `save` takes them. Of a PNG, see `png.write`.

    shape: (c, h, w) of what is written.
    """
    options: dict[str, Any] = {}
    channels, height, width = shape
    if kind == "PNG":
        return options
    profile = image.info.get("icc_profile")
    if profile and kind in ("JPEG", "WEBP"):
        if profile_fits(profile, grey=channels == 1 and kind == "JPEG"):
            options["icc_profile"] = profile
        else:
            notes.append("a colour profile of other channels is not kept")
    dpi = image.info.get("dpi")
    if dpi and kind in ("JPEG", "BMP") and all(value > 0 for value in dpi):
        options["dpi"] = tuple(float(value) for value in (dpi[::-1] if orientation_of(image) >= 5 else dpi))
    if kind in ("JPEG", "WEBP"):
        if exif := image.info.get("exif"):
            options["exif"] = written_exif(exif, (height, width))
        if xmp := image.info.get("xmp"):
            options["xmp"] = written_xmp(xmp, (height, width))
    if kind in ("JPEG", "GIF") and (comment := image.info.get("comment")):
        options["comment"] = comment
    return options


def _options(image: ImageFile, data: bytes, kind: str, notes: list[str]) -> dict[str, Any]:
    """How the pixels are packed, as Pillow's `save` takes it."""
    if kind == "JPEG":
        from PIL import JpegImagePlugin

        sampling = JpegImagePlugin.get_sampling(image) if image.mode != "CMYK" else -1
        return {"quality": _QUALITY, "subsampling": max(sampling, 0)}
    if kind == "WEBP":
        return {"lossless": True, "exact": True} if _is_lossless(data) else {"quality": _QUALITY}
    return {}


def _is_lossless(webp: bytes) -> bool:
    """Whether the first picture in a WebP file is of its lossless kind: a chunk VP8L, perhaps within a frame."""
    at = 12
    while at + 8 <= len(webp):
        kind, length = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        at += 24 if kind == b"ANMF" else 8 + length + length % 2  # a frame's own header has 16 bytes
    return False
