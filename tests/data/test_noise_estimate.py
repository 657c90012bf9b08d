"""Noise that grows with the brightness is told from noise that does not, whatever the images show."""

import numpy as np
import pytest
from skimage import data
from sklearn.datasets import load_sample_images

from isthmus.data.noise_estimate import growth_of

CUTS = {
    "as it is": lambda x: x,
    "cut off at black and white": lambda x: np.clip(x, 0, 1),
    "as uint8": lambda x: np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8),
}


def textures():
    """Grey images (1, h, w) in [0, 1]: fur, coins, a page, tiles, petals, cloth, the moon."""
    images = [getattr(data, name)() for name in ("astronaut", "camera", "chelsea", "coins", "page", "moon", "coffee")]
    images += load_sample_images().images
    grey = (image if image.ndim == 2 else image.mean(axis=-1) for image in images)
    return [(image[None] / 255).astype(np.float32) for image in grey]


def micrographs(n=8, side=128, ground=0.05):
    """Bright blobs on a dark ground, (1, side, side)."""
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:side, :side]
    images = np.full((n, 1, side, side), ground)
    for image in images:
        for y, x, width, height in rng.uniform((0, 0, 4, 0.3), (side, side, 10, 0.9), (8, 4)):
            image[0] += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2 / width**2)
    return images.clip(0, 1)


def cells_under_a_microscope(n=12, side=128):
    """Small bright blobs, (1, side, side), that are nowhere flat."""
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:side, :side]
    images = np.full((n, 1, side, side), 0.05)
    for image in images:
        for y, x, width, height in rng.uniform((0, 0, 2, 0.2), (side, side, 5, 0.5), (25, 4)):
            image[0] += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2 / width**2)
    return images.clip(0, 1)


def poisson(x, peak, seed=0):
    return (np.random.default_rng(seed).poisson(x * peak) / peak).astype(np.float32)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.1, 0.2])
def test_uniform_noise_does_not_grow_with_the_brightness(sigma, cut):
    rng = np.random.default_rng(0)
    noisy = [CUTS[cut](x + sigma * rng.normal(size=x.shape).astype(np.float32)) for x in textures()]
    assert growth_of(noisy) is None
    assert [growth_of([image]) for image in noisy] == [None] * len(noisy)
    blobs = [CUTS[cut](x + sigma * rng.normal(size=x.shape)).astype(noisy[0].dtype) for x in micrographs()]
    assert growth_of(blobs) is None


@pytest.mark.parametrize("peak", [30, 100])
@pytest.mark.parametrize("cut", CUTS)
def test_that_of_photons_does_and_is_as_large_as_it_is(cut, peak):
    for images in (micrographs(), textures()):
        growth = growth_of([CUTS[cut](poisson(x, peak)) for x in images])
        assert growth.bright > 1.5 * growth.dark
        assert 0.6 * peak < growth.peak < 1.7 * peak
        noisy, noise = [np.clip(poisson(x, peak), 0, 1) for x in images], [poisson(x, peak) - x for x in images]
        means = [growth.variance_in(y) / (e**2)[y < 1].sum() * e.size for y, e in zip(noisy, noise, strict=True)]
        assert 0.7 < np.mean(means) < 1.3, "of all pixels but those that are white"


@pytest.mark.parametrize("n", [4, 12])
def test_it_is_seen_where_what_is_bright_is_nowhere_flat(n):
    """As of a camera of 12 bits: 6 counts² for each count, and 144 without light."""
    rng = np.random.default_rng(1)
    images = cells_under_a_microscope(n)
    noisy = images + np.sqrt(images * 6 / 4095 + 144 / 4095**2) * rng.normal(size=images.shape)
    growth = growth_of(noisy.astype(np.float32))
    dark = (0.05 * 6 / 4095 + 144 / 4095**2) ** 0.5
    assert 0.9 * dark < growth.dark < 1.1 * dark
    assert growth.bright > 1.8 * growth.dark
    assert 0.8 * 4095 / 6 < growth.peak < 1.25 * 4095 / 6


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("sigma", [0.005, 0.01, 0.03, 0.1, 0.2])
def test_uniform_noise_does_not_grow_on_them(sigma, cut):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        noisy = [CUTS[cut](x + sigma * rng.normal(size=x.shape)) for x in cells_under_a_microscope()]
        assert [growth_of(noisy), *(growth_of([image]) for image in noisy)] == [None] * 13


def test_brighter_images_that_are_noisier_say_nothing_of_brightness():
    """Each has noise of one size, the darker ones less: as of other exposures, or another camera."""
    rng = np.random.default_rng(0)
    images = [0.3 + 0.05 * i + 0.2 * x + 0.02 * (i + 1) * rng.normal(size=x.shape) for i, x in enumerate(micrographs())]
    assert growth_of(images) is None


def test_of_little_it_is_not_known():
    assert growth_of([]) is None
    assert growth_of([np.zeros((1, 64, 64), np.float32)]) is None
    assert growth_of([poisson(np.full((1, 20, 20), 0.5), 10)]) is None
