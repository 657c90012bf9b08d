"""A model's folder: the same bits after a round trip, and only DataError for anything that is not whole."""

import hashlib
import json
import os
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from isthmus import (
    BCE,
    L1,
    Autoencoder,
    Conv,
    DecoderPrior,
    Dense,
    Dictionary,
    GaussianNoise,
    Masking,
    Occlusion,
    Sequence,
    load,
    persistence,
    save,
)
from isthmus.errors import DataError, DoubtWarning, RequestError
from isthmus.fingerprints import array_fingerprint
from isthmus.networks import build

CONFIG, WEIGHTS, HISTORY = "config.json", "model.safetensors", "history.jsonl"


@pytest.fixture
def autoencoder(x):
    part = Dense(hidden=(8,), bottleneck=3, decoder_hidden=(5, 6), activation="tanh", code_activation="relu")
    noise, penalty = GaussianNoise(0.2), L1(1e-3, per="element")
    return Autoencoder(part, corruption=noise, penalty=penalty, epochs=2, random_state=3).fit(x, validation=x[:20])


@pytest.fixture
def saved(autoencoder, tmp_path):
    save(autoencoder, tmp_path / "model")
    return tmp_path / "model"


def change(folder, **entries):
    """As whoever edits config.json by hand and takes its sha256 away, which older files do not have."""
    config = json.loads((folder / CONFIG).read_text())
    config.pop("sha256", None)
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
    save(Autoencoder(Dense(bottleneck=3), corruption=corruption, epochs=1).fit(x / 100), tmp_path / "m")
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
    assert "format 99; this isthmus reads format 1: a newer isthmus wrote it, so upgrade isthmus" in refused(saved)
    change(saved, format="x")
    assert "upgrade" not in refused(saved)


def test_an_unknown_class_is_refused(saved):
    change(saved, **{"class": "subprocess.Popen"})
    assert 'unknown class "subprocess.Popen"' in refused(saved)


def test_an_unknown_part_or_argument_is_refused(saved):
    parameters = json.loads((saved / CONFIG).read_text())["parameters"]
    change(saved, parameters={**parameters, "network": {"kind": "dens"}})
    assert 'unknown kind "dens"; known: conv, dense, dictionary, module. Did you mean "dense"?' in refused(saved)
    change(saved, parameters={**parameters, "network": {"kind": "dense", "bottleneck": -1}})
    assert "bottleneck must be" in refused(saved)
    change(saved, parameters={**parameters, "network": {"kind": "dense", "botleneck": 3}})
    assert 'unknown field of dense "botleneck"' in (line := refused(saved))
    assert 'Did you mean "bottleneck"?' in line
    change(saved, parameters={**parameters, "networks": None})
    assert 'unknown parameter of an Autoencoder "networks"' in (line := refused(saved))
    assert 'Did you mean "network"?' in line


# --- its own checksum ---


def test_an_edited_config_is_refused(saved):
    config = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps(dict(reversed(config.items()))))
    load(saved)  # its entries count, not how they are laid out
    config["fitted"]["seed_"] += 1
    (saved / CONFIG).write_text(json.dumps(config))
    assert "config.json was changed after it was written" in refused(saved)
    config["fitted"]["seed_"] = float("nan")
    (saved / CONFIG).write_text(json.dumps(config))
    assert "was changed" in refused(saved)


def test_no_changed_byte_of_a_config_changes_what_is_loaded(saved, autoencoder):
    text = (saved / CONFIG).read_bytes()
    told = json.loads(text)
    for at in range(0, len(text), 7):
        damaged = bytearray(text)
        damaged[at] ^= 1
        (saved / CONFIG).write_bytes(damaged)
        try:
            persistence.read_config(saved)
        except DataError:
            continue
        same = json.loads(damaged)
        assert same == told or "sha256" not in same, f"byte {at}"  # white space, or the name of the checksum itself


def test_a_config_without_a_checksum_loads_as_before(saved, autoencoder):
    change(saved)
    x = np.random.default_rng(0).random((5, autoencoder.n_features_in_), np.float32)
    np.testing.assert_array_equal(load(saved).reconstruct(x), autoencoder.reconstruct(x))


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


def test_a_pickle_in_place_of_a_config_is_never_executed(saved, tmp_path):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (saved / CONFIG).write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol))
        refused(saved)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "text", [b"[" * 200_000, b" " * (17 << 20), b'{"format": 1' + b"9" * 5000 + b"}", b"\xff\xfe{"]
)
def test_a_config_that_would_cost_much_or_is_no_text(saved, text):
    (saved / CONFIG).write_bytes(text)
    refused(saved)


def test_a_config_that_is_cut_short_anywhere(saved):
    text = (saved / CONFIG).read_bytes()
    for length in range(0, len(text) - 1, 37):
        (saved / CONFIG).write_bytes(text[:length])
        refused(saved)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, HISTORY])
def test_a_pipe_is_refused_and_not_waited_for(saved, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    assert "a pipe or a device" in refused(saved)


# --- sizes: nothing large is made before it is known to be in the file ---


@pytest.mark.parametrize(
    ("fitted", "words"),
    [
        ({"n_features_in_": 10**12}, "the network that config.json describes has"),
        ({"n_features_in_": 10**400}, "the network that config.json describes has"),
        ({"n_features_in_": 0}, "n_features_in_ must be a whole number, got 0"),
        ({"n_features_in_": True}, "n_features_in_ must be"),
        ({"n_features_in_": 16.0}, "n_features_in_ must be"),
        ({"image_shape_": [1, 1 << 40, 1 << 40]}, "do not have 16 numbers"),
        ({"image_shape_": [4, 4]}, "image_shape_ must be three numbers"),
        ({"image_shape_": "abc"}, "image_shape_ must be three numbers"),
        ({"precision_": "float8"}, "unknown precision"),
        ({"seed_": "0"}, "seed_ must be a whole number"),
    ],
)
def test_a_network_of_another_size_is_never_built(saved, fitted, words, monkeypatch):
    monkeypatch.setattr("isthmus.persistence.build", lambda *_: pytest.fail("it was built"))
    known = json.loads((saved / CONFIG).read_text())["fitted"]
    change(saved, fitted={**known, **fitted})
    assert words in refused(saved)


@pytest.mark.parametrize(
    "network",
    [
        {"kind": "dense", "hidden": [10**9], "bottleneck": 10**9},
        {"kind": "dictionary", "n_atoms": 10**11},
        {"kind": "conv", "channels": [10**9, 10**9], "kernel": 1, "padding": 0, "image_shape": [1, 4, 4]},
        {"kind": "conv", "kernel": 10**9, "padding": 10**9 - 1, "channels": [1], "image_shape": [1, 4, 4]},
    ],
)
def test_a_network_of_huge_layers_is_never_built(saved, network, monkeypatch):
    monkeypatch.setattr("isthmus.persistence.build", lambda *_: pytest.fail("it was built"))
    parameters = json.loads((saved / CONFIG).read_text())["parameters"]
    change(saved, parameters={**parameters, "network": network})
    refused(saved)


def test_weights_are_counted_without_making_them():
    dense, atoms = Dense(hidden=(9, 5), bottleneck=3, decoder_hidden=(4,)), Dictionary(hidden=(7,), n_atoms=30)
    convolutions = [
        Conv(channels=(3, 4), decoder=decoder, kernel=kernel, padding=padding, image_shape=(2, 12, 14))
        for decoder in ("deconv", "unpool", "deconv-unpool")
        for kernel, padding in ((3, 1), (3, 0), (2, 1))
    ]
    for part, n, shape in [(dense, 20, None), (atoms, 20, None), *((one, 336, None) for one in convolutions)]:
        made = build(part, n, torch.Generator(), shape)
        assert part.n_weights(n, shape) == sum(tensor.numel() for tensor in made.state_dict().values()), part


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_weights_of_another_type_are_refused(saved, dtype):
    arrays = safetensors.numpy.load((saved / WEIGHTS).read_bytes())
    put_weights(saved, safetensors.numpy.save({name: array.astype(dtype) for name, array in arrays.items()}))
    assert "expected F32" in refused(saved)


# --- what the folder tells ---


def test_what_is_told_of_samples_and_codes(autoencoder, saved, x):
    config = json.loads((saved / CONFIG).read_text())
    assert config["input"] == {
        "n_samples": 200,
        "n_features": 16,
        "image_shape": None,
        "minimum": float(x.min()),
        "maximum": float(x.max()),
        "sha256": array_fingerprint(x),
    }
    code = autoencoder.transform(x)
    told = config["code"]
    assert told["n_samples"] == 200
    assert told["mean_activation"] == pytest.approx(code.mean(), rel=1e-5)
    assert told["l0"] == pytest.approx((np.abs(code) > 1e-6).sum(axis=1).mean())
    assert told["dead_units"] == (np.abs(code).max(axis=0) <= 1e-6).sum()
    assert {"isthmus", "numpy", "python", "scikit-learn", "torch"} == set(config["versions"])
    assert config["parameters"]["network"]["kind"] == "dense"


def test_images_are_told_as_the_network_sees_them(images, tmp_path):
    Autoencoder(Dense(bottleneck=2), epochs=1).fit(images).save(tmp_path / "m")
    told = json.loads((tmp_path / "m" / CONFIG).read_text())["input"]
    assert told["image_shape"] == [1, 8, 8]
    assert (told["minimum"], told["maximum"]) == (images.pixels.min() / 255, images.pixels.max() / 255)


def test_names_of_features_come_back(x, tmp_path):
    frame = pd.DataFrame(x, columns=[f"pixel {i}" for i in range(16)])
    for model in (Autoencoder(Dense(bottleneck=2), epochs=1).fit(frame), PCA(2).fit(frame)):
        save(model, tmp_path / "m")
        again = load(tmp_path / "m")
        assert list(again.feature_names_in_) == list(frame.columns)
        np.testing.assert_array_equal(again.transform(frame), model.transform(frame))
        with pytest.raises(ValueError, match="feature names"):
            again.transform(frame[frame.columns[::-1]])
        fitted = json.loads((tmp_path / "m" / CONFIG).read_text())["fitted"]
        for wrong in (["a"], [1] * 16, "x" * 16):
            change(tmp_path / "m", fitted={**fitted, "feature_names_in_": wrong})
            assert "feature_names_in_" in refused(tmp_path / "m")
    Autoencoder(Dense(bottleneck=2), epochs=1).fit(x).save(tmp_path / "m")
    assert not hasattr(load(tmp_path / "m"), "feature_names_in_")


# --- devices ---


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_model_of_a_device_that_is_not_here_is_loaded_on_the_cpu(autoencoder, saved, x):
    parameters = json.loads((saved / CONFIG).read_text())["parameters"]
    change(saved, parameters={**parameters, "device": "cuda"})
    with pytest.warns(DoubtWarning, match='device "cuda" is not on this machine; it is loaded on the CPU') as said:
        again = load(saved)
    assert said[0].filename == __file__
    assert (again.device, again.device_) == ("cuda", "cpu")
    np.testing.assert_array_equal(again.transform(x), autoencoder.transform(x), strict=True)
    assert load(saved, device="cpu").device_ == "cpu"  # asked for: no warning
    with pytest.raises(RequestError, match='device "cuda" is not on this machine') as caught:
        load(saved, device="cuda")
    assert not isinstance(caught.value, DataError)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_model_of_the_cpu_is_loaded_on_cuda(autoencoder, saved, x):
    there = load(saved, device="cuda")
    assert there.device_ == "cuda"
    np.testing.assert_allclose(there.transform(x), load(saved, device="cpu").transform(x), rtol=1e-3, atol=1e-4)


# --- where it is saved ---


def test_a_model_saves_itself(autoencoder, x, tmp_path):
    autoencoder.save(tmp_path / "new" / "a model")
    np.testing.assert_array_equal(load(tmp_path / "new" / "a model").transform(x), autoencoder.transform(x))
    prior = DecoderPrior(max_iter=3).of(autoencoder)
    prior.save(str(tmp_path / "prior"))
    np.testing.assert_array_equal(load(tmp_path / "prior").denoise(x[:5]), prior.denoise(x[:5]))
    for unfitted in (Autoencoder(), DecoderPrior()):
        with pytest.raises(ValueError, match="not fitted"):
            unfitted.save(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_nothing_but_a_model_is_replaced(autoencoder, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    (tmp_path / "thesis" / ".DS_Store").write_bytes(b"")  # which is no reason
    with pytest.raises(RequestError, match=r"thesis holds chapter.tex, so it is not a model's folder"):
        autoencoder.save(tmp_path / "thesis")
    with pytest.raises(RequestError, match=r"chapter.tex is a file, and a model is a folder"):
        autoencoder.save(tmp_path / "thesis" / "chapter.tex")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years"
    (tmp_path / "empty").mkdir()
    autoencoder.save(tmp_path / "empty")
    (tmp_path / "empty" / ".DS_Store").write_bytes(b"")
    autoencoder.save(tmp_path / "empty")


def test_a_model_is_replaced_by_another(autoencoder, tmp_path):
    autoencoder.save(tmp_path / "m")
    other = clone(autoencoder).set_params(random_state=5, epochs=1)
    x = np.random.default_rng(0).random((20, autoencoder.n_features_in_), np.float32)
    other.fit(x).save(tmp_path / "m")
    found = load(tmp_path / "m").reconstruct(x)
    np.testing.assert_array_equal(found, other.reconstruct(x))
    assert not np.array_equal(found, autoencoder.reconstruct(x))


@pytest.mark.parametrize("name", ["with spaces", "päth-日本", "x" * 200, "per%cent", "-dash", "line\nbreak"])
def test_names_of_any_kind(name, autoencoder, x, tmp_path):
    for _ in range(2):
        autoencoder.save(tmp_path / name)
    np.testing.assert_array_equal(load(tmp_path / name).transform(x), autoencoder.transform(x))
    assert os.listdir(tmp_path) == [name]


def test_a_link_stays_a_link(autoencoder, x, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "m")
    for _ in range(2):
        autoencoder.save(tmp_path / "model")
        assert (tmp_path / "model").is_symlink()
        assert os.listdir(tmp_path / "disk") == ["m"]
    np.testing.assert_array_equal(load(tmp_path / "model").transform(x), autoencoder.transform(x))


# --- scikit-learn's own way ---


@pytest.mark.parametrize("kind", ["autoencoder", "prior"])
def test_pickle_and_joblib_keep_every_bit(kind, autoencoder, x, tmp_path):
    model = autoencoder if kind == "autoencoder" else DecoderPrior(max_iter=3, random_state=0).of(autoencoder)
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert repr(again) == repr(model)
        np.testing.assert_array_equal(again.transform(x[:20]), model.transform(x[:20]), strict=True)
        np.testing.assert_array_equal(again.inverse_transform(again.transform(x[:20])), model.inverse_transform(
            model.transform(x[:20])), strict=True)  # fmt: skip
        again.save(tmp_path / "again")
        model.save(tmp_path / "model")
        for name in (CONFIG, WEIGHTS, HISTORY):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


# --- anything at all ---


def is_loaded(folder, name, content, originals):
    """Whether the model is loaded with this content of one file; if not, it is refused with DataError."""
    for path, data in originals.items():
        (folder / path).write_bytes(data)
    if name == WEIGHTS:
        put_weights(folder, content)
    else:
        (folder / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtWarning)
        try:
            load(folder)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return False
    return True


def throw(folder, examples, mutate):
    change(folder)  # or its checksum would find every mutation before the reader does
    originals = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS, HISTORY)}
    for name, data in originals.items():
        telling = min(len(data), 1200) if name == WEIGHTS else len(data)  # bytes, of which most means something
        n_loaded = 0
        for number in range(examples):
            try:
                n_loaded += is_loaded(folder, name, mutate(data[:telling], number) + data[telling:], originals)
            except Exception as error:
                error.add_note(f"{name}, mutation {number}")
                raise
        assert n_loaded < examples


def test_mutated_folders_give_a_model_or_a_data_error(saved, mutate):
    throw(saved, 150, mutate)


@pytest.mark.slow
def test_thousands_of_mutated_folders_give_a_model_or_a_data_error(saved, mutate):
    throw(saved, 3500, mutate)
