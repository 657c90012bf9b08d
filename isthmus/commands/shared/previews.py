"""Small pictures of results."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from isthmus.data.sizes import cropped
from isthmus.files import atomic_file

_SIDE = 160  # pixels: larger images are scaled down
_CELL, _GAP, _LETTERS = 112, 10, 18  # pixels: smaller ones grow up to so many; between them; height of a letter
_INK = "#1b2530"
_DIM = 0.5  # images without a brighter pixel are stretched: 12 bits in a range of 16 are nearly black


def write_preview(path: Path, rows: dict[str, np.ndarray], labels: Sequence[str] = (), *, white: float = 1.0) -> None:
    """Write a PNG of rows of images by name, each (n, c, h, w) in [0, 1]. labels: above the columns.

    white: the value that is shown as white, which the captions then state.
    """
    rows = {captioned(name, white): stretched(row, white) for name, row in rows.items()}
    with atomic_file(path) as file:
        _sheet(rows, labels).save(file, format="png", optimize=True)


def _sheet(rows: dict[str, np.ndarray], labels: Sequence[str]) -> Image.Image:
    """The rows on white, their names on the left and the labels on top. Pillow draws it: Matplotlib takes a second."""
    cells = [[_pixels(image) for image in row] for row in rows.values()]
    size = cells[0][0].size
    font, page = _font(), ImageDraw.Draw(Image.new("L", (1, 1)))

    def extent(text: str) -> tuple[int, int]:
        left, top, right, bottom = page.multiline_textbbox((0, 0), text, font)
        return round(right - left), round(bottom - top)

    width = max(size[0], *(extent(label)[0] for label in labels)) if labels else size[0]
    beside = max(extent(name)[0] for name in rows) + 2 * _GAP
    above = max(extent(label)[1] for label in labels) + 2 * _GAP + _LETTERS // 2 if labels else _GAP
    across, down = width + _GAP, size[1] + _GAP
    sheet = Image.new("RGB", (beside + max(map(len, cells)) * across, above + len(cells) * down), "white")
    page = ImageDraw.Draw(sheet)
    for i, label in enumerate(labels):
        at = (beside + i * across + width // 2, above - _GAP)
        page.multiline_text(at, label, _INK, font, anchor="md", align="center")
    for j, (name, row) in enumerate(zip(rows, cells, strict=True)):
        at = (beside - _GAP, above + j * down + size[1] // 2)
        page.multiline_text(at, name, _INK, font, anchor="rm", align="right")
        for i, cell in enumerate(row):
            sheet.paste(cell, (beside + i * across + (width - size[0]) // 2, above + j * down))
    return sheet


def _pixels(image: np.ndarray) -> Image.Image:
    """An image (c, h, w) to be looked at: three channels are colours, of any other number the first is shown."""
    shown = smaller(image if len(image) == 3 else image[:1])
    pixels = (np.clip(np.nan_to_num(shown), 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    by = max(1, _CELL // max(picture.size))
    return picture.resize((picture.width * by, picture.height * by), Image.Resampling.NEAREST)


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """That of Matplotlib, which has the letters of many languages, from its files: it is not imported."""
    spec = importlib.util.find_spec("matplotlib")
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        if (file := Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")).is_file():
            return ImageFont.truetype(file, _LETTERS)
    return ImageFont.load_default(_LETTERS)


def white_of(originals: Iterable[np.ndarray]) -> float:
    """The value to show as white: 1, or for dim images their brightest pixel."""
    brightest = max(float(image.max()) for image in originals)
    return brightest if 0 < brightest < _DIM else 1.0


def captioned(name: str, white: float) -> str:
    """A caption that states the value of white, if it is not 1."""
    return name if white == 1 else f"{name}\n(white: {white:.2g})"


def stretched(images: np.ndarray, white: float) -> np.ndarray:
    """Images divided by `white` and clipped at 1."""
    return images if white == 1 else np.minimum(images / white, 1)


def stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images (c, h, w) of any size as one array (n, c, h, w): large ones scaled down, small ones centred on white."""
    channels = max(len(image) for image in images)
    small = [smaller(np.broadcast_to(image, (channels, *image.shape[1:]))) for image in images]
    h, w = (max(image.shape[axis] for image in small) for axis in (1, 2))
    page = np.ones((len(small), channels, h, w), np.float32)
    for place, image in zip(page, small, strict=True):
        top, left = (h - image.shape[1]) // 2, (w - image.shape[2]) // 2
        place[:, top : top + image.shape[1], left : left + image.shape[2]] = image
    return page


def middle(image: np.ndarray) -> np.ndarray:
    """The middle of a large image (c, h, w), at its own size."""
    return cropped(image, (min(image.shape[1], _SIDE), min(image.shape[2], _SIDE)))


def smaller(image: np.ndarray) -> np.ndarray:
    """An image (c, h, w), scaled down if it is large."""
    h, w = image.shape[1:]
    share = _SIDE / max(h, w)
    if share >= 1:
        return image
    to = (max(1, round(w * share)), max(1, round(h * share)))
    planes = (Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in image)
    return np.stack([np.asarray(plane.resize(to, Image.Resampling.BOX)) for plane in planes])
