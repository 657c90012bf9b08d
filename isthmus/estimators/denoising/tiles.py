"""Images of any size through a network, in tiles of bounded memory. The pixels are those of one piece."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from isthmus.data.formats.page import bands
from isthmus.data.images import pixels_of
from isthmus.networks.denoisers.image_network import ImageNetwork, inner, seen
from isthmus.networks.denoisers.shot_noise import SHOT_MARGIN, shot_plane

TILE = 512  # pixels to a side, without what overlaps: up to 80 MiB of activations
_LARGE, _SMALLER = 1 << 27, 384  # beside an image of so many numbers there is less room: 45 MiB, in a tenth more time


def denoise_tiles(
    network: ImageNetwork,
    image: np.ndarray,
    level: float,
    *,
    scale: float,
    dtype: torch.dtype,
    unit: float = 1.0,
    read: float | None = None,
    tile: int | None = None,
    self_ensemble: bool = False,
    rounded: np.dtype | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """An image (c, h, w) without its noise, float32. level: its standard deviation. scale: the network's unit.

    unit: what the image's numbers are multiplied by first, tile by tile: no large image is whole in float32 beside it.
    self_ensemble: the mean of what the eight flips and turns of a tile give. rounded: what comes out lies in [0, 1],
    and is given as this type, uint8 or uint16.

    Beyond its border an image goes on as its mirror image, so every pixel is seen with all that it depends on. What
    the network would take from an image that is constant is given back: where there is nothing, nothing changes.
    A grey image in c equal channels has the same noise in each, which the network knows only independent in each: along
    grey such noise is as wide at √c times the level, and that is what the network is told.
    read: of shot noise, the standard deviation that is added to it; `level` is then that of a pixel of 1. dtype: of the
    products. on_progress: called with the tiles done so far, and all of them.
    """
    if _is_repeated(image):
        level *= math.sqrt(len(image))
        read = None if read is None else read * math.sqrt(len(image))
    tile = tile or (TILE if image.size < _LARGE else _SMALLER)
    device, factor = next(network.parameters()).device, network.factor
    c, h, w = image.shape
    # colours beside each other, as most files have them: then no large image is copied to be written
    result = np.empty((h, w, c), rounded).transpose(2, 0, 1) if rounded else np.empty(image.shape, np.float32)
    reach, side = -(-network.reach // factor) * factor, max(factor, tile // factor * factor)
    margin = 0 if read is None else SHOT_MARGIN  # beside a tile, for its plane

    def with_plane(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A tile without its margin, and its plane."""
        if read is None:
            return y, torch.full_like(y[:, :1], level / scale)
        plane = shot_plane(y, level**2 / scale, read / scale)
        inner = (..., slice(margin, y.shape[2] - margin), slice(margin, y.shape[3] - margin))
        return y[inner], plane[inner]

    tiles = [(top, left) for top in range(0, h, side) for left in range(0, w, side)]
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        mean = torch.tensor(_mean(image, unit) / scale, dtype=torch.float32, device=device)
        mean = mean[None, :, None, None]
        network = network.for_inference(dtype)

        def denoise(y: torch.Tensor) -> torch.Tensor:
            """What is inside the margin and reach of a tile, (c, rows, columns)."""
            y, plane = with_plane(y)
            views = range(8 if self_ensemble else 1)
            total = sum(seen(network.denoise(seen(y, i), seen(plane, i), mean), -i) for i in views)
            assert isinstance(total, torch.Tensor)
            return inner(total / len(views), reach - (y.shape[2] - total.shape[2]) // 2)[0].float()

        # of what is constant, in each square of pixels the same
        change = denoise(mean.expand(1, -1, *(2 * (reach + margin) + factor,) * 2)) - mean[0]
        for done, (top, left) in enumerate(tiles, 1):
            rows, columns = min(side, h - top), min(side, w - left)
            around = reach + margin
            above = _mirrored(np.arange(top - around, top + rows + -rows % factor + around), h)
            beside = _mirrored(np.arange(left - around, left + columns + -columns % factor + around), w)
            part = np.multiply(image[:, above[:, None], beside], np.float32(unit), dtype=np.float32)
            part = np.divide(part, np.float32(scale), dtype=np.float32)
            x_hat = denoise(torch.from_numpy(part)[None].to(device))
            x_hat = x_hat - change.repeat(1, x_hat.shape[1] // factor, x_hat.shape[2] // factor)
            done_tile = (x_hat[:, :rows, :columns] * scale).cpu().numpy()
            done_tile = pixels_of(done_tile, rounded) if rounded else done_tile
            result[:, top : top + rows, left : left + columns] = done_tile
            if on_progress:
                on_progress(done, len(tiles))
    return result


def _is_repeated(image: np.ndarray) -> bool:
    """Whether an image (c, h, w) is one channel several times."""
    return len(image) > 1 and all((image[1:, rows] == image[:1, rows]).all() for rows in bands(image.shape))


def _mean(image: np.ndarray, unit: float) -> np.ndarray:
    """Of each channel, (c,) float64."""
    parts = (np.multiply(image[:, rows], np.float32(unit), dtype=np.float32) for rows in bands(image.shape))
    sums = [part.sum(axis=(1, 2), dtype=np.float64) for part in parts]
    return np.sum(sums, axis=0) / math.prod(image.shape[1:])


def _mirrored(positions: np.ndarray, length: int) -> np.ndarray:
    """Positions beyond 0 to length - 1 as those of the mirror image: -1 is 0, and length is length - 1."""
    positions = positions % (2 * length)
    return np.minimum(positions, 2 * length - 1 - positions)
