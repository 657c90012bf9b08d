"""The letters that are built in: what they are, that the script draws them, and that networks beat PCA on them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus import Autoencoder, Dense, load_dataset, open_images
from isthmus.data.sources import built_in
from isthmus.errors import DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def letters():
    return load_dataset("letters")


def test_they_are_letters_in_every_size_of_the_alphabet_and_need_nothing(no_data, letters):
    assert (len(letters.train), len(letters.test), letters.train.shape) == (3250, 650, (1, 28, 28))
    assert letters.train.pixels.dtype == np.uint8
    assert np.bincount(letters.train.labels).tolist() == [125] * 26
    assert np.bincount(letters.test.labels).tolist() == [25] * 26
    assert "".join(letters.test.label_names) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    pixels = np.concatenate([letters.train.pixels, letters.test.pixels])
    assert len(np.unique(pixels.reshape(len(pixels), -1), axis=0)) == len(pixels)  # none is in both parts
    assert pixels[:, :, [0, -1]].mean() < 1  # light on black, and within the frame
    assert (pixels.max(axis=(1, 2, 3)) > 200).mean() > 0.99
    assert list(no_data.iterdir()) == []


def test_they_are_small_and_hold_no_objects():
    assert built_in.LETTERS_FILE.stat().st_size < 1_000_000
    with np.load(built_in.LETTERS_FILE, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["images", "labels", "n_train"]
    note = built_in.LETTERS_FILE.with_suffix(".txt").read_text("utf-8")
    assert all(word in note for word in ("LICENSE_DEJAVU", "LICENSE_STIX", "BaKoMa", "tools/letters.py"))


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "letters.npz"
    path.write_bytes(built_in.LETTERS_FILE.read_bytes()[:5000])
    monkeypatch.setattr(built_in, "LETTERS_FILE", path)
    with pytest.raises(DataError, match=r"letters\.npz is damaged .*install isthmus again"):
        load_dataset("letters")


def test_the_script_draws_them():
    """The first of them again; other versions of FreeType may round an edge by another grey level."""
    spec = importlib.util.spec_from_file_location("letters", ROOT / "tools" / "letters.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    few, again = script.data_set(2, 1), script.data_set(2, 1)
    assert few["images"].tobytes() == again["images"].tobytes()
    with np.load(built_in.LETTERS_FILE, allow_pickle=False) as arrays:
        shipped = arrays["images"].reshape(3900, -1).astype(float)
    distances = [np.abs(shipped - image.ravel()).mean(axis=1).min() for image in few["images"]]
    assert max(distances) < 1


def test_a_deep_network_leaves_half_of_what_pca_leaves(letters):
    X, X_test = (part.floats() for part in (letters.train, letters.test))
    pca = PCA(16, random_state=0).fit(X)
    of_pca = np.square(pca.inverse_transform(pca.transform(X_test)) - X_test).mean()
    network = Dense((256,), 16, activation="silu", code_activation="linear", output="sigmoid")
    deep = Autoencoder(network, epochs=15, batch_size=64, learning_rate=5e-3, schedule="one-cycle", random_state=0)
    assert -deep.fit(X).score(X_test) < 0.6 * of_pca


def test_open_images_reads_the_file_too():
    assert len(open_images(built_in.LETTERS_FILE)) == 3900
