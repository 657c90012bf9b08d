"""Noise that is correlated between neighbouring pixels, on real photographs; white noise is not taken for it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data
from sklearn.datasets import load_sample_images

from isthmus.data.images import pixels_of
from isthmus.data.noise_correlation import correlated_in, correlated_sigma


def as_floats(pixels):
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return (pixels.transpose(2, 0, 1) / 255).astype(np.float32)


CHINA, FLOWER = (as_floats(image) for image in load_sample_images().images)
PHOTOGRAPHS = {"china": CHINA, "flower": FLOWER}
PHOTOGRAPHS |= {
    name: as_floats(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea", "camera", "coins")
}
each = pytest.mark.parametrize("name", PHOTOGRAPHS)


def in_8_bits(x):
    return pixels_of(x.clip(0, 1), np.dtype(np.uint8))


def noise(x, width=0.0, seed=0):
    """Of standard deviation 1, blurred by so many pixels."""
    white = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
    if not width:
        return white
    blurred = gaussian_filter(white, (0, width, width), mode="wrap")
    return blurred / blurred.std()


def as_jpeg(x, quality):
    file, pixels = io.BytesIO(), in_8_bits(x)
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return as_floats(np.asarray(Image.open(file)))


@each
def test_of_clean_photographs_nothing_is_said(name):
    x = PHOTOGRAPHS[name]
    assert correlated_sigma(x) is None
    assert correlated_sigma(in_8_bits(x)) is None
    for quality in (50, 75, 95):
        assert correlated_sigma(as_jpeg(x, quality)) is None


@each
@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1, 0.2])
def test_of_white_noise_nothing_is_said(name, sigma):
    x = PHOTOGRAPHS[name]
    for seed in range(3):
        y = x + sigma * noise(x, seed=seed)
        assert correlated_sigma(y) is None
        assert correlated_sigma(in_8_bits(y)) is None


@each
@pytest.mark.parametrize("width", [0.7, 1.0])
def test_blurred_noise_is_known_with_its_level(name, width):
    """A flower before black, of which little is left that is not cut off, is the hardest."""
    x = PHOTOGRAPHS[name]
    for sigma in (0.05, 0.1):
        y = x + sigma * noise(x, width)
        assert correlated_sigma(y) == pytest.approx(sigma, rel=0.25)
        assert correlated_sigma(pixels_of(y.clip(0, 1), np.dtype(np.uint16))) == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("name", ["china", "astronaut", "coffee", "camera"])
def test_noise_that_went_through_jpeg_is_known(name):
    x = PHOTOGRAPHS[name]
    for quality in (50, 60):
        assert 0.015 < correlated_sigma(as_jpeg(x + 0.05 * noise(x), quality)) < 0.05
    assert correlated_sigma(as_jpeg(x + 0.05 * noise(x), 90)) is None  # nearly white


def test_of_several_images_it_is_said_if_many_have_it():
    noisy = [in_8_bits(x + 0.1 * noise(x, 1.0)) for x in PHOTOGRAPHS.values()]
    clean = [in_8_bits(x) for x in PHOTOGRAPHS.values()]
    assert correlated_in(noisy).startswith("7 images with noise that seems correlated between neighbouring pixels")
    assert correlated_in([*clean, noisy[0]]) == correlated_in(clean) == ""
    assert "sigma is about 0.08" in correlated_in(noisy)


def test_small_and_constant_images_have_no_answer():
    for shape in ((1, 1, 1), (3, 5, 40), (1, 64, 64)):
        assert correlated_sigma(np.random.default_rng(0).random(shape, np.float32)) is None
        assert correlated_sigma(np.zeros((1, 200, 200), np.uint8)) is None
