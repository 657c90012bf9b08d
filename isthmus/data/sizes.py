"""How an image is brought to a size: resized, or cropped. Images here are (c, h, w), uint8 or float32 in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.errors import require

Size = tuple[int, int]


def check_size(name: str, size: Size | None) -> Size | None:
    """`size` as two Python integers, (height, width). Raises RequestError unless both are at least 1."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else ()
    holds = len(pair) == 2 and all(isinstance(n, int | np.integer) and 0 < n <= 65535 for n in pair)
    require(holds, name, "a height and a width, each from 1 to 65535", size)
    return int(pair[0]), int(pair[1])


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """The image at exactly `size`, (height, width), its proportions not kept; of the type it had.

    Bicubic, with a kernel that widens with the reduction, so that what is finer than the new pixels is averaged and
    not aliased. Values that the kernel throws beyond black or white are clipped.
    """
    from PIL import Image

    if image.shape[1:] == size:
        return image
    height, width = size
    mode = "F" if image.dtype == np.float32 else "L"
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in image]
    assert all(plane.mode == mode for plane in planes)
    # reducing_gap would be faster for large reductions, and leaves a faint moiré on fine stripes
    done = np.stack([np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes])
    return done.clip(0, 1) if mode == "F" else done


def cropped(image: Any, size: Size) -> np.ndarray:
    """The centre of the image, a view; of an odd margin, the smaller half lies above and to the left.

    `image` may have leading axes; its last two are cut, and are at least as large as `size`.
    """
    top, left = ((have - want) // 2 for have, want in zip(image.shape[-2:], size, strict=True))
    assert top >= 0
    assert left >= 0
    return image[..., top : top + size[0], left : left + size[1]]
