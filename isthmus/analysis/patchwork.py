"""A model of small patches applied to a photograph of any size: cut, reconstructed, put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from isthmus.data.patches import assemble, cut, positions_of, window
from isthmus.estimators import adapters

_AT_ONCE = 4096  # patches that are in memory at a time


def of_patches(model: Any, channels: int) -> Callable[[np.ndarray], np.ndarray]:
    """The function that reconstructs patches (n, c·ph·pw) with a model, for `patchwork`.

    What takes out noise keeps each channel of a patch within the numbers that it has there: where there is nothing but
    black, a linear output would glow by some levels of 255. Noise reaches beyond what it lies on, so that this cuts off
    nothing else; a pixel that is missing may have any value.
    """
    trained = adapters.adapter_of(model).trained
    is_bounded = trained is not None and trained.corruption is not None and trained.corruption.for_denoiser()

    def reconstructed(patches: np.ndarray) -> np.ndarray:
        x_hat = adapters.reconstruct(model, patches)
        if not is_bounded:
            return x_hat
        seen, made = (rows.reshape(len(rows), channels, -1) for rows in (patches, x_hat))
        return np.clip(made, seen.min(axis=2, keepdims=True), seen.max(axis=2, keepdims=True)).reshape(x_hat.shape)

    return reconstructed


def patchwork(
    reconstruct: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    size: tuple[int, int],
    on_progress: Callable[[int, int], None] | None = None,
    *,
    stride: tuple[int, int] | None = None,
) -> np.ndarray:
    """x_hat of a whole image (c, h, w), from a model of patches: `reconstruct` takes and gives (n, c·ph·pw) floats.

    Patches are `stride` apart, by default half a patch, and are blended with weights that fall off towards their edges,
    so that no seam shows. They are taken a few rows at a time: memory grows with the width of the image. on_progress:
    called with the rows of pixels that are done, and all of them. Raises DataError for an image that is smaller than a
    patch.
    """
    c, h, w = image.shape
    ph, _ = size
    fade = window((ph, 1))
    whole, weights = np.zeros((c, h, w), np.float32), np.zeros((h, 1), np.float32)
    for tops, cuts in _rows_of_patches(image, size, stride):
        patches = np.concatenate([patches for patches, _ in cuts])
        x_hat = reconstruct(patches.reshape(len(patches), -1)).reshape(patches.shape)
        done = 0
        for top, (patches, places) in zip(tops, cuts, strict=True):
            # the weights of a row of patches are all alike from top to bottom, so rows are blended one by one
            strip = assemble(x_hat[done : done + len(patches)], places, (ph, w))
            whole[:, top : top + ph] += fade * strip
            weights[top : top + ph] += fade
            done += len(patches)
        if on_progress:
            on_progress(tops[-1] + ph, h)
    return whole / weights


def patches_of(image: np.ndarray, size: tuple[int, int], stride: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """The patches that `patchwork` puts together, (n, c·ph·pw) at a time. Raises as `patchwork`."""
    for _, cuts in _rows_of_patches(image, size, stride):
        patches = np.concatenate([patches for patches, _ in cuts])
        yield patches.reshape(len(patches), -1)


def _rows_of_patches(
    image: np.ndarray, size: tuple[int, int], stride: tuple[int, int] | None
) -> Iterator[tuple[list[int], list[tuple[np.ndarray, np.ndarray]]]]:
    """A few rows of patches at a time: where each begins, and its patches with their corners, as `cut` gives them."""
    corners = positions_of(image.shape[1:], size, stride)
    rows = np.unique(corners[:, 0]).tolist()
    several = max(1, _AT_ONCE * len(rows) // len(corners))
    for start in range(0, len(rows), several):
        tops = rows[start : start + several]
        yield tops, [cut(image[:, top : top + size[0]], size, stride) for top in tops]
