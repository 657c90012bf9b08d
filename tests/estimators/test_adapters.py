"""One adapter for each kind of estimator, and one from outside the package."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, DecoderPrior, Dense, kinds, load, save
from isthmus.data.images import Images
from isthmus.errors import DataError, RequestError
from isthmus.estimators.adapters import adapter_of, reconstruct
from isthmus.studies.results.measure import measure


@pytest.fixture
def halves(extension):
    """The class of the example, registered."""
    return extension("estimator_of_halves").Halves


def small():
    return Autoencoder(Dense(bottleneck=3), epochs=1, random_state=0)


def test_an_estimator_from_outside_is_measured_like_any_other(halves, x):
    pixels = np.round(255 * (x - x.min()) / np.ptp(x)).astype(np.uint8)
    images = Images(pixels.reshape(len(x), 1, 1, -1))
    model = halves().fit(images.floats())
    found = measure(model, images, ("mse", "l0"))
    width = x.shape[1]
    variance = images.floats().var(axis=0)[width // 2 :].sum() / width
    assert found.estimates["mse"].value == pytest.approx(variance, rel=1e-4)
    assert found.estimates["l0"].value > 0
    asked = adapter_of(model)
    assert (asked.word, asked.n_parameters, asked.code_size(width)) == ("halves", width, width // 2)


def test_an_estimator_from_outside_is_saved_and_loaded(halves, x, tmp_path):
    fitted = halves().fit(x)
    save(fitted, tmp_path / "m")
    again = load(tmp_path / "m")
    assert isinstance(again, halves)
    np.testing.assert_array_equal(reconstruct(again, x), reconstruct(fitted, x))
    kinds.unregister("estimator", halves)
    with pytest.raises(DataError, match='unknown class "Halves"'):
        load(tmp_path / "m")
    with pytest.raises(RequestError, match=r"cannot save a Halves; known: Autoencoder, DecoderPrior, PCA, .*, the id"):
        save(fitted, tmp_path / "n")


def test_until_it_is_registered_it_is_measured_by_its_reconstruction_alone(halves, x):
    kinds.unregister("estimator", halves)
    assert (adapter_of(halves().fit(x)).word, adapter_of(halves().fit(x)).has_code) == ("identity", False)


def test_what_cannot_be_loaded_is_not_saved(x, tmp_path):
    class OwnPCA(PCA):
        pass

    with pytest.raises(RequestError, match="cannot save a OwnPCA; known: "):
        save(OwnPCA(2).fit(x), tmp_path / "m")


def test_what_inherits_is_asked_as_its_base_is(halves, x):
    class Own(halves):
        pass

    assert adapter_of(Own().fit(x)).word == "halves"


@pytest.mark.parametrize(
    ("make", "word", "has_code", "searches"),
    [
        (small, "dense autoencoder", True, False),
        (lambda: PCA(3), "PCA", True, False),
        (lambda: MiniBatchDictionaryLearning(3, max_iter=1), "dictionary", True, False),
        (FunctionTransformer, "identity", False, False),
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
