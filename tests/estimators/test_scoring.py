"""The scorer for denoising: the same noise for all, and a grid search that finds what denoises."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from isthmus import Autoencoder, Conv, DecoderPrior, Dense, GaussianNoise, Images, Masking, denoising_scorer
from isthmus.corruption import noisy_version
from isthmus.errors import RequestError

X = (load_digits().data / 16).astype(np.float32)[:600]
NOISE = GaussianNoise(0.3)


def autoencoder(**changes):
    network = Dense(bottleneck=24, activation="linear", output="sigmoid")
    given = {"corruption": GaussianNoise(0.1), "epochs": 15, "learning_rate": 0.01, "batch_size": 32, "random_state": 0}
    return Autoencoder(network, **{**given, **changes})


class Kept:
    """What transforms nothing, and keeps what it was given."""

    def __init__(self):
        self.seen = []

    def transform(self, x):
        self.seen.append(x)
        return x

    def inverse_transform(self, code):
        return code


def test_grid_search_chooses_noise_where_it_is_judged_by_noise_and_none_where_it_is_not():
    grid, cv = {"corruption__sigma": [0.0, 0.3]}, KFold(2, shuffle=True, random_state=0)
    by_noise = GridSearchCV(autoencoder(), grid, scoring=denoising_scorer(NOISE), cv=cv, refit=False).fit(X)
    by_score = GridSearchCV(autoencoder(), grid, cv=cv, refit=False).fit(X)
    assert by_noise.best_params_ == {"corruption__sigma": 0.3}
    assert by_score.best_params_ == {"corruption__sigma": 0.0}


def test_the_score_is_minus_the_error_of_what_is_made_of_the_noisy_version():
    model = autoencoder(epochs=2).fit(X)
    x_hat = model.reconstruct(noisy_version(X, NOISE, None, seed=5))
    assert denoising_scorer(NOISE, seed=5)(model, X) == pytest.approx(-float(np.mean((x_hat - X) ** 2)), rel=1e-5)
    identity = denoising_scorer(NOISE)(Kept(), X)
    assert identity == pytest.approx(-0.09, rel=0.02), "of what does nothing, the noise"
    assert denoising_scorer(NOISE, seed=6)(Kept(), X) != identity


def test_the_noise_is_the_callers_and_an_images_own():
    """Equal for all candidates, splits and orders."""
    one, other = Kept(), Kept()
    score = denoising_scorer(NOISE)
    score(one, X)
    order = np.random.default_rng(0).permutation(len(X))[:100]
    score(other, X[order])
    np.testing.assert_array_equal(other.seen[0], one.seen[0][order])
    again = Kept()
    pickle.loads(pickle.dumps(clone(score, safe=False)))(again, X, np.zeros(len(X)))
    np.testing.assert_array_equal(again.seen[0], one.seen[0])


@pytest.mark.parametrize(
    "model",
    [
        autoencoder(epochs=2),
        DecoderPrior(autoencoder(epochs=2), max_iter=2, random_state=0),
        PCA(8),
        MiniBatchDictionaryLearning(8, max_iter=2, random_state=0),
        make_pipeline(MinMaxScaler(), autoencoder(epochs=2)),
    ],
    ids=["autoencoder", "prior", "pca", "dictionary", "pipeline"],
)
def test_every_model_is_scored_in_cross_validation_beside_other_scorers(model):
    scoring = {"noise": denoising_scorer(NOISE), "more": denoising_scorer(GaussianNoise(0.6))}
    found = cross_validate(model, X[:200], cv=2, scoring=scoring)
    assert (found["test_more"] < found["test_noise"]).all()
    assert (found["test_noise"] < 0).all()


def test_images_and_arrays_of_images_are_scored_alike():
    pixels = X.reshape(-1, 1, 8, 8)
    model = Autoencoder(Conv((4, 8), output="sigmoid"), epochs=2, random_state=0).fit(Images(pixels))
    for part in (NOISE, Masking(0.3)):
        score = denoising_scorer(part)
        assert score(model, Images(pixels)) == score(model, pixels)
        assert score(DecoderPrior(max_iter=2).of(model), pixels[:50]) < 0
    prior = DecoderPrior(FrozenEstimator(model), max_iter=2)
    assert np.isfinite(cross_validate(prior, pixels[:60], cv=2, scoring=denoising_scorer(NOISE))["test_score"]).all()


def test_what_is_no_corruption_is_refused_and_a_scorer_says_what_it_is():
    with pytest.raises(RequestError, match="corruption must be one of isthmus' parts GaussianNoise"):
        denoising_scorer(0.3)
    assert repr(denoising_scorer(NOISE, seed=3)) == "denoising_scorer(GaussianNoise(sigma=0.3), seed=3)"
    with pytest.raises(ValueError, match="NaN"):
        denoising_scorer(NOISE)(Kept(), np.full((2, 3), np.nan))
