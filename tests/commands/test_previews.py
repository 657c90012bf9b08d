"""Pictures of results: what is drawn is there, where it should be, and in its colours."""

import numpy as np
import pytest
from PIL import Image

from isthmus.commands.shared.previews import write_preview

GREY, RED, BLUE = (128, 128, 128), (255, 0, 0), (0, 0, 255)


def drawn(path, rows, *labels):
    write_preview(path, rows, labels)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def images(*colours, side=8, channels=3):
    """(n, channels, side, side) of one colour each."""
    colour = np.array(colours, np.float32)[:, :channels, None, None] / 255
    return np.broadcast_to(colour, (len(colours), channels, side, side))


def of_colour(pixels, colour):
    return (np.abs(pixels.astype(int) - colour) <= 1).all(axis=-1)


def test_rows_stand_below_each_other_with_their_names_beside_them(tmp_path):
    pixels = drawn(tmp_path / "a.png", {"first": images(RED, BLUE), "the second, of two": images(BLUE, RED)})
    places = {}
    for colour in (RED, BLUE):
        ys, xs = np.nonzero(of_colour(pixels, colour))
        assert len(ys) == 2 * 112**2, "each eight pixels as large as a hundred"
        places[colour] = ys[xs == xs.min()].mean(), ys[xs == xs.max()].mean(), xs.min()
    assert places[RED][0] < places[RED][1]
    assert places[BLUE][0] > places[BLUE][1]
    beside = pixels[:, : min(x for *_, x in places.values())]
    assert ((beside < 100).any(axis=(1, 2)).sum(), beside.shape[1] > 150) == (pytest.approx(30, abs=20), True)


@pytest.mark.parametrize(("channels", "expected"), [(1, GREY), (2, GREY), (3, (128, 0, 255)), (4, GREY)])
def test_three_channels_are_colours_and_of_others_the_first_is_shown(channels, expected, tmp_path):
    pixels = drawn(tmp_path / "a.png", {"x": images((128, 0, 255, 7), channels=channels)})
    assert of_colour(pixels, expected).sum() == 112**2


@pytest.mark.parametrize("side", [1, 100, 200])
def test_small_images_grow_and_large_ones_shrink(side, tmp_path):
    shown = {1: 112, 100: 100, 200: 160}[side]
    assert of_colour(drawn(tmp_path / "a.png", {"x": images(RED, side=side)}), RED).sum() == shown**2


def test_labels_stand_above_their_columns_and_wide_ones_make_room(tmp_path):
    row = {"x": images(RED, BLUE)}
    without = drawn(tmp_path / "a.png", row)
    labelled = drawn(tmp_path / "b.png", row, "short", "a label that is wider than its image,\nin two lines")
    assert labelled.shape[0] > without.shape[0] + 30
    assert labelled.shape[1] > without.shape[1] + 300
    top = np.nonzero(of_colour(labelled, RED))[0].min()
    for colour in (RED, BLUE):
        xs = np.nonzero(of_colour(labelled, colour))[1]
        above = labelled[:top, xs.min() : xs.max()]
        assert (above < 100).any(), "there are letters"


def test_nothing_that_is_no_number_or_no_latin_letter_stops_it(tmp_path):
    x = np.full((2, 1, 8, 8), np.nan, np.float32)
    x[1] = np.inf
    pixels = drawn(tmp_path / "a.png", {"Ελληνικά, кириллица, 漢字 🙂": x})
    assert pixels.shape[0] > 112
