"""Uploaded files as images for the models: read as by the commands, and resized."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageStat

from isthmus.data.formats import pillow, png
from isthmus.data.formats.image_file import faults_named, format_of, quiet_readers
from isthmus.data.formats.page import NOTES, Page, grey_of
from isthmus.data.framing import Framing
from isthmus.data.identity import identity_of
from isthmus.data.sizes import cropped, resized
from isthmus.errors import DataError
from isthmus.explore.answers.drawings import Manner, is_light_on_dark, place, strokes_of, unit

MOST_PIXELS = 1 << 24  # that are decoded: a file of kilobytes can hold a picture of gigabytes
MOST_IN_JPEG = 1 << 26  # and in any photograph for a denoiser: cameras have more, mostly in one byte a channel
MOST_SIDE = 20_000
MOST_WHOLE = 300_000  # pixels of a picture that goes through a model of patches
MOST_PHOTOGRAPH = 1 << 24  # of one that goes through a denoiser: phones make 12 million, half a minute on two cores
Shape = tuple[int, int, int]


def check(data: bytes, name: str, *, is_photograph: bool = False) -> None:
    """Look at the header alone, if Pillow reads it, else at the first bytes. is_photograph: for a denoiser.

    Raises DataError, with the name, for what is no image of a known kind, and for one of more pixels than are read.
    """
    if not data:
        raise DataError(f"{name} is empty; choose a picture")
    if format_of(name, data) in (pillow, png):
        with faults_named(name), pillow.opened(data) as opened:
            _check_sizes([opened.size], data, name, is_photograph)


def read_upload(
    data: bytes,
    shape: Shape,
    manner: Manner,
    *,
    whole: bool = False,
    framing: Framing | None = None,
    name: str = "the picture",
) -> tuple[np.ndarray, str]:
    """A file as an image for models of this shape, (c, h, w) float32, and what was done to it, in words.

    framing: how the models' images were prepared. A file that the commands would take is the same numbers here; of
    another size it is scaled, cropped, or where the data are drawings (`manner`) taken for one. whole: for models of
    patches of this shape: all of the picture, (c, H, W), scaled down to MOST_WHOLE pixels if it has more. Raises
    DataError, with the name, for what is no picture, is damaged, or has too many pixels.
    """
    framing = (framing or Framing()).whole
    page, several = _first_page(data, name)
    image, kinds = framing.pixels(page, name)
    words = [f"{image.shape[2]}×{image.shape[1]}", *(["the first of several pages"] if several else [])]
    words += [NOTES[kind].removeprefix("{n}: ") for kind in dict.fromkeys(kinds) if kind != "alpha" or not manner.plain]
    prepared = framing.resize or framing.crop
    image = framing(image, 0, name)[0]
    if prepared:
        words.append(f"prepared as for the training, {framing.words()}")
    if whole:
        x = _made_smaller(image, shape[1:], name, words)
    elif image.shape[1:] == shape[1:] and (prepared or not manner.plain or is_light_on_dark(image)):
        x = image
    elif manner.plain:
        strokes, inverted = strokes_of(_on_paper(data, image) if "alpha" in kinds else image)
        words += ["dark on light turned to light on dark"] if inverted else []
        # in 256 levels, as a drawing is, so that an address can hold it
        drawn = np.rint(255 * place(strokes, shape, manner)).astype(np.uint8)
        return unit(drawn), ", ".join([*words, "scaled and centred like the data"])
    else:
        x = _middle(image, shape[1:], words)
    x = _with_channels(x, shape[0], name, words)
    return unit(x), ", ".join([*words, *(["as it is"] if len(words) == 1 else [])])


def read_photograph(data: bytes, framing: Framing, *, name: str = "the picture") -> tuple[np.ndarray, str, int]:
    """A file as a photograph for denoisers, (c, h, w), what was done to it, in words, and its identity.

    It is uint8 where the file is of 8 bits, else float32. Of one of more than MOST_PHOTOGRAPH pixels the middle: to
    scale it would take noise out of it. Raises DataError as `read_upload`.
    """
    page, several = _first_page(data, name, is_photograph=True)
    image, kinds = framing.pixels(page, name)
    h, w = image.shape[1:]
    words = [f"{w}×{h}", *(["the first of several pages"] if several else [])]
    words += [NOTES[kind].removeprefix("{n}: ") for kind in dict.fromkeys(kinds)]
    if h * w > MOST_PHOTOGRAPH:
        share = (MOST_PHOTOGRAPH / (h * w)) ** 0.5
        image = cropped(image, (max(1, int(share * h)), max(1, int(share * w))))
        words.append(f"too large to show whole: its middle of {image.shape[2]}×{image.shape[1]}")
    return image, ", ".join([*words, *(["as it is"] if len(words) == 1 else [])]), identity_of(page)


def _first_page(data: bytes, name: str, *, is_photograph: bool = False) -> tuple[Page, bool]:
    """The first picture of a file as the commands read it, and whether there are others."""
    with quiet_readers(), faults_named(name):
        check(data, name, is_photograph=is_photograph)
        kind = format_of(name, data)
        if kind not in (pillow, png):
            _check_sizes([(w, h) for _, h, w in kind.shapes(data)], data, name, is_photograph)
        pages = kind.pages(data)
        first: Page = next(pages)
        return first, next(pages, None) is not None


def _check_sizes(sizes: list[tuple[int, int]], data: bytes, name: str, is_photograph: bool) -> None:
    """Raise DataError for pages, (width, height) each, of more pixels than are decoded."""
    most = MOST_IN_JPEG if is_photograph or data.startswith(pillow.JPEG) else MOST_PIXELS
    for width, height in sizes:
        if width * height > most or max(width, height) > MOST_SIDE:
            raise DataError(
                f"{name} has {width}×{height} pixels; at most {most / 1e6:.0f} million are read, {MOST_SIDE:,} a side: "
                "make it smaller"
            )


def _made_smaller(image: np.ndarray, least: tuple[int, int], name: str, words: list[str]) -> np.ndarray:
    """A picture with at most MOST_WHOLE pixels, and at least a patch each way; scaled as --resize does."""
    high, wide = image.shape[1:]
    share = min(1.0, (MOST_WHOLE / (wide * high)) ** 0.5)
    share = max(share, *(length / side for length, side in zip(least, (high, wide), strict=True)))
    h, w = (max(length, int(share * side)) for length, side in zip(least, (high, wide), strict=True))
    if w * h > 2 * MOST_WHOLE:
        raise DataError(f"{name} is a strip of {wide}×{high} pixels; cut a wider piece out of it")
    if (h, w) != (high, wide):
        # the words with which a command takes it as the same numbers
        words.append(f"scaled to {w}×{h}, as by {Framing(resize=(h, w), patches=least).words()}")
    return resized(image, (h, w))


def _middle(image: np.ndarray, size: tuple[int, int], words: list[str]) -> np.ndarray:
    """The middle of a picture, of the proportions of `size`, scaled to it."""
    short = min(have / want for have, want in zip(image.shape[1:], size, strict=True))
    part = (max(1, round(short * size[0])), max(1, round(short * size[1])))
    if part != image.shape[1:]:
        words.append("cropped to the middle")
    words.append(f"scaled to {size[1]}×{size[0]}")
    return resized(cropped(image, part), size)


def _with_channels(image: np.ndarray, c: int, name: str, words: list[str]) -> np.ndarray:
    if c not in (1, 3):
        raise DataError(f"{name}: these models take images of {c} channels, and a picture has 1 or 3")
    if c == 1 and len(image) == 3:
        words.append("made grey")
        return grey_of(image)
    return np.repeat(image, c // len(image), axis=0)


def _on_paper(data: bytes, image: np.ndarray) -> np.ndarray:
    """What is see-through on white paper, or on black if all that can be seen is light: ink may be its alpha alone."""
    if not data.startswith((png.START, *pillow.STARTS)):
        return image
    with pillow.opened(data) as picture:
        clear = picture.convert("RGBA")
    alpha = clear.getchannel("A")
    light = alpha.getbbox() is not None and ImageStat.Stat(clear.convert("L"), alpha).mean[0] > 127
    paper = Image.new("RGBA", clear.size, "black" if light else "white")
    return np.asarray(Image.alpha_composite(paper, clear).convert("RGB")).transpose(2, 0, 1)
