"""Images written as the files that they came from: their format, grey or colour, bits and compression."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.data.image_file import is_deep, is_grey, open_header, quiet_pillow
from isthmus.errors import RequestError
from isthmus.files import atomic_file

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's own conversion to grey
_QUALITY = 95  # of JPEG and lossy WebP: above it files grow and nothing is seen
_LOSSLESS_TIFF = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"}


def write_like(original: Path | None, image: np.ndarray, target: Path) -> tuple[str, ...]:
    """Write an image to `target`, whole or not at all, in the form of `original`; as PNG if that is None.

    image: (c, h, w) floats in [0, 1], c being 1 or 3. The original's format is kept, with its bits per channel (of
    grey images; 16-bit colour becomes 8, Pillow has no more), its colour profile, a TIFF's compression, a JPEG's
    subsampling (at quality 95), and whether a WebP is lossless. Folders on the way to `target` are made.

    Returns sentences on what could not be kept, and on values that had to be clipped. Raises RequestError for an
    array that is no such image, DataError if the original cannot be read.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise RequestError(f"an image to write must be (1 or 3, height, width), got {image.shape}")
    if not np.isfinite(image).all():
        raise RequestError(f"cannot write {target}: the image has values that are NaN or infinite")
    notes = []
    if outside := int(((image < 0) | (image > 1)).sum()):
        notes.append(f"{outside:,} of {image.size:,} values lay outside [0, 1] and were clipped")
    pixels = image.astype(np.float64).clip(0, 1)
    if original is None:
        _save(_quantized(pixels, np.uint8), target, "PNG", {})
        return tuple(notes)
    with quiet_pillow(), open_header(original) as header:
        grey, dtype = _form(header, notes)
        kind = "JPEG" if header.format == "MPO" else str(header.format)
        options = _options(header, kind)
    if grey and len(pixels) == 3:  # a grey file that was read beside colour ones
        pixels = np.tensordot(_LUMA, pixels, 1)[None]
    elif not grey and len(pixels) == 1:
        pixels = np.repeat(pixels, 3, 0)
    _save(pixels.astype(np.float32) if dtype == np.float32 else _quantized(pixels, dtype), target, kind, options)
    return tuple(notes)


def _quantized(pixels: np.ndarray, dtype: type) -> np.ndarray:
    return np.rint(pixels * np.iinfo(dtype).max).astype(dtype)


def _form(header: ImageFile, notes: list[str]) -> tuple[bool, type]:
    """Whether the file is grey, and the type of its pixels; what is not kept goes to `notes`."""
    if header.mode in ("P", "1"):
        notes.append("a palette or two levels are not kept: written with 8 bits per channel")
    if header.mode == "CMYK":
        notes.append("CMYK is not kept: written as RGB")
    if header.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in header.info:
        notes.append("the alpha channel is not kept")
    if header.mode == "F":
        return True, np.float32
    if header.mode.startswith("I;16"):
        return True, np.uint16
    if is_deep(header):
        notes.append("16 bits per channel are not kept: written with 8")
    return is_grey(header), np.uint8


def _options(header: ImageFile, kind: str) -> dict[str, Any]:
    """What Pillow is told when it saves the file."""
    options: dict[str, Any] = {}
    profile = header.info.get("icc_profile")
    if profile and header.mode not in ("CMYK", "P") and kind != "BMP":
        options["icc_profile"] = profile
    if kind == "TIFF":
        packed = header.info.get("compression", "raw")
        options["compression"] = packed if packed in _LOSSLESS_TIFF else "tiff_adobe_deflate"
    elif kind == "JPEG":
        from PIL import JpegImagePlugin

        sampling = JpegImagePlugin.get_sampling(header) if header.mode != "CMYK" else -1
        options |= {"quality": _QUALITY, "subsampling": max(sampling, 0)}
    elif kind == "WEBP":
        lossless = _is_lossless(header.fp.getvalue())  # type: ignore[union-attr]
        options |= {"lossless": True, "exact": True} if lossless else {"quality": _QUALITY}
    return options


def _is_lossless(webp: bytes) -> bool:
    """Whether the first picture in a WebP file is of its lossless kind: a chunk VP8L, perhaps within a frame."""
    at = 12
    while at + 8 <= len(webp):
        kind, length = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        at += 24 if kind == b"ANMF" else 8 + length + length % 2  # a frame's own header has 16 bytes
    return False


def _save(values: np.ndarray, target: Path, kind: str, options: dict[str, Any]) -> None:
    """values: (c, h, w), of the type to write."""
    from PIL import Image

    plane = values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as file:
        Image.fromarray(plane).save(file, kind, **options)
