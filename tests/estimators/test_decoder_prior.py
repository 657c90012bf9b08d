"""A decoder as a prior: scikit-learn's contract, and that a search denoises."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import Autoencoder, Conv, DecoderPrior, Dense, Dictionary, Images, load, save
from isthmus.errors import DoubtWarning

X = (load_digits().data / 16).astype(np.float32)


def autoencoder(**changes):
    network = Dense(hidden=(64,), bottleneck=6, activation="relu", output="sigmoid")
    return Autoencoder(network, **{"epochs": 40, "learning_rate": 5e-3, "random_state": 0, **changes})


@pytest.fixture(scope="module")
def trained():
    return autoencoder().fit(X[:1500])


@pytest.fixture(scope="module")
def noisy():
    test = X[1500:1600]
    return test, test + 0.4 * np.random.default_rng(0).standard_normal(test.shape, np.float32)


# some checks fit samples around 100, of which a fit without `standardize` warns
@pytest.mark.filterwarnings("ignore:the samples' mean is:isthmus.errors.DoubtWarning")
@parametrize_with_checks(
    [DecoderPrior(Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0), max_iter=3, random_state=0)]
)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_fit_trains_a_clone_and_keeps_a_frozen_one(trained):
    unfitted = autoencoder(epochs=1)
    prior = DecoderPrior(unfitted).fit(X[:200])
    assert not hasattr(unfitted, "network_")
    assert prior.autoencoder_ is not unfitted
    assert prior.n_features_in_ == 64
    assert DecoderPrior(FrozenEstimator(trained)).fit(X[:200]).autoencoder_ is trained
    assert clone(prior).autoencoder is not unfitted
    assert clone(prior).get_params()["autoencoder__network__bottleneck"] == 6


def test_a_search_can_be_watched_and_ended(trained, noisy):
    y = noisy[1][:3]
    prior = DecoderPrior(FrozenEstimator(trained), random_state=0).fit(X[:200])
    seen = []
    found = prior.search(y, on_step=lambda code, objective: seen.append((code, objective)))
    assert len(seen) == found.n_iter.max()
    np.testing.assert_array_equal(seen[-1][0], found.code)
    np.testing.assert_array_equal(seen[-1][1], found.objective)
    assert (seen[0][1] > seen[-1][1]).all()

    def stop(code, objective):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        prior.search(y, on_step=stop)


def test_a_search_denoises(trained, noisy):
    """Better than the noise, and than one pass through the autoencoder, which never saw noise."""
    clean, y = noisy
    prior = DecoderPrior(FrozenEstimator(trained), n_starts=3, random_state=0).fit(X[:200])

    def error(x_hat):
        return float(((x_hat - clean) ** 2).mean())

    assert error(prior.denoise(y)) < 0.8 * error(trained.reconstruct(y))
    assert error(prior.denoise(y)) < 0.4 * error(y)


def test_what_a_search_tells(trained, noisy):
    _, y = noisy
    prior = DecoderPrior(FrozenEstimator(trained), random_state=0).fit(X[:200])
    found = prior.search(y)
    np.testing.assert_allclose(found.objective, ((found.x_hat - y) ** 2).mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(found.x_hat, trained.inverse_transform(found.code), rtol=1e-4, atol=1e-5)
    assert set(found.reason) <= {"converged", "stalled", "iterations"}
    assert (found.n_iter >= 1).all()
    assert found.code.min() >= 0, "ReLU codes are not negative"
    np.testing.assert_array_equal(prior.transform(y), found.code)
    assert prior.score(y) == pytest.approx(-found.objective.mean())
    start = ((trained.reconstruct(y) - y) ** 2).mean(axis=1)
    assert (found.objective <= start + 1e-7).all(), "a search from the encoder's code never ends above it"


def test_more_starts_are_never_worse(trained, noisy):
    _, y = noisy
    one, three = (
        DecoderPrior(FrozenEstimator(trained), start="random", n_starts=n, random_state=0).fit(X).search(y)
        for n in (1, 3)
    )
    assert (three.objective <= one.objective + 1e-7).all()
    assert three.objective.mean() < one.objective.mean()
    assert (three.n_iter > one.n_iter).all()


def test_the_same_seed_finds_the_same_and_chunks_do_not_matter(trained):
    y = np.tile(X[:70], (10, 1))  # 700, more than one part
    prior = DecoderPrior(FrozenEstimator(trained), max_iter=30, random_state=3).fit(X)
    told = []
    found = prior.search(y, on_progress=lambda done, n: told.append((done, n)))
    assert told == [(500, 700), (700, 700)]
    np.testing.assert_array_equal(found.code, prior.search(y).code)
    np.testing.assert_allclose(found.objective[:70], found.objective[630:], rtol=1e-3, atol=1e-6)
    again = DecoderPrior(FrozenEstimator(trained), start="random", random_state=3).fit(X)
    np.testing.assert_array_equal(again.search(y[:20]).code, again.search(y[:20]).code)


@pytest.mark.parametrize("start", ["encoder", "random"])
def test_an_image_has_the_same_code_alone_in_another_order_and_in_another_part(start, trained, noisy, monkeypatch):
    y = noisy[1][:30].astype(np.float64)
    given = {"start": start, "n_starts": 2, "max_iter": 30}
    prior = DecoderPrior(FrozenEstimator(trained), **given, random_state=3).fit(X)
    code = prior.transform(y)
    order = np.random.default_rng(1).permutation(len(y))
    np.testing.assert_allclose(prior.transform(y[order]), code[order], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(prior.transform(y[7:8]), code[7:8], rtol=1e-5, atol=1e-7)
    monkeypatch.setattr("isthmus.estimators.decoder_prior._CHUNK", 11)
    np.testing.assert_allclose(prior.transform(y), code, rtol=1e-5, atol=1e-7)
    other = DecoderPrior(FrozenEstimator(trained), **given, random_state=4).fit(X).transform(y)
    assert (np.abs(other - code).max(axis=1) > 1e-3).any(), "the seed matters"


def test_random_starts_are_images_own_and_more_of_them_keep_the_first(trained):
    import torch

    prior = DecoderPrior(FrozenEstimator(trained), random_state=3).fit(X)
    y = torch.from_numpy(X[:5])
    first, second = prior._random_starts(y, 2, 6)
    assert len(torch.unique(torch.cat([first, second]), dim=0)) == 10
    assert torch.equal(prior._random_starts(y[3:], 1, 6)[0], first[3:])
    assert torch.equal(prior._random_starts(y.double(), 2, 6)[1].float(), second), "whatever type the numbers have"
    assert prior._random_starts(y, 0, 6) == []


def test_n_iter_is_the_epochs_of_the_autoencoder(trained):
    assert DecoderPrior().of(trained).n_iter_ == 40
    assert not hasattr(DecoderPrior(), "n_iter_")


def test_clip_cuts_to_the_range_of_pixels():
    network = Dense(hidden=(16,), bottleneck=4, output="linear")
    prior = DecoderPrior(Autoencoder(network, epochs=3, random_state=0)).fit(X[:300])
    free = prior.denoise(2 * X[:20])
    cut = prior.set_params(clip=True).denoise(2 * X[:20])
    assert free.max() > 1
    np.testing.assert_array_equal(cut, np.clip(free, 0, 1))


def test_images_keep_their_shape():
    model = Autoencoder(Conv((4, 8), output="sigmoid"), epochs=2, random_state=0)
    pixels = X[:60].reshape(-1, 1, 8, 8)
    prior = DecoderPrior(model, max_iter=3).fit(Images(pixels))
    assert prior.denoise(pixels[:4]).shape == (4, 1, 8, 8)
    with pytest.raises(ValueError, match="is expecting"):
        prior.denoise(np.zeros((2, 1, 9, 9), np.float32))


def test_float64_stays_float64_and_one_image_is_enough(trained):
    prior = DecoderPrior(FrozenEstimator(trained)).fit(X)
    assert prior.denoise(X[:1].astype(np.float64)).dtype == np.float64
    assert prior.denoise(X[:1]).dtype == np.float32
    assert next(trained.network_.parameters()).dtype.itemsize == 4, "the network is as it was"


def test_saved_is_loaded_bit_for_bit(trained, noisy, tmp_path):
    prior = DecoderPrior(FrozenEstimator(trained), clip=True, n_starts=2, random_state=5).fit(X)
    save(prior, tmp_path / "prior")
    loaded = load(tmp_path / "prior")
    np.testing.assert_array_equal(loaded.denoise(noisy[1]), prior.denoise(noisy[1]))
    assert loaded.get_params()["n_starts"] == 2


def test_wrong_requests_are_refused_in_one_sentence(trained):
    prior = DecoderPrior(FrozenEstimator(trained)).fit(X)
    with pytest.raises(ValueError, match="64 features"):
        prior.denoise(np.zeros((2, 9), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        prior.denoise(np.full((2, 64), np.nan, np.float32))
    with pytest.raises(ValueError, match="0 sample"):
        prior.denoise(np.zeros((0, 64), np.float32))
    with pytest.raises(ValueError, match="whose decoder can be searched, got a PCA"):
        DecoderPrior(PCA(2)).fit(X)
    with pytest.raises(ValueError, match='unknown solver "newton"'):
        DecoderPrior(FrozenEstimator(trained), solver="newton").fit(X)
    with pytest.raises(ValueError, match="n_starts must be"):
        DecoderPrior(FrozenEstimator(trained), n_starts=0).fit(X)
    with pytest.raises(ValueError, match="tol must be a positive number"):
        DecoderPrior(FrozenEstimator(trained), tol=0).fit(X)


def test_numpys_numbers_are_numbers_and_endless_ones_are_none(trained, noisy):
    _, y = noisy
    plain = DecoderPrior(FrozenEstimator(trained), lower=0.25, tol=0.125, n_starts=2, random_state=0).fit(X)
    numpys = {"lower": np.float32(0.25), "tol": np.float32(0.125), "n_starts": np.int64(2)}
    same = DecoderPrior(FrozenEstimator(trained), **numpys, random_state=0).fit(X)
    np.testing.assert_array_equal(same.transform(y[:9]), plain.transform(y[:9]))
    for lower in (-np.inf, np.nan, True):
        with pytest.raises(ValueError, match='lower must be "auto", a number or None'):
            DecoderPrior(FrozenEstimator(trained), lower=lower).fit(X)


def test_what_is_denoised_has_the_shape_of_what_was_given(noisy):
    _, y = noisy
    images = y[:4].reshape(-1, 1, 8, 8)
    for model in (autoencoder(epochs=1).fit(X[:200]), autoencoder(epochs=1).fit(X[:200].reshape(-1, 1, 8, 8))):
        prior = DecoderPrior(max_iter=2).of(model)
        assert prior.denoise(y[:4]).shape == model.reconstruct(y[:4]).shape == (4, 64)
    assert prior.denoise(images).shape == model.reconstruct(images).shape == (4, 1, 8, 8)
    assert prior.denoise(Images(images.clip(0, 1))).shape == (4, 1, 8, 8)
    np.testing.assert_array_equal(prior.denoise(images).reshape(4, 64), prior.denoise(y[:4]))


def test_a_search_leaves_nothing_in_the_model():
    model = Autoencoder(Dictionary(n_atoms=8), epochs=1, random_state=0).fit(X[:200])
    DecoderPrior(solver="adam", max_iter=2).of(model).denoise(X[:3])
    assert all(weight.grad is None for weight in model.network_.parameters())


def test_a_code_larger_than_the_image_is_doubted():
    wide = Autoencoder(Dense(bottleneck=80), epochs=1, random_state=0)
    with pytest.warns(DoubtWarning, match="it can reproduce the noise too"):
        DecoderPrior(wide).fit(X[:100])


def test_the_autoencoder_of_a_prior_goes_on_from_a_checkpoint(tmp_path):
    from isthmus.training.checkpoint import Checkpoints

    def prior():
        return DecoderPrior(autoencoder(epochs=4), max_iter=3, random_state=0)

    whole = prior().fit(X[:200], validation=X[200:220])
    stopped = autoencoder(epochs=4).fit_epochs(
        X[:200], validation=X[200:220], checkpoint=Checkpoints(tmp_path, every=0)
    )
    next(stopped), next(stopped)
    stopped.close()
    again = prior().fit(X[:200], validation=X[200:220], checkpoint=tmp_path)
    assert again.autoencoder_.history_.losses.tolist() == whole.autoencoder_.history_.losses.tolist()
    assert again.autoencoder_.history_[1].seconds != whole.autoencoder_.history_[1].seconds
    np.testing.assert_array_equal(again.denoise(X[:5]), whole.denoise(X[:5]), strict=True)


def test_wide_codes_are_searched_for_fewer_images_at_a_time(monkeypatch, x):
    """A default convolutional model of 96×96 pages took 0.85 GB for each image, and the machine killed it."""
    model = DecoderPrior(max_iter=2).of(Autoencoder(Dense(bottleneck=3), epochs=1, random_state=0).fit(x))
    done = []
    whole = model.search(x, on_progress=lambda n, _: done.append(n))
    assert done == [len(x)]
    monkeypatch.setattr("isthmus.estimators.decoder_prior._NUMBERS", 10 * 3 * x.shape[1])
    done.clear()
    parts = model.search(x, on_progress=lambda n, _: done.append(n))
    assert done == [*range(10, len(x), 10), len(x)]
    np.testing.assert_allclose(parts.x_hat, whole.x_hat, rtol=1e-4, atol=1e-5)
