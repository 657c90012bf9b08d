"""Probes: what a fitted model knows, as arrays that pictures can draw."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch.nn import functional

from isthmus import Autoencoder, Conv, Dense, Gaussian, Images
from isthmus.analysis.probe import (
    activation_maps,
    atoms_by_usage,
    code_scatter,
    code_spread,
    filters,
    has_atoms,
    interpolation,
    latent_noise,
    nearest,
    reconstructions,
    traversals,
    uniform_noise,
    unit_nats,
    usage,
)
from isthmus.errors import RequestError


@pytest.fixture
def autoencoder(images):
    part = Dense(hidden=(12,), bottleneck=4, activation="tanh", output="sigmoid")
    return Autoencoder(part, epochs=3, random_state=0).fit(images)


@pytest.fixture
def sparse(images):
    """One layer there and one back: 6 units that are on now and then."""
    return Autoencoder(Dense(bottleneck=6), epochs=5, learning_rate=0.01, random_state=0).fit(images)


@pytest.fixture
def conv(images):
    """A convolutional one of two layers, (3, 4, 4) and (5, 2, 2), whose decoder sees switches."""
    part = Conv((3, 5), decoder="deconv-unpool", activation="tanh")
    return Autoencoder(part, epochs=2, random_state=0).fit(images)


@pytest.fixture
def pca(images):
    return PCA(5, random_state=0).fit(images.floats())


def flat(pictures):
    return pictures.reshape(len(pictures), -1)


def test_reconstructions_stand_beside_their_originals(autoencoder, pca, images):
    rows = reconstructions({"auto": autoencoder, "pca": pca}, images)
    assert list(rows) == ["original", "auto", "pca"]
    assert all(row.shape == images.pixels.shape for row in rows.values())
    np.testing.assert_array_equal(rows["original"], images.floats().reshape(-1, 1, 8, 8))
    np.testing.assert_array_equal(rows["auto"], autoencoder.reconstruct(images))
    assert all(row.std(axis=0).min() > 0 for row in rows.values())
    error = np.square(rows["pca"] - rows["original"]).mean()
    assert error < 0.7 * rows["original"].var(axis=0).mean()


def test_models_are_given_what_goes_in_and_the_original_stays(autoencoder, images):
    x_in = np.clip(images.floats() + 0.5, 0, 1)
    rows = reconstructions({"auto": autoencoder}, images, x_in)
    assert list(rows) == ["original", "input", "auto"]
    np.testing.assert_array_equal(rows["input"].reshape(x_in.shape), x_in)
    np.testing.assert_array_equal(rows["original"].reshape(x_in.shape), images.floats())
    assert not np.array_equal(rows["auto"], reconstructions({"auto": autoencoder}, images)["auto"])


def test_a_scatter_has_the_first_two_numbers_of_each_code_and_its_label(autoencoder, pca, images):
    for model in (autoencoder, pca):
        scatter = code_scatter(model, images)
        np.testing.assert_allclose(scatter["code"], model.transform(images.floats())[:, :2], rtol=1e-5, atol=1e-6)
        assert scatter["code"].std(axis=0).min() > 0
        np.testing.assert_array_equal(scatter["labels"], images.labels)
    unlabelled = code_scatter(pca, Images(images.pixels))
    assert unlabelled["labels"].shape == (60,)


def test_a_scatter_of_one_number_is_refused(images):
    with pytest.raises(RequestError, match="at least 2 numbers, got 1"):
        code_scatter(PCA(1).fit(images.floats()), images)


# --- weights as images ---


def test_filters_are_what_each_unit_of_the_first_layer_multiplies_with(autoencoder, pca, images):
    (found,) = filters(autoencoder, images.shape).values()
    assert found.shape == (12, 1, 8, 8)
    x, bias = images.floats(), autoencoder.network_.encoder.layers[0].bias.detach().numpy()
    hidden = np.tanh(x @ flat(found).T + bias)
    rest = autoencoder.network_.encoder.layers[1]
    code = np.tanh(hidden @ rest.weight.detach().numpy().T + rest.bias.detach().numpy())
    np.testing.assert_allclose(code, autoencoder.transform(x), rtol=1e-4, atol=1e-5)
    for side in ("encoder", "decoder"):
        np.testing.assert_array_equal(flat(filters(pca, images.shape, side)[""]), pca.components_)


@pytest.mark.parametrize("hidden", [(), (12,)])
def test_decoder_filters_are_what_each_unit_before_the_last_layer_draws(hidden, images):
    part = Dense(hidden=hidden, bottleneck=4, decoder_hidden=(), activation="tanh")
    model = Autoencoder(part, epochs=2, random_state=0).fit(images)
    (drawn,) = filters(model, images.shape, "decoder").values()
    assert drawn.shape == (4, 1, 8, 8)
    one_by_one = model.inverse_transform(np.eye(4)) - model.inverse_transform(np.zeros((4, 4)))
    np.testing.assert_allclose(drawn, one_by_one, rtol=1e-4, atol=1e-6)
    assert drawn.std(axis=0).min() > 0


@pytest.mark.parametrize("channel", [0, 1])
def test_the_filters_of_a_convolution_are_each_layers_kernels_of_a_channel(channel, images):
    two = Images(np.concatenate([images.pixels, images.pixels[:, :, ::-1]], axis=1))
    model = Autoencoder(Conv((3, 5), decoder="deconv-unpool"), epochs=1, random_state=0).fit(two)
    network = model.network_
    into, back = filters(model, two.shape, "encoder", channel), filters(model, two.shape, "decoder", channel)
    assert {name: one.shape for name, one in into.items()} == {"layer 1": (3, 1, 3, 3), "layer 2": (5, 1, 3, 3)}
    assert {name: one.shape for name, one in back.items()} == {"layer 1": (5, 1, 3, 3), "layer 2": (3, 1, 3, 3)}
    # what an image that has this channel alone gives, and which maps draw this channel
    x = torch.from_numpy(two.floats().reshape(-1, 2, 8, 8))
    alone = torch.zeros_like(x)
    alone[:, channel] = x[:, channel]
    first, last = network.encoder.layers[0], network.decoder.layers[1]
    seen = functional.conv2d(x[:, channel, None], torch.from_numpy(into["layer 1"]), first.bias, padding=1)
    torch.testing.assert_close(seen, first(alone))
    maps = torch.randn((4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    drawn = functional.conv_transpose2d(maps, torch.from_numpy(back["layer 2"]), last.bias[channel, None], padding=1)
    torch.testing.assert_close(drawn[:, 0], last(maps)[:, channel])


@pytest.mark.parametrize(("side", "layer"), [("encoder", "layer 1"), ("decoder", "layer 2")])
def test_a_channel_that_a_layer_does_not_have_is_refused(side, layer, conv, images):
    with pytest.raises(RequestError, match=f"channel must be at least 0 and below 1, what {side} {layer} has, got 1"):
        filters(conv, images.shape, side, 1)
    with pytest.raises(RequestError, match=r"channel must be at least 0 and below .*, got -1"):
        filters(conv, images.shape, side, -1)
    with pytest.raises(RequestError, match=r'unknown side "encodr".*"encoder"'):
        filters(conv, images.shape, "encodr")


def test_a_layer_without_a_convolution_has_no_filters(images):
    model = Autoencoder(Conv((4, 4), decoder="unpool"), epochs=1, random_state=0).fit(images)
    assert list(filters(model, images.shape, "decoder")) == ["layer 2"]
    assert list(filters(model, images.shape, "encoder")) == ["layer 1", "layer 2"]


def test_the_filters_of_a_pipeline_are_its_first_steps(pca, images):
    pipeline = make_pipeline(pca, PCA(2)).fit(images.floats())
    np.testing.assert_array_equal(filters(pipeline, images.shape)[""], filters(pipeline[0], images.shape)[""])


def test_the_identity_has_no_filters(images):
    with pytest.raises(RequestError, match="a FunctionTransformer has no filters"):
        filters(FunctionTransformer(), images.shape)


# --- which units are on, and what they draw ---


def test_usage_is_the_share_of_the_images_a_unit_is_on_for(sparse, images):
    with torch.no_grad():
        sparse.network_.encoder.layers[0].bias[2] = -1e3
        sparse.network_.encoder.layers[0].bias[4] = 1e3
    many = images.take(np.arange(1300) % 60)  # in three chunks
    share, code = usage(sparse, many), sparse.transform(many)
    np.testing.assert_allclose(share, (code > 0).mean(axis=0))
    assert share.shape == (6,)
    assert (share[2], share[4]) == (0, 1)
    assert len(np.unique(share)) > 2


def test_atoms_come_in_the_order_of_their_use(sparse, images):
    with torch.no_grad():
        layer = sparse.network_.encoder.layers[0]
        layer.bias[[1, 3]] = 1e3  # both always on; unit 3 is stronger
        layer.bias[3] += 1
        layer.weight[3] = layer.weight[1]
        layer.bias[5] = -1e3
    share, found = usage(sparse, images), atoms_by_usage(sparse, images)
    assert found["unit"].tolist()[:2] == [3, 1]
    assert (np.diff(found["usage"]) <= 0).all()
    np.testing.assert_allclose(found["usage"], share[found["unit"]])
    assert share[5] == 0
    assert sorted(found["unit"]) == np.flatnonzero(share).tolist(), "dead units are left out"
    np.testing.assert_array_equal(found["atoms"], filters(sparse, images.shape, "decoder")[""][found["unit"]])
    few = atoms_by_usage(sparse, images, 2)
    assert few["unit"].tolist() == [3, 1]
    assert few["atoms"].shape == (2, 1, 8, 8)


def test_atoms_draw_the_reconstruction(sparse, images):
    found = atoms_by_usage(sparse, images)
    code, nothing = sparse.transform(images), sparse.inverse_transform(np.zeros((1, 6), np.float32))
    drawn = code[:, found["unit"]] @ flat(found["atoms"]) + flat(nothing)
    np.testing.assert_allclose(drawn, flat(sparse.reconstruct(images)), rtol=1e-4, atol=1e-5)


def test_a_decoder_of_several_layers_has_no_atoms(autoencoder, conv, sparse, pca, images):
    for model in (autoencoder, conv, FunctionTransformer()):
        assert not has_atoms(model)
        with pytest.raises(RequestError, match="rows of a decoder of one linear layer; this decoder has more"):
            atoms_by_usage(model, images)
    assert has_atoms(sparse)
    np.testing.assert_array_equal(atoms_by_usage(pca, images)["usage"], np.ones(5))


# --- codes as images ---


@pytest.mark.parametrize(
    ("size", "page"), [(1, (1, 1)), (2, (1, 2)), (3, (2, 2)), (5, (2, 3)), (9, (3, 3)), (12, (3, 4))]
)
def test_a_dense_code_is_a_page_as_near_to_a_square_as_can_be(size, page, images):
    model = Autoencoder(Dense(bottleneck=size, activation="tanh"), epochs=1, random_state=0).fit(images)
    (found,) = activation_maps(model, images).values()
    assert found.shape == (60, 1, *page)
    np.testing.assert_array_equal(flat(found)[:, :size], model.transform(images))
    assert np.isnan(flat(found)[:, size:]).all()


def test_the_maps_of_a_convolution_are_what_each_layer_gives(conv, images):
    found = activation_maps(conv, images)
    assert list(found) == ["layer 1", "layer 2"]
    x = torch.from_numpy(images.floats().reshape(-1, 1, 8, 8))
    for name, layer in zip(found, conv.network_.encoder.layers, strict=True):
        x = torch.tanh(functional.max_pool2d(functional.conv2d(x, layer.weight, layer.bias, padding=1), 2))
        np.testing.assert_allclose(found[name], x.detach().numpy(), rtol=1e-4, atol=1e-6)
        assert found[name].std(axis=0).max() > 0
    np.testing.assert_allclose(flat(found["layer 2"]), conv.transform(images), rtol=1e-5, atol=1e-6)


# --- noise on codes ---


def test_latent_noise_of_level_0_is_the_reconstruction_from_the_code_alone(conv, pca, images):
    for model in (conv, pca):
        rows = latent_noise(model, images, (0.0, 0.5))
        assert list(rows) == ["original", "reconstruction", "code + 0", "code + 0.5"]
        np.testing.assert_array_equal(rows["code + 0"], rows["reconstruction"])
        code = model.transform(images.floats())
        np.testing.assert_allclose(flat(rows["reconstruction"]), flat(model.inverse_transform(code)), atol=1e-5)
        assert not np.allclose(rows["code + 0.5"], rows["reconstruction"])
    assert not np.allclose(latent_noise(conv, images, (0.0,))["reconstruction"], conv.reconstruct(images))


def added(pca, rows, name):
    """What was added to the codes, read back from the images: a PCA's decoder is linear and has an inverse."""
    return pca.transform(flat(rows[name])) - pca.transform(flat(rows["reconstruction"]))


def test_latent_noise_is_one_draw_times_the_level(pca, images):
    many = images.take(np.arange(1200) % 60)
    rows = latent_noise(pca, many, (0.5, 2.0, 10.0))
    noise = added(pca, rows, "code + 2") / 2
    for level in (0.5, 10.0):
        np.testing.assert_allclose(added(pca, rows, f"code + {level:g}"), level * noise, atol=1e-3)
    # 6,000 independent normal numbers: means and products within five standard errors
    assert np.abs(noise.mean(axis=0)).max() < 5 / 1200**0.5
    np.testing.assert_allclose(noise.T @ noise / 1200, np.eye(5), atol=5 * (2 / 1200) ** 0.5)
    again, other = (added(pca, latent_noise(pca, many, (1.0,), seed=seed), "code + 1") for seed in (0, 1))
    np.testing.assert_allclose(again, noise, atol=1e-3)
    assert not np.allclose(other, noise, atol=0.1)


def test_latent_noise_relative_to_a_spread_is_in_its_units(pca, images):
    spread = code_spread(pca, images)
    np.testing.assert_allclose(spread, pca.transform(images.floats()).std(axis=0), rtol=1e-5)
    plain, relative = latent_noise(pca, images, (2.0,)), latent_noise(pca, images, (2.0,), relative_to=spread)
    assert list(relative) == ["original", "reconstruction", "code + 2 × spread"]
    np.testing.assert_allclose(
        added(pca, relative, "code + 2 × spread"), spread * added(pca, plain, "code + 2"), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("level", [-1.0, float("nan"), float("inf")])
def test_levels_that_are_no_standard_deviations_are_refused(level, pca, images):
    with pytest.raises(RequestError, match="each of levels must be a finite number of at least 0, got"):
        latent_noise(pca, images, (1.0, level))


def test_the_spread_of_another_code_is_refused(pca, images):
    for other in (np.ones(3), np.ones(()), np.ones((5, 5))):
        with pytest.raises(RequestError, match="relative_to must be one number for each of the code's 5, got"):
            latent_noise(pca, images, (1.0,), relative_to=other)


# --- between images, and near them ---


@pytest.fixture
def vae(images):
    network = Dense(bottleneck=12, code_activation="linear")
    return Autoencoder(network, code=Gaussian(beta=0.1), epochs=15, random_state=0).fit(images)


def test_the_nats_of_units_are_the_divergence_from_the_prior(vae, images):
    with torch.no_grad():
        mean, log_variance = vae.network_.encode(torch.from_numpy(images.floats())).double().chunk(2, dim=1)
    code = torch.distributions.Normal(mean, (log_variance / 2).exp())
    nats = torch.distributions.kl_divergence(code, torch.distributions.Normal(0.0, 1.0)).mean(dim=0)
    np.testing.assert_allclose(unit_nats(vae, images), nats.numpy(), rtol=1e-4)


def test_codes_of_many_numbers_and_a_prior_are_blended_along_a_sphere(vae, images):
    pair = images.take(np.array([3, 8]))
    rows = interpolation({"vae": vae}, pair, 5)
    x_hat = rows["vae (sphere)"].reshape(5, -1)
    code = vae.transform(pair.floats())
    np.testing.assert_allclose(x_hat[[0, 4]], vae.inverse_transform(code).reshape(2, -1), atol=1e-5)
    middle = code.sum(axis=0) / 2
    cosine = code[0] @ code[1] / np.linalg.norm(code, axis=1).prod()
    middle /= math.cos(math.acos(cosine) / 2)  # as far from 0 as codes of one length
    np.testing.assert_allclose(x_hat[2], vae.inverse_transform(middle[None]).ravel(), atol=1e-4)
    same = interpolation({"vae": vae}, images.take(np.array([3, 3])), 3)["vae (sphere)"]
    np.testing.assert_allclose(same[1], same[0], atol=1e-5)


def test_traversals_of_a_plain_code_go_as_far_as_codes_do(autoencoder, images):
    rows = traversals(autoencoder, images.take(np.array([2])), images, 2, 3)
    codes = autoencoder.transform(images.floats())
    widest = np.argsort(-codes.std(axis=0))[:2]
    assert list(rows) == [f"unit {unit}" for unit in widest]
    code = codes[2:3].copy()
    code[0, widest[0]] = codes[:, widest[0]].mean()
    middle = autoencoder.inverse_transform(code).ravel()
    np.testing.assert_allclose(rows[f"unit {widest[0]}"][1].ravel(), middle, atol=1e-5)
    with pytest.raises(RequestError, match="steps"):
        traversals(autoencoder, images, images, 2, 1)


def test_an_interpolation_goes_from_one_image_to_the_other(autoencoder, conv, images):
    pair = images.take(np.array([3, 11]))
    rows = interpolation({"auto": autoencoder, "conv": conv}, pair, 5)
    assert list(rows) == ["pixels", "auto", "conv"]
    assert {row.shape for row in rows.values()} == {(5, 1, 8, 8)}
    x = pair.floats().reshape(2, 1, 8, 8)
    for i, share in enumerate((0, 0.25, 0.5, 0.75, 1)):
        np.testing.assert_allclose(rows["pixels"][i], (1 - share) * x[0] + share * x[1], atol=1e-6)
    for name, model in (("auto", autoencoder), ("conv", conv)):
        code = model.transform(pair)
        np.testing.assert_allclose(rows[name][[0, -1]], model.inverse_transform(code), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows[name][2], model.inverse_transform(code.mean(axis=0)[None])[0], atol=1e-5)
        assert rows[name].std(axis=0).max() > 0
    for n in (1, 3):
        with pytest.raises(RequestError, match="interpolate between must be 2, got"):
            interpolation({}, images.take(np.arange(n)))
    with pytest.raises(RequestError, match="steps must be at least 1, got 0"):
        interpolation({}, pair, 0)


def test_nearest_among_images_of_another_size_is_refused(images):
    with pytest.raises(RequestError, match=r"look must be of shape \(1, 8, 8\), got \(1, 4, 16\)"):
        nearest({}, images, Images(images.pixels.reshape(-1, 1, 4, 16)))


@pytest.fixture
def many():
    """1,300 images of noise: three chunks."""
    return Images(np.random.default_rng(4).random((1300, 1, 4, 4), np.float32))


BORDERS = np.array([0, 499, 500, 501, 999, 1000, 1299])


def test_an_image_is_nearest_to_itself(many):
    models = {"pca": PCA(8).fit(many.floats()), "auto": Autoencoder(Dense(bottleneck=6, activation="tanh"), epochs=1)}
    models["auto"].fit(many)
    images = many.take(BORDERS)
    rows = nearest(models, images, many)
    assert list(rows) == ["original", "nearest in pixels", "nearest for pca", "nearest for auto"]
    for row in rows.values():
        np.testing.assert_array_equal(row, images.pixels)


def test_nearest_is_the_least_distance_in_pixels_and_in_codes(many):
    model = PCA(3).fit(many.floats())
    images = Images(np.clip(many.pixels[BORDERS] + 0.3 * many.pixels[BORDERS - 7], 0, 1))
    rows = nearest({"pca": model}, images, many)
    for name, code in (("nearest in pixels", lambda x: x), ("nearest for pca", model.transform)):
        a, b = code(images.floats()), code(many.floats())
        expected = ((a[:, None] - b) ** 2).sum(axis=2).argmin(axis=1)
        np.testing.assert_array_equal(rows[name], many.pixels[expected])
    assert not np.array_equal(rows["nearest in pixels"], rows["nearest for pca"])


def test_uniform_noise_is_uniform_and_a_function_of_its_seed():
    noise = uniform_noise(400, (3, 5, 7), 3)
    assert noise.shape == (3, 5, 7)
    assert len(noise) == 400
    values = np.sort(noise.pixels.ravel())
    n = len(values)
    distance = np.abs(values - (np.arange(n) + 0.5) / n).max()  # Kolmogorov and Smirnov's, from a uniform distribution
    assert distance < 1.95 / n**0.5, "one in a thousand is further away"
    np.testing.assert_allclose(np.corrcoef(noise.pixels.reshape(400, -1)[:, :20].T), np.eye(20), atol=5 / 20)
    np.testing.assert_array_equal(uniform_noise(400, (3, 5, 7), 3).pixels, noise.pixels)
    np.testing.assert_array_equal(uniform_noise(10, (3, 5, 7), 3).pixels, noise.pixels[:10])
    assert not np.allclose(uniform_noise(400, (3, 5, 7), 4).pixels, noise.pixels)
