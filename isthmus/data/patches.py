"""Patches: a large image cut into overlapping pieces, and put back together.

`assemble` averages overlaps with raised-cosine weights, so that no seam shows where two patches disagree; where they
agree, it is the inverse of `cut`.
"""

from __future__ import annotations

import numpy as np

from isthmus.data.sizes import Size, check_size
from isthmus.errors import DataError, RequestError, require


def positions_of(shape: Size, size: Size, stride: Size | None = None) -> np.ndarray:
    """Upper left corners, (n, 2) integers, of patches of `size` that cover an image of `shape`, row by row.

    stride: the steps down and right, half the size by default; the last row and column are moved back to the edge.
    Raises DataError if the image is smaller than a patch, RequestError for a stride that leaves gaps.
    """
    size = check_size("size", size) or size
    steps = check_size("stride", stride) or ((size[0] + 1) // 2, (size[1] + 1) // 2)
    check_stride(steps, size)
    if shape[0] < size[0] or shape[1] < size[1]:
        raise DataError(f"an image of {shape[0]}×{shape[1]} is smaller than a patch of {size[0]}×{size[1]}")
    rows, columns = (
        np.minimum(np.arange(0, have - want + step, step), have - want)
        for have, want, step in zip(shape, size, steps, strict=True)
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def check_stride(stride: Size, size: Size) -> None:
    """Raise RequestError for steps that leave gaps between patches of this size."""
    require(stride[0] <= size[0] and stride[1] <= size[1], "stride", f"at most the size of a patch, {size}", stride)


def cut(image: np.ndarray, size: Size, stride: Size | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The patches of an image (c, h, w) that cover it: (n, c, ph, pw), of its type, and their corners (n, 2).

    Raises what `positions_of` raises.

    >>> patches, positions = cut(np.zeros((1, 5, 4)), (4, 4))
    >>> patches.shape, positions.tolist()
    ((2, 1, 4, 4), [[0, 0], [1, 0]])
    """
    if image.ndim != 3:
        raise RequestError(f"an image to cut must be (channels, height, width), got {image.shape}")
    positions = positions_of(image.shape[1:], size, stride)
    return cut_at(image, size, positions), positions


def cut_at(image: np.ndarray, size: Size, positions: np.ndarray) -> np.ndarray:
    """The patches of an image (c, h, w) whose upper left corners are these: (n, c, ph, pw), a copy."""
    windows = np.lib.stride_tricks.sliding_window_view(image, size, axis=(1, 2))
    return np.ascontiguousarray(windows[:, positions[:, 0], positions[:, 1]].swapaxes(0, 1))


def random_positions(shape: Size, size: Size, n: int, generator: np.random.Generator) -> np.ndarray:
    """Random upper left corners, (n, 2), uniform over all that fit in an image of `shape`."""
    return generator.integers(0, [shape[0] - size[0] + 1, shape[1] - size[1] + 1], (n, 2))


def assemble(patches: np.ndarray, positions: np.ndarray, shape: Size) -> np.ndarray:
    """The image (c, h, w), float32 or float64 as the patches are, of which `cut` made these patches.

    patches: (n, c, ph, pw) of numbers. positions: their corners. Overlaps are averaged with the weights of `window`.
    Raises RequestError if patches and positions do not fit the image, or leave a pixel uncovered.
    """
    patches, positions = np.asarray(patches), np.asarray(positions)
    if patches.ndim != 4 or positions.shape != (len(patches), 2) or not len(patches):
        raise RequestError(f"patches must be (n, c, h, w) with n corners, got {patches.shape} and {positions.shape}")
    height, width = patches.shape[2:]
    ends = positions + np.array([height, width])
    if positions.min() < 0 or (ends > np.asarray(shape)).any():
        raise RequestError(f"patches of {height}×{width} reach outside an image of {shape[0]}×{shape[1]}")
    weights = window((height, width))
    # summed in float64: the same patch everywhere gives the same float32 image back, to the last bit
    total, weight = np.zeros((patches.shape[1], *shape)), np.zeros(shape)
    for patch, (top, left), (bottom, right) in zip(patches, positions, ends, strict=True):
        total[:, top:bottom, left:right] += patch * weights
        weight[top:bottom, left:right] += weights
    if not weight.all():
        raise RequestError(f"the patches do not cover the image of {shape[0]}×{shape[1]}")
    total /= weight
    return total if patches.dtype == np.float64 else total.astype(np.float32)


def window(size: Size) -> np.ndarray:
    """The weights of a patch's pixels, (h, w) float64, at most 1: a raised cosine on each axis, zero nowhere.

    >>> window((1, 3)).round(2).tolist()
    [[0.25, 1.0, 0.25]]
    """
    down, across = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in size)
    return np.outer(down, across)
