"""What is held out shares no pixel with what is trained on: every pixel of these photographs has a value of its own."""

import numpy as np
import pytest
import tifffile

from isthmus import Autoencoder, Dense, Images, open_images
from isthmus.data.splits import SEVERAL, by_regions, by_runs, have_neighbours, is_cut, split
from isthmus.errors import RequestError
from isthmus.estimators.samples import hold_out

BIG = [(60, 40), (33, 57), (41, 41), (50, 24), (24, 47), (64, 64), (40, 40), (31, 60)]


def photographs(sizes):
    """Photographs in which no value occurs twice, exactly representable in float32, and never 0."""
    total = sum(h * w for h, w in sizes)
    values = (np.random.default_rng(0).permutation(total) + 1).astype(np.float32) / np.float32(2**17)
    assert total < 2**17
    starts = np.cumsum([0, *(h * w for h, w in sizes)])
    return [values[a:b].reshape(size) for a, b, size in zip(starts[:-1], starts[1:], sizes, strict=True)]


def patches(sizes, **options):
    """The patches of such photographs, of one size from an array, of several put together by hand."""
    found = [open_images(one[None], **options) for one in photographs(sizes)]
    images = found[0]
    for one in found[1:]:
        images = images.followed_by(one)
    return images


def assert_apart(parts):
    """No pixel value is in two parts, and none of them is empty."""
    values = [np.unique(part.pixels) for part in parts]
    assert all(len(one) for one in values)
    for i, one in enumerate(values):
        for other in values[i + 1 :]:
            assert not np.intersect1d(one, other).size


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shares", [(0.1,), (0.1, 0.1), (0.25, 0.2)])
@pytest.mark.parametrize("options", [{"patches": (8, 8)}, {"patches": (5, 7), "patches_per_image": 60}])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 8])
def test_no_pixel_is_in_two_parts(n, options, shares, seed):
    images = patches(BIG[:n], **options)
    assert by_regions(images) == (n < SEVERAL)
    parts = [images.take(which) for which in split(images, shares, seed)]
    assert_apart(parts)
    if n >= SEVERAL:
        assert sum(map(len, parts)) == len(images)
        assert not set(parts[0].photographs) & set(parts[-1].photographs)
    for share, part in zip(shares, parts[1:], strict=True):
        assert len(part) >= 0.5 * share * len(images) or n >= SEVERAL
    assert len(parts[0]) > 0.2 * len(images)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_an_autoencoder_holds_out_what_it_has_not_seen(n):
    images = patches(BIG[:n], patches=(8, 8))
    train, held, kept = hold_out(images, 0.2, seed=3)
    assert_apart([train, held])
    np.testing.assert_array_equal(images.pixels[kept], train.pixels)


def test_files_of_a_folder_too(tmp_path):
    from PIL import Image

    for i in range(3):
        values = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) + np.uint16(1 + 1000 * i)
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    images = open_images(tmp_path, patches=(4, 4))
    assert_apart([images.take(which) for which in split(images, (0.1, 0.1), 0)])


def test_the_seed_chooses_what_is_held_out():
    images = patches(BIG[:2], patches=(8, 8))
    found = {tuple(split(images, (0.1,), seed)[1].tolist()) for seed in range(12)}
    assert len(found) == 4  # either end of each of the two


def test_photographs_too_small_to_be_divided_are_trained_on_or_refused():
    options = {"patches": (8, 8)}
    with pytest.raises(RequestError, match=r"too small to hold out patches of 8×8 that share no pixel"):
        split(patches([(12, 12), (14, 8)], **options), (0.1, 0.1), 0)
    images = patches([(12, 12), (40, 12)], **options)
    train, held = (images.take(which) for which in split(images, (0.1,), 0))
    assert set(train.photographs) == {0, 1}
    assert set(held.photographs) == {1}
    assert_apart([train, held])


def test_patches_whose_places_nobody_knows_are_refused():
    images = Images(np.arange(24, dtype=np.uint8).reshape(6, 1, 2, 2), names=tuple("aaabbb"))
    with pytest.raises(RequestError, match="it is not known where these patches were cut"):
        split(images, (0.2,), 0)
    with pytest.raises(RequestError, match="not known"):
        Autoencoder(Dense(bottleneck=1), validation_fraction=0.3, epochs=1, random_state=0).fit(images)


def test_whole_images_are_held_out_as_ever():
    """Known choices of the stream `split`: a model with a validation fraction keeps its bits."""
    images = Images(np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2))
    assert not is_cut(images)
    train, held = split(images, (0.3,), 5)
    again = hold_out(images, 0.3, 5)
    np.testing.assert_array_equal(images.pixels[held], again[1].pixels)
    np.testing.assert_array_equal(train, again[2])
    three = split(images, (0.3, 0.2), 5)
    np.testing.assert_array_equal(three[1], held)
    assert sorted(np.concatenate(three).tolist()) == list(range(10))


def test_the_pages_of_a_stack_are_held_out_together():
    names = tuple(f"{file}.tif#{page}" for file in range(8) for page in range(1, 6))
    images = Images(np.zeros((40, 1, 4, 4), np.uint8), names=names)
    train, held = split(images, [0.25], 0)
    assert (len(train), len(held)) == (30, 10)
    files = np.array([name.split("#")[0] for name in names])
    assert not set(files[train]) & set(files[held])


def stack(*counts):
    """Files of so many pages, in the order of a collection."""
    files = [f"{i}.tif" for i in range(len(counts))]
    names = [
        f"{file}#{page}" if n > 1 else file for file, n in zip(files, counts, strict=True) for page in range(1, n + 1)
    ]
    return Images(np.zeros((len(names), 1, 4, 4), np.uint8), names=tuple(names))


def pages_of(images, which):
    found = {}
    for name in np.array(images.names)[which]:
        file, _, page = name.partition("#")
        found.setdefault(file, []).append(int(page or 0))
    return found


@pytest.mark.parametrize("counts", [(40,), (200,), (30, 60), (12, 5, 3, 1, 1, 1, 1, 1, 1, 1, 1), (8,)])
@pytest.mark.parametrize("seed", range(5))
def test_runs_of_pages_are_held_out_without_their_neighbours(counts, seed):
    images = stack(*counts)
    assert by_runs(images)
    parts = split(images, (0.1, 0.2), seed)
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) < len(images)
    assert not have_neighbours([images.take(which) for which in parts])
    train, *held = (pages_of(images, which) for which in parts)
    for share, found in zip((0.1, 0.2), held, strict=True):
        pages = found["0.tif"]
        assert len(pages) == max(1, round(share * counts[0]))
        assert pages == list(range(pages[0], pages[0] + len(pages)))
        gap = max(1, counts[0] // 20)
        others = [page for one in (train, *held) if one is not found for page in one["0.tif"]]
        assert min(abs(page - other) for page in pages for other in others) > gap
    assert len(parts[0]) >= len(images) / 4
    if counts.count(1) == 8:
        assert [sum(file in one for file in map("{}.tif".format, range(3, 11))) for one in held] == [1, 2]


def test_runs_lie_anywhere():
    starts = {split(stack(40), (0.1,), seed)[1][0] for seed in range(60)}
    assert min(starts) < 6
    assert max(starts) > 30
    assert len(starts) > 15


def test_pages_are_in_the_order_of_their_numbers():
    """As text, page 10 comes before page 2."""
    images = stack(30)
    shuffled = images.take(np.random.default_rng(0).permutation(30))
    for seed in range(5):
        held = pages_of(shuffled, split(shuffled, (0.2,), seed)[1])["0.tif"]
        assert max(held) - min(held) == len(held) - 1 == 5


def test_too_few_pages():
    with pytest.raises(RequestError, match="too few pages to hold out two runs"):
        split(stack(6), (0.1, 0.1), 0)
    assert [len(one) for one in split(stack(6), (0.1,), 0)] in ([3, 1], [4, 1])
    images = stack(3)
    assert have_neighbours([images.take(which) for which in split(images, (0.1,), 0)])


def test_one_long_stack_among_files_is_not_held_out_whole():
    images = stack(100, *[1] * 10)
    for seed in range(20):
        assert 5 <= len(pages_of(images, split(images, (0.1, 0.1), seed)[1])["0.tif"]) <= 15


def test_of_few_pages_regions_at_one_place(tmp_path):
    """The pages are the same picture, so what is held out of one must not be trained on in another."""
    page = photographs([(40, 60)])[0]
    tifffile.imwrite(tmp_path / "a.tif", np.stack([page] * 4), photometric="minisblack")
    for seed in range(4):
        for options in ({}, {"patches_per_image": 60, "seed": seed}):
            images = open_images(tmp_path, patches=(8, 8), **options)
            assert by_regions(images)
            assert_apart([images.take(which) for which in split(images, (0.1, 0.1), seed)])
