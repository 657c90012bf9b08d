"""torch's Datasets and DataLoaders are read once, as what they give, and leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from isthmus import Autoencoder, Denoiser, Dense, Residual, open_images
from isthmus.data import torch_datasets
from isthmus.errors import DataError
from isthmus.estimators.samples import samples_of

X = np.random.default_rng(0).random((30, 1, 6, 5), np.float32)
Y = np.arange(30) % 3


class Pairs(Dataset):
    """What a function gives of each position."""

    def __init__(self, give, n=30, classes=None):
        self.give, self.n = give, n
        if classes:
            self.classes = classes

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.give(i)


class Stream(IterableDataset):
    def __init__(self, n=30):
        self.n = n

    def __iter__(self):
        return ((X[i % 30], int(Y[i % 30])) for i in range(self.n))


TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
SOURCES = {
    "tensors": TENSORS,
    "a loader": DataLoader(TENSORS, batch_size=7),
    "a loader of samples": DataLoader(TENSORS, batch_size=None),
    "a loader with workers": DataLoader(TENSORS, batch_size=7, num_workers=1),
    "without labels": TensorDataset(torch.from_numpy(X)),
    "arrays": Pairs(lambda i: (X[i], Y[i])),
    "only arrays": Pairs(lambda i: X[i]),
    "lists": Pairs(lambda i: [X[i], "a label", None]),
    "parts": ConcatDataset([Subset(TENSORS, range(10)), Subset(TENSORS, range(10, 30))]),
    "a stream": Stream(),
    "a loader of a stream": DataLoader(Stream(), batch_size=4),
}
LABELLED = set(SOURCES) - {"without labels", "only arrays", "lists"}


@pytest.mark.parametrize("name", SOURCES)
def test_a_fit_to_it_is_a_fit_to_its_array(name, global_generators):
    model = Autoencoder(Dense(bottleneck=3), epochs=1, random_state=0)
    expected, before = model.fit(X).transform(X), global_generators()
    fitted = model.fit(SOURCES[name])
    assert fitted.image_shape_ == (1, 6, 5)
    np.testing.assert_array_equal(fitted.transform(SOURCES[name]), expected)
    assert global_generators() == before
    assert expected.std() > 0


@pytest.mark.parametrize("name", SOURCES)
def test_its_whole_numbers_are_labels(name):
    images = open_images(SOURCES[name])
    np.testing.assert_array_equal(images.pixels, X)
    if name in LABELLED:
        np.testing.assert_array_equal(images.labels, Y)
    else:
        assert images.labels is None


def test_pillow_images_are_as_in_files_and_classes_name_their_labels():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), np.uint8)
    dataset = Pairs(lambda i: (Image.fromarray(pixels[i]), i % 2), 9, ["cat", "dog"])
    images = open_images(dataset, patches=(3, 5))
    assert images.label_names == ("cat", "dog")
    assert images.source == "a Pairs"
    np.testing.assert_array_equal(images.pixels[0], pixels[0, :3].transpose(2, 0, 1))
    np.testing.assert_array_equal(images.labels, np.repeat(np.arange(9) % 2, len(images) // 9))


def test_the_range_of_numbers_may_be_found():
    images = open_images(Pairs(lambda i: 100 * X[i] + 7), value_range="auto")
    assert (images.pixels.min(), images.pixels.max()) == (0, 1)


def test_a_shuffled_loader_gives_the_same_order_again_whatever_the_global_seed():
    loader = DataLoader(TENSORS, batch_size=7, shuffle=True)
    torch.manual_seed(1)
    first = open_images(loader)
    torch.manual_seed(2)
    again = open_images(loader)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, X)
    order = [int(np.flatnonzero((each == X).all(axis=(1, 2, 3)))[0]) for each in first.pixels]
    np.testing.assert_array_equal(first.labels, Y[order])


def test_a_denoiser_takes_images_of_different_sizes():
    photos = [np.random.default_rng(i).random((1, 20 + i, 24), np.float32) for i in range(4)]
    model = Denoiser(Residual(width=4, depth=4), crop=8, crops_per_epoch=16, epochs=1, random_state=0)
    dataset = Pairs(lambda i: torch.from_numpy(photos[i]), 4)
    expected = model.fit(photos).denoise(photos, 0.1)
    denoised = model.fit(dataset).denoise(dataset, 0.1)
    assert [x.shape for x in denoised] == [x.shape for x in photos]
    assert all(np.array_equal(a, b) for a, b in zip(denoised, expected, strict=True))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Pairs(lambda i: {"image": X[i]}), "got a dict in position 0; wrap it in a Dataset that gives"),
        (Pairs(lambda i: X[i] if i < 4 else X[i, :, :3]), r"got 1×6×5 float32 and, in position 4, 1×3×5 float32"),
        (Pairs(lambda i: "a file.png"), "got a str in position 0"),
        (Stream(0), "the Stream gives no samples"),
        (TensorDataset(torch.empty(0, 3)), "gives no samples"),
    ],
)
def test_what_is_no_sample_is_refused_with_its_position(source, message):
    with pytest.raises(DataError, match=message):
        samples_of(Autoencoder(), source, reset=True)


@pytest.mark.parametrize("source", [TENSORS, Stream(10**9), DataLoader(Stream(10**9), batch_size=4)])
def test_more_than_fits_into_memory_is_refused_before_it_is_full(monkeypatch, source):
    monkeypatch.setattr(torch_datasets, "memory_limit", lambda: 2000)
    with pytest.raises(DataError, match=r"the limit is 2,000, half of this machine's memory.*data convert"):
        open_images(source)
    with pytest.raises(DataError, match="the limit is 2,000"):
        torch_datasets.read_list(source, "X")


def test_what_brings_its_own_batches_is_not_read():
    class Mine(Dataset):
        n_features, device = 5, torch.device("cpu")
        fingerprint = "mine"

        def __len__(self):
            return 20

        def order(self, epoch):
            return None

        def batch(self, which):
            return torch.from_numpy(X.reshape(-1, 5)[:20])[which]

    assert Autoencoder(Dense(bottleneck=2), epochs=1, random_state=0).fit(Mine()).n_features_in_ == 5
