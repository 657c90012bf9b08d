"""A denoiser of real photographs on others, clean ones and such as files clipped; and scikit-learn's contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from isthmus import Denoiser, GaussianNoise, Residual, UNet
from isthmus.data.images import pixels_of
from isthmus.errors import RequestError
from isthmus.estimators.denoising.tiles import denoise_tiles
from tests.networks.test_denoisers import trained


def grey(image):
    return (image.mean(axis=2) / 255).astype(np.float32)[None]


CLEAN = {name: grey(image) for name, image in zip(("china", "flower"), load_sample_images().images, strict=True)}
SMALL = {"crop": 16, "crops_per_epoch": 32, "batch_size": 16, "epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def model():
    """Of four photographs, none of which it is asked for: some three seconds."""
    photographs = [grey(getattr(data, name)())[:, :300, :400] for name in ("astronaut", "coffee", "chelsea", "rocket")]
    return Denoiser(
        Residual(width=24, depth=6), noise=GaussianNoise((0, 0.2)), crop=24, crops_per_epoch=2200, epochs=6,
        learning_rate=8e-3, schedule="one-cycle", precision="float32", random_state=0,
    ).fit(photographs)  # fmt: skip


def rms(a, b):
    return float(np.sqrt(np.mean(np.square(a - b))))


# Measured 0.029, nearly all of it in leaves, and 0.008; a network that was trained for a minute and a half leaves 0.020
# and 0.005
@pytest.mark.parametrize(("name", "most"), [("china", 0.033), ("flower", 0.009)])
def test_a_clean_photograph_comes_back_nearly_as_it_was(model, name, most):
    """Blind, with its texture, which is 0.3 and 0.2 wide."""
    x = CLEAN[name]
    (x_hat,) = model.denoise([x])
    assert 0 < rms(x_hat, x) < most
    assert model.sigma_[0] < 0.01


# Measured: 1.08 to 1.11, 1.5 and 2 to 2.1 times less error in china, 3, 4 and 4 times in the flower
@pytest.mark.parametrize(
    ("sigma", "times"),
    [
        (0.05, {"china": 1.05, "flower": 2.8}),
        (0.1, {"china": 1.4, "flower": 3.5}),
        (0.2, {"china": 1.8, "flower": 3.5}),
    ],
)
@pytest.mark.parametrize("name", CLEAN)
def test_noise_that_a_file_of_8_bits_has_clipped_is_taken_out(model, name, sigma, times):
    """It learned from noise that is not clipped."""
    x, noise = CLEAN[name], np.random.default_rng(0).normal(0, sigma, CLEAN[name].shape)
    y = pixels_of((x + noise).clip(0, 1), np.dtype(np.uint8)).astype(np.float32) / 255
    assert ((y == 0) | (y == 1)).mean() > 0.02
    for level in (sigma, None):
        (x_hat,) = model.denoise([y], level)
        assert rms(x_hat, x) < rms(y, x) / times[name]
    assert model.sigma_[0] == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("part", [Residual(8, 4), UNet(4)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1.0, 0.0, 0.25), (0.3,)], ids=str)
def test_what_is_constant_stays_within_a_level_of_255(part, dtype, colour):
    """In several tiles, whose sides differ, at every level that may be told."""
    network = trained(part, len(colour))
    image = np.broadcast_to(np.array(colour, np.float32)[:, None, None], (len(colour), 61, 75))
    noisy = image + np.random.default_rng(0).normal(0, 0.1, image.shape).astype(np.float32)
    for level in (0.0, 0.01, 0.1, 0.2):
        for tile in (24, None):
            x_hat = denoise_tiles(network, image, level, scale=1.0, dtype=dtype, tile=tile)
            assert np.abs(x_hat - image).max() <= 1 / 255
    assert np.abs(denoise_tiles(network, noisy, 0.1, scale=1.0, dtype=dtype, tile=24) - noisy).max() > 2 / 255


def test_images_of_other_channels_are_refused_with_the_way_out():
    rng = np.random.default_rng(0)
    grey, colours = ([rng.random((c, 20, 24), np.float32) for _ in range(2)] for c in (1, 3))
    of_grey, of_colour = (Denoiser(Residual(4, 4), **SMALL).fit(X) for X in (grey, colours))
    with pytest.raises(
        RequestError, match=r"Y has 3 channels, and the model was fitted on 1: denoise each channel as a"
    ):
        of_grey.denoise(colours)
    with pytest.raises(
        RequestError, match=r"Y has 1 channels?, and the model was fitted on 3: repeat a grey image, or g"
    ):
        of_colour.denoise(grey)
    with pytest.raises(RequestError, match=r"one image as \[image\]"):
        of_colour.denoise(colours[0])  # (c, h, w), which are three grey images
    assert of_colour.denoise([colours[0]])[0].shape == (3, 20, 24)
    assert of_colour.denoise([np.repeat(grey[0], 3, axis=0)])[0].shape == (3, 20, 24)
    assert len([of_grey.denoise([plane])[0] for plane in colours[0]]) == 3


def test_it_is_searched_like_other_estimators():
    photographs = [CLEAN["china"][:, i : i + 40, i : i + 48] for i in range(100, 340, 40)]
    model = Denoiser(Residual(4, 4), **SMALL)
    wide = clone(model).set_params(network__width=6, noise__sigma=0.1)
    assert (wide.network.width, wide.network.depth, wide.noise.sigma, model.network.width) == (6, 4, 0.1, 4)
    assert wide.fit(photographs).n_parameters_ > clone(model).fit(photographs).n_parameters_
    searched = {"network__width": [4, 6], "learning_rate": [1e-3, 8e-3]}
    search = GridSearchCV(clone(model).set_params(epochs=4), searched, cv=2).fit(photographs)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 4
    best = search.best_estimator_
    assert search.best_score_ == scores.max()
    assert best.network.width == search.best_params_["network__width"]
    assert search.score(photographs) == best.score(photographs) > 10
    assert len(search.transform(photographs)) == 6


@pytest.mark.parametrize("ask", ["denoise", "denoise_each", "transform", "score", "as_module", "save", "to_onnx"])
def test_before_its_fit_it_says_so(ask, tmp_path):
    given = {"save": [tmp_path / "m"], "to_onnx": [tmp_path / "m.onnx"], "as_module": []}
    with pytest.raises(NotFittedError, match="This Denoiser instance is not fitted yet"):
        getattr(Denoiser(), ask)(*given.get(ask, [[np.zeros((1, 9, 9), np.float32)]]))
