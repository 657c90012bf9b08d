"""One adapter for each kind of estimator, and one from outside the package."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, DecoderPrior, Dense, kinds, load, save
from isthmus.data.images import Images
from isthmus.errors import DataError, RequestError
from isthmus.estimators.adapters import Adapter, adapter_of, reconstruct, register
from isthmus.estimators.saving import Saved
from isthmus.studies.results.measure import measure


class Halves(TransformerMixin, BaseEstimator):
    """Keeps the first half of each sample, and draws the other as its mean."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X[:, : X.shape[1] // 2]

    def inverse_transform(self, code):
        return np.hstack([code, np.tile(self.mean_[code.shape[1] :], (len(code), 1))])


class HalvesAdapter(Adapter):
    name, has_code = "halves", True

    @property
    def n_parameters(self):
        return self.model.mean_.size

    def code_size(self, n_features):
        return n_features // 2

    def saved(self):
        return Saved({"mean_": self.model.mean_}, {})

    @staticmethod
    def rebuilt(parameters, tensors, fitted):
        model = Halves(**parameters)
        model.mean_ = tensors["mean_"]
        return model


@pytest.fixture
def known():
    register(Halves, HalvesAdapter)
    yield
    kinds.unregister("estimator", Halves)


def small():
    return Autoencoder(Dense(bottleneck=3), epochs=1, random_state=0)


def test_an_estimator_from_outside_is_measured_like_any_other(known, x):
    pixels = np.round(255 * (x - x.min()) / np.ptp(x)).astype(np.uint8)
    images = Images(pixels.reshape(len(x), 1, 1, -1))
    model = Halves().fit(images.floats())
    found = measure(model, images, ("mse", "l0"))
    width = x.shape[1]
    variance = images.floats().var(axis=0)[width // 2 :].sum() / width
    assert found.estimates["mse"].value == pytest.approx(variance, rel=1e-4)
    assert found.estimates["l0"].value > 0
    asked = adapter_of(model)
    assert (asked.word, asked.n_parameters, asked.code_size(width)) == ("halves", width, width // 2)


def test_an_estimator_from_outside_is_saved_and_loaded(known, x, tmp_path):
    fitted = Halves().fit(x)
    save(fitted, tmp_path / "m")
    again = load(tmp_path / "m")
    assert isinstance(again, Halves)
    np.testing.assert_array_equal(reconstruct(again, x), reconstruct(fitted, x))
    kinds.unregister("estimator", Halves)
    with pytest.raises(DataError, match='unknown class "Halves"'):
        load(tmp_path / "m")
    with pytest.raises(RequestError, match=r"cannot save a Halves; known: Autoencoder, DecoderPrior, PCA, .*, the id"):
        save(fitted, tmp_path / "n")
    register(Halves, HalvesAdapter)


def test_what_cannot_be_loaded_is_not_saved(x, tmp_path):
    class OwnPCA(PCA):
        pass

    with pytest.raises(RequestError, match="cannot save a OwnPCA; known: "):
        save(OwnPCA(2).fit(x), tmp_path / "m")


def test_what_inherits_is_asked_as_its_base_is(known, x):
    class Own(Halves):
        pass

    assert adapter_of(Own().fit(x)).word == "halves"


@pytest.mark.parametrize(
    ("make", "word", "has_code", "searches"),
    [
        (small, "dense autoencoder", True, False),
        (lambda: PCA(3), "PCA", True, False),
        (lambda: MiniBatchDictionaryLearning(3, max_iter=1), "dictionary", True, False),
        (FunctionTransformer, "identity", False, False),
        (Halves, "identity", False, False),  # which nobody has registered
    ],
)
def test_each_kind(make, word, has_code, searches, x):
    model = make().fit(x)
    asked = adapter_of(model)
    assert (asked.word, asked.has_code, asked.searches) == (word, has_code, searches)
    assert asked.code_size(x.shape[1]) == (3 if has_code else x.shape[1])
    assert reconstruct(model, x).shape == x.shape
    np.testing.assert_array_equal(asked.reconstruct_few(x[:2]), asked.reconstruct(x[:2]))


def test_a_search_has_the_weights_of_its_decoder(x):
    trained = small().fit(x)
    asked = adapter_of(DecoderPrior().of(trained))
    assert (asked.word, asked.has_code, asked.searches, asked.trained) == ("decoder search", False, True, trained)
    assert asked.n_parameters == x.shape[1] * 4  # the decoder's weights and biases


def test_a_pipeline_sees_with_its_first_step_and_codes_with_its_last(x):
    pca = PCA(5).fit(x)
    last = small().fit(pca.transform(x).astype(np.float32))
    asked = adapter_of(Pipeline([("pca", pca), ("last", last)]))
    assert (asked.first.model, asked.last.model) == (pca, last)
    assert asked.n_parameters == adapter_of(pca).n_parameters + last.n_parameters_
    assert (asked.has_code, asked.code_size(99)) == (True, 3)
