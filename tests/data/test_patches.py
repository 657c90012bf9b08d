"""Patches cover the image, and put together they are the image again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import open_images
from isthmus.data.framing import Framing, framing_from, table_of
from isthmus.data.patches import assemble, cut, positions_of, random_positions, window
from isthmus.errors import DataError, RequestError


@st.composite
def cuttings(draw):
    """An image's shape, a patch's size within it, and a stride that leaves no gap."""
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    size = draw(st.integers(1, height)), draw(st.integers(1, width))
    stride = draw(st.none() | st.tuples(st.integers(1, size[0]), st.integers(1, size[1])))
    return (draw(st.integers(1, 3)), height, width), size, stride


@given(cuttings(), st.sampled_from([np.uint8, np.float32, np.float64]))
@settings(deadline=None)
def test_what_was_cut_and_put_together_is_the_image(cutting, dtype):
    shape, size, stride = cutting
    image = (np.random.default_rng(0).random(shape) * 255).astype(dtype)
    patches, positions = cut(image, size, stride)
    assert patches.dtype == dtype
    assert patches.shape == (len(positions), shape[0], *size)
    again = assemble(patches, positions, shape[1:])
    np.testing.assert_allclose(again, image, rtol=1e-12 if dtype == np.float64 else 1e-6)


@given(cuttings())
@settings(deadline=None)
def test_each_patch_is_the_part_at_its_corner_and_none_comes_twice(cutting):
    shape, size, stride = cutting
    image = np.arange(np.prod(shape)).reshape(shape)
    patches, positions = cut(image, size, stride)
    for patch, (top, left) in zip(patches, positions, strict=True):
        np.testing.assert_array_equal(patch, image[:, top : top + size[0], left : left + size[1]])
    assert len(set(map(tuple, positions.tolist()))) == len(positions)
    assert sorted(positions.tolist()) == positions.tolist()


def test_patches_that_disagree_are_blended_without_a_seam():
    patches, positions = cut(np.zeros((1, 8, 24)), (8, 16), (8, 8))
    assert positions.tolist() == [[0, 0], [0, 8]]
    patches[1] = 1
    row = assemble(patches, positions, (8, 24))[0, 4]
    np.testing.assert_array_equal(row[[0, 7, 16, 23]], [0, 0, 1, 1])
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() < 0.2, "a step would be 1"


@given(st.integers(1, 80), st.integers(1, 80))
def test_no_weight_is_zero(height, width):
    weights = window((height, width))
    assert weights.shape == (height, width)
    assert 0 < weights.min() <= weights.max() <= 1
    np.testing.assert_allclose(weights, weights[::-1, ::-1])


def test_random_positions_reach_every_corner_and_nothing_beyond():
    drawn = random_positions((5, 7), (4, 4), 500, np.random.default_rng(0))
    assert set(map(tuple, drawn.tolist())) == {(i, j) for i in range(2) for j in range(4)}


def test_what_cannot_be_cut_or_put_together_is_refused():
    with pytest.raises(DataError, match="3×9 is smaller than a patch of 4×4"):
        positions_of((3, 9), (4, 4))
    with pytest.raises(RequestError, match=r"stride must be at most the size of a patch, \(4, 4\), got \(5, 4\)"):
        positions_of((9, 9), (4, 4), (5, 4))
    with pytest.raises(RequestError, match=r"got \(9, 9\)"):
        cut(np.zeros((9, 9)), (4, 4))
    patches, positions = cut(np.zeros((1, 9, 9)), (4, 4))
    for wrong, corners, shape, said in [
        (patches[1:], positions[1:], (9, 9), "do not cover"),
        (patches, positions, (9, 8), "reach outside an image of 9×8"),
        (patches, positions - 1, (9, 9), "reach outside"),
        (patches, positions[1:], (9, 9), "with n corners"),
        (patches[:0], positions[:0], (9, 9), "with n corners"),
    ]:
        with pytest.raises(RequestError, match=said):
            assemble(wrong, corners, shape)


def test_a_framing_cuts_patches_a_stride_apart_and_remembers_it():
    images = np.random.default_rng(0).random((2, 1, 20, 31))
    framing = Framing(patches=(8, 6), stride=(4, 5))
    cut_up = open_images(images, patches=(8, 6), stride=(4, 5))
    expected = np.concatenate([cut(image.astype(np.float32), (8, 6), (4, 5))[0] for image in images])
    np.testing.assert_array_equal(cut_up.pixels, expected)
    assert len(cut_up) == 2 * framing.count((20, 31), "an image") == 2 * 4 * 6
    assert framing_from(table_of(framing), "config.json") == framing
    assert framing.words() == "--patches 8x6 --stride 4x5"
    assert framing.whole == Framing()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stride": (4, 4)}, "given with the size of the patches"),
        ({"patches": (8, 8), "stride": (4, 9)}, r"at most the size of a patch, \(8, 8\), got \(4, 9\)"),
        ({"patches": (8, 8), "stride": (4, 4), "patches_per_image": 3}, "not with patches_per_image"),
        ({"patches": (8, 8), "stride": (0, 4)}, "stride must be a height and a width"),
    ],
)
def test_strides_that_cannot_be(arguments, words):
    with pytest.raises(RequestError, match=words):
        Framing(**arguments)
