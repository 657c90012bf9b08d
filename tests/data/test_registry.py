import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from isthmus.data.sources import registry
from isthmus.errors import DataError, RequestError


def real_mnist():
    """The folder of MNIST, which a test marked `mnist` may rely on."""
    root = Path(os.environ["ISTHMUS_DATA"])
    return root / "mnist" if (root / "mnist").is_dir() else root


def refused(name, data_dir=None, kind=DataError):
    with pytest.raises(kind) as caught:
        registry.load(name, data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits_needs_nothing(no_data):
    digits = registry.load("digits")
    assert (len(digits.train), len(digits.test), digits.train.shape) == (1437, 360, (1, 8, 8))
    assert digits.train.pixels.max() == 1
    assert len(np.unique(digits.train.floats())) == 17
    assert np.bincount(digits.test.labels).min() > 20
    assert list(no_data.iterdir()) == []


def test_digits_are_always_the_same():
    assert registry.load("digits").fingerprint == registry.load("digits").fingerprint


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_a_missing_data_set_says_how_to_get_it(no_data, tmp_path, name):
    text = refused(name, tmp_path / "nowhere", RequestError)
    assert f"isthmus data get {name}" in text
    assert "digits, which is built in" in text
    assert str(tmp_path / "nowhere") in text
    assert str(registry.cache_folder()) in text


def test_an_unknown_data_set_suggests_the_nearest():
    assert 'Did you mean "mnist"?' in refused("mnits", kind=RequestError)


def test_files_are_read_as_the_data_set(no_data, tmp_path, tiny, write):
    write(tmp_path / "fashion-mnist", tiny)
    found = registry.load("fashion-mnist", tmp_path)
    assert (len(found.train), len(found.test), found.train.shape) == (12, 5, (1, 4, 4))
    assert found.train.pixels.tobytes() == tiny["train-images-idx3-ubyte"][16:]
    assert found.test.labels.tolist() == [0, 1, 2, 3, 4]
    assert found.train.label_names[9] == "ankle boot"
    assert found.notes == ()
    assert found.files == {name: hashlib.sha256(content).hexdigest() for name, content in tiny.items()}


def test_the_argument_comes_before_the_environment_and_that_before_the_cache(
    no_data, tmp_path, monkeypatch, make_set, write
):
    def size(data_dir=None):
        return len(registry.load("fashion-mnist", data_dir).train)

    write(registry.cache_folder() / "fashion-mnist", make_set(n_train=3))
    assert size() == 3
    monkeypatch.setenv("ISTHMUS_DATA", str(write(tmp_path / "environment", make_set(n_train=4))))
    assert size() == 4
    assert size(write(tmp_path / "argument" / "fashion-mnist", make_set(n_train=5))) == 5
    assert size(tmp_path / "argument") == 5
    assert size(tmp_path / "nowhere") == 4


def test_three_of_four_files_are_not_a_data_set(no_data, tmp_path, tiny, write):
    folder = write(tmp_path / "fashion-mnist", tiny)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert "is not on this machine" in refused("fashion-mnist", tmp_path, RequestError)


@pytest.mark.parametrize(
    ("name", "compress", "fault"),
    [("mnist", False, "sha256"), ("mnist", True, "sha256"), ("fashion-mnist", True, "md5"), ("kmnist", True, "md5")],
)
def test_a_wrong_checksum_is_refused(no_data, tmp_path, tiny, write, name, compress, fault):
    write(tmp_path / name, tiny, compress)
    text = refused(name, tmp_path)
    assert fault in text
    assert "train-images-idx3-ubyte" in text
    assert f"remove it and run `isthmus data get {name}`" in text


def test_a_broken_file_is_refused_with_its_path(no_data, tmp_path, tiny, write):
    tiny["t10k-labels-idx1-ubyte"] = tiny["t10k-labels-idx1-ubyte"][:-1]
    folder = write(tmp_path / "fashion-mnist", tiny)
    assert f"{folder / 't10k-labels-idx1-ubyte'} promises 5" in refused("fashion-mnist", tmp_path)


@pytest.mark.parametrize(
    ("file", "array", "fault"),
    [
        ("train-labels-idx1-ubyte", np.zeros(11, np.uint8), "do not belong together"),
        ("train-images-idx3-ubyte", np.zeros((12, 16), np.uint8), "do not belong together"),
        ("train-labels-idx1-ubyte", np.zeros((12, 1), np.uint8), "do not belong together"),
        ("train-labels-idx1-ubyte", np.full(12, 0.5, "f4"), "labels must be an array of integers"),
        ("train-labels-idx1-ubyte", np.full(12, 10, np.uint8), "labels must lie in 0 to 9, got 10 to 10"),
        ("train-labels-idx1-ubyte", np.full(12, -1, np.int8), "labels must lie in 0 to 9, got -1 to -1"),
        ("train-images-idx3-ubyte", np.full((12, 4, 4), np.nan, "f4"), "NaN"),
        ("train-images-idx3-ubyte", np.full((12, 4, 4), 255, "i2"), "must be uint8 or float"),
        ("train-images-idx3-ubyte", np.zeros((12, 5, 5), np.uint8), r"shape (1, 5, 5) and test images of (1, 4, 4)"),
    ],
)
def test_sound_files_that_do_not_fit_together_are_refused(no_data, tmp_path, tiny, write, idx, file, array, fault):
    write(tmp_path / "fashion-mnist", {**tiny, file: idx(array)})
    assert fault in refused("fashion-mnist", tmp_path)


def test_no_images_are_refused(no_data, tmp_path, make_set, write):
    write(tmp_path / "fashion-mnist", make_set(n_test=0))
    assert "no images" in refused("fashion-mnist", tmp_path)


def test_test_images_are_had_without_the_others(no_data, tmp_path, tiny, make_set, write):
    folder = write(tmp_path / "fashion-mnist", tiny)
    whole = registry.load("fashion-mnist", tmp_path)
    made_with = {"sha256": whole.fingerprint, "files": whole.files}
    (folder / "train-images-idx3-ubyte").write_bytes(b"damaged, and not read")
    unseen = registry.load_unseen("fashion-mnist", tmp_path)
    assert unseen.images.fingerprint == whole.test.fingerprint
    assert (unseen.title, unseen.notes) == (whole.title, whole.notes)
    assert unseen.is_of(made_with)
    write(folder, make_set(n_test=6))
    assert not registry.load_unseen("fashion-mnist", tmp_path).is_of(made_with)
    digits, built_in = registry.load("digits"), registry.load_unseen("digits")
    assert built_in.images.fingerprint == digits.test.fingerprint
    assert built_in.is_of({"sha256": digits.fingerprint})
    assert not built_in.is_of(made_with)
    with pytest.raises(RequestError, match="kmnist is not on this machine"):
        registry.load_unseen("kmnist", tmp_path)


def sample(n=10):
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)
    return {"sample-images-idx3-ubyte": pixels, "sample-labels-idx1-ubyte": np.arange(n, dtype=np.uint8) % 10}


def test_the_sample_stands_in_and_this_is_said(no_data, tmp_path, idx, write):
    write(tmp_path / "fashion-mnist-sample", {name: idx(array) for name, array in sample().items()}, compress=True)
    assert "stand in for fashion-mnist" in registry.load_unseen("fashion-mnist", tmp_path).notes[0]
    found = registry.load("fashion-mnist", tmp_path)
    assert (len(found.train), len(found.test)) == (8, 2)
    assert found.test.labels.tolist() == [4, 9]
    assert "sample of 10" in found.title
    assert "stand in for fashion-mnist, which is not on this machine" in found.notes[0]
    assert set(found.files) == set(sample())


def test_the_whole_is_preferred_to_the_sample(no_data, tmp_path, monkeypatch, tiny, idx, write):
    write(tmp_path / "fashion-mnist-sample", {name: idx(array) for name, array in sample().items()})
    write(registry.cache_folder() / "fashion-mnist", tiny)
    assert len(registry.load("fashion-mnist", tmp_path).train) == 12


def test_a_sample_stands_in_for_its_own_data_set_only(no_data, tmp_path, idx, write):
    write(tmp_path, {name: idx(array) for name, array in sample().items()})
    assert registry.load("fashion-mnist", tmp_path).notes
    assert "is not on this machine" in refused("mnist", tmp_path, RequestError)


def test_every_published_file_has_a_checksum():
    for name, source in registry.SOURCES.items():
        sums = source.sha256 or source.md5
        assert source.name == name
        assert len(set(sums.values())) == 4
        assert {len(checksum) for checksum in sums.values()} == {64 if source.sha256 else 32}
        assert all(mirror.startswith("http") for mirror in source.mirrors)


@pytest.mark.mnist
def test_mnist_is_mnist():
    mnist = registry.load("mnist")
    assert (len(mnist.train), len(mnist.test), mnist.train.shape) == (60000, 10000, (1, 28, 28))
    assert mnist.train.pixels.dtype == np.uint8
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.train.pixels.mean() / 255 == pytest.approx(0.1307, abs=5e-5)  # the figure everybody normalises by


@pytest.mark.mnist
def test_mnist_in_a_unicode_folder_and_not_as_fashion(tmp_path):
    folder = tmp_path / "цифры é"
    folder.mkdir()
    for path in real_mnist().glob("*-ubyte*"):
        (folder / path.name).symlink_to(path)
    assert len(registry.load("mnist", folder).test) == 10000
    assert "is mnist's, not fashion-mnist's" in refused("fashion-mnist", folder)
