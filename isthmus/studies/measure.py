"""A fitted model measured on a set of images, in chunks: no float copy of the set is ever made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from isthmus import metrics
from isthmus.corruption import corrupt
from isthmus.data.images import Images
from isthmus.estimators.common import chunks, reconstruct
from isthmus.metrics import Estimate
from isthmus.parts import Part
from isthmus.rng import generator

# Test noise is drawn on the CPU from this seed: the same for every model, device and training seed.
TEST_NOISE_SEED = 0


@dataclass(frozen=True)
class Measured:
    """The estimates by metric (a metric that is not defined for these images is missing), and the time it took."""

    estimates: dict[str, Estimate]
    seconds: float  # of reconstruction alone


def corrupted(images: Images, part: Part, number: int, which: slice) -> np.ndarray:
    """Chunk `number` of the images, corrupted: the same floats whoever asks, for each chunk has its own stream."""
    x = torch.from_numpy(images.floats(which))
    return corrupt(part, x, generator(TEST_NOISE_SEED, "noise", number)).numpy()


def pixel_means(images: Images) -> np.ndarray:
    """The mean of each pixel, (n_features,) float64: the baseline of explained variance."""
    total = np.zeros(images.n_features)
    for which in chunks(len(images)):
        total += images.floats(which).sum(axis=0, dtype=np.float64)
    return total / len(images)


def measure(
    model: Any, images: Images, wanted: tuple[str, ...], baseline: np.ndarray, corruption: Part | None = None
) -> Measured:
    """Compare each clean image with the reconstruction of it, or of its corrupted version."""
    errors, baseline_errors, similarities, seconds = [], [], [], 0.0
    for number, which in enumerate(chunks(len(images))):
        x = images.floats(which)
        x_in = x if corruption is None else corrupted(images, corruption, number, which)
        start = time.perf_counter()
        x_hat = reconstruct(model, x_in)
        seconds += time.perf_counter() - start
        errors.append(metrics.squared_error(x, x_hat))
        if "explained_variance" in wanted:
            baseline_errors.append(metrics.squared_error(x, np.broadcast_to(baseline, x.shape)))
        if "ssim" in wanted:
            shape = (-1, *images.shape)
            similarities.append(metrics.ssim(x.reshape(shape), x_hat.reshape(shape)))
    error = np.concatenate(errors)
    estimates = {"mse": metrics.mean_of(error), "psnr": metrics.mean_psnr(error)}
    if "explained_variance" in wanted:
        estimates["explained_variance"] = metrics.explained_variance(error, np.concatenate(baseline_errors))
    defined = [values for values in similarities if values is not None]
    if defined:
        estimates["ssim"] = metrics.mean_of(np.concatenate(defined))
    return Measured({name: estimates[name] for name in wanted if name in estimates}, seconds)
