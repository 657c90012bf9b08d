"""What is measured of a model, by hand: codes, single images, the noise, and a notebook's sum of squared errors."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Conv, DecoderPrior, Dense, GaussianNoise, Images, Masking, Occlusion, Sequence
from isthmus.corruption import noisy_version
from isthmus.estimators.adapters import chunks
from isthmus.studies.results.measure import measure, per_image
from isthmus.studies.spec.quantities import CODE_METRICS, CODE_ONLY, ERROR_METRICS

EVERYTHING = (*ERROR_METRICS, CODE_ONLY, *CODE_METRICS)


@pytest.fixture(scope="module")
def many():
    """1,200 images of 1×8×8 in three chunks: smooth, and of float32."""
    rng = np.random.default_rng(5)
    mixed = rng.random((1200, 4)) @ rng.random((4, 64)) / 4 + 0.05 * rng.random((1200, 64))
    mixed = np.maximum(mixed - 0.15, 0)  # not so bright that a fit would doubt it
    return Images(mixed.reshape(-1, 1, 8, 8).astype(np.float32))


@pytest.fixture(scope="module")
def sparse(many):
    """Six ReLU units, of which unit 2 is dead and unit 4 always on."""
    model = Autoencoder(Dense(bottleneck=6, output="sigmoid"), epochs=3, random_state=0).fit(many)
    with torch.no_grad():
        model.network_.encoder.layers[0].bias[2] = -1e3
        model.network_.encoder.layers[0].bias[4] = 2.0
    return model


def found(model, images, wanted=EVERYTHING, part=None):
    return measure(model, images, wanted, images.pixel_means(), part)


def value(measured, metric):
    return measured.estimates[metric].value


def test_codes_by_hand_over_all_chunks(sparse, many):
    code, measured = sparse.transform(many), found(sparse, many)
    assert value(measured, "dead_units") == (~(code > 0).any(axis=0)).sum() >= 1
    assert value(measured, "l0") == pytest.approx((code > 0).sum(axis=1).mean())
    assert value(measured, "mean_activation") == pytest.approx(code.mean(), rel=1e-5)
    low, high = measured.estimates["l0"].ci95
    assert low < value(measured, "l0") < high
    assert measured.estimates["dead_units"].ci95 is None
    x, x_hat = many.floats(), sparse.reconstruct(many).reshape(1200, -1)
    assert value(measured, "mse") == pytest.approx(np.square(x_hat - x).mean(), rel=1e-5)
    np.testing.assert_allclose(measured.errors, np.square(x_hat - x).mean(axis=1), rtol=1e-4)
    assert measured.variation == pytest.approx(x_hat.var(axis=0).sum() / x.var(axis=0).sum(), rel=1e-4)
    own = np.square(x - x.mean(axis=0))
    assert measured.unexplained == pytest.approx(np.square(x_hat - x).sum() / own.sum(), rel=1e-4)
    assert value(measured, "explained_variance") == pytest.approx(1 - measured.unexplained, rel=1e-4)
    from_grey = measure(sparse, many, ("explained_variance",), np.full(64, 0.5))
    by_hand = 1 - np.square(x_hat - x).sum() / np.square(x - 0.5).sum()
    assert value(from_grey, "explained_variance") == pytest.approx(by_hand, rel=1e-4)


def test_the_time_is_that_of_all_chunks_and_of_reconstruction_alone(sparse, many, monkeypatch):
    ticks = itertools.count(100)
    monkeypatch.setattr("isthmus.studies.results.measure.time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert measure(sparse, many, EVERYTHING).seconds == len(list(chunks(1200))) == 3


def test_without_a_baseline_no_variance_is_explained(sparse, many):
    assert set(measure(sparse, many, EVERYTHING).estimates) == {*ERROR_METRICS, *CODE_METRICS} - {"explained_variance"}


def test_a_unit_is_dead_if_no_chunk_has_it_on(sparse, many):
    """On for one image of the last chunk alone: dead for every other set."""
    with torch.no_grad():
        bright = Images(np.concatenate([many.pixels, np.ones((1, 1, 8, 8), np.float32)]))
        model = Autoencoder(Dense(bottleneck=2), epochs=1, random_state=0).fit(many)
        model.network_.encoder.layers[0].weight.fill_(1 / 64)
        model.network_.encoder.layers[0].bias.fill_(-0.98)
    assert value(found(model, many, ("dead_units",)), "dead_units") == 2
    assert value(found(model, bright, ("dead_units",)), "dead_units") == 0


def test_what_is_not_defined_is_missing(sparse, many):
    pca, identity = PCA(3).fit(many.floats()), FunctionTransformer(check_inverse=False)
    assert set(found(identity, many).estimates) == set(ERROR_METRICS)
    assert set(found(pca, many).estimates) == {*ERROR_METRICS, *CODE_METRICS}
    assert set(found(sparse, many).estimates) == {*ERROR_METRICS, *CODE_METRICS}
    assert value(found(pca, many), "l0") == pytest.approx(3)
    assert set(found(pca, many, ("mse", "l0")).estimates) == {"mse", "l0"}
    small = Images(many.pixels[:, :, :6])
    assert "ssim" not in found(identity, small).estimates


@pytest.mark.parametrize("decoder", ["deconv", "unpool"])
def test_the_error_from_the_code_alone_is_of_what_unpools(decoder, many):
    images = many.take(slice(0, 600))
    model = Autoencoder(Conv((4,), decoder=decoder, activation="tanh"), epochs=2, random_state=0).fit(images)
    for part in (None, GaussianNoise(0.2)):
        measured = found(model, images, EVERYTHING, part)
        assert (CODE_ONLY in measured.estimates) is (decoder == "unpool")
        if decoder == "unpool":
            x = images.floats()
            x_in = x if part is None else noisy_version(x, part, images.shape)
            from_code = model.inverse_transform(model.transform(x_in)).reshape(600, -1)
            assert value(measured, CODE_ONLY) == pytest.approx(np.square(from_code - x).mean(), rel=1e-4)
            assert value(measured, CODE_ONLY) != pytest.approx(value(measured, "mse"), rel=0.01)


def test_an_images_error_is_the_same_in_any_set(sparse, many):
    """In another chunk, in a subset, in another order and alone."""
    for part in (GaussianNoise(0.3, clip=True), Masking(0.3), Sequence((GaussianNoise(0.2), Masking(0.2)))):
        whole = measure(sparse, many, ("mse",), corruption=part).errors
        for which in (np.arange(1199, -1, -1), np.arange(3, 1200, 5), np.array([777])):
            errors = measure(sparse, many.take(which), ("mse",), corruption=part).errors
            np.testing.assert_allclose(errors, whole[which], rtol=1e-5)
        assert len(np.unique(whole)) > 1100


def test_patches_are_averaged_by_photograph(sparse, many):
    names = np.repeat(["a.png", "b.png", "c.png"], [900, 200, 100])
    patches = Images(many.pixels, names=tuple(names))
    measured, by_image = found(sparse, patches), found(sparse, many)
    of_each = [measured.errors[names == name].mean() for name in ("a.png", "b.png", "c.png")]
    assert value(measured, "mse") == pytest.approx(np.mean(of_each))
    assert value(measured, "mse") != pytest.approx(value(by_image, "mse"), rel=1e-4)
    assert {one.n for one in measured.estimates.values()} == {3}
    assert {one.n for one in by_image.estimates.values()} == {1200}
    assert value(measured, "dead_units") == value(by_image, "dead_units")
    one = found(sparse, patches.take(slice(0, 50)))
    assert {estimate.ci95 for estimate in one.estimates.values()} == {None}


def test_single_images_are_what_the_mean_is_made_of(sparse, many):
    places = (1199, 3, 500)
    for part in (None, GaussianNoise(0.3), Masking(0.5), Occlusion(3)):
        whole = found(sparse, many, EVERYTHING, part)
        np.testing.assert_allclose(per_image(sparse, many, "mse", places, part), whole.errors[list(places)], rtol=1e-4)
        few = many.take(slice(0, 150))
        whole = found(sparse, few, EVERYTHING, part)
        for metric in ("mse", "mean_activation", "l0"):
            values = per_image(sparse, few, metric, tuple(range(150)), part)
            assert values.mean() == pytest.approx(value(whole, metric), rel=1e-5)
            assert metric == "l0" or values.std() > 0


# --- a notebook's mistake ---


def test_the_published_sum_is_of_grey_levels_shown_to_a_model_of_unit_images(sparse, many):
    places = np.array([5, 700])
    grey = 255 * many.floats(places)
    by_hand = np.square(sparse.reconstruct(grey).reshape(2, -1) - grey).sum(axis=1) / 255**2
    values = per_image(sparse, many, "published_sse", (5, 700))
    np.testing.assert_allclose(values, by_hand, rtol=1e-5)
    honest = 64 * per_image(sparse, many, "mse", (5, 700))
    assert not np.allclose(values, honest, rtol=0.1), "a network is not linear"


def test_the_published_sum_of_a_linear_model_without_a_mean_is_the_honest_one(many):
    pca, places = PCA(1).fit(many.floats()), (5, 700)
    centred, with_mean = per_image(pca, many, "published_sse", places), 64 * per_image(pca, many, "mse", places)
    pca.mean_ = np.zeros_like(pca.mean_)
    values = per_image(pca, many, "published_sse", places)
    np.testing.assert_allclose(values, 64 * per_image(pca, many, "mse", places), rtol=1e-3)
    np.testing.assert_allclose(values, centred, rtol=0.01)  # the mean of unit images is less than a grey level
    assert not np.allclose(values, with_mean, rtol=0.1)


def test_the_published_sum_hardly_sees_the_noise(many):
    """A deviation of 0.9 is less than one grey level: that is the mistake."""
    pca, places = PCA(3).fit(many.floats()), tuple(range(60))
    pca.mean_ = np.zeros_like(pca.mean_)
    clean, noisy = (per_image(pca, many, "published_sse", places, part) for part in (None, GaussianNoise(0.9)))
    assert not np.array_equal(clean, noisy)
    np.testing.assert_allclose(noisy, clean, atol=1e-3)
    honest = 64 * per_image(pca, many, "mse", places, GaussianNoise(0.9))
    assert honest.mean() - clean.mean() == pytest.approx(3 * 0.9**2, rel=0.3), "what three numbers let through"


def test_searches_of_all_chunks_are_counted(sparse, many):
    prior = DecoderPrior(max_iter=3, tol=1e-9).of(sparse)
    images = many.take(slice(0, 700))
    search, found = measure(prior, images, ("mse",), images.pixel_means()).search, prior.search(images)
    assert search["n"] == sum(search["reasons"].values()) == 700
    assert search["mean_steps"] == pytest.approx(found.n_iter.mean())
    assert search["reasons"] == {reason: int((found.reason == reason).sum()) for reason in set(found.reason.tolist())}
