"""The start that is fitted to the data: every unit takes part, the mean sample is drawn, and others stay as drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.augmentation import augment
from isthmus.data.batches import Pixels
from isthmus.networks import build
from isthmus.objective import Objective
from isthmus.parts import MSE, Affine, Conv, Dense, Dictionary, GaussianNoise, Training
from isthmus.rng import generator
from isthmus.training.setup import Setup
from isthmus.training.start import fit_start, pca_start

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
    fit_start(network, Pixels(x, CPU), Setup(Training(), Objective(MSE()), **{"seed": 0, **given}))
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
    x_hat, *_ = started(Dense((16,), 6, output=output), x)(torch.from_numpy(x))
    variance = x.var(axis=0).mean()
    assert float((x_hat.mean(0) - torch.from_numpy(x.mean(axis=0))).square().mean()) < 0.1 * variance
    drawn, *_ = build(Dense((16,), 6, output=output), 12, generator(0, "init"))(torch.from_numpy(x))
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
def test_a_dictionary_keeps_the_start_that_it_has(x):
    drawn = build(Dictionary(n_atoms=5), 12, generator(0, "init")).state_dict()
    fitted = started(Dictionary(n_atoms=5), x).state_dict()
    assert all(torch.equal(drawn[name], fitted[name]) for name in drawn)


@pytest.fixture(scope="module")
def pictures():
    """Images of two colours, 12×12, each with a bright spot of its own."""
    chance = np.random.default_rng(0)
    rows = np.arange(12.0)
    top, left = chance.uniform(2, 10, (2, 200, 1))
    spots = np.exp(-((rows - top)[:, :, None] ** 2) / 8 - (rows - left)[:, None, :] ** 2 / 8)
    return (spots[:, None] * chance.random((200, 2, 1, 1))).astype(np.float32)


def conv(decoder, activation, output="sigmoid"):
    return Conv((4, 6, 6), decoder=decoder, activation=activation, output=output)


def of_pictures(part, pictures):
    return started(part, pictures.reshape(len(pictures), -1), image_shape=pictures.shape[1:])


@torch.no_grad()
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("decoder", ["deconv", "deconv-unpool", "unpool"])
def test_channels_have_variance_one_over_samples_and_places(pictures, decoder, activation):
    network = of_pictures(conv(decoder, activation), pictures)
    found = []
    layers = [layer for chain in (network.encoder, network.decoder) for layer in chain.layers if hasattr(layer, "bias")]
    for layer in layers:
        layer.register_forward_hook(lambda _layer, _inputs, z: found.append(z.clone()))  # activations work in place
    network(torch.from_numpy(pictures[:: len(pictures) // 100]).flatten(1))
    assert len(found) == len(layers) > 4
    for number, z in enumerate(found[:-1]):
        mean = 2.0 if number == 2 and activation == "relu" else 0.0
        torch.testing.assert_close(z.mean((0, 2, 3)), torch.full((z.shape[1],), mean), atol=0.3, rtol=0)
        torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(z.shape[1]), atol=0.2, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["deconv", "deconv-unpool", "unpool"])
def test_convolutions_first_draw_about_the_mean_of_each_channel(pictures, decoder):
    x, shape = torch.from_numpy(pictures).flatten(1), pictures.shape[1:]
    x_hat, code, _ = of_pictures(conv(decoder, "relu", "linear"), pictures)(x)
    drawn, wanted = x_hat.view(pictures.shape).mean((0, 2, 3)), torch.from_numpy(pictures.mean((0, 2, 3)))
    torch.testing.assert_close(drawn, wanted, atol=0.03, rtol=0)
    assert (code > 0).any(dim=0).all()  # no unit starts dead
    x_hat, *_ = of_pictures(conv(decoder, "relu"), pictures)(x)
    as_drawn, *_ = build(conv(decoder, "relu"), x.shape[1], generator(0, "init"), shape)(x)
    first, other = (float((one - x).square().mean()) for one in (x_hat, as_drawn))
    assert first < 0.5 * other


@torch.no_grad()
def test_an_output_that_cannot_be_fitted_keeps_what_was_drawn(x):
    drawn = build(Dense((), 4, output="relu"), 12, generator(0, "init")).decoder.state_dict()
    fitted = started(Dense((), 4, output="relu"), x).decoder.state_dict()
    assert all(torch.equal(drawn[name], fitted[name]) for name in drawn)


@torch.no_grad()
def test_pictures_that_do_not_vary_leave_finite_weights():
    for value in (0.0, 0.5):
        network = of_pictures(conv("deconv", "relu"), np.full((20, 2, 12, 12), value, np.float32))
        assert all(parameter.isfinite().all() for parameter in network.parameters())


@torch.no_grad()
def test_pca_of_few_augmented_samples_knows_more_of_such():
    pixels = np.random.default_rng(0).random((30, 64)).astype(np.float32)
    shape, moved = (1, 8, 8), Affine(rotation=20, shift=1, share=1.0)
    others = augment(moved, torch.from_numpy(pixels), generator(5, "augment"), shape)
    left = []
    for augmentation in (None, moved):
        network = build(Dense((), 12, code_activation="linear"), 64, generator(0, "init"), shape)
        given = Setup(Training(), Objective(MSE()), 0, augmentation=augmentation, image_shape=shape)
        pca_start(network, Pixels(pixels, CPU), given)
        left.append(float((network(others).x_hat - others).square().mean()))
    assert left[1] < 0.9 * left[0]
