"""Methods that take noise out of photographs and learn nothing but how strongly: what a denoiser is held against."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from isthmus.corruption import noisy_version
from isthmus.data.images import pixels_of
from isthmus.data.noise_estimate import estimated_sigma
from isthmus.data.photographs.image_list import image_list
from isthmus.data.sizes import cropped
from isthmus.errors import one_of
from isthmus.estimators.denoising.denoiser_adapter import DenoiserAdapter
from isthmus.estimators.denoising.unit_doubts import rounded_type
from isthmus.estimators.saving import Savable, Saved
from isthmus.kinds import COMPUTES, KINDS
from isthmus.metrics import mean_psnr, squared_error
from isthmus.parts import GaussianNoise

# Noisy image (c, h, w), its level, how strongly → the estimate
Method = Callable[[np.ndarray, float, float], np.ndarray]
_LEVELS = np.array([10, 25, 50, 75]) / 255  # at which the strength is chosen
WIDTHS = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.4, 2.0, 2.8)  # in pixels, of a Gaussian blur
_SIDE = 128  # pixels of the middle of a photograph that it is chosen on


def non_local_means(y: np.ndarray, sigma: float, strength: float = 0.6) -> np.ndarray:
    """Buades, Coll, Morel 2005, as scikit-image's documentation uses it with the level known."""
    from skimage.restoration import denoise_nl_means

    if len(y) > 1:
        x_hat: np.ndarray = denoise_nl_means(y, 5, 6, h=strength * sigma, sigma=sigma, channel_axis=0)
        return x_hat
    # with an axis of one channel scikit-image 0.26 leaves more error than the noise
    grey: np.ndarray = denoise_nl_means(y[0], 5, 6, h=strength * sigma, sigma=sigma)
    return grey[None]


def total_variation(y: np.ndarray, sigma: float, strength: float = 0.8) -> np.ndarray:
    """Chambolle 2004."""
    from skimage.restoration import denoise_tv_chambolle

    x_hat: np.ndarray = denoise_tv_chambolle(y, weight=strength * sigma, channel_axis=0)
    return x_hat


def wavelets(y: np.ndarray, sigma: float, strength: float = 1.0) -> np.ndarray:
    """BayesShrink (Chang, Yu, Vetterli 2000), whose thresholds follow from the level."""
    from skimage.restoration import denoise_wavelet

    x_hat: np.ndarray = denoise_wavelet(y, sigma=sigma, method="BayesShrink", rescale_sigma=False, channel_axis=0)
    return x_hat


def gaussian_blur(y: np.ndarray, sigma: float, strength: float = 1.0) -> np.ndarray:
    """A Gaussian of this many pixels, whatever the level: what anybody would try first."""
    from scipy.ndimage import gaussian_filter

    x_hat: np.ndarray = gaussian_filter(y, (0, strength, strength), mode="reflect")
    return x_hat


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {  # with the strengths to choose from
    "nothing": (lambda y, sigma, strength: y, (1.0,)),
    "gaussian-blur": (gaussian_blur, WIDTHS),
    "wavelets": (wavelets, (1.0,)),
    "total-variation": (total_variation, (0.4, 0.6, 0.8, 1.0, 1.2)),
    "non-local-means": (non_local_means, (0.5, 0.6, 0.7, 0.8, 0.9)),
}


def _mean_psnr(images: list[np.ndarray], estimates: list[np.ndarray]) -> float:
    """In dB; 0 of no images."""
    errors = [squared_error(x[None], x_hat.clip(0, 1)[None])[0] for x, x_hat in zip(images, estimates, strict=True)]
    return mean_psnr(np.array(errors, float)).value or 0.0


class ClassicalDenoiser(TransformerMixin, Savable):
    """A method for Gaussian noise without weights, which is told the level as a `Denoiser` is, or estimates it.

    method : "nothing", "gaussian-blur", "wavelets", "total-variation" or "non-local-means". strengths_ : of the method,
    at four levels, chosen by `fit` on clean photographs.
    """

    noise = GaussianNoise((0.0, 1.0))

    def __init__(self, method: str = "non-local-means") -> None:
        self.method = method

    def fit(self, X: Any, y: Any = None) -> ClassicalDenoiser:
        """Choose the strength at each level: the best of a few for the middles of these photographs, given noise."""
        one_of("method", self.method, METHODS)
        images, (method, strengths) = image_list(X), METHODS[self.method]
        middles = []
        for i, array in enumerate(images.arrays if len(strengths) > 1 else ()):
            size = (min(_SIDE, array.shape[1]), min(_SIDE, array.shape[2]))
            middles.append(np.ascontiguousarray(cropped(images.floats(i), size)))
        self.strengths_ = []
        for sigma in _LEVELS:
            noise = GaussianNoise(float(sigma))
            noisy = [noisy_version(x.reshape(1, -1), noise, x.shape).reshape(x.shape) for x in middles]
            psnr = {s: _mean_psnr(middles, [method(y, float(sigma), s) for y in noisy]) for s in strengths}
            self.strengths_.append(max(strengths, key=lambda strength: psnr[strength]))
        self.n_channels_, self.n_parameters_ = images.channels, 0
        return self

    def denoise(self, Y: Any, sigma: float | None = None) -> list[np.ndarray]:
        """The images (c, h, w) without their noise, as of `Denoiser.denoise`; `sigma_` has the level of each."""
        return list(self.denoise_each(Y, sigma))

    def denoise_each(
        self,
        Y: Any,
        sigma: float | None = None,
        *,
        dtype: Any = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Generator[np.ndarray, None, None]:
        """Yield the images without their noise one after another, as of `Denoiser.denoise_each`."""
        check_is_fitted(self)
        images, method, rounded = image_list(Y, name="Y"), METHODS[self.method][0], rounded_type(dtype)
        self.sigma_ = sigmas = np.full(len(images), np.nan)

        def x_hat_of(i: int) -> np.ndarray:
            y = images.floats(i)
            sigmas[i] = level = estimated_sigma(y) if sigma is None else float(sigma)
            strength = float(np.interp(level, _LEVELS, self.strengths_))
            x_hat = method(y, level, strength) if level else y  # they divide by the level
            if on_progress is not None:
                on_progress(1, 1)
            return pixels_of(x_hat, rounded) if rounded else x_hat.astype(np.float32)

        return (x_hat_of(i) for i in range(len(images)))

    def transform(self, X: Any) -> list[np.ndarray]:
        """The images without their noise, whose level is estimated: `denoise(X)`."""
        return self.denoise(X)

    def saved(self) -> Saved:
        """What of the fitted model is written."""
        return Saved({}, {"n_channels_": self.n_channels_, "strengths_": self.strengths_})


def best_blur(images: Sequence[np.ndarray], noisy: Sequence[np.ndarray]) -> tuple[float, ClassicalDenoiser]:
    """The width of the Gaussian blur that brings noisy images nearest to images (c, h, w), and that blur."""

    def error(width: float) -> float:
        pairs = zip(images, noisy, strict=True)
        return float(np.mean([np.square(gaussian_blur(y.reshape(x.shape), 0, width) - x).mean() for x, y in pairs]))

    width, blur = min(WIDTHS, key=error), ClassicalDenoiser("gaussian-blur")
    blur.strengths_ = [width] * len(_LEVELS)
    blur.n_channels_, blur.n_parameters_ = len(images[0]), 0
    return width, blur


class ClassicalAdapter(DenoiserAdapter):
    """A `ClassicalDenoiser`."""

    name, goes_on = "classical denoiser", False

    @staticmethod
    def rebuilt(parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]) -> Any:
        model = ClassicalDenoiser(**parameters)
        one_of("method", model.method, METHODS)
        model.n_channels_, model.n_parameters_ = int(fitted["n_channels_"]), 0
        model.strengths_ = [float(strength) for _, strength in zip(_LEVELS, fitted["strengths_"], strict=True)]
        return model


COMPUTES["estimator"][ClassicalDenoiser] = ClassicalAdapter
KINDS["estimator"]["ClassicalDenoiser"] = ClassicalDenoiser
