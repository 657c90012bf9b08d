from dataclasses import replace

import numpy as np
import pytest

from isthmus.data.images import Dataset, Images
from isthmus.data.splits import split_dataset
from isthmus.errors import DataError, RequestError


def images(n=20, side=3, dtype=np.uint8, **options):
    """Images that all differ, with labels 0, 1, 2, 0, ..."""
    pixels = np.random.default_rng(n).integers(0, 256, (n, 1, side, side), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(n)
    if dtype != np.uint8:
        pixels = (pixels / 255).astype(dtype)
    return Images(pixels, np.arange(n) % 3, **options)


def dataset(n_train=20, n_test=6):
    return Dataset("some", "Some images", images(n_train), images(n_test))


def positions(part):
    """Where in the file these images stood: their first pixel says it."""
    return part.pixels[:, 0, 0, 0].tolist()


def test_uint8_stays_uint8_and_is_not_copied():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 1, 3, 3)
    kept = Images(pixels)
    assert kept.pixels is pixels
    assert (len(kept), kept.shape, kept.n_features) == (2, (1, 3, 3), 9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_become_float32(dtype):
    pixels = np.linspace(0, 1, 8).astype(dtype).reshape(2, 1, 2, 2)
    kept = Images(pixels)
    assert kept.pixels.dtype == np.float32
    np.testing.assert_array_equal(kept.pixels, pixels.astype(np.float32))


def test_floats_scales_uint8_once():
    every = Images(np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16))
    x = every.floats()
    assert x.dtype == np.float32
    assert x.shape == (1, 256)
    np.testing.assert_allclose(x[0], np.arange(256) / 255, rtol=1e-6)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(Images(x.reshape(1, 1, 16, 16)).floats(), x)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_floats_is_a_new_array_of_the_part_asked_for(dtype):
    some = images(dtype=dtype)
    before = some.pixels.copy()
    part = some.floats(slice(2, 5))
    np.testing.assert_array_equal(part, some.floats()[2:5])
    part[:] = 7
    np.testing.assert_array_equal(some.pixels, before)


WHOLE = np.zeros((2, 1, 2, 2), np.float32)


def with_pixel(value):
    pixels = WHOLE.copy()
    pixels[1, 0, 1, 1] = value
    return pixels


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (np.zeros((2, 4)), r"\(2, 4\)"),
        ([[[[0.0]]]], "got list"),
        (np.zeros((0, 1, 2, 2)), "no images"),
        (np.zeros((2, 1, 0, 2)), "no images"),
        (np.zeros((2, 1, 2, 2), np.int64), "int64"),
        (np.zeros((2, 1, 2, 2), bool), "bool"),
        (with_pixel(np.nan), "got NaN in image 1, counted from 0; remove or repair it"),
        (with_pixel(np.inf), "0 to inf"),
        (with_pixel(-0.5), "-0.5 to 0"),
        (with_pixel(255), "0 to 255; divide by 255"),
    ],
)
def test_wrong_pixels_are_refused_where_they_enter(pixels, fault):
    with pytest.raises(DataError, match=f"^a scan: .*{fault}"):
        Images(pixels, source="a scan")


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (np.zeros(3, int), r"2 images and labels of shape \(3,\)"),
        (np.zeros((2, 1), int), r"labels of shape \(2, 1\)"),
        ([0, 1], "integers, got list"),
        (np.array([0.5, 1]), "integers, got float64"),
        (np.array([0, 2]), "labels must lie in 0 to 1, got 0 to 2"),
        (np.array([-1, 0]), "labels must lie in 0 to 1, got -1 to 0"),
    ],
)
def test_wrong_labels_are_refused(labels, fault):
    with pytest.raises(DataError, match=fault):
        Images(WHOLE, labels, label_names=("no", "yes"))


def test_fingerprint_is_of_the_contents_alone():
    one = images()
    assert one.fingerprint == images(source="elsewhere").fingerprint
    assert len(one.fingerprint) == 64
    columns_first = Images(np.asfortranarray(one.pixels), one.labels)
    assert columns_first.fingerprint == one.fingerprint
    assert Images(one.pixels, one.labels.astype(np.uint8)).fingerprint == one.fingerprint


def test_fingerprint_moves_with_every_part():
    one = images()
    pixels, labels = one.pixels.copy(), one.labels.copy()
    pixels[3, 0, 1, 1] ^= 1
    labels[3] += 1
    others = [
        Images(pixels, one.labels),
        Images(one.pixels, labels),
        Images(one.pixels),
        Images(one.pixels.reshape(20, 1, 9, 1), one.labels),
        Images(one.floats().reshape(one.pixels.shape), one.labels),
        one.take(slice(0, 19)),
    ]
    assert len({part.fingerprint for part in [one, *others]}) == 7


def test_take_keeps_pixels_and_labels_together():
    some = images(source="here", label_names=("a", "b", "c"))
    few = some.take(np.array([5, 1]))
    assert positions(few) == [5, 1]
    assert few.labels.tolist() == [5 % 3, 1]
    assert (few.source, few.label_names) == (some.source, some.label_names)
    assert np.shares_memory(some.take(slice(2, 4)).pixels, some.pixels)


def test_only_keeps_these_labels():
    some = images()
    assert set(some.only((0, 2)).labels) == {0, 2}
    assert positions(some.only((1,))) == list(range(1, 20, 3))
    with pytest.raises(RequestError, match="no class 7; known: 0, 1, 2"):
        some.only((0, 7))
    with pytest.raises(RequestError, match="no labels"):
        Images(some.pixels).only((0,))


def test_followed_by_is_both_in_order():
    both = images(4).followed_by(images(3))
    assert positions(both) == [0, 1, 2, 3, 0, 1, 2]
    assert both.labels.tolist() == [0, 1, 2, 0, 0, 1, 2]


def test_what_was_cut_from_one_photograph_is_one():
    pixels = np.zeros((4, 1, 2, 2), np.uint8)
    assert Images(pixels).photographs.tolist() == [0, 1, 2, 3]
    assert Images(pixels, names=("b", "a", "b", "c")).photographs.tolist() == [1, 0, 1, 2]
    places = np.array([[1, 0, 0], [1, 0, 2], [0, 0, 0], [0, 0, 2]])
    assert Images(pixels, places=places, names=tuple("abcd")).photographs.tolist() == [1, 1, 0, 0]
    with pytest.raises(DataError, match=r"4 images and places of shape \(3, 3\)"):
        Images(pixels, places=places[:3])


@pytest.mark.parametrize("split", ["random", "file"])
def test_splits_share_no_image_and_lose_none(split):
    parts = split_dataset(dataset(), validation=6, split=split)
    assert {name: len(part) for name, part in parts.items()} == {"train": 14, "validation": 6, "test": 6}
    assert sorted(positions(parts["train"]) + positions(parts["validation"])) == list(range(20))
    assert positions(parts["test"]) == list(range(6))


def test_split_file_is_the_order_of_the_file():
    parts = split_dataset(dataset(), train=10, validation=4, split="file")
    assert positions(parts["train"]) == list(range(10))
    assert positions(parts["validation"]) == [10, 11, 12, 13]


def test_random_splits_follow_the_seed():
    first, again, other = (positions(split_dataset(dataset(), train=10, seed=s)["train"]) for s in (0, 0, 1))
    assert first == again == sorted(first)
    assert first != other
    assert first != list(range(10))


def test_without_validation_all_is_trained_on_and_shared():
    source = dataset()
    parts = split_dataset(source)
    assert set(parts) == {"train", "test"}
    assert parts["train"] is source.train


def test_classes_are_chosen_after_splitting():
    whole = split_dataset(dataset(), validation=8)
    chosen = split_dataset(dataset(), validation=8, classes=(1,))
    for name, part in chosen.items():
        assert positions(part) == positions(whole[name].only((1,)))


def test_a_class_that_a_split_happens_to_lack_is_not_said_to_be_unknown():
    with pytest.raises(
        RequestError, match=r'split "validation" of some, 1 image, has none of class [012]; give it more'
    ):
        split_dataset(dataset(), validation=1, classes=(0, 1, 2))
    with pytest.raises(RequestError, match="has no class 7; known: 0, 1, 2"):
        split_dataset(dataset(), validation=1, classes=(7,))


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"train": 21}, "train = 21 and validation = 0"),
        ({"train": 15, "validation": 6}, "train = 15 and validation = 6"),
        ({"validation": 20}, "train = 0"),
        ({"train": 0}, "train = 0"),
    ],
)
def test_more_than_there_is_is_refused(wanted, fault):
    with pytest.raises(RequestError, match=f"some has 20 training images; {fault}"):
        split_dataset(dataset(), **wanted)


def test_the_dataset_fingerprint_covers_both_parts():
    assert dataset().fingerprint == dataset().fingerprint
    assert len({dataset().fingerprint, dataset(n_test=5).fingerprint, dataset(n_train=19).fingerprint}) == 3


def test_names_stay_with_their_images():
    named = replace(images(6), names=tuple("abcdef"), notes=("read",))
    assert named.take(np.array([4, 1])).names == ("e", "b")
    assert named.take(slice(1, 3)).names == ("b", "c")
    assert named.take(np.arange(6) > 3).names == ("e", "f")
    assert named.only((1,)).names == ("b", "e")
    assert named.only((1,)).notes == ("read",)
    both = named.followed_by(replace(images(2), names=("x", "y"), notes=("read", "turned")))
    assert both.names == tuple("abcdefxy")
    assert both.notes == ("read", "turned")
    assert named.followed_by(images(2)).names == ()
    assert images().take(slice(0, 2)).names == ()
    assert named.fingerprint == images(6).fingerprint
    with pytest.raises(DataError, match="6 images and 5 names"):
        replace(named, names=tuple("abcde"))


def test_a_set_of_images_says_what_it_is_in_one_line():
    pixels = np.zeros((1200, 1, 8, 9), np.uint8)
    labels = np.arange(1200) % 3
    assert repr(Images(pixels, labels, "here")) == "<Images: 1,200 of 1×8×9, uint8, 3 labels, from here>"
    assert repr(Images(pixels / 255)) == "<Images: 1,200 of 1×8×9, float32, from an array>"
