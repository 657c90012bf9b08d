"""A model of patches applied to images of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from isthmus import Autoencoder, Dense, GaussianNoise, Masking
from isthmus.analysis.patchwork import of_patches, patches_of, patchwork
from isthmus.data.patches import assemble, cut
from isthmus.errors import DataError
from isthmus.estimators.adapters import reconstruct


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 23), (1, 40, 8), (3, 61, 37)], ids=str)
def test_an_exact_model_gives_the_image_back(shape):
    x = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(patchwork(lambda patches: patches, x, (8, 8)), x, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 10, 10_000])
def test_row_by_row_is_the_same_as_all_at_once(at_once, monkeypatch):
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", at_once)
    x, weights = np.random.default_rng(1).random((3, 37, 50), np.float32), np.random.default_rng(2)
    matrix = weights.normal(size=(3 * 6 * 9, 3 * 6 * 9)).astype(np.float32) / 13  # a model that no two patches agree on

    patches, places = cut(x, (6, 9))
    np.testing.assert_array_equal(np.concatenate([*patches_of(x, (6, 9))]), patches.reshape(len(patches), -1))
    expected = assemble((patches.reshape(len(patches), -1) @ matrix).reshape(patches.shape), places, (37, 50))
    np.testing.assert_allclose(patchwork(lambda p: p @ matrix, x, (6, 9)), expected, atol=1e-5)


def test_the_model_sees_few_patches_at_a_time(monkeypatch):
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", 100)
    seen = []

    def model(patches):
        seen.append(len(patches))
        return patches

    patchwork(model, np.zeros((1, 400, 40), np.float32), (8, 8))
    assert max(seen) <= 100
    assert sum(seen) == 99 * 9


@pytest.mark.parametrize("height", [8, 9, 61])
def test_progress_is_in_rows_and_ends_at_all(height, monkeypatch):
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", 1)
    heard = []
    patchwork(lambda x: x, np.zeros((1, height, 20), np.float32), (8, 8), lambda *step: heard.append(step))
    assert heard == [(min(8 + 4 * i, height), height) for i in range(len(heard))]
    assert heard[-1] == (height, height)


@pytest.mark.parametrize("stride", [(1, 1), (3, 5), (6, 9)])
def test_patches_are_a_stride_apart(stride):
    x, seen = np.random.default_rng(0).random((3, 37, 50), np.float32), []

    def model(patches):
        seen.append(len(patches))
        return patches

    np.testing.assert_allclose(patchwork(model, x, (6, 9), stride=stride), x, atol=1e-6)
    assert (
        sum(seen)
        == len(cut(x, (6, 9), stride)[0])
        == math.prod(-(-(have - size) // step) + 1 for have, size, step in zip((37, 50), (6, 9), stride, strict=True))
    )
    assert sum(map(len, patches_of(x, (6, 9), stride))) == sum(seen)


@pytest.fixture(scope="module", params=[0.05, 0.1, 0.2])
def noise(request):
    return GaussianNoise(request.param)


@pytest.fixture(scope="module")
def denoiser(noise):
    """A model of colour patches that has hardly learned anything, so that its linear output glows."""
    x = np.random.default_rng(0).random((300, 3, 8, 8), np.float32)
    return Autoencoder(Dense((), 32), corruption=noise, epochs=2, standardize=True, random_state=0).fit(x)


def test_black_stays_black(denoiser):
    black = np.zeros((3, 24, 40), np.float32)
    assert np.abs(patchwork(lambda patches: reconstruct(denoiser, patches), black, (8, 8))).max() > 5 / 255
    assert np.abs(patchwork(of_patches(denoiser, 3), black, (8, 8))).max() < 1 / 255


def test_black_areas_of_a_photograph_have_no_blobs_and_what_is_bright_stays(denoiser, noise):
    photograph = load_sample_images().images[0][100:200, 200:320].transpose(2, 0, 1) / np.float32(255)
    photograph[:, 40:80, 30:100] = 0
    noisy = photograph + np.float32(noise.sigma) * np.random.default_rng(0).standard_normal(photograph.shape)
    for given, limit in ((photograph, 1 / 255), (noisy, 4.5 * noise.sigma)):
        given = given.astype(np.float32)
        unbounded = patchwork(lambda patches: reconstruct(denoiser, patches), given, (8, 8))
        x_hat = patchwork(of_patches(denoiser, 3), given, (8, 8))
        assert np.abs(x_hat[:, 48:72, 38:92]).max() < limit, "a patch inside the black, with its noise"
        error, before = (np.mean((image - photograph) ** 2) for image in (x_hat, unbounded))
        assert error <= before


def test_pixels_that_are_missing_may_be_beyond_the_others():
    x = np.random.default_rng(0).random((300, 64), np.float32)
    model = Autoencoder(Dense((), 8), corruption=Masking(0.5), epochs=2, random_state=0).fit(x)
    patches = x[:9] / 2
    np.testing.assert_array_equal(of_patches(model, 1)(patches), reconstruct(model, patches))


def test_too_small_an_image_is_refused():
    with pytest.raises(DataError, match=r"4×20 is smaller than a patch of 8×8"):
        patchwork(lambda patches: patches, np.zeros((1, 4, 20), np.float32), (8, 8))
