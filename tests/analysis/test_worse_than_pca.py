"""A model that PCA of as many numbers beats is said to be worse, and no other is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Dense, Images
from isthmus.analysis import worse_than_pca as module
from isthmus.collapse import worse_than_mean, worse_than_pca

X = (load_digits().data / 16).astype(np.float32)


def fitted(x, **changes):
    return Autoencoder(**{"network": Dense(bottleneck=8), "epochs": 4, "random_state": 0, **changes}).fit(x)


def test_a_plain_training_that_is_far_behind_is_said_to_be():
    model = fitted(X[:1000], epochs=60)
    assert worse_than_mean(model, X[1000:]) is None, "nothing else says it"
    pca = PCA(8).fit(X[:1000])
    left = np.square(pca.inverse_transform(pca.transform(X[1000:])) - X[1000:]).mean()
    times = -model.score(X[1000:]) / left
    assert times > 1.5
    sentence = worse_than_pca(model, X[1000:])
    assert sentence.startswith("worse than PCA of 8 numbers: on samples that PCA was not fitted to it leaves an error")
    assert float(sentence.split(" times as much")[0].split()[-1]) == pytest.approx(times, rel=0.15)
    assert sentence.endswith('; fit with recipe="fast", or train longer or with another learning rate')
    images = Images(X[1000:].reshape(-1, 1, 8, 8))
    for same in (images, X[1000:].tolist(), X[1000:].reshape(-1, 8, 8)):
        assert worse_than_pca(model, same) == sentence
    steps = [("same", FunctionTransformer(check_inverse=False)), ("auto", model)]
    assert worse_than_pca(Pipeline(steps), X[1000:]) == sentence
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    assert "worse than PCA" in worse_than_pca(fitted(frame), frame)


def test_with_its_training_samples_a_few_others_can_tell():
    model, few = fitted(X[:1000], epochs=60), X[1000:1009]
    assert worse_than_pca(model, few) is None
    pca = PCA(8).fit(X[:1000])
    of_pca = np.square(pca.inverse_transform(pca.transform(few)) - few).mean()
    sentence = worse_than_pca(model, few, training=X[:1000])
    assert float(sentence.split(" times as much")[0].split()[-1]) == pytest.approx(-model.score(few) / of_pca, abs=0.01)
    as_images = [Images(part.reshape(-1, 1, 8, 8)) for part in (few, X[:1000])]
    assert worse_than_pca(model, as_images[0], training=as_images[1]) == sentence
    assert worse_than_pca(pca, few, training=X[:1000]) is None
    assert worse_than_pca(model, few[:1], training=X[:1000]) is None, "one may be by chance"


@pytest.mark.parametrize(("training", "n"), [(None, 31), (X[100:140], 39)])
def test_of_few_samples_it_is_of_as_many_numbers_as_they_have(training, n):
    """Of 40 each fifth is judged by PCA of the other 32, which differ in 31 directions."""
    sentence = worse_than_pca(fitted(X[100:140], network=Dense(bottleneck=48)), X[:40], training=training)
    assert sentence.startswith(f"worse than PCA of {n} numbers: ")


def test_what_is_no_worse_is_not(monkeypatch):
    good = fitted(X[:1000], recipe="fast", network=Dense((64,), 8, code_activation="linear"), epochs=30)
    assert worse_than_pca(good, X[1000:]) is None
    assert worse_than_pca(PCA(8).fit(X[:1000]), X[1000:]) is None
    assert worse_than_pca(PCA(8).fit(X), X) is None
    assert worse_than_pca(FunctionTransformer(check_inverse=False), X) is None, "it loses nothing"
    assert worse_than_pca(fitted(X[:1000]), X[:8]) is None, "too few to know"
    assert worse_than_pca(fitted(X[:1000]), X[:0]) is None
    monkeypatch.setattr(module, "_MOST", 300)
    assert worse_than_pca(good, X) is None
    assert "worse than PCA" in worse_than_pca(fitted(X[:1000]), X)


def test_patches_of_a_photograph_are_left_out_together():
    """With each patch known from those that are nearly the same, PCA would seem to be better than it is."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random((20, 1, 6, 6), np.float32), 20, axis=0)  # twenty times the same patch
    places = np.stack([np.repeat(np.arange(20), 20), np.zeros(400, int), np.zeros(400, int)], axis=1)
    model = fitted(x.reshape(400, -1), network=Dense(bottleneck=19), epochs=1)
    assert worse_than_pca(model, Images(x)) is not None
    assert worse_than_pca(PCA(19).fit(rng.random((400, 36))), Images(x, places=places)) is None
