"""One image through a fitted denoiser: its estimate, and the level of its noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from isthmus.data.noise_estimate import estimated_shot_sigma, estimated_sigma, estimated_smooth_sigma
from isthmus.estimators.denoising.tiles import TILE, denoise_tiles


def denoised(model: Any, y: np.ndarray, sigma: float, unit: float = 1.0, **options: Any) -> np.ndarray:
    """An image (c, h, w) without its noise. model: a fitted `Denoiser`. options: of `denoise_tiles`."""
    dtype = torch.bfloat16 if model.precision_ == "bfloat16" else torch.float32
    is_shot, read = model.noise.shot_and_read
    return denoise_tiles(
        model.network_,
        y,
        sigma,
        scale=model.scale_,
        dtype=dtype,
        unit=unit,
        read=read if is_shot and model.target == "clean" else None,
        **options,
    )


def estimated_level(model: Any, y: np.ndarray, unit: float) -> tuple[float, float]:
    """What the network is told of the noise in the middle of an image, and its level: of what it takes out of it.

    Of the image itself fine texture is counted as noise: on photographs 1.5 of 255 too much of 15. A network that
    saw no clean images may take out half of it; told all, photographs with texture were up to 0.2 dB worse.
    """
    top, left = (max(0, (side - TILE) // 2) for side in y.shape[1:])
    middle = np.multiply(y[:, top : top + TILE, left : left + TILE], np.float32(unit), dtype=np.float32)
    is_shot, read = model.noise.shot_and_read
    if is_shot and model.target == "clean":
        x_hat = denoised(model, middle, estimated_shot_sigma(middle, middle, read))
        return (estimated_shot_sigma(middle - x_hat, x_hat, read),) * 2
    taken_out = estimated_sigma(middle - denoised(model, middle, estimated_sigma(middle)))
    return taken_out, estimated_smooth_sigma(middle) if model.target == "noisy" else taken_out
