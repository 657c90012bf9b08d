"""Likelihoods of samples that are drawn as 0 or 1, and of those that no such model can have."""

from contextlib import closing

import numpy as np
import pytest
import torch

from isthmus import BCE, MSE, Affine, Autoencoder, Dense, Gaussian, Masking, load
from isthmus.data.batches import black_and_white
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


class Bits:
    """Samples of one's own that do not lie in memory."""

    def __init__(self, x):
        self.x, self.device, self.n_features, self.fingerprint = torch.from_numpy(x), torch.device("cpu"), 6, "bits"

    def __len__(self):
        return len(self.x)

    def batch(self, which):
        return self.x[which].clone()

    def order(self, epoch):
        return None


def weights(fitted):
    return [tensor.numpy() for tensor in fitted.network_.state_dict().values()]


@pytest.fixture(scope="module")
def shades():
    """Samples no two of which are the same."""
    return np.random.default_rng(1).random((300, 6)).astype(np.float32)


def test_fixed_targets_are_those_whose_likelihood_is_measured(shades):
    given = {"epochs": 3, "corruption": Masking(0.2)}
    fixed = model(BCE(binary="fixed"), **given).fit(shades)
    bits = black_and_white(torch.from_numpy(shades), fixed.seed_).numpy()
    assert set(np.unique(bits)) == {0, 1}
    assert np.abs(np.corrcoef(bits.ravel(), shades.ravel())[0, 1] - 0.577) < 0.05, "as probable as a pixel is light"
    as_they_are = model(BCE(binary=False), **given).fit(bits)
    np.testing.assert_equal(weights(fixed), weights(as_they_are))
    np.testing.assert_equal(weights(model(BCE(binary="fixed"), **given).fit(Bits(shades))), weights(
        model(BCE(binary=False), **given).fit(Bits(bits))))  # fmt: skip
    sizes = [np.abs(fixed.log_likelihood(x, n_samples=400) - np.log(0.5) * 6).mean() for x in (shades, bits)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02), "of the very bits that it was trained on"
    assert not np.array_equal(weights(fixed)[0], weights(model("bce", **given).fit(shades))[0])
    again = black_and_white(torch.from_numpy(shades), seed=1).numpy()
    assert 0.2 < (again != bits).mean() < 0.45, "of another seed it is another drawing"


def test_a_fixed_drawing_is_that_of_passes_and_of_a_warm_start_too(shades, tmp_path):
    fixed, of_bits = model(BCE(binary="fixed"), epochs=2), model(BCE(binary=False), epochs=2)
    bits = black_and_white(torch.from_numpy(shades), 0).numpy()
    for _ in range(2):
        fixed.partial_fit(shades), of_bits.partial_fit(bits)
    np.testing.assert_equal(weights(fixed), weights(of_bits))
    fixed.set_params(warm_start=True).fit(shades)
    whole = model(BCE(binary="fixed"), epochs=4).fit(shades)
    with closing(model(BCE(binary="fixed"), epochs=4).fit_epochs(shades, checkpoint=tmp_path / "c")) as rows:
        next(rows), next(rows)
    np.testing.assert_equal(weights(model(BCE(binary="fixed"), epochs=4).fit(shades, checkpoint=tmp_path / "c")),
                            weights(whole))  # fmt: skip
    whole.save(tmp_path / "m")
    assert load(tmp_path / "m").loss == BCE(binary="fixed")


@pytest.mark.parametrize(
    ("loss", "code", "words"),
    [
        ("bce", Gaussian(), "in training, each number of a sample is drawn as 0 or 1 anew in each epoch"),
        (BCE(binary="fixed"), Gaussian(), "in training, each number of a sample is drawn as 0 or 1 once for all"),
        (BCE(binary="fixed"), None, "in training, each number of a sample is drawn as 0 or 1 once for all"),
        (BCE(binary=False), Gaussian(), "in training, numbers between 0 and 1 are taken as they are, which is no"),
        ("bce", None, ""),
        ("mse", Gaussian(), ""),
    ],
    ids=str,
)
def test_a_fit_says_what_becomes_of_its_targets(loss, code, words, shades, capsys):
    Autoencoder(NETWORK, code=code, loss=loss, epochs=1, verbose=1).set_params(network__code_activation="linear").fit(
        shades
    )
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("in training, ")]
    assert [line.startswith(words) for line in said] == ([True] if words else [])


def test_wrong_words_and_what_would_turn_grey_again_are_refused(shades):
    with pytest.raises(RequestError, match="binary must be true, false or \"fixed\", got 'once'"):
        BCE(binary="once")
    with pytest.raises(RequestError, match=r"draws samples before Affine\(.*\) changes them; use binary=True"):
        model(BCE(binary="fixed"), augmentation=Affine(rotation=10)).fit(shades.reshape(-1, 1, 2, 3))
