"""The start that is fitted to the data: every unit takes part, the mean sample is drawn, and others stay as drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.data.batches import Pixels
from isthmus.networks import build
from isthmus.parts import Conv, Dense, Dictionary, GaussianNoise
from isthmus.rng import generator
from isthmus.training.start import fit_start

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def x():
    """Samples of twelve numbers in [0, 1], far from centred, of which the last never varies."""
    chance = np.random.default_rng(0)
    hidden = chance.random((600, 3))
    samples = (hidden @ chance.random((3, 12)) / 3).astype(np.float32)
    samples[:, -1] = 0.25
    return samples


def started(part, x, **given):
    network = build(part, x.shape[1], generator(0, "init"), given.get("image_shape"))
    fit_start(network, Pixels(x, CPU), **{"corruption": None, "seed": 0, "image_shape": None, **given})
    return network


def pre_activations(chain, x):
    """z of each layer on x."""
    found = []
    for layer, activation in zip(chain.layers, chain.activations, strict=True):
        found.append(layer(x))
        x = torch.relu(found[-1]) if activation == "relu" else found[-1]
    return found


@torch.no_grad()
def test_units_have_variance_one_and_a_rectified_code_lies_above_its_kink(x):
    network = started(Dense((32, 16), 6, activation="relu"), x)
    *hidden, code = pre_activations(network.encoder, torch.from_numpy(x))
    for z in hidden:
        torch.testing.assert_close(z.mean(0), torch.zeros(z.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(z.std(0, correction=0), torch.ones(z.shape[1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(code.mean(0), torch.full((6,), 2.0), atol=1e-3, rtol=0)
    assert (network.encode(torch.from_numpy(x)) > 0).float().mean() > 0.9


@torch.no_grad()
@pytest.mark.parametrize("code", ["linear", "tanh", "sigmoid"])
def test_a_code_without_a_kink_is_centred(x, code):
    network = started(Dense((), 6, code_activation=code), x)
    (z,) = pre_activations(network.encoder, torch.from_numpy(x))
    torch.testing.assert_close(z.mean(0), torch.zeros(6), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("output", "scale"), [("sigmoid", 1.0), ("linear", 1.0), ("linear", 255.0)])
def test_the_first_drawings_are_about_the_mean_sample(x, output, scale):
    x = scale * x
    x_hat, _ = started(Dense((16,), 6, output=output), x)(torch.from_numpy(x))
    variance = x.var(axis=0).mean()
    assert float((x_hat.mean(0) - torch.from_numpy(x.mean(axis=0))).square().mean()) < 0.1 * variance
    drawn, _ = build(Dense((16,), 6, output=output), 12, generator(0, "init"))(torch.from_numpy(x))
    first, as_drawn = (float((one - torch.from_numpy(x)).square().mean()) for one in (x_hat, drawn))
    assert first < 0.5 * as_drawn


@torch.no_grad()
def test_samples_that_do_not_vary_leave_finite_weights():
    for value in (0.0, 0.5):
        network = started(Dense((8,), 3, output="sigmoid"), np.full((20, 5), value, np.float32))
        assert all(parameter.isfinite().all() for parameter in network.parameters())


@torch.no_grad()
def test_the_start_of_a_denoiser_has_seen_the_noise(x):
    clean, noisy = (started(Dense((), 4), x, corruption=part) for part in (None, GaussianNoise(1.0)))
    weight, scaled = clean.encoder.layers[0].weight, noisy.encoder.layers[0].weight
    assert scaled.norm() < 0.5 * weight.norm()  # its inputs vary more


@torch.no_grad()
@pytest.mark.parametrize("part", [Conv((2,), image_shape=(1, 3, 4)), Dictionary(n_atoms=5)], ids=["conv", "dictionary"])
def test_other_networks_keep_the_start_that_they_have(x, part):
    shape = (1, 3, 4)
    drawn = build(part, 12, generator(0, "init"), shape).state_dict()
    fitted = started(part, x, image_shape=shape).state_dict()
    assert all(torch.equal(drawn[name], fitted[name]) for name in drawn)
