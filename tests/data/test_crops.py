"""Crops of photographs: a function of (seed, epoch, position), in every place and turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.data.photographs.crops import Crops
from isthmus.data.photographs.image_list import ImageList, image_list
from isthmus.errors import DataError

CPU = torch.device("cpu")


def numbered(*sizes):
    """Images of different sizes whose pixels are all different."""
    starts = np.cumsum([0, *(h * w for h, w in sizes)])
    arrays = [np.arange(h * w, dtype=np.float32).reshape(1, h, w) + s for (h, w), s in zip(sizes, starts, strict=False)]
    return ImageList(tuple(arrays))


def test_a_crop_is_a_function_of_its_number_alone():
    photos = numbered((20, 30), (25, 18))
    crops, again = Crops(photos, 8, 64, CPU, seed=3), Crops(photos, 8, 64, CPU, seed=3)
    for epoch in (1, 7):
        whole = crops.batch(crops.order(epoch))
        assert torch.equal(whole[10:20], again.batch(again.order(epoch)[10:20]))
    assert not torch.equal(crops.batch(crops.order(1)), crops.batch(crops.order(2)))
    assert not torch.equal(crops.batch(crops.order(1)), Crops(photos, 8, 64, CPU, seed=4).batch(crops.order(1)))
    assert torch.equal(crops.batch(slice(3, 5)), crops.batch(torch.tensor([3, 4])))


def test_every_place_and_turn_of_every_photograph_comes_up():
    photos = numbered((5, 6), (4, 7))
    crops = Crops(photos, 4, 4000, CPU)
    seen = {tuple(row) for row in crops.batch(crops.order(1)).int().tolist()}
    possible = set()
    for photo in photos.arrays:
        h, w = photo.shape[1:]
        for top in range(h - 3):
            for left in range(w - 3):
                crop = photo[0, top : top + 4, left : left + 4]
                for turn in range(4):
                    for image in (np.rot90(crop, turn), np.rot90(crop, turn)[:, ::-1]):
                        possible.add(tuple(image.astype(int).ravel()))
    assert seen == possible


def test_of_any_colour_the_channels_come_in_all_orders_and_nothing_else_changes():
    grey = numbered((9, 7), (8, 8)).arrays
    colours = ImageList(tuple(np.concatenate([x, x + 1000, x + 2000]) for x in grey))
    plain, any_colour = (Crops(colours, 4, 200, CPU, any_colour=on) for on in (False, True))
    orders = set()
    pairs = zip(plain.batch(plain.order(2)), any_colour.batch(any_colour.order(2)), strict=True)
    for before, after in ((a.view(3, -1), b.view(3, -1)) for a, b in pairs):
        order = (after[:, 0] // 1000).int().tolist()
        assert torch.equal(after, before[order])
        orders.add(tuple(order))
    assert len(orders) == 6
    one, same = (Crops(ImageList(grey), 4, 200, CPU, any_colour=on) for on in (False, True))
    assert torch.equal(one.batch(one.order(2)), same.batch(same.order(2)))


def test_each_photograph_is_cropped_as_often_whatever_its_size():
    crops = Crops(numbered((8, 8), (80, 80), (9, 30)), 8, 300, CPU)
    of_first = (crops.batch(crops.order(1)).max(dim=1).values < 64).sum()
    assert int(of_first) == 100


def test_a_photograph_smaller_than_a_crop_is_continued_by_its_mirror_image():
    crops = Crops(numbered((3, 5)), 4, 10, CPU)
    for row in crops.batch(crops.order(1)).view(-1, 4, 4):
        assert set(row.flatten().int().tolist()) <= set(range(15))


def test_uint8_stays_uint8_until_it_is_used():
    photos = image_list([np.full((4, 4), 255, np.uint8)])
    assert photos.arrays[0].dtype == np.uint8
    assert Crops(photos, 4, 2, CPU, scale=255).batch(slice(0, 1)).tolist() == [[1.0] * 16]


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([np.zeros((4, 4)), np.full((4, 4), np.nan)], r"X\[1\] contains NaN"),
        ([np.zeros((1, 8, 8)), np.zeros((3, 8, 8))], "1 channels and X.1. 3"),
        ([np.zeros(4)], r"X\[0\] must be \(c, h, w\)"),
        ([], "no images"),
        (np.zeros((3, 3)), "or a list of arrays"),
        ([np.zeros((0, 4))], "has no pixels"),
        ([np.array([["a"]])], "must be numbers"),
    ],
)
def test_what_holds_no_images_is_refused(X, words):
    with pytest.raises(DataError, match=words):
        image_list(X)


def test_layouts():
    X = [np.zeros((9, 7)), np.zeros((1, 9, 7)), np.zeros((9, 7, 1))]
    assert {array.shape for array in image_list(X).arrays} == {(1, 9, 7)}
    assert image_list(np.zeros((2, 9, 7, 3))).arrays[0].shape == (3, 9, 7)


def test_a_folder(tmp_path):
    from PIL import Image

    for i, size in enumerate([(12, 9), (7, 20)]):
        Image.fromarray(np.full(size, 51 * i, np.uint8)).save(tmp_path / f"{i}.png")
    photos = image_list(tmp_path)
    assert [array.shape for array in photos.arrays] == [(1, 12, 9), (1, 7, 20)]
    assert photos.names == ("0.png", "1.png")
    assert float(photos.floats(1).max()) == pytest.approx(0.2)
