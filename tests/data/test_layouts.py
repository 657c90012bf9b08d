"""Images with channels last, and grey ones without an axis for them: the same model and the same numbers, or words."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Conv, DecoderPrior, Dense, GaussianNoise, Images, Occlusion, denoising_scorer
from isthmus.analysis.collapse import collapse
from isthmus.errors import RequestError

RNG = np.random.default_rng(0)
# each channel has a pattern of its own, of which a picture has more or less: read in a wrong order, all is mixed up
COLOUR = np.einsum("nk,kchw->nchw", RNG.random((60, 3)), RNG.random((3, 3, 6, 8))).astype(np.float32)
LAST = COLOUR.transpose(0, 2, 3, 1)
GREY = COLOUR[:, :1]
NETWORKS = [Dense(bottleneck=3, activation="tanh"), Conv((6, 4))]


def small(network=None, **changes):
    arguments = {"epochs": 30, "batch_size": 16, "learning_rate": 1e-2, "random_state": 0, **changes}
    return Autoencoder(network or Dense(bottleneck=3), **arguments)


@pytest.mark.parametrize("network", NETWORKS, ids=["dense", "conv"])
@pytest.mark.parametrize(("first", "other"), [(COLOUR, LAST), (GREY, GREY[:, 0]), (GREY, GREY.transpose(0, 2, 3, 1))])
def test_every_layout_is_the_same_model_and_gives_the_same(network, first, other):
    model, same = (small(network).fit(x, validation=x[:9]) for x in (first, other))
    assert same.image_shape_ == model.image_shape_ == first.shape[1:]
    assert same.score(other) == model.score(first) == model.score(other) == same.score(first)
    assert model.score(first) > -0.9 * first.var(axis=0).mean(), "it learned something"
    for method in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(same, method)(other), getattr(model, method)(first), strict=True)
    assert same.reconstruct(other).shape == first.shape, "channels first, whatever was given"
    assert same.inverse_transform(same.transform(other)).shape == first.shape


def test_a_decoder_prior_and_its_scorer_take_them_too():
    prior = DecoderPrior(small(epochs=5), max_iter=5).fit(LAST)
    np.testing.assert_array_equal(prior.denoise(LAST), prior.denoise(COLOUR), strict=True)
    assert prior.denoise(LAST).shape == COLOUR.shape
    assert prior.score(LAST) == prior.score(COLOUR)
    np.testing.assert_array_equal(prior.denoise(COLOUR.reshape(60, -1)).ravel(), prior.denoise(LAST).ravel())
    scorer = denoising_scorer(Occlusion(3))  # whose squares are in a picture's height and width
    for model in (prior, prior.autoencoder_):
        assert scorer(model, LAST) == scorer(model, COLOUR) < 0
    identity = make_pipeline(FunctionTransformer(check_inverse=False))
    assert scorer(identity, LAST) == scorer(identity, COLOUR) < 0


def test_a_frame_is_searched_without_a_doubt_about_its_names():
    frame = pd.DataFrame(GREY.reshape(60, -1), columns=[f"pixel {i}" for i in range(48)])
    prior = DecoderPrior(small(epochs=2), max_iter=2).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prior.denoise(frame).shape == (60, 48)


def test_whether_a_model_has_collapsed_is_seen_in_any_layout():
    model = small(network=Dense(bottleneck=3, activation="tanh"), epochs=40).fit(COLOUR)
    assert collapse(model, COLOUR) is None
    assert collapse(model, LAST) is None
    dark = model.network_.decoder.layers[-1].weight
    dark.data.zero_()
    assert collapse(model, COLOUR) == collapse(model, LAST) is not None


def test_grey_images_with_noise_are_learned_from_with_noise():
    noisy = {"corruption": GaussianNoise(0.1)}
    np.testing.assert_array_equal(
        small(**noisy).fit(GREY[:, 0]).history_.losses, small(**noisy).fit(GREY).history_.losses
    )


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 3, 8, 3), "may have its channels first or last"),
        ((4, 1, 8, 1), "may have its channels first or last"),
        ((8, 8, 3), r"x\[None\] for one image"),
        ((8, 8, 1), r"x\[:, None\] for grey images"),
        ((4, 8, 8, 4), r"may be images with 4 channels last; give x.transpose\(0, 3, 1, 2\)"),
        ((4, 8, 8, 2), "2 channels last"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(shape, words):
    with pytest.raises(RequestError, match=words):
        small(epochs=1).fit(RNG.random(shape, np.float32))


@pytest.mark.parametrize("shape", [(4, 4, 8, 8), (4, 6, 4, 4), (4, 2, 8, 8), (4, 1, 1, 1), (4, 8, 2, 2)])
def test_other_numbers_of_channels_stay_first(shape):
    assert small(epochs=1).fit(RNG.random(shape, np.float32)).image_shape_ == shape[1:]


def test_a_fitted_model_knows_which_axis_its_channels_are():
    x = RNG.random((20, 4, 8, 6), np.float32)  # of four channels, the last axis is refused in a first fit
    model = small(epochs=2).fit(x)
    np.testing.assert_array_equal(model.transform(x.transpose(0, 2, 3, 1)), model.transform(x))
    square = RNG.random((20, 1, 3, 3), np.float32)
    model = small(epochs=2).fit(Images(square))  # which have channels first; as an array it may be either
    for same in (square, square[:, 0], square.transpose(0, 2, 3, 1)):
        np.testing.assert_array_equal(model.transform(same), model.transform(Images(square)))
    known = small(Conv((4,), image_shape=(4, 8, 6)), epochs=1)
    assert known.fit(x.transpose(0, 2, 3, 1)).image_shape_ == (4, 8, 6)


@pytest.mark.parametrize("wrong", [LAST[:, :5], COLOUR[:, :, :5], GREY[:, 0], GREY, COLOUR.transpose(0, 1, 3, 2)])
def test_a_fitted_model_refuses_images_of_another_shape(wrong):
    model = small(epochs=1).fit(LAST)
    for method in (model.transform, model.reconstruct, model.score):
        with pytest.raises(ValueError, match=r"X has images of shape .*, but Autoencoder is expecting \(3, 6, 8\)"):
            method(wrong)
    with pytest.raises(ValueError, match="expecting"):
        small(epochs=1).fit(LAST, validation=wrong)


def test_a_model_of_rows_knows_of_no_channels():
    model = small(epochs=1).fit(LAST.reshape(60, -1))
    with pytest.raises(RequestError, match="fitted on rows of numbers, and knows of no channels"):
        model.transform(LAST)
    grey = small(epochs=1).fit(GREY.reshape(60, -1))
    np.testing.assert_array_equal(grey.transform(GREY[:, 0]), grey.transform(GREY.reshape(60, -1)))
