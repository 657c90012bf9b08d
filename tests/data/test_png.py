"""PNGs are read as Pillow reads them, and no damage to one goes unnoticed."""

import io
import itertools
import zlib

import numpy as np
import pytest
from PIL import Image

from isthmus.data.formats.png import START, pages
from isthmus.errors import DataError
from tests.image_files import read_image


def picture(height=13, width=17, channels=1):
    """Waves and noise, of which Pillow filters rows in different ways."""
    rng = np.random.default_rng(0)
    y, x, c = np.mgrid[:height, :width, :channels]
    return (120 + 60 * np.sin(x / 3 + c) + 40 * np.cos(y / 5) + rng.normal(0, 5, y.shape)).astype(np.uint8)


def chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png(pixels, *, filters=None, pieces=1, before=b"", between=b"", header=b"\0\0\0"):
    """A PNG of (h, w, c) pixels whose rows are filtered by "none", "sub" and "up", in turn."""
    height, width, channels = pixels.shape
    rows, above = [], np.zeros(width * channels, np.uint8)
    for i, row in enumerate(pixels.reshape(height, -1)):
        left = np.concatenate([np.zeros(channels, np.uint8), row[:-channels]])
        kind = (filters or (0, 1, 2))[i % len(filters or (0, 1, 2))]
        rows.append(bytes([kind]) + (row - (np.zeros_like(row), left, above)[kind]).tobytes())
        above = row
    packed = zlib.compress(b"".join(rows))
    cuts = [len(packed) * i // pieces for i in range(pieces + 1)]
    data = [chunk(b"IDAT", packed[a:b]) for a, b in itertools.pairwise(cuts)]
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    ihdr = chunk(b"IHDR", size + bytes([8, {1: 0, 3: 2}[channels]]) + header)
    return START + ihdr + before + between.join(data) + chunk(b"IEND", b"")


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).reshape(image.height, image.width, -1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (13, 17), (64, 64), (300, 200)])
def test_a_plain_png_is_read_as_pillow_reads_it(size, channels):
    pixels = picture(*size, channels)
    saved = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).save(saved, "png")
    for data in (
        saved.getvalue(),
        png(pixels),
        png(pixels, pieces=5),
        png(pixels, before=chunk(b"gAMA", b"\0\0\xb1\x8f")),
    ):
        (page,) = pages(data)
        np.testing.assert_array_equal(page.pixels.transpose(1, 2, 0), pixels, strict=True)
        np.testing.assert_array_equal(by_pillow(data), pixels)


@pytest.mark.parametrize(
    "data",
    [
        png(picture(), before=chunk(b"tRNS", b"\0\x7f")),
        png(picture(), before=chunk(b"tEXt", b"Raw profile type exif\0")),
        png(picture(channels=3), before=chunk(b"gAMA", b"\0\1\0\0") + chunk(b"sBIT", b"\5\5\5")),
        png(picture(), before=chunk(b"prVt", b"unknown")),
    ],
)
def test_chunks_beside_the_pixels_do_not_change_them(data):
    (page,) = pages(data)
    np.testing.assert_array_equal(page.pixels.transpose(1, 2, 0), by_pillow(data), strict=True)


@pytest.mark.parametrize("data", [START + b"\0\0\0\rIHDR", START, START + chunk(b"IEND", b"")])
def test_what_has_no_header_is_damaged(data, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png is a damaged image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "1"])
def test_other_modes_are_read_as_pillow_reads_them(mode):
    image = Image.fromarray(picture(channels=3)).convert(mode)
    saved = io.BytesIO()
    image.save(saved, "png")
    (page,) = pages(saved.getvalue())
    expected = np.asarray(image.convert("L" if mode in ("LA", "1") else "RGB"))
    np.testing.assert_array_equal(page.pixels.transpose(1, 2, 0).squeeze(), expected)
    assert page.notes == (("alpha",) if mode.endswith("A") else ())


def test_no_flipped_bit_of_a_png_goes_unnoticed(tmp_path):
    whole = png(picture(), pieces=2)
    path = tmp_path / "a.png"
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.png is "):
            read_image(path)


def test_no_missing_end_of_a_png_goes_unnoticed(tmp_path):
    whole = png(picture())
    path = tmp_path / "a.png"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.png is "):
            read_image(path)


def test_pixels_that_are_cut_short_with_right_checksums_are_an_error(tmp_path):
    whole = png(picture(64, 64))
    start = whole.index(b"IDAT") + 4
    packed = whole[start : whole.index(b"IEND") - 8]
    for cut in (b"", packed[:20], packed[:-20], b"\0" * 50):
        path = tmp_path / "a.png"
        path.write_bytes(whole[: start - 8] + chunk(b"IDAT", cut) + chunk(b"IEND", b""))
        with pytest.raises(DataError, match=r"a\.png is a damaged image"):
            read_image(path)
