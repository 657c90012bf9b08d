"""ONNX files of denoisers, and plain modules of them, give what `denoise` gives for images of any size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from isthmus import Denoiser, GaussianNoise, Poisson, Residual, Sequence, UNet
from isthmus.errors import RequestError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NETWORKS = {
    "residual": Residual(width=6, depth=4, unshuffle=2),
    "residual of single pixels": Residual(width=6, depth=4, unshuffle=1),
    "unet": UNet(width=4, scales=3, blocks=1, unshuffle=2),
}
SIZES = [
    (1, 40, 50),
    (1, 31, 23),
    (3, 17, 64),
    (2, 5, 6),
]  # (n, h, w): odd ones, and such as are smaller than the reach
SIGMA = 0.15


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def images(channels, n, h, w, seed=0):
    return np.random.default_rng(seed).random((n, channels, h, w), np.float32)


def fitted(network, channels, **parameters):
    """A denoiser whose last layer was moved from zero, so that it takes something away at once."""
    given = {"crop": 16, "crops_per_epoch": 32, "epochs": 1, "random_state": 0, "precision": "float32", **parameters}
    model = Denoiser(network, **given).fit(list(images(channels, 4, 40, 50, seed=1)))
    with torch.no_grad():
        weight = model.network_.tail.weight
        weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    return model


def check(model, channels, tmp_path, *, unit=1.0, atol=1e-5):
    model.to_onnx(tmp_path / "m.onnx")
    run, module = session(tmp_path / "m.onnx"), model.as_module()
    for n, h, w in SIZES:
        y = unit * images(channels, n, h, w)
        expected = np.stack(model.denoise(list(y), SIGMA * unit))
        assert np.abs(expected - y).max() > 0.01 * unit, "nothing would be taken away"
        for level in (np.full((1, 1, 1, 1), SIGMA * unit), np.full((n, 1, h, w), SIGMA * unit)):
            level = level.astype(np.float32)
            (x_hat,) = run.run(["x_hat"], {"y": y, "level": level})
            np.testing.assert_allclose(x_hat, expected, rtol=0, atol=atol * unit)
            with torch.no_grad():
                x_hat = module(torch.from_numpy(y), torch.from_numpy(level)).numpy()
            np.testing.assert_allclose(x_hat, expected, rtol=0, atol=atol * unit)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_images_of_any_size(tmp_path, network, channels):
    check(fitted(NETWORKS[network], channels), channels, tmp_path)


def test_other_units_than_fractions_of_white(tmp_path):
    model = fitted(NETWORKS["residual"], 1)
    model.adopt(dataclasses.replace(model.fitted_, scale=255.0))
    check(model, 1, tmp_path, unit=255.0)


@pytest.mark.parametrize("noise", [Poisson((20, 200)), Sequence([Poisson((20, 200)), GaussianNoise(0.02)])])
def test_noise_of_photons(tmp_path, noise):
    check(fitted(NETWORKS["residual"], 3, noise=noise), 3, tmp_path)


def test_the_mean_over_flips_and_turns(tmp_path):
    model = fitted(NETWORKS["unet"], 1)
    plain = model.denoise(images(1, 1, 40, 50), SIGMA)
    model.set_params(self_ensemble=True)
    assert np.abs(model.denoise(images(1, 1, 40, 50), SIGMA) - plain).max() > 1e-3
    check(model, 1, tmp_path)


def test_a_grey_image_in_three_channels_among_colour_ones(tmp_path):
    model = fitted(NETWORKS["residual"], 3)
    y = images(3, 2, 20, 30)
    y[1] = y[1, :1]
    expected = model.denoise(y, SIGMA)
    model.to_onnx(tmp_path / "m.onnx")
    level = np.full((1, 1, 1, 1), SIGMA, np.float32)
    (x_hat,) = session(tmp_path / "m.onnx").run(["x_hat"], {"y": y, "level": level})
    np.testing.assert_allclose(x_hat, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        x_hat = model.as_module()(torch.from_numpy(y), torch.from_numpy(level))
    np.testing.assert_allclose(x_hat, expected, rtol=0, atol=1e-5)


def test_levels_that_differ_between_images_and_pixels(tmp_path):
    """A plane counts where it lies: the far side of an image hardly changes with it."""
    model = fitted(NETWORKS["residual"], 1)
    y = images(1, 2, 30, 60)
    model.to_onnx(tmp_path / "m.onnx")
    run = session(tmp_path / "m.onnx")
    each = np.array([0.05, 0.2], np.float32)[:, None, None, None]
    (x_hat,) = run.run(["x_hat"], {"y": y, "level": each})
    expected = np.concatenate([model.denoise(y[i : i + 1], float(each[i, 0, 0, 0])) for i in range(2)])
    np.testing.assert_allclose(x_hat, expected, rtol=0, atol=1e-5)
    plane = np.full((2, 1, 30, 60), 0.05, np.float32)
    plane[:, :, :, 30:] = 0.2
    (x_hat,) = run.run(["x_hat"], {"y": y, "level": plane})
    (low,) = run.run(["x_hat"], {"y": y, "level": np.full((1, 1, 1, 1), 0.05, np.float32)})
    difference = np.abs(x_hat - low).mean(axis=(0, 1, 2))
    assert difference[30:].mean() > 1.5 * difference[:15].mean()


def test_the_mean_of_a_large_image_has_all_its_digits(tmp_path):
    """One sum of two million float32, one after the other, would leave five of them."""
    model = fitted(Residual(width=2, depth=2, unshuffle=2), 1)
    y = images(1, 1, 1500, 1500)
    model.to_onnx(tmp_path / "m.onnx")
    level = np.full((1, 1, 1, 1), SIGMA, np.float32)
    (x_hat,) = session(tmp_path / "m.onnx").run(["x_hat"], {"y": y, "level": level})
    np.testing.assert_allclose(x_hat, model.denoise(y, SIGMA), rtol=0, atol=2e-6)


def test_a_network_of_ones_own_is_refused_by_name(extension, tmp_path):
    network = extension("denoiser_network")
    (kind,) = [each for each in vars(network).values() if hasattr(each, "kind") and each.__module__ == network.__name__]
    model = Denoiser(kind(), crop=16, crops_per_epoch=32, epochs=1, random_state=0).fit(list(images(1, 4, 40, 50)))
    with pytest.raises(
        RequestError, match=rf"{kind.__name__}\(.*\) cannot be written as ONNX; known .*: Residual, UNet"
    ):
        model.to_onnx(tmp_path / "m.onnx")
    y = torch.from_numpy(images(1, 2, 21, 30))
    with torch.no_grad():
        x_hat = model.as_module()(y, torch.full((1, 1, 1, 1), SIGMA)).numpy()
    np.testing.assert_allclose(x_hat, model.denoise(y.numpy(), SIGMA), rtol=0, atol=1e-5)
