"""Yardsticks have known answers, and are made of the training images alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from isthmus import Affine, GaussianNoise, Images, Masking
from isthmus.augmentation import augment
from isthmus.commands.fitting import baselines as module
from isthmus.commands.fitting.baselines import MEAN_IMAGE, yardsticks
from isthmus.corruption import noisy_version
from isthmus.rng import generator
from isthmus.studies.results.measure import measure

K = 3


def images_along(directions, mean, n, seed):
    """n images of 1×6×6 in [0, 1]: a mean, and numbers along some of 36 orthogonal directions."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(36, 36)))[0]
    x = mean + 0.08 * rng.uniform(-1, 1, (n, len(directions))) @ axes[:, directions].T
    assert 0 < x.min() < x.max() < 1
    return Images(x.reshape(n, 1, 6, 6).astype(np.float32))


@pytest.fixture
def train():
    return images_along([0, 1, 2], 0.4, 150, seed=1)


@pytest.fixture
def held_out():
    """As many images, and as many directions, of which training has seen one; and another mean."""
    return images_along([2, 3, 4], 0.5, 150, seed=2)


def of(found, word):
    return next(error for name, error in found.items() if word in name)


def errors(train, images, code_size, corruption=None):
    """Of the yardsticks on `images`, which choose the number of components too, by name."""
    models = yardsticks(train, images, code_size, corruption)
    return {
        name: measure(one, images, ("mse",), corruption=corruption).estimates["mse"].value
        for name, one in models.items()
    }


def by_hand(train, x, k):
    """The error of the first k principal components of the training images, by an eigenvalue problem."""
    x_train, x = train.floats().astype(np.float64), x.floats().astype(np.float64)
    mean = x_train.mean(axis=0)
    first = np.linalg.svd(x_train - mean, full_matrices=False)[2][:k]
    left = (x - mean) - (x - mean) @ first.T @ first
    return np.square(left).mean()


@pytest.mark.parametrize("exact", [True, False])
def test_a_pca_is_fitted_on_training_images_and_measured_on_others(exact, train, held_out, monkeypatch):
    monkeypatch.setattr(module, "MAX_EXACT", 1500 if exact else 10)
    error = of(errors(train, held_out, K), "PCA, 3 numbers")
    assert error == pytest.approx(by_hand(train, held_out, K), rel=1e-3)
    assert by_hand(held_out, held_out, K) < 1e-6 < 1e-3 < error, "fitted on these it would have no error at all"
    assert of(errors(train, train, K), "PCA") < 1e-6


def test_the_mean_image_is_that_of_the_training_images(train, held_out):
    error = of(errors(train, held_out, K), "the mean image")
    expected = np.square(held_out.floats() - train.floats().mean(axis=0)).mean()
    assert error == pytest.approx(expected, rel=1e-4)
    assert error > 1.5 * np.square(held_out.floats() - held_out.floats().mean(axis=0)).mean()
    wide = errors(train, held_out, 36)  # a code of as many numbers as there are pixels
    assert list(wide) == ["the mean image"]
    assert of(wide, "mean") == pytest.approx(error)


def test_under_noise_only_the_number_of_components_is_chosen_by_held_out_images(train, held_out):
    """Strong noise leaves their own components, and their own mean, twenty times less error than those of training."""
    noise = GaussianNoise(0.1)
    found = errors(train, held_out, K, noise)
    assert of(found, "as it is") == pytest.approx(0.1**2, rel=0.1)
    assert of(found, "PCA") > 0.005
    assert of(errors(held_out, held_out, K, noise), "PCA") < 0.001


def test_under_noise_more_components_than_images_have_are_not_chosen(train):
    found = errors(train, train, K, GaussianNoise(0.01))
    assert "PCA, 3 numbers" in found
    assert of(found, "PCA") == pytest.approx(K / 36 * 0.01**2, rel=0.2), "what three numbers let through"


def test_under_an_augmentation_there_is_a_pca_of_such_images_too(train):
    moved = Affine(rotation=20, share=1.0)
    models = yardsticks(train, train, K, augmentation=moved)
    name = "PCA of augmented images, 3 numbers"
    assert set(models) - set(yardsticks(train, train, K)) == {name}
    stream = generator(1, "augment")
    turned = Images(
        augment(moved, torch.from_numpy(train.floats()), stream, train.shape).clamp(0, 1).numpy().reshape(-1, 1, 6, 6)
    )
    on_turned = {key: measure(models[key], turned, ("mse",)).estimates["mse"].value for key in models if "PCA" in key}
    assert on_turned[name] < 0.95 * on_turned["PCA, 3 numbers"]


@pytest.mark.parametrize("others", [None, "validation"])
def test_a_denoiser_that_was_augmented_has_a_pca_of_such_images_beside_it_too(train, others):
    moved, noise = Affine(rotation=20, share=1.0), GaussianNoise(0.02)
    turned = augment(moved, torch.from_numpy(train.floats()), generator(1, "augment"), train.shape)
    held_out = Images(turned.clamp(0, 1).numpy().reshape(-1, 1, 6, 6))
    others = others and held_out.take(np.arange(5))
    models = yardsticks(train, held_out, 36, noise, others=others, augmentation=moved)
    mse = {
        name: measure(model, held_out, ("mse",), corruption=noise).estimates["mse"].value
        for name, model in models.items()
    }
    assert set(models) - set(yardsticks(train, held_out, 36, noise, others=others)) == {list(models)[2]}
    assert of(mse, "PCA of augmented images") < 0.95 * of(mse, "PCA, ")


def test_whole_images_with_gaussian_noise_have_methods_beside_them_that_learn_nothing():
    rng = np.random.default_rng(0)
    steps = np.kron(rng.random((40, 1, 4, 4)), np.ones((1, 1, 5, 5))).astype(np.float32)  # flat parts, sharp edges
    noise, train = GaussianNoise(0.1), Images(steps)
    found = errors(train, train, 400, noise)
    for name in ("total variation, told the noise", "non-local means, told the noise"):
        assert found[name] < 0.5 * of(found, "as it is")
    blur = of(found, "Gaussian blur of ")
    assert found["non-local means, told the noise"] < blur < of(found, "as it is")
    noisy = noisy_version(train.floats(), noise, train.shape).reshape(train.pixels.shape)
    blurred = [((gaussian_filter(noisy, (0, 0, s, s)) - steps) ** 2).mean() for s in np.arange(0.4, 1.6, 0.1)]
    assert blur < 1.02 * min(blurred)
    few = Images(steps[:, :, :12, :12])
    for images, corruption in ((few, noise), (train, Masking(0.3)), (train, None)):
        assert not any("told" in name or "blur" in name for name in yardsticks(images, images, 100, corruption))


def test_a_pca_of_few_images_says_why_it_has_fewer_numbers_than_the_code():
    train = Images(np.random.default_rng(0).random((10, 1, 6, 6), np.float32))
    assert list(yardsticks(train, train, 30)) == ["PCA, 9 numbers, all that 10 images have", MEAN_IMAGE]
    assert list(yardsticks(train, train, 4)) == ["PCA, 4 numbers", MEAN_IMAGE]
    assert list(yardsticks(train, train, 1)) == ["PCA, 1 number", MEAN_IMAGE]
    assert list(yardsticks(train, train, 36)) == ["PCA, 9 numbers, all that 10 images have", MEAN_IMAGE], "nor exact"
    assert list(yardsticks(train, train, 50, None, 36.0)) == list(yardsticks(train, train, 36))


def test_a_code_as_wide_as_the_images_is_held_against_as_many_numbers_as_are_on():
    rng = np.random.default_rng(0)
    train = Images(rng.random((90, 1, 6, 6), np.float32))
    assert set(yardsticks(train, train, 50, None, 20.2)) == {"PCA, 20 numbers, as many as are on", MEAN_IMAGE}
    few = train.take(slice(0, 10))
    assert set(yardsticks(few, few, 50, None, 20.2)) == {"PCA, 9 numbers, all that 10 images have", MEAN_IMAGE}
