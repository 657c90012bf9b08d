"""Probes: what a fitted model knows, as arrays that pictures can draw."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Dense, Images
from isthmus.errors import RequestError
from isthmus.probe import code_scatter, encoder_filters, reconstructions


@pytest.fixture
def autoencoder(images):
    part = Dense(hidden=(12,), bottleneck=4, activation="tanh", output="sigmoid")
    return Autoencoder(part, epochs=3, random_state=0).fit(images)


@pytest.fixture
def pca(images):
    return PCA(5, random_state=0).fit(images.floats())


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


def test_filters_are_what_each_unit_of_the_first_layer_multiplies_with(autoencoder, pca, images):
    filters = encoder_filters(autoencoder, images.shape)
    assert filters.shape == (12, 1, 8, 8)
    x, bias = images.floats(), autoencoder.network_.encoder.layers[0].bias.detach().numpy()
    hidden = np.tanh(x @ filters.reshape(12, -1).T + bias)
    rest = autoencoder.network_.encoder.layers[1]
    code = np.tanh(hidden @ rest.weight.detach().numpy().T + rest.bias.detach().numpy())
    np.testing.assert_allclose(code, autoencoder.transform(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(encoder_filters(pca, images.shape).reshape(5, 64), pca.components_)


def test_the_filters_of_a_pipeline_are_its_first_steps(pca, images):
    pipeline = make_pipeline(pca, PCA(2)).fit(images.floats())
    np.testing.assert_array_equal(encoder_filters(pipeline, images.shape), encoder_filters(pipeline[0], images.shape))


def test_the_identity_has_no_filters(images):
    with pytest.raises(RequestError, match="a FunctionTransformer has no filters"):
        encoder_filters(FunctionTransformer(), images.shape)
