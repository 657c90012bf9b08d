"""One image file: what comes back is what was stored, or an error that names the file."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from isthmus.data.formats.image_file import quiet_readers, read_pages, read_shapes
from isthmus.errors import DataError
from tests.image_files import read_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)


def first(image):
    """(h, w, c) as read_image gives it."""
    return np.moveaxis(np.atleast_3d(image), 2, 0)


def png(width, height, depth, kind, rows, *chunks):
    """A PNG written by hand, for what Pillow cannot write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*one) for one in chunks) + body + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path):
    def store(content, name="image.png"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return store


def fault(path):
    """What read_image says of a file: one line that names it."""
    with quiet_readers(), pytest.raises(DataError) as caught:
        read_image(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_lossless_files_come_back_whole(file, pixels, kind, options):
    path = file(encoded(pixels, kind, **options), "named.wrongly")
    read = read_image(path)
    if kind == "WEBP":  # which has no grey
        pixels = np.repeat(pixels[:, :, None], 3, 2) if pixels.ndim == 2 else pixels
    np.testing.assert_array_equal(read.pixels, first(pixels), strict=True)
    assert read.notes == ()
    assert read_shapes(path) == [read.pixels.shape]


@pytest.mark.parametrize("sampling", [0, 2])
def test_a_jpeg_is_near_and_keeps_its_channels(file, sampling):
    smooth = np.add.outer(np.arange(40), np.arange(32)).astype(np.uint8) * 3
    for pixels in (smooth, np.stack([smooth, 216 - smooth, smooth], 2)):
        read = read_image(file(encoded(pixels, "JPEG", quality=95, subsampling=sampling), "a.jpg"))
        assert read.pixels.shape == first(pixels).shape
        assert np.abs(read.pixels.astype(int) - first(pixels)).max() < 20


@pytest.mark.parametrize(
    "content",
    [
        png(7, 5, 16, 0, [row.astype(">u2").tobytes() for row in DEEP]),
        encoded(DEEP, "PNG"),
        *(tiff(DEEP, byteorder=order, **packed) for order in "<>" for packed in ({}, {"compression": "zlib"})),
        tiff(DEEP, compression="zlib", predictor=True),
    ],
)
def test_sixteen_bits_of_grey_are_all_kept(file, content):
    read = read_image(file(content))
    np.testing.assert_array_equal(read.pixels, (DEEP / np.float32(65535)).astype(np.float32)[None], strict=True)
    assert len(np.unique(np.rint(read.pixels * 65535))) == len(np.unique(DEEP)) > 30
    assert read.notes == ()


def test_twelve_bits_are_scaled_by_what_white_is(file):
    values = np.array([[0, 4095, 2048, 1]])
    packed = bytes.fromhex("000fff800001")
    entries = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 6)]
    table = b"".join(struct.pack("<HHII", tag, 4 if tag in (256, 257, 273, 279) else 3, 1, v) for tag, v in entries)
    content = b"II*\0" + struct.pack("<I", 14) + packed + struct.pack("<H", len(entries)) + table + bytes(4)
    np.testing.assert_allclose(read_image(file(content)).pixels[0], values / 4095, atol=1e-7)


def test_white_may_be_zero(file):
    for values, white in ((GREY, 255), (DEEP, 65535)):
        read = read_image(file(tiff(values, photometric="miniswhite"), "a.tif")).pixels[0]
        np.testing.assert_allclose(read, white - values if white == 255 else 1 - values / white, atol=1e-6)


def test_sixteen_bits_of_colour_are_all_kept(file):
    deep = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    for content in (
        png(7, 5, 16, 2, [row.astype(">u2").tobytes() for row in deep]),
        tiff(deep, photometric="rgb"),
        tiff(deep, photometric="rgb", byteorder=">", compression="zlib"),
    ):
        read = read_image(file(content))
        np.testing.assert_array_equal(read.pixels, first((deep / np.float32(65535)).astype(np.float32)))
        assert read.notes == ()


def test_floats_in_range_are_kept_and_others_refused(file):
    values = RNG.random((5, 7), np.float32)
    np.testing.assert_array_equal(read_image(file(tiff(values), "f.tif")).pixels, values[None], strict=True)
    assert "[0, 1]; say it with --range 1" in fault(file(tiff(values * 300 + 1), "f.tif"))
    assert "say it with --range LOW:HIGH" in fault(file(tiff(np.full((2, 2), np.inf, np.float32)), "f.tif"))
    line = fault(file(tiff(np.full((2, 2), np.nan, np.float32)), "f.tif"))
    assert "has 4 of 4 pixels that are NaN; repair it" in line


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32])
def test_numbers_that_do_not_say_what_is_white_are_refused_with_the_range_that_helps(file, dtype):
    values = np.array([[0, 100], [7, 3]], dtype) - (5 if np.dtype(dtype).kind == "i" else 0)
    line = fault(file(tiff(values), "f.tif"))
    assert f"from {values.min()} to {values.max()}, which do not say what is black and white" in line
    assert ("--range=-5:95" if values.min() < 0 else "--range 0:100") in line
    (page,) = read_pages(file(tiff(values), "f.tif"))
    np.testing.assert_array_equal(page.pixels[0], values, strict=True)
    low, high = float(values.min()), float(values.max())
    np.testing.assert_allclose(page.scaled((low, high))[0], (values - low) / (high - low), rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "kind", "expected", "notes"),
    [
        (np.dstack([COLOUR, GREY]), "PNG", COLOUR, ("alpha",)),
        (np.dstack([GREY, GREY]), "PNG", GREY, ("alpha",)),
        (np.dstack([COLOUR, GREY]), "TIFF", COLOUR, ("alpha",)),
        (GREY > 127, "PNG", (GREY > 127) * np.uint8(255), ()),
        (GREY > 127, "BMP", (GREY > 127) * np.uint8(255), ()),
        (Image.fromarray(COLOUR).convert("CMYK"), "TIFF", COLOUR, ("cmyk",)),
    ],
)  # fmt: skip
def test_other_modes_become_grey_or_rgb(file, image, kind, expected, notes):
    path = file(encoded(image, kind))
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, first(expected))
    assert read.notes == notes
    assert read_shapes(path) == [read.pixels.shape]


def test_grey_and_alpha_of_sixteen_bits_is_grey(file):
    both = RNG.integers(0, 65536, (5, 7, 2), dtype=np.uint16)
    path = file(png(7, 5, 16, 4, [row.astype(">u2").tobytes() for row in both]))
    read = read_image(path)
    np.testing.assert_allclose(read.pixels[0], both[:, :, 0] / 65535, atol=1e-7)
    assert read.notes == ("alpha",)
    assert read_shapes(path) == [(1, 5, 7)]


def test_palettes_become_what_they_stand_for(file):
    indices = RNG.integers(0, 4, (5, 7), dtype=np.uint8)
    for palette in (RNG.integers(0, 256, (4, 3), dtype=np.uint8), np.repeat([[0], [60], [90], [255]], 3, 1)):
        image = Image.frombytes("P", (7, 5), indices.tobytes())
        image.putpalette(palette.astype(np.uint8).tobytes())
        colours = palette.astype(np.uint8)[indices]
        grey = (palette == palette[:, :1]).all()
        for options, notes in (({}, ()), ({"transparency": 0}, ("alpha",))):
            path = file(encoded(image, "PNG", **options))
            read = read_image(path)
            np.testing.assert_array_equal(read.pixels, first(colours[:, :, :1] if grey else colours))
            assert read.notes == notes
            assert read_shapes(path) == [read.pixels.shape]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "TIFF-16", "WEBP"])
def test_pictures_are_turned_upright(file, kind, orientation):
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8], upright[8:, :8], upright[:8, 24:] = 255, 120, 60
    turn = {  # how the camera held it, from the definition of the tag: where row 0 and column 0 of the file lie
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: np.transpose, 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.T, 2), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    stored = np.ascontiguousarray(turn[orientation](upright))
    if kind == "TIFF-16":
        stored = stored.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 98} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    path = file(encoded(stored, kind.partition("-")[0], exif=exif, **options))
    read = read_image(path)
    assert read.notes == (() if orientation == 1 else ("turned",))
    shown = read.pixels[0] * 255 if kind == "TIFF-16" else read.pixels[0].astype(float)
    np.testing.assert_allclose(shown, upright, atol=6)
    assert read_shapes(path) == [read.pixels.shape]


@pytest.mark.parametrize(
    ("kind", "options"), [("TIFF", {}), ("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_every_page_is_read(file, kind, options):
    pages = [Image.fromarray(one) for one in (GREY, 255 - GREY, GREY[::-1].copy())]
    path = file(encoded(pages[0], kind, save_all=True, append_images=pages[1:], duration=50, **options))
    read = read_pages(path)
    for page, image in zip(read, pages, strict=True):
        np.testing.assert_array_equal(page.pixels, first(np.asarray(image.convert("RGB" if kind == "WEBP" else "L"))))
    assert read_shapes(path) == [page.pixels.shape for page in read]


@pytest.mark.parametrize(("side", "word"), [(65535, "limit"), (12000, "decompression bomb")])
def test_a_later_frame_that_promises_too_much_is_refused(file, side, word):
    content = encoded(Image.fromarray(GREY), "GIF", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    at = content.rindex(b"\x2c\0\0\0\0")  # the second frame's place, then its width and height
    wide = content[: at + 5] + 2 * side.to_bytes(2, "little") + content[at + 9 :]
    assert word in fault(file(wide))


def test_one_pixel(file):
    assert read_image(file(encoded(GREY[:1, :1], "PNG"))).pixels.tolist() == [[[GREY[0, 0]]]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_file_cut_short_is_damaged(file, kind):
    big = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encoded(big, kind)
    for keep in (len(content) // 2, len(content) * 9 // 10, 20):
        assert "damaged" in fault(file(content[:keep], "cut.img"))


def test_a_flipped_bit_in_a_png_is_found_everywhere(file):
    content = bytearray(encoded(GREY, "PNG"))
    for at in range(8, len(content)):
        content[at] ^= 16
        assert "damaged" in fault(file(bytes(content)))
        content[at] ^= 16
    read_image(file(bytes(content)))


# a WebP whose header says 16,255 × 16,255: Pillow's reader of WebP refuses that by itself
WIDE_WEBP = bytes.fromhex(
    "52494646540000005745425056503820480000009001009d012a7f7f7f7f0500060001402625a400029a6291c000fee288af"
    "93efffd7ab7fdfd429aa41e33d7f72bfff232f35fff939237bf817152fe85a7f9b363f1556ac3e3ffc8a77ca0000"
)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"hello", "68 65 6c 6c 6f"),
        (b"GIF89a" + bytes(30), "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a PNG"),
        (b"\x80\x04\x95", "not a PNG"),
        (png(60000, 60000, 8, 0, [b""]), "limit"),
        (png(13000, 13000, 8, 0, [bytes(13001)] * 13000), "decompression bomb"),
        (png(0, 5, 8, 0, [b""] * 5), "image.png"),
        (encoded(Image.new("1", (12000, 12000)), "TIFF", compression="group4"), "decompression bomb"),
        (WIDE_WEBP, "limit"),
    ],
)
def test_what_is_no_image_is_refused(file, content, word):
    assert word in fault(file(content))


def test_no_permission_is_said(file):
    path = file(encoded(GREY, "PNG"))
    path.chmod(0)
    me = os.geteuid()
    try:
        if me == 0:  # who may read everything: be nobody for a moment
            os.seteuid(65534)
        assert "ermission" in fault(path)
    finally:
        os.seteuid(me)


def test_links_and_odd_names(tmp_path):
    folder = tmp_path / "with space" / "данные 数据"
    folder.mkdir(parents=True)
    path = folder / ("é" * 90 + ".png")
    path.write_bytes(encoded(GREY, "PNG"))
    (tmp_path / "link.png").symlink_to(path)
    np.testing.assert_array_equal(read_image(path).pixels, read_image(tmp_path / "link.png").pixels)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert "loop.png" in fault(tmp_path / "loop.png")


def test_pillow_itself_is_left_as_it_was():
    program = (
        "from PIL import Image, ImageFile; import isthmus.data.collections.collection\n"
        "print(Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(Image.MAX_IMAGE_PIXELS), "False"]
