"""Whole photographs with noise, through a denoiser and through what needs no training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus import console
from isthmus.commands.shared.previews import middle, stacked
from isthmus.corruption import noisy_version
from isthmus.data.photographs.image_list import ImageList
from isthmus.data.sizes import cropped
from isthmus.errors import counted
from isthmus.metrics import Estimate, mean_of, mean_psnr, squared_error
from isthmus.parts import GaussianNoise

_MOST, _SIDE = 12, 1024  # photographs, and pixels to a side: non-local means take seconds each
_SHOWN = 4
_FEW = 100  # photographs to train on, of which more would help


@dataclass(frozen=True)
class PhotographErrors:
    """MSE and PSNR by method, the model's first. where: of which photographs. rows: of a picture of some."""

    errors: dict[str, tuple[Estimate, Estimate]]
    where: str
    sigma: float
    rows: dict[str, np.ndarray]

    def faults(self, n_trained_on: int) -> list[str]:
        """What the model is worse than, if anything, and what to do about it."""
        name, *_ = self.errors
        best = min(self.errors, key=lambda method: self.errors[method][0].value or 0.0)
        if best == name:
            return []
        more = "more photographs, or more --epochs" if n_trained_on < _FEW else "more --epochs"
        return [f"{best} leave less error than this model at sigma {self.sigma:g}: give it {more}"]


def measure(model: Any, name: str, images: ImageList, where: str, sigma: float) -> PhotographErrors:
    """Add noise of this level to some of the images, and hold what comes out, clipped to [0, 1], against them.

    name: the model's in the table. where: what the images are, in words.
    """
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        name: lambda y: model.denoise([y], sigma)[0],
        "non-local means": lambda y: non_local_means(y, sigma),
        "wavelets": lambda y: wavelets(y, sigma),
        "the noisy photographs": lambda y: y,
    }
    squared: dict[str, list[float]] = {method: [] for method in methods}
    shown: dict[str, list[np.ndarray]] = {"clean": [], "noisy": [], "denoised": []}
    n, any_large = min(len(images), _MOST), False
    with console.progress("photographs measured") as on_progress:
        for i, number in enumerate(np.linspace(0, len(images) - 1, n).round().astype(int).tolist()):
            h, w = images.arrays[number].shape[1:]
            any_large |= max(h, w) > _SIDE
            x = cropped(images.arrays[number], (min(h, _SIDE), min(w, _SIDE)))
            x = np.ascontiguousarray(np.multiply(x, np.float32(images.unit), dtype=np.float32))
            y = noisy_version(x.reshape(1, -1), GaussianNoise(sigma), x.shape).reshape(x.shape)
            made = {method: np.clip(compute(y), 0, 1) for method, compute in methods.items()}
            for method, x_hat in made.items():
                squared[method].append(float(squared_error(x[None], x_hat[None])[0]))
            if i < _SHOWN:
                for row, image in zip(shown.values(), (x, np.clip(y, 0, 1), made[name]), strict=True):
                    row.append(middle(image))
            on_progress(i + 1, n)
    errors = {method: (mean_of(np.array(e)), mean_psnr(np.array(e))) for method, e in squared.items()}
    where = where if n == len(images) else f"{n} of {counted(len(images), 'photograph')}"
    where += " (of large ones the middle)" if any_large else ""
    return PhotographErrors(errors, where, sigma, {row: stacked(some) for row, some in shown.items()})


def non_local_means(y: np.ndarray, sigma: float) -> np.ndarray:
    """Buades, Coll, Morel 2005, as scikit-image's documentation uses it with the level known."""
    from skimage.restoration import denoise_nl_means

    if len(y) > 1:
        x_hat: np.ndarray = denoise_nl_means(y, 5, 6, h=0.6 * sigma, sigma=sigma, channel_axis=0)
        return x_hat
    # with an axis of one channel scikit-image 0.26 leaves more error than the noise
    grey: np.ndarray = denoise_nl_means(y[0], 5, 6, h=0.6 * sigma, sigma=sigma)
    return grey[None]


def wavelets(y: np.ndarray, sigma: float) -> np.ndarray:
    """BayesShrink (Chang, Yu, Vetterli 2000)."""
    from skimage.restoration import denoise_wavelet

    x_hat: np.ndarray = denoise_wavelet(y, sigma=sigma, method="BayesShrink", rescale_sigma=False, channel_axis=0)
    return x_hat
