"""A denoiser as every fitted estimator is asked, and one that is told the level of the noise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from isthmus import kinds
from isthmus.corruption import noisy_version
from isthmus.data.formats.page import full_scale_of
from isthmus.data.noise_correlation import correlated_sigma
from isthmus.data.photographs.image_list import ImageList
from isthmus.errors import DoubtWarning, require
from isthmus.estimators.adapters import Adapter, adapter_of
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.saving import Saved
from isthmus.parts import Corruption

OnProgress = Callable[[int, int], None]


class AtLevel:
    """A fitted denoiser that is told the standard deviation of all noise; None has it estimate that of each image.

    sigmas: the level of the noise in each image. correlated: of each whose level is estimated, that of noise that is
    correlated between neighbouring pixels, or None.
    """

    def __init__(self, model: Any, sigma: float | None) -> None:
        self.model, self.sigma = model, sigma
        self.sigmas: list[float] = []
        self.correlated: list[float | None] = []


def with_level_of(model: Any, noise: Corruption) -> Any:
    """A denoiser that is told the level of this noise; any other model, and a denoiser of other noise, as it is."""
    if not adapter_of(model).takes_any_size or (known := noise.for_denoiser()) is None:
        return model
    low, high = known.sigma_range
    if known.shot_and_read != model.noise.shot_and_read:
        return model
    require(low == high, "the noise", "of one level", noise.label)
    return AtLevel(model, high)


def noisy_and_denoised(model: Any, x: np.ndarray, noise: Corruption | None) -> tuple[np.ndarray, np.ndarray]:
    """A clean photograph (c, h, w) with noise, which is not clipped, and what a model makes of it, cut to [0, 1].

    The model is told the level, 0 of a clean one, unless it is blind. Both are float32.
    """
    y = x if noise is None else noisy_version(x.reshape(1, -1), noise, x.shape).reshape(x.shape)
    adapter = AtLevelAdapter(AtLevel(model, 0.0 if noise is None else noise.sigma_range[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtWarning)  # it is in the numbers of the training, and the noise is meant
        return y, adapter.reconstruct_image(y).clip(0, 1)


class DenoiserAdapter(Adapter):
    """A `Denoiser`, which takes images of any size, and has no code."""

    name, takes_any_size, goes_on = "denoiser", True, True
    model: Denoiser

    def saved(self) -> Saved:
        return self.model.saved()

    @property
    def n_parameters(self) -> int:
        return self.model.n_parameters_

    sigma: float | None = None

    def reconstruct_image(
        self, x: np.ndarray, on_progress: OnProgress | None = None, *, rounded: bool = False
    ) -> np.ndarray:
        """An image (c, h, w), float32, uint8 or uint16, without its noise: float32, or rounded to x's own type."""
        unit, dtype = 1 / full_scale_of(x.dtype), x.dtype if rounded else None
        if self.model.n_channels_ > 1 or len(x) == 1:
            images = ImageList((x,), unit)
            return next(self.model.denoise_each(images, self.sigma, dtype=dtype, on_progress=on_progress))
        x_hat, sigmas = np.empty(x.shape, dtype or np.float32), []  # as so many grey images
        for i, plane in enumerate(x):

            def on_tiles(done: int, n: int, before: int = i) -> None:
                if on_progress:
                    on_progress(before * n + done, len(x) * n)

            images = ImageList((plane[None],), unit)
            x_hat[i] = next(self.model.denoise_each(images, self.sigma, dtype=dtype, on_progress=on_tiles))[0]
            sigmas += self.model.sigma_.tolist()
        self.model.sigma_ = np.sqrt(np.mean(np.square(sigmas), keepdims=True))  # of the image, not its last plane
        return x_hat


class AtLevelAdapter(DenoiserAdapter):
    """A denoiser that is told the level."""

    goes_on = False

    def __init__(self, at_level: AtLevel) -> None:
        super().__init__(at_level.model)
        self.at_level, self.sigma = at_level, at_level.sigma

    def reconstruct_image(
        self, x: np.ndarray, on_progress: OnProgress | None = None, *, rounded: bool = False
    ) -> np.ndarray:
        x_hat = super().reconstruct_image(x, on_progress, rounded=rounded)
        self.at_level.sigmas += self.model.sigma_.tolist()
        if self.sigma is None:
            self.at_level.correlated.append(correlated_sigma(x))
        return x_hat


kinds.COMPUTES["estimator"] |= {Denoiser: DenoiserAdapter, AtLevel: AtLevelAdapter}
kinds.KINDS["estimator"]["Denoiser"] = Denoiser
