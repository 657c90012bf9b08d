"""A denoiser measured on whole photographs of any sizes, each under the same noise for every model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.data.photographs.image_list import ImageList
from isthmus.estimators.denoising.denoiser_adapter import noisy_and_denoised
from isthmus.parts import Corruption
from isthmus.studies.results.measure import Measured


def measure_photographs(
    model: Any, images: ImageList, wanted: tuple[str, ...], corruption: Corruption | None = None
) -> Measured:
    """Hold each photograph against what a model makes of it with noise: the usual protocol of denoising.

    A metric that is not defined for them, as those of codes, is missing. The unit of intervals is the photograph.
    """
    errors, similarities, seconds = [], list[float | None](), 0.0
    for i in range(len(images)):
        x = images.floats(i)
        start = time.perf_counter()
        x_hat = noisy_and_denoised(model, x, corruption)[1]
        seconds += time.perf_counter() - start
        errors.append(float(metrics.squared_error(x[None], x_hat[None])[0]))
        if "ssim" in wanted:
            similarities.append(metrics.ssim_of_one(x, x_hat))
    squared = np.array(errors)
    computed = {"mse": metrics.mean_of(squared), "psnr": metrics.mean_psnr(squared)}
    if similarities and None not in similarities:
        computed["ssim"] = metrics.mean_of(np.array(similarities, float))
    estimates = {name: computed[name] for name in wanted if name in computed}
    return Measured(estimates, squared, None, None, seconds)
