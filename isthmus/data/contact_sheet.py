"""A sheet of small pictures of the first images of a set, which a notebook shows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from isthmus.notebook.markup import picture

if TYPE_CHECKING:
    from isthmus.data.images import Images

_COLUMNS, _ROWS, _GAP = 12, 2, 2
_SIDE = 96  # pixels of the longer side, at most


def contact_sheet(images: Images) -> str:
    """The first 24 images as HTML, each as it is, or reduced to 96 pixels; of other than 3 channels the first one."""
    from PIL import Image

    n = min(len(images), _COLUMNS * _ROWS)
    channels, height, width = images.shape
    x = images.floats(slice(0, n)).reshape(n, channels, height, width)
    x = x.transpose(0, 2, 3, 1) if channels == 3 else x[:, 0]
    factor = min(1, _SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    pictures = [Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)) for pixels in x]
    columns, rows = min(n, _COLUMNS), -(-n // _COLUMNS)
    sheet = Image.new("RGBA", (columns * (size[0] + _GAP) - _GAP, rows * (size[1] + _GAP) - _GAP))
    for place, image in enumerate(pictures):
        small = image if image.size == size else image.resize(size, Image.Resampling.BOX)
        sheet.paste(small.convert("RGBA"), (place % columns * (size[0] + _GAP), place // columns * (size[1] + _GAP)))
    buffer = io.BytesIO()
    sheet.save(buffer, format="png")
    enlarged = max(1, 48 // max(size))
    return picture(buffer.getvalue(), f"the first {n} images", width=enlarged * sheet.width)
