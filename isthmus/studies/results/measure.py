"""A fitted model measured on a set of images, in chunks: no float copy of the set is ever made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.analysis.code_figures import CodeFigures
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.estimators.adapters import adapter_of, chunks, reconstruct, reconstruct_code_only
from isthmus.estimators.decoder_prior import SearchResult
from isthmus.metrics import Estimate, Variation
from isthmus.networks import Code
from isthmus.parts import Corruption
from isthmus.studies.spec.quantities import CODE_METRICS, METRICS, PUBLISHED_SSE

TEST_NOISE_SEED = 0  # `noisy_version`'s own: the same test noise for every model, device and training seed
GREY_LEVELS = 255


@dataclass
class Measured:
    """What was found on one set of images under one corruption.

    estimates: by metric; a metric that is not defined for these images or this model is missing. errors: each image's
    MSE, (n,). variation: of the reconstructions, as a share of the images' own; None where they do not vary.
    unexplained: their mean squared error, over that of the images' own mean; None likewise. frozen: the share of the
    images' variation in pixels that are reconstructed the same for every image. seconds: of reconstruction alone.
    search: of a `DecoderPrior`, steps for an image, and why the searches ended, counted. of_code: those of the metrics
    that the model's kind of code brings itself.
    """

    estimates: dict[str, Estimate]
    errors: np.ndarray
    variation: float | None
    unexplained: float | None
    seconds: float
    search: dict[str, Any] | None = None
    frozen: float = 0.0
    of_code: tuple[str, ...] = ()


@dataclass
class _Sums:
    """What is gathered from chunk to chunk: values per sample by metric, and what is over all of them."""

    figures: CodeFigures
    values: dict[str, list[np.ndarray]] = field(default_factory=dict)
    units_on: list[np.ndarray] = field(default_factory=list)  # of each chunk, which units were on for an image
    images: Variation = field(default_factory=Variation)
    reconstructions: Variation = field(default_factory=Variation)
    seconds: float = 0.0
    searches: list[SearchResult] = field(default_factory=list)

    def add(self, metric: str, values: np.ndarray | None) -> None:
        if values is not None:
            self.values.setdefault(metric, []).append(values)


def measure(
    model: Any,
    images: Images,
    wanted: tuple[str, ...],
    baseline: np.ndarray | None = None,
    corruption: Corruption | None = None,
) -> Measured:
    """Compare each clean image with the reconstruction of it, or of its corrupted version, and look at the codes.

    A reconstruction is measured as the model gives it, not clipped. Patches of one photograph are averaged first,
    and `n` counts the photographs. baseline: (n_features,), for explained_variance alone. With any metric of codes,
    there are the figures too that the model's kind of code brings.
    """
    sums = _Sums(CodeFigures(model))
    with_code = adapter_of(model).has_code and not set(wanted).isdisjoint(CODE_METRICS)
    for which in chunks(len(images)):
        x = images.floats(which)
        x_in = x if corruption is None else noisy_version(x, corruption, images.shape)
        start = time.perf_counter()
        if adapter_of(model).searches:
            sums.searches.append(model.search(x_in))
            x_hat = model.decoded(sums.searches[-1])
        else:
            x_hat = reconstruct(model, x_in)
        sums.seconds += time.perf_counter() - start
        sums.images.add(x)
        sums.reconstructions.add(x_hat)
        sums.add("mse", metrics.squared_error(x, x_hat))
        if "explained_variance" in wanted and baseline is not None:
            sums.add("baseline", metrics.squared_error(x, np.broadcast_to(baseline, x.shape)))
        if "ssim" in wanted:
            shape = (-1, *images.shape)
            sums.add("ssim", metrics.ssim(x.reshape(shape), x_hat.reshape(shape)))
        if "mse_code_only" in wanted and (from_code := reconstruct_code_only(model, x_in)) is not None:
            sums.add("mse_code_only", metrics.squared_error(x, from_code))
        if with_code:
            code = np.asarray(model.transform(x_in)).reshape(len(x), -1)
            sums.add("mean_activation", metrics.mean_activation(code))
            sums.add("l0", metrics.l0(code))
            sums.units_on.append(np.any(metrics.active(code), axis=0, keepdims=False))
            sums.figures.add(x_in)
    vary = sums.images.value
    computed, errors = _estimates(sums, images.photographs), np.concatenate(sums.values["mse"])
    estimates = {name: computed[name] for name in wanted if name in computed}
    figures = sums.figures.values(METRICS)
    estimates |= {name: Estimate(value, None, computed["mse"].n) for name, value in figures.items()}
    share, unexplained = (
        (sums.reconstructions.value / vary, float(errors.mean()) * images.n_features / vary) if vary else (None, None)
    )
    ended = _ended(sums.searches) if sums.searches else None
    frozen = sums.images.frozen(sums.reconstructions)
    return Measured(estimates, errors, share, unexplained, sums.seconds, ended, frozen, tuple(figures))


def _ended(searches: list[SearchResult]) -> dict[str, Any]:
    """{"n", "mean_steps", "reasons": {reason: how many}}."""
    steps = np.concatenate([search.n_iter for search in searches])
    reasons, counts = np.unique(np.concatenate([search.reason for search in searches]), return_counts=True)
    return {
        "n": len(steps),
        "mean_steps": float(steps.mean()),
        "reasons": dict(zip(reasons.tolist(), counts.tolist(), strict=True)),
    }


def _estimates(sums: _Sums, groups: np.ndarray) -> dict[str, Estimate]:
    values = {metric: np.concatenate(parts) for metric, parts in sums.values.items()}
    baseline = values.pop("baseline", None)
    estimates = {metric: metrics.mean_of(numbers, groups) for metric, numbers in values.items()}
    estimates["psnr"] = metrics.mean_psnr(values["mse"], groups)
    if baseline is not None:
        estimates["explained_variance"] = metrics.explained_variance(values["mse"], baseline, groups)
    if sums.units_on:
        dead = ~np.any(sums.units_on, axis=0)
        estimates["dead_units"] = Estimate(float(dead.sum()), None, estimates["mse"].n)
    return estimates


def has_prior(model: Any) -> bool:
    """Whether codes can be sampled for a model."""
    network = adapter_of(model).network
    return network is not None and type(network.code).prior is not Code.prior


def has_likelihood(model: Any) -> bool:
    """Whether `nll` can be had of a model."""
    network = adapter_of(model).network
    return has_prior(model) and network is not None and type(network.code).draw is not Code.draw


def nll(
    model: Any, images: Images, n_samples: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Estimate | None:
    """-log p(x) in nats of a sample, by `n_samples` weighted draws; None for a model that has no likelihood.

    on_progress: called with (images done, images) as they are done.
    """
    if not has_likelihood(model):
        return None
    values = np.empty(len(images))
    for which in chunks(len(images)):

        def on_part(done: int, total: int, start: int = which.start) -> None:
            on_progress(start + done, len(images))

        values[which] = -model.log_likelihood(images.floats(which), n_samples, on_progress=on_part)
    return metrics.mean_of(values, images.photographs)


def per_image(
    model: Any, images: Images, metric: str, positions: tuple[int, ...], corruption: Corruption | None = None
) -> np.ndarray:
    """One value for each of a few images, (n,): mse, mean_activation, l0, or the published sum of squared errors.

    published_sse repeats what a notebook did: the model is shown grey levels from 0 to 255, with noise in the same
    units, and the squared errors are summed over pixels; in units of [0, 1], which are 1/255.
    """
    scale = GREY_LEVELS if metric == PUBLISHED_SSE else 1
    x = images.floats(np.array(positions)) * np.float32(scale)
    x_in = x if corruption is None else noisy_version(x, corruption, images.shape)
    if metric in ("mean_activation", "l0"):
        compute = metrics.mean_activation if metric == "mean_activation" else metrics.l0
        return compute(np.asarray(model.transform(x_in)).reshape(len(x), -1))
    error = metrics.squared_error(x, reconstruct(model, x_in))
    return error * images.n_features / scale**2 if metric == PUBLISHED_SSE else error
