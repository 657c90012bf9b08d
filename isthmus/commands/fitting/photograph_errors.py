"""Whole photographs with noise, through a denoiser and through what needs no training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from isthmus import console
from isthmus.commands.fitting.defaults import LEAST_SIDE, crop_for
from isthmus.commands.shared.previews import middle, stacked
from isthmus.corruption import noisy_version
from isthmus.data.noise_estimate import Growth, estimated_sigma
from isthmus.data.photographs.image_list import ImageList
from isthmus.data.sizes import cropped
from isthmus.errors import OtherNumbersWarning, counted
from isthmus.estimators.denoising.classical import WIDTHS, gaussian_blur, non_local_means, wavelets
from isthmus.metrics import Estimate, mean_of, mean_psnr, squared_error

_MOST, _SIDE = 12, 1024  # photographs, and pixels to a side: non-local means take seconds each
_PIXELS = 2**20  # of smaller ones more are measured
_CHOOSING_SIDE = 256  # pixels, of what chooses
_SHOWN = 4
_STRUCTURE = 0.5  # of what neighbours differ by
_GIVEN = "the noisy photographs"
_ERRORS = 1e-12, 1e12  # whose logarithms are compared: of a training that diverged there are none
_CROP = 64  # pixels, of photographs
_FEW = 100  # photographs to train on, of which more would help
# Times the least loss, which of noisy photographs may rise a little while it learns, or the noisy photographs' error.
_DIVERGED = 10

Method = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class PhotographErrors:
    """MSE and PSNR by method, the model's first. where: of which photographs. sigma: of their noise, on average, and
    variance: as it is. how: what they are held against, in words. rows: of a picture of some."""

    errors: dict[str, tuple[Estimate, Estimate]]
    where: str
    sigma: float
    variance: float
    how: str
    rows: dict[str, np.ndarray]

    @property
    def doubts(self) -> list[str]:
        """Why the table of noisy photographs may say little: of what neighbours differ by, their noise is a share."""
        *_, noisy = self.errors.values()
        doubts = ["the photographs were measured at half their size; at full size the order may be another"]
        if (structure := 1 - 2 * self.variance / (noisy[0].value or 1.0)) > _STRUCTURE:
            doubts.append(
                f"{structure:.0%} of what neighbours differ by is no noise but the picture, such as edges and letters: "
                "the table says little of how well noise is taken out; look at the preview"
            )
        return doubts

    @property
    def is_far_off(self) -> bool:
        """Whether the model makes nothing of photographs, as one whose first epoch diverged."""
        return self._mse(next(iter(self.errors))) > _DIVERGED * self._mse(_GIVEN)

    def is_worse_than(self, name: str) -> bool:
        """Whether the model leaves more error than what has this name, if it was measured."""
        return name in self.errors and self._mse(next(iter(self.errors))) > self._mse(name)

    def _mse(self, name: str) -> float:
        return self.errors[name][0].value or 0.0

    def faults(self, ways: list[str], former: str) -> list[str]:
        """What needs no training and is better than the model, if anything.

        ways: what to do about it, in words. former: the name of the model that it began with, if it was measured.
        """
        _, *methods = (name for name in self.errors if name != former)
        best = min(methods, key=self._mse)
        if not self.is_worse_than(best):
            return []
        more = f": give it {', or '.join(ways)}" if ways else ""
        than = f"{best}, and than {_GIVEN} as they are" if best != _GIVEN and self.is_worse_than(_GIVEN) else best
        return [f"this model leaves more error at sigma {self.sigma:.3g} than {than}{more}"]


def has_diverged(model: Any, former: Any = None) -> bool:
    """Whether the loss has grown far above the least so far, or above that of the former model of the same noise."""
    least = model.history_.losses.min()
    if former is not None and (former.noise, former.target) == (model.noise, model.target):
        least = min(least, former.history_.losses.min())
    return bool(model.history_.losses[-1] > _DIVERGED * least)


def ways(model: Any, images: ImageList, *, diverged: bool, worse: bool) -> list[str]:
    """What may make a model better that leaves more error than what needs no training, in words.

    images: to train on. worse: than the model that it began with.
    """
    side = min(min(array.shape[1:]) for array in images.arrays)
    crop = crop_for(side) if side < LEAST_SIDE else min(_CROP, side // 2 * 2)
    larger = [f"--training-crop {crop}"] if model.crop < crop else []
    lower = [f"--learning-rate {model.training_.learning_rate / 4:.2g}, for its training diverged"] if diverged else []
    more = ["more photographs"] if len(images) < _FEW else []
    return [*larger, *lower, *more, *([] if diverged or worse else ["more --epochs"])]


@dataclass(frozen=True)
class _Example:
    """What a method gets, y, and what its result is held against, (channels, height, width) each.

    whole: y, or of photographs that are noisy themselves all of it. clean: the photograph as it is. sigma: its noise.
    """

    y: np.ndarray
    target: np.ndarray
    whole: np.ndarray
    clean: np.ndarray
    sigma: float

    def error(self, x_hat: np.ndarray) -> float:
        return float(squared_error(self.target[None], x_hat[None])[0])


def _examples(model: Any, images: ImageList, n: int, sigma: float | None, side: int) -> Iterator[_Example]:
    """n of the images, evenly, of large ones the middle; as `measure` has them."""
    for number in np.linspace(0, len(images) - 1, n).round().astype(int).tolist():
        h, w = images.arrays[number].shape[1:]
        x = cropped(images.arrays[number], (min(h, side), min(w, side)))
        x = np.ascontiguousarray(np.multiply(x, np.float32(images.unit), dtype=np.float32))
        if sigma is None:
            h, w = (length // 2 * 2 for length in x.shape[1:])
            y, target = np.ascontiguousarray(x[:, :h:2, :w:2]), x[:, :h:2, 1:w:2]
            yield _Example(y, target, x, x, estimated_sigma(x))
        else:
            y = noisy_version(x.reshape(1, -1), model.noise.at(sigma), x.shape).reshape(x.shape)
            yield _Example(y, x, y, x, sigma)


def is_worse(model: Any, former: Any, images: ImageList, sigma: float | None) -> bool:
    """Whether a denoiser has a lower PSNR than a former one on these images, as `measure` has it, beyond chance."""
    pixels = np.mean([math.prod(np.minimum(array.shape[1:], _CHOOSING_SIDE)) for array in images.arrays])
    n = min(len(images), max(_MOST, int(_PIXELS / pixels)))
    errors = []
    with console.progress("photographs compared") as on_progress:
        for example in _examples(model, images, n, sigma, _CHOOSING_SIDE):
            errors.append([example.error(_denoised(each, example.y, example.sigma)) for each in (model, former)])
            on_progress(len(errors), n)
    now, before = np.log(np.clip(np.nan_to_num(errors, nan=np.inf), *_ERRORS)).T
    loss = mean_of(now - before)
    return (loss.value or 0.0) > 0 if loss.ci95 is None else loss.ci95[0] > 0


def measure(
    models: dict[str, Any], images: ImageList, where: str, sigma: float | None, growth: Growth | None = None
) -> PhotographErrors:
    """Add noise of this level to some of the images, and hold what comes out against them; nothing is clipped.

    models: denoisers by their names in the table; of the first is the noise. sigma: None for images that are noisy
    themselves. Of their squares of 2×2 pixels one pixel goes in, and what comes
    out is held against its right neighbour, whose noise no method has seen: it adds its variance to each error. growth:
    how that grows with the brightness, if it does. Of blurs the best is measured. where: what the images are, in words.
    """
    name, model = next(iter(models.items()))
    is_shot, read = model.noise.shot_and_read

    def untrained(method: Method) -> Method:
        method = partial(stabilized, method, read) if is_shot else method
        return lambda y, level: method(y, level) if level else y  # they divide by the level

    blurs = {f"Gaussian blur of {width:g} pixels": width for width in WIDTHS}
    methods: dict[str, Method] = {
        **{name: partial(_denoised, model) for name, model in models.items()},
        "non-local means": untrained(non_local_means),
        "wavelets": untrained(wavelets),
        **{blur: partial(gaussian_blur, strength=width) for blur, width in blurs.items()},
    }
    squared: dict[str, list[float]] = {method: [] for method in (*methods, _GIVEN)}
    shown: dict[str, list[np.ndarray]] = (
        {"noisy": [], "denoised": []} if sigma is None else {"clean": [], "noisy": [], "denoised": []}
    )
    pixels = sum(array.shape[1] * array.shape[2] for array in images.arrays) / len(images)
    n, levels = min(len(images), max(_MOST, int(_PIXELS / pixels))), list[float]()
    variances = list[float]()
    with console.progress("photographs measured") as on_progress:
        for i, example in enumerate(_examples(model, images, n, sigma, _SIDE)):
            levels.append(example.sigma)
            variances.append(example.sigma**2 if growth is None else growth.variance_in(example.target))
            made = {method: compute(example.y, example.sigma) for method, compute in methods.items()}
            for method, x_hat in (made | {_GIVEN: example.y}).items():
                squared[method].append(example.error(x_hat))
            if i < _SHOWN:
                x_hat = made[name] if example.whole is example.y else _denoised(model, example.whole, example.sigma)
                rows = {"clean": example.clean, "noisy": example.whole, "denoised": x_hat}
                for row in shown:
                    shown[row].append(middle(np.clip(rows[row], 0, 1)))
            on_progress(i + 1, n)
    best = min(blurs, key=lambda blur: np.mean(squared[blur]))  # as if its width had been known
    squared = {method: e for method, e in squared.items() if method == best or method not in blurs}
    errors = {method: (mean_of(np.array(e)), mean_psnr(np.array(e))) for method, e in squared.items()}
    where = where if n == len(images) else f"{n} of {counted(len(images), 'photograph')}"
    where += " (of large ones the middle)" if any(max(array.shape[1:]) > _SIDE for array in images.arrays) else ""
    level, variance = float(np.mean(levels)), float(np.mean(variances))
    how = f"sigma {level:g} told" if sigma is not None else f"against neighbours, whose noise adds {variance:.2g}"
    return PhotographErrors(errors, where, level, variance, how, {row: stacked(some) for row, some in shown.items()})


def _denoised(model: Any, y: np.ndarray, sigma: float) -> np.ndarray:
    with warnings.catch_warnings():  # much noise is what it was trained on, and no other unit
        warnings.simplefilter("ignore", OtherNumbersWarning)
        x_hat: np.ndarray = model.denoise([y], sigma)[0]
    return x_hat


def stabilized(method: Method, read: float, y: np.ndarray, sigma: float) -> np.ndarray:
    """Apply a method for Gaussian noise to shot noise, whose variance Anscombe's transform (1948) makes the same."""
    event = sigma**2
    shift = 3 / 8 + (read / event) ** 2
    z = 2 * np.sqrt(np.maximum(y / event + shift, 0))
    unit = float(z.max()) or 1.0  # the methods are for numbers up to about 1
    z_hat = method((z / unit).astype(np.float32), 1 / unit) * unit
    # the inverse without bias where there are many events
    x_hat: np.ndarray = ((z_hat / 2) ** 2 - shift + 1 / 4) * event
    return x_hat
