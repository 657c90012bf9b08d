"""A model's folder: the same bits after a round trip, and only DataError for anything that is not whole."""

import hashlib
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from isthmus import BCE, L1, Autoencoder, Dense, GaussianNoise, Masking, Occlusion, Sequence, load, save
from isthmus.errors import DataError, RequestError

CONFIG, WEIGHTS, HISTORY = "config.json", "model.safetensors", "history.jsonl"


@pytest.fixture
def autoencoder(x):
    part = Dense(hidden=(8,), bottleneck=3, decoder_hidden=(5, 6), activation="tanh", code_activation="relu")
    noise, penalty = GaussianNoise(0.2, clip=True), L1(1e-3, per="element")
    return Autoencoder(part, corruption=noise, penalty=penalty, epochs=2, random_state=3).fit(x, validation=x[:20])


@pytest.fixture
def saved(autoencoder, tmp_path):
    save(autoencoder, tmp_path / "model")
    return tmp_path / "model"


def change(folder, **entries):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **entries}))


def put_weights(folder, weights):
    """Other weights, with the sha256 that belongs to them: the hash is no protection against somebody who means it."""
    (folder / WEIGHTS).write_bytes(weights)
    change(folder, weights_sha256=hashlib.sha256(weights).hexdigest())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_autoencoder_comes_back_with_the_same_bits(autoencoder, saved, x, dtype):
    again, x = load(saved), x.astype(dtype)
    for method in ("transform", "reconstruct", "score_samples"):
        before, after = getattr(autoencoder, method)(x), getattr(again, method)(x)
        assert before.std() > 0
        np.testing.assert_array_equal(before, after, strict=True)
    assert again.get_params() == autoencoder.get_params()
    assert again.history_.epochs == autoencoder.history_.epochs
    for name in ("n_features_in_", "image_shape_", "seed_", "precision_", "n_parameters_"):
        assert getattr(again, name) == getattr(autoencoder, name)


def test_saving_twice_gives_the_same_files(autoencoder, saved, tmp_path):
    save(load(saved), tmp_path / "again")
    assert {path.name for path in saved.iterdir()} == {CONFIG, WEIGHTS, HISTORY}
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_images_and_all_kinds_of_arguments_come_back(images, tmp_path):
    model = Autoencoder(
        Dense(bottleneck=np.int64(4), output="sigmoid"),
        loss=BCE(0.5),
        epochs=np.int64(2),
        learning_rate=np.float32(0.01),
        shuffle="once",
        random_state=np.random.default_rng(0),
    ).fit(images)
    save(model, tmp_path / "m", extra={"study": "none"})
    again = load(tmp_path / "m")
    assert again.image_shape_ == (1, 8, 8)
    np.testing.assert_array_equal(again.reconstruct(images), model.reconstruct(images), strict=True)
    assert again.loss == BCE(0.5)
    assert again.epochs == 2
    assert again.random_state is None, "a generator cannot be written down; its seed is"
    assert again.seed_ == model.seed_
    assert json.loads((tmp_path / "m" / CONFIG).read_text())["extra"] == {"study": "none"}


def test_a_sequence_of_corruptions_comes_back(x, tmp_path):
    corruption = Sequence((Occlusion(2, value=0.5, image_shape=(1, 4, 4)), GaussianNoise(0.1, clip=True), Masking(0.2)))
    save(Autoencoder(Dense(bottleneck=3), corruption=corruption, epochs=1).fit(x), tmp_path / "m")
    assert load(tmp_path / "m").corruption == corruption


@pytest.mark.parametrize("whiten", [False, True])
def test_a_pca_comes_back_with_the_same_bits(x, tmp_path, whiten):
    model = PCA(3, whiten=whiten, random_state=0).fit(x)
    save(model, tmp_path / "pca")
    again = load(tmp_path / "pca")
    code = model.transform(x)
    np.testing.assert_array_equal(again.transform(x), code, strict=True)
    np.testing.assert_array_equal(again.inverse_transform(code), model.inverse_transform(code), strict=True)
    assert again.score(x) == model.score(x)
    assert again.get_params() == model.get_params()


def test_the_identity_comes_back(x, tmp_path):
    save(FunctionTransformer(check_inverse=False).fit(x), tmp_path / "identity")
    again = load(tmp_path / "identity")
    np.testing.assert_array_equal(again.inverse_transform(again.transform(x)), x, strict=True)


def test_saving_over_a_model_replaces_it_and_leaves_nothing_else(saved, x, tmp_path):
    save(PCA(2).fit(x), saved)
    assert isinstance(load(saved), PCA)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (saved / HISTORY).exists()


@pytest.mark.parametrize("model", [StandardScaler(), FunctionTransformer(np.log), BaseEstimator()], ids=repr)
def test_other_classes_are_refused_before_anything_is_written(model, tmp_path):
    with pytest.raises(RequestError, match=r"cannot save a .*; known: Autoencoder, .*PCA, .*identity"):
        save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# --- folders that are not whole ---


def refused(folder):
    with pytest.raises(DataError) as caught:
        load(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(folder) in sentence
    return sentence


def test_weights_that_were_changed_are_noticed(saved):
    weights = bytearray((saved / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (saved / WEIGHTS).write_bytes(weights)
    assert "sha256" in refused(saved)


def test_weights_that_were_cut_short_are_noticed(saved):
    (saved / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes()[:-8])
    assert "cut short" in refused(saved)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, HISTORY])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    assert name in refused(saved)


def test_a_folder_that_is_not_there(tmp_path):
    assert "holds no model" in refused(tmp_path / "nothing")


def test_a_newer_format_is_refused(saved):
    change(saved, format=99)
    assert "format 99; this isthmus reads format 1" in refused(saved)


def test_an_unknown_class_is_refused(saved):
    change(saved, **{"class": "subprocess.Popen"})
    assert 'unknown class "subprocess.Popen"' in refused(saved)


def test_an_unknown_part_or_argument_is_refused(saved):
    parameters = json.loads((saved / CONFIG).read_text())["parameters"]
    change(saved, parameters={**parameters, "network": {"kind": "dens"}})
    refused(saved)
    change(saved, parameters={**parameters, "network": {"kind": "dense", "bottleneck": -1}})
    assert "bottleneck must be" in refused(saved)
    change(saved, parameters={**parameters, "networks": None})
    refused(saved)


@pytest.mark.parametrize("key", ["class", "parameters", "fitted", "weights_sha256", "format"])
@pytest.mark.parametrize("value", [None, 3, [], {"a": 1}])
def test_a_config_with_a_wrong_entry_is_refused(saved, key, value):
    change(saved, **{key: value})
    refused(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '{"format": 1}'])
def test_a_config_that_is_none_is_refused(saved, text):
    (saved / CONFIG).write_bytes(text.encode("latin-1"))
    refused(saved)


@pytest.mark.parametrize("fitted", [{"n_features_in_": 17}, {"n_features_in_": "16"}, {}])
def test_what_was_fitted_must_fit_the_weights(saved, fitted):
    known = json.loads((saved / CONFIG).read_text())["fitted"]
    change(saved, fitted={**known, **fitted} if fitted else {})
    refused(saved)


def reshaped(folder, name, change_array):
    arrays = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
    put_weights(folder, safetensors.numpy.save({**arrays, name: np.ascontiguousarray(change_array(arrays[name]))}))


def test_weights_of_another_shape_are_refused(saved):
    reshaped(saved, "encoder.layers.0.weight", np.transpose)
    assert "encoder.layers.0.weight" in refused(saved)


@pytest.mark.parametrize("name", ["components_", "mean_", "explained_variance_"])
def test_a_pca_of_another_shape_is_refused(x, tmp_path, name):
    save(PCA(3).fit(x), tmp_path / "pca")
    reshaped(tmp_path / "pca", name, lambda array: array[:-1])
    assert name in refused(tmp_path / "pca")


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_or_an_additional_tensor_is_refused(saved, missing):
    arrays = safetensors.numpy.load((saved / WEIGHTS).read_bytes())
    if missing:
        del arrays["decoder.layers.0.bias"]
    else:
        arrays["additional"] = np.zeros(3)
    put_weights(saved, safetensors.numpy.save(arrays))
    refused(saved)


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.folder),)


def test_pickle_in_place_of_weights_is_refused_and_never_executed(saved, tmp_path):
    sprung = tmp_path / "sprung"
    pickled = pickle.dumps(Trap(sprung))
    put_weights(saved, pickled)
    refused(saved)
    assert not sprung.exists()
    pickle.loads(pickled)
    assert sprung.exists(), "the trap works"
