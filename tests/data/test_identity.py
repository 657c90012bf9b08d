"""An image has one identity, however its numbers are stored, and another image has another."""

import numpy as np
import pytest

from isthmus.data import identity
from isthmus.data.formats.page import Page
from isthmus.data.identity import identities_of, identity_of

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.integers(0, 256, (1, 9, 7), np.uint8), RNG.integers(0, 256, (3, 9, 7), np.uint8)
DEEP = RNG.integers(0, 65536, (1, 9, 7), dtype=np.uint16)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Page(GREY, 8), Page(np.repeat(GREY, 3, 0), 8)),
        (Page(COLOUR, 8), Page(COLOUR.astype(np.uint16) * 257, 16)),
        (Page(COLOUR, 8), Page((COLOUR / 255).astype(np.float32), 32)),
        (Page(COLOUR, 8), Page(COLOUR / 255, 64)),
        (Page(COLOUR, 8), Page(COLOUR * np.float32(1 / 255), 32)),
        (Page(GREY // 128, 1), Page(GREY // 128 * 255, 8)),
        (Page(DEEP, 16), Page((DEEP / np.float32(65535)).astype(np.float32), 32)),
        (Page(GREY, 8), Page(GREY.astype(np.float32), 32)),
        (Page(DEEP % 4096, 16), Page((DEEP % 4096).astype(np.float64), 64)),
        (Page(COLOUR, 8), Page(np.asfortranarray(COLOUR), 8)),
        (Page(COLOUR[:, ::-1], 8), Page(COLOUR[:, ::-1].copy(), 8)),
    ],
)
def test_the_same_image(one, other):
    assert identity_of(one) == identity_of(other)


def test_other_images():
    darker = DEEP.astype(np.float32) / 2**40  # none of them is 0, though all round to it in 8 bits
    nan = np.full((1, 2, 2), np.nan)
    others = [GREY, GREY[:, ::-1], GREY[:, :, ::-1], GREY.reshape(1, 7, 9), COLOUR, COLOUR[::-1], DEEP, DEEP // 257]
    others += [GREY // 2, GREY.astype(np.int16) - 300, GREY + np.float32(0.5), darker, 2 * darker, nan, nan[:, :1]]
    others += [np.zeros((1, 9, 7), np.uint8), np.zeros((1, 7, 9), np.uint8)]
    for pixel in range(GREY.size):
        changed = GREY.copy()
        changed.flat[pixel] ^= 1
        others.append(changed)
    found = [identity_of(Page(one, one.dtype.itemsize * 8)) for one in others]
    assert len(set(found)) == len(found)
    assert all(0 <= one < 2**64 for one in found)


def test_images_of_an_array():
    pixels = RNG.integers(0, 256, (20, 3, 4, 5), np.uint8)
    found = identities_of(pixels)
    assert found.dtype == np.uint64
    assert found.tolist() == [identity_of(Page(one, 8)) for one in pixels]
    assert len(set(found.tolist())) == 20


def test_large_images_are_told_apart():
    large = RNG.integers(0, 256, (1, 2000, 1500), np.uint8)
    assert identity_of(Page(large, 8)) == identity_of(Page(np.repeat(large, 3, 0), 8))
    assert identity_of(Page(large, 8)) != identity_of(Page(large[:, ::-1], 8))
    assert identity_of(Page(large, 8)) != identity_of(Page(large // 2, 8))


@pytest.mark.parametrize("n", [0, 1, 500])
def test_marks_among_many_are_those_that_numpy_finds(n, monkeypatch):
    monkeypatch.setattr(identity, "_AT_A_TIME", 100)
    rng = np.random.default_rng(n)
    few, many = (rng.integers(0, 300, size).astype(np.uint64) for size in (n, 1234))
    np.testing.assert_array_equal(identity.among(few, many), np.isin(few, many))
    assert not identity.among(few, many[:0]).any()
