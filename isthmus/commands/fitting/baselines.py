"""Baselines: the mean image, the corrupted image as it is, and PCA with a code of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer

from isthmus.augmentation import augment
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.errors import counted
from isthmus.estimators.adapters import chunks
from isthmus.estimators.borrowed import best_pca
from isthmus.estimators.denoising.classical import ClassicalDenoiser, best_blur
from isthmus.estimators.denoising.denoiser_adapter import AtLevel
from isthmus.parts import Augmentation, Corruption
from isthmus.parts.networks import MAX_EXACT
from isthmus.rng import generator
from isthmus.training.start import changed_often, n_of_pca

_LEAST_SIDE, _TRIED = 16, 40  # pixels below which no method sees what is alike; images that the strength is chosen on
AS_IT_IS, TOLD = ", as it is", ", told the noise"
MEAN_IMAGE = "the mean image"


def yardsticks(
    train: Images,
    validation: Images,
    code_size: int,
    corruption: Corruption | None = None,
    n_on: float | None = None,
    others: Images | None = None,
    alone: bool = False,
    augmentation: Augmentation | None = None,
    uncut: Iterable[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Baseline models by name; under a corruption the first is the identity.

    Under a corruption PCA has as many components as denoise the validation images best. n_on: of a sparse code, the
    units that are on for an image, of which there is a PCA too. others: images that PCA is fitted to beside `train`,
    once it is known how many components denoise best. alone: the model has learned from other images too. augmentation:
    what the model's images were changed by, for a PCA of such images too: else what they add would seem the network's.

    Under Gaussian noise of one level, of whole images that are not tiny, there are methods too that are told the level
    and learn nothing but how strongly. uncut: of patches, photographs (c, h, w) that these learn it of, and are for.
    """
    name = "PCA of these images alone" if alone else "PCA"
    fitted_on = [train] if others is None else [train, others]
    baselines: dict[str, Any] = {}
    if corruption is not None:
        baselines[corruption.label + AS_IT_IS] = FunctionTransformer(check_inverse=False)

    def pca_of(augmentation: Augmentation | None) -> PCA:
        if corruption is None or others is None:
            return _pca(fitted_on, validation, code_size, corruption, augmentation)
        n = _pca([train], validation, code_size, corruption, augmentation).n_components_
        return _pca(fitted_on, validation, n, None, augmentation)

    of_each: dict[str, Augmentation | None] = {name: None}
    if augmentation is not None:
        of_each["PCA of augmented images"] = augmentation
    n = sum(map(len, fitted_on))
    of = counted(n, "image") if train.places is None else counted(n, "patch", "patches")
    is_sparse = corruption is None and n_on is not None and 0.5 <= n_on < min(code_size, train.n_features) - 0.5
    is_exact = code_size >= train.n_features < n  # a PCA of as many numbers as the images have
    if corruption is not None or not (is_exact or (is_sparse and code_size >= train.n_features)):
        for pca_name, changed_by in of_each.items():
            pca = pca_of(changed_by)
            which = f", all that {of} have" if corruption is None and pca.n_components_ < code_size else ""
            baselines[f"{pca_name}, {counted(pca.n_components_, 'number')}{which}"] = pca
    if is_sparse and n_on is not None:
        pca = _pca(fitted_on, validation, round(n_on), None)
        which = "as many as are on" if pca.n_components_ == round(n_on) else f"all that {of} have"
        baselines[f"{name}, {counted(pca.n_components_, 'number')}, {which}"] = pca
    if train.places is None:
        some = train.take(np.linspace(0, len(train) - 1, min(_TRIED, len(train))).round().astype(int))
        methods = _classical(some.floats().reshape(-1, *train.shape), corruption)
        baselines |= {method: _Flat(model, train.shape) for method, model in methods.items()}
    elif uncut is not None:
        baselines |= _classical(uncut, corruption)
    baselines[MEAN_IMAGE] = _Constant(train.pixel_means())
    return baselines


def _classical(images: Iterable[np.ndarray], corruption: Corruption | None) -> dict[str, AtLevel]:
    """Methods for noise that they are for, with the strengths that suit these images."""
    noise = None if corruption is None else corruption.for_denoiser()
    if noise is None or len({*noise.sigma_range}) > 1 or noise.shot_and_read[0]:
        return {}
    some = list(islice(images, _TRIED))
    if min(min(image.shape[1:]) for image in some) < _LEAST_SIDE:
        return {}
    methods = {"total variation": "total-variation", "non-local means": "non-local-means"}
    fitted = {name + TOLD: ClassicalDenoiser(method).fit(some) for name, method in methods.items()}
    assert corruption is not None
    width, blur = best_blur(some, [noisy_version(x.reshape(1, -1), corruption, x.shape) for x in some])
    fitted[f"Gaussian blur of {width:g} pixels"] = blur
    return {name: AtLevel(model, noise.sigma_range[1]) for name, model in fitted.items()}


class _Flat:
    """A method for images of any size, on rows of images of one size."""

    def __init__(self, at_level: AtLevel, shape: tuple[int, int, int]) -> None:
        self.model, self.sigma, self.shape = at_level.model, at_level.sigma, shape

    def transform(self, x: np.ndarray) -> np.ndarray:
        return x

    def inverse_transform(self, code: np.ndarray) -> np.ndarray:
        denoised = self.model.denoise(list(code.reshape(-1, *self.shape).astype(np.float32)), self.sigma)
        return np.stack([image.ravel() for image in denoised])


class _Constant:
    """Predicts the same image for every input."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image.astype(np.float32)

    def transform(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((len(x), 0), np.float32)

    def inverse_transform(self, code: np.ndarray) -> np.ndarray:
        return np.repeat(self.image[None], len(code), axis=0)


def _pca(
    fitted_on: Sequence[Images],
    validation: Images,
    code_size: int,
    corruption: Corruption | None,
    augmentation: Augmentation | None = None,
) -> PCA:
    n_features = fitted_on[0].n_features
    x = _evenly(fitted_on, n_of_pca(n_features))
    if augmentation is not None:  # again and again, to as many as it is fitted to of many
        shape, stream = fitted_on[0].shape, generator(0, "augment")
        x = changed_often(torch.from_numpy(x), lambda x: augment(augmentation, x, stream, shape)).numpy()
    if corruption is None:
        return best_pca(x, code_size)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for which in chunks(len(validation)):
            x = validation.floats(which)
            yield x, noisy_version(x, corruption, validation.shape)

    # of large images the leading components alone
    return best_pca(x, n_features if n_features <= MAX_EXACT else code_size, pairs())


def _evenly(images: Sequence[Images], most: int) -> np.ndarray:
    """Those that a training takes which begins at PCA's solution of all of these images, (n, n_features)."""
    total = sum(map(len, images))
    n = min(total, most)
    which, parts, first = np.arange(n) * total // n, [], 0
    for some in images:
        parts.append(some.floats(which[(which >= first) & (which < first + len(some))] - first))
        first += len(some)
    return np.concatenate(parts)


def better_than_first(errors: dict[str, float | None], slack: float = 1.0) -> list[str]:
    """The names with less error than `slack` times the first: the best, and those that learned nothing."""
    first = next(iter(errors.values()))
    if first is None:
        return []
    less = sorted((value, name) for name, value in errors.items() if value is not None and value < slack * first)
    return [name for i, (_, name) in enumerate(less) if i == 0 or name == MEAN_IMAGE or name.endswith(AS_IT_IS)]
