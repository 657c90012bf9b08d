"""Likelihoods of samples that are drawn as 0 or 1, and of those that no such model can have."""

import numpy as np
import pytest

from isthmus import BCE, MSE, Autoencoder, Dense, Gaussian
from isthmus.errors import RequestError
from isthmus.estimators import generation

NETWORK = Dense((8,), 2, output="sigmoid")
BITS = np.array(np.meshgrid(*[[0.0, 1.0]] * 6), np.float32).reshape(6, -1).T  # all images of 6 pixels


@pytest.fixture(scope="module")
def grey():
    """Two images, each pixel wrong with probability 0.05."""
    rng = np.random.default_rng(0)
    return np.where(rng.random((400, 1)) < 0.5, [0.05, 0.95] * 3, [0.95, 0.05] * 3).astype(np.float32)


def model(loss="bce", **changes):
    given = {"epochs": 20, "batch_size": 50, "learning_rate": 0.02, "random_state": 0}
    return Autoencoder(NETWORK, code=Gaussian(), loss=loss, **{**given, **changes})


def test_samples_outside_of_0_and_1_have_no_likelihood_and_are_refused_as_by_fit(grey):
    fitted = model(epochs=1).fit(grey)
    for wrong, words in ((255 * grey, "a maximum of 242.25; divide by 255"), (grey - 1, "a minimum of -0.95; scale")):
        said = rf"^pixels must lie in \[0, 1\] for a sigmoid output, got {words}"
        for ask in (model().fit, fitted.log_likelihood):
            with pytest.raises(RequestError, match=said):
                ask(wrong)
    of_any = model(MSE(2.0), epochs=1, standardize=True).fit(grey)
    assert np.isfinite(of_any.log_likelihood(grey - 1, n_samples=5)).all(), "of a density any number has one"


@pytest.mark.parametrize("binary", [None, True, False])
def test_probabilities_of_all_black_and_white_images_add_up_to_1(binary, grey):
    fitted = model(BCE(binary=binary)).fit(grey)
    each = fitted.log_likelihood(BITS, n_samples=500)
    assert np.exp(each).sum() == pytest.approx(1, abs=0.05)
    of_grey = fitted.log_likelihood(grey[:20], n_samples=500)
    assert np.abs(of_grey[:, None] - each).min(axis=1).max() < 0.3, "each is that of one of these"


@pytest.mark.parametrize("loss", ["bce", MSE(2.0)], ids=str)
def test_a_likelihood_in_pieces_is_that_of_one_piece(loss, grey, monkeypatch):
    fitted = model(loss, epochs=2).fit(grey)
    whole = fitted.log_likelihood(grey[:9], n_samples=48)
    for draws in (8, 16, 32, 48, 64, 120):  # torch draws sixteen normal numbers at a time: of other pieces other ones
        monkeypatch.setattr(generation, "_DRAWS", draws)
        np.testing.assert_allclose(fitted.log_likelihood(grey[:9], n_samples=48), whole, rtol=1e-5)
    assert np.ptp(whole) > 0.01
