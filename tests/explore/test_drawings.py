"""Drawings and uploads become images like the data's; what is no picture is refused in words."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isthmus import Images
from isthmus.errors import DataError
from isthmus.explore.answers.drawings import Manner, manner_of, place
from isthmus.explore.answers.uploads import read_upload

SHAPE = (1, 28, 28)
MNIST = Manner(True, 20 / 28, (0.5, 0.5))


def stroke(top=60, left=100, height=120, width=40):
    """A bright bar on a dark pad of 256×256."""
    pad = np.zeros((256, 256), np.float32)
    pad[top : top + height, left : left + width] = 1
    return pad


def png(array, mode=None, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, kind)
    return file.getvalue()


def test_a_drawing_fills_the_datas_box_and_is_centred_by_its_mass():
    x = place(stroke(), SHAPE, MNIST)[0]
    rows, columns = np.flatnonzero(x.any(axis=1)), np.flatnonzero(x.any(axis=0))
    assert rows[-1] - rows[0] + 1 == 20
    centre = (
        (x.sum(axis=1) * (np.arange(28) + 0.5)).sum() / x.sum(),
        (x.sum(axis=0) * (np.arange(28) + 0.5)).sum() / x.sum(),
    )
    assert centre == pytest.approx((14, 14), abs=0.5)
    assert 0 <= x.min() < x.max() <= 1
    assert len(columns) < 10


@given(st.integers(0, 130), st.integers(0, 210))
def test_where_on_the_pad_it_is_drawn_does_not_matter(top, left):
    np.testing.assert_array_equal(place(stroke(top, left), SHAPE, MNIST), place(stroke(), SHAPE, MNIST))


def test_an_empty_drawing_is_dark_and_a_dot_is_something():
    assert not place(np.zeros((256, 256), np.float32), SHAPE, MNIST).any()
    assert place(stroke(5, 5, 1, 1), SHAPE, MNIST).any()


def test_the_manner_of_the_digits_is_learned(shelf):
    found = manner_of(shelf.images, shelf.shape)
    assert found.plain
    assert found.box == 1  # they fill their 8 rows
    assert found.centre == pytest.approx((0.5, 0.5), abs=0.1)


def test_photographs_are_not_plain():
    pixels = np.random.default_rng(0).random((4, 3, 16, 16), np.float32)
    assert not manner_of(Images(pixels), (3, 16, 16)).plain
    assert manner_of(None, (1, 28, 28)) == MNIST


def test_ink_on_paper_is_light_on_dark_as_the_data_is():
    ink = (255 * (1 - stroke())).astype(np.uint8)
    x, said = read_upload(png(ink), SHAPE, MNIST)
    y, _ = read_upload(png(255 - ink), SHAPE, MNIST)
    assert "dark on light" in said
    np.testing.assert_allclose(x, y, atol=0.02)
    assert x[0, 14].max() > 0.9
    assert x[0, 0].max() == 0


def test_an_image_of_the_data_stays_as_it_is():
    pixels = np.zeros((28, 28), np.uint8)
    pixels[5:20, 3:9] = 200
    x, _ = read_upload(png(pixels), SHAPE, MNIST)
    np.testing.assert_allclose(x[0], pixels / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"])
def test_every_format_is_read(kind):
    ink = (255 * (1 - stroke())).astype(np.uint8)
    x, _ = read_upload(png(ink, kind=kind), SHAPE, MNIST)
    expected, _ = read_upload(png(ink), SHAPE, MNIST)
    assert np.abs(x - expected).mean() < 0.02


def test_what_is_see_through_is_paper_and_sixteen_bits_are_read():
    clear = np.zeros((256, 256, 4), np.uint8)
    clear[..., 3] = (255 * stroke()).astype(np.uint8)  # black ink, nothing else
    x, _ = read_upload(png(clear), SHAPE, MNIST)
    deep, _ = read_upload(png((65535 * stroke()).astype(np.uint16)), SHAPE, MNIST)
    np.testing.assert_allclose(x, deep, atol=0.02)
    assert x.max() > 0.9


def test_light_ink_on_nothing_is_seen_too():
    clear = np.full((256, 256, 4), 255, np.uint8)
    clear[..., 3] = (255 * stroke()).astype(np.uint8)  # white ink, nothing else
    x, _ = read_upload(png(clear), SHAPE, MNIST)
    expected, _ = read_upload(png((255 * stroke()).astype(np.uint8)), SHAPE, MNIST)
    np.testing.assert_allclose(x, expected, atol=0.02)


def test_ink_on_paper_in_a_dim_room_is_ink():
    dim = (255 * (0.4 - 0.3 * stroke())).astype(np.uint8)
    x, said = read_upload(png(dim), SHAPE, MNIST)
    expected, _ = read_upload(png((255 * (1 - stroke())).astype(np.uint8)), SHAPE, MNIST)
    assert "dark on light" in said
    np.testing.assert_allclose(x, expected, atol=0.02)


@pytest.mark.parametrize(("place", "edge"), [(80, 2), (170, 2), (80, 25), (128, 25), (170, 25)])  # edge: how soft
def test_a_shadow_on_the_paper_is_not_drawn(edge, place):
    """A hand's shadow leaves a third of the light, on one side of the paper or on both sides of the pen."""
    noise = 0.01 * np.random.default_rng(0).standard_normal((256, 256))
    paper = 0.85 * (1 - 0.8 * stroke()) + noise
    expected, _ = read_upload(png((255 * paper).clip(0, 255).astype(np.uint8)), SHAPE, MNIST)
    for away in (np.arange(256), np.arange(256)[::-1], np.arange(256)[:, None]):
        light = 0.33 + 0.67 / (1 + np.exp(-np.clip((away - place) / edge, -50, 50)))
        x, said = read_upload(png((255 * paper * light).clip(0, 255).astype(np.uint8)), SHAPE, MNIST)
        assert "dark on light" in said
        # its centre of mass may have come to lie in the next pixel
        moved = [np.roll(x, by, axis) for by in (-1, 0, 1) for axis in (1, 2)]
        assert min(np.abs(one - expected).mean() for one in moved) < 0.02


def test_a_broad_brush_is_ink_too():
    """Wider than what a shadow is told from, it is seen against the ground as a whole."""
    ink = (255 * (1 - stroke(40, 60, 160, 140))).astype(np.uint8)
    x, said = read_upload(png(ink), SHAPE, MNIST)
    assert "dark on light" in said
    assert x[0, 8:20, 8:20].min() > 0.9


def test_floats_are_from_0_to_1():
    x, _ = read_upload(png(stroke().astype(np.float32), kind="TIFF"), SHAPE, MNIST)
    expected, _ = read_upload(png((255 * stroke()).astype(np.uint8)), SHAPE, MNIST)
    np.testing.assert_allclose(x, expected, atol=0.02)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photograph_from_a_camera_that_was_turned_is_upright(kind):
    """And its size is the file's, though a large JPEG is decoded smaller."""
    ink = np.kron(255 * (1 - stroke(width=90)), np.ones((6, 8))).astype(np.uint8)
    expected, said = read_upload(png(ink), SHAPE, MNIST)
    assert said.startswith("2048×1536, ")
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90° clockwise
    file = io.BytesIO()
    Image.fromarray(np.rot90(ink)).save(file, kind, exif=exif)
    x, said = read_upload(file.getvalue(), SHAPE, MNIST)
    assert said.startswith("2048×1536, ")
    assert np.abs(x - expected).mean() < 0.02


def test_photographs_are_cropped_to_the_middle_and_keep_their_colours():
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = (255, 128, 0)
    x, said = read_upload(png(wide), (3, 10, 10), Manner(False, 1, (0.5, 0.5)))
    assert "cropped" in said
    np.testing.assert_allclose(x.mean(axis=(1, 2)), [1, 128 / 255, 0], atol=0.01)


def bomb(side=60000):
    """A PNG of a few bytes that promises side×side pixels."""
    chunk = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)

    def framed(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + framed(b"IHDR", chunk) + framed(b"IDAT", zlib.compress(b"\0")) + framed(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello", "is not a PNG, .* image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is a drawing or XML, which is not read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not a PNG, .* image"),
        (png(np.zeros((50, 50), np.uint8))[:60], "damaged"),
        (bomb(), "pixels"),
        (bomb(7000), "pixels"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(data, reason):
    with pytest.raises(DataError, match=reason) as error:
        read_upload(data, SHAPE, MNIST, name="mine.png")
    assert str(error.value).startswith("mine.png ")
    assert "\n" not in str(error.value)


def test_a_png_whose_pixels_were_changed_is_damaged():
    whole = bytearray(png(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)))
    whole[whole.index(b"IDAT") + 12] ^= 1
    with pytest.raises(DataError, match=r"damaged image \(wrong checksum"):
        read_upload(bytes(whole), SHAPE, MNIST)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what is damaged
@given(st.data())
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(data):
    whole = bytearray(
        png(
            np.arange(64 * 64, dtype=np.uint8).reshape(64, 64),
            kind=data.draw(st.sampled_from(["PNG", "GIF", "TIFF", "BMP"])),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        x, _ = read_upload(bytes(whole[: data.draw(st.integers(1, len(whole)))]), SHAPE, MNIST)
    except DataError:
        return
    assert x.shape == SHAPE
    assert np.isfinite(x).all()
    assert 0 <= x.min() <= x.max() <= 1
