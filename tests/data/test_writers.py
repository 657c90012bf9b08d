"""What is written has the form of the file that it came from."""

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from isthmus.data.formats import page as page_module
from isthmus.data.formats.image_file import read_shapes
from isthmus.data.formats.writers import write_like
from isthmus.errors import DataError, RequestError
from tests.image_files import read_image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)


def floats(path):
    """(c, h, w) in [0, 1], as a model would see it."""
    pixels = read_image(path).pixels
    return pixels / 255 if pixels.dtype == np.uint8 else pixels


def facts(path):
    with Image.open(path) as image:
        return image.format, image.mode, image.size, image.info.get("compression")


@pytest.mark.parametrize(
    ("pixels", "kind", "options"),
    [
        (GREY, "PNG", {}),
        (COLOUR, "PNG", {}),
        (DEEP, "PNG", {}),
        (GREY, "TIFF", {}),
        (COLOUR, "TIFF", {"compression": "tiff_lzw"}),
        (DEEP, "TIFF", {}),
        (DEEP, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (RNG.random((9, 7), np.float32), "TIFF", {}),
        (GREY, "BMP", {}),
        (COLOUR, "BMP", {}),
        (COLOUR, "WEBP", {"lossless": True}),
    ],
)
def test_a_lossless_file_is_written_as_it_was(tmp_path, pixels, kind, options):
    original, target = tmp_path / "a.img", tmp_path / "out" / "sub" / "a.img"
    Image.fromarray(pixels).save(original, kind, **options)
    assert write_like(original, floats(original), target) == ()
    assert facts(target) == facts(original)
    np.testing.assert_array_equal(read_image(target).pixels, read_image(original).pixels, strict=True)
    assert [path.name for path in target.parent.iterdir()] == ["a.img"], "no temporary file is left"


@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_a_jpeg_stays_near_and_keeps_its_subsampling(tmp_path, kind, sampling):
    smooth = (np.add.outer(np.arange(40), np.arange(32)) * 3).astype(np.uint8)
    pixels = smooth if kind == "grey" else np.stack([smooth, smooth, 255 - smooth], 2)
    original, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Image.fromarray(pixels).save(original, quality=80, subsampling=sampling)
    write_like(original, floats(original), target)
    assert facts(target)[:3] == facts(original)[:3]
    assert np.abs(floats(target) - floats(original)).max() < 0.03
    with Image.open(original) as before, Image.open(target) as after:
        assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before)


def test_a_lossy_webp_stays_lossy(tmp_path):
    smooth = np.stack([(np.add.outer(np.arange(40), np.arange(32)) * 3).astype(np.uint8)] * 3, 2)
    Image.fromarray(smooth).save(tmp_path / "a.webp", quality=80)
    write_like(tmp_path / "a.webp", floats(tmp_path / "a.webp"), tmp_path / "b.webp")
    assert b"VP8 " in (tmp_path / "b.webp").read_bytes()[:40]
    assert np.abs(floats(tmp_path / "b.webp") - floats(tmp_path / "a.webp")).max() < 0.06


def test_values_are_rounded_to_the_nearest_and_clipped(tmp_path):
    values = np.array([[0.4 / 255, 0.6 / 255, 100.49 / 255, 100.51 / 255, -0.2, 1.7]])
    notes = write_like(None, values[None], tmp_path / "a.png")
    assert notes == ("2 of 6 values lay outside [0, 1] and were clipped",)
    assert read_image(tmp_path / "a.png").pixels.tolist() == [[[0, 1, 100, 101, 0, 255]]]


def test_without_an_original_it_is_a_png(tmp_path):
    write_like(None, floats_of(COLOUR), tmp_path / "a")
    assert facts(tmp_path / "a")[:2] == ("PNG", "RGB")
    np.testing.assert_array_equal(read_image(tmp_path / "a").pixels, COLOUR.transpose(2, 0, 1))


def floats_of(colour):
    return colour.transpose(2, 0, 1) / 255


def test_grey_stays_grey_and_colour_colour(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    write_like(tmp_path / "grey.png", np.repeat(GREY[None] / 255, 3, 0), tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels[0], GREY)
    write_like(tmp_path / "colour.png", GREY[None] / 255, tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels, np.stack([GREY] * 3))


def test_what_is_not_kept_is_said(tmp_path):
    def noted(image, kind, **options):
        image.save(tmp_path / "a.img", kind, **options)
        notes = write_like(tmp_path / "a.img", np.full((3, 9, 7), 0.5), tmp_path / "b.img")
        return facts(tmp_path / "b.img")[:2], " ".join(notes)

    assert noted(Image.fromarray(COLOUR).convert("CMYK"), "JPEG") == (
        ("JPEG", "RGB"),
        "CMYK is not kept",
    )
    form, said = noted(Image.fromarray(COLOUR).quantize(8), "PNG")
    assert form == ("PNG", "RGB")
    assert "palette" in said


def test_a_turned_picture_is_written_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    write_like(tmp_path / "a.png", floats(tmp_path / "a.png"), tmp_path / "b.png")
    again = read_image(tmp_path / "b.png")
    assert again.notes == ()
    np.testing.assert_array_equal(again.pixels[0], np.rot90(GREY, -1))


def test_the_colour_profile_is_kept(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png", icc_profile=b"a profile")
    write_like(tmp_path / "a.png", floats_of(COLOUR), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize(
    ("image", "word"),
    [(np.zeros((9, 7)), "(9, 7)"), (np.zeros((2, 9, 7)), "(2, 9, 7)"), (np.full((1, 2, 2), np.nan), "NaN")],
)
def test_what_is_no_image_is_not_written(tmp_path, image, word):
    with pytest.raises(RequestError) as caught:
        write_like(None, image, tmp_path / "a.png")
    assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a PNG"):
        write_like(tmp_path / "a.png", np.zeros((1, 2, 2)), tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes(b"old")
    with pytest.raises(OSError):
        write_like(None, np.zeros((1, 2, 2)), tmp_path / "b.png" / "c.png")
    assert (tmp_path / "b.png").read_bytes() == b"old"


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_alpha_channel_of_a_png_stays_in_its_place(bits, colours, orientation, tmp_path):
    import imagecodecs

    from isthmus.data.formats.image_file import read_pages
    from isthmus.data.formats.png import chunk

    stored = np.random.default_rng(0).integers(0, 2**bits, (9, 7, colours + 1), np.uint8 if bits == 8 else np.uint16)
    exif = Image.Exif()
    exif[274] = orientation
    content = bytes(imagecodecs.png_encode(stored))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + content[33:])
    (page,) = read_pages(tmp_path / "a.png")
    assert write_like(tmp_path / "a.png", 1 - page.pixels / (2**bits - 1), tmp_path / "b.png") == ()
    upright = stored if orientation == 1 else np.rot90(stored, -1)
    written = imagecodecs.png_decode((tmp_path / "b.png").read_bytes())
    np.testing.assert_array_equal(written[..., -1], upright[..., -1])
    np.testing.assert_array_equal(written[..., :-1], 2**bits - 1 - upright[..., :-1])
    assert "the alpha channel is not kept" in write_like(
        tmp_path / "a.png", np.full((1, 4, 4), 0.5), tmp_path / "c.png"
    )


def test_a_large_image_is_written_band_by_band_as_in_one_piece(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    image = RNG.random((3, 9, 7))
    write_like(tmp_path / "a.png", image, tmp_path / "whole.png")
    monkeypatch.setattr(page_module, "_BAND", 2 * 3 * 7)
    write_like(tmp_path / "a.png", image, tmp_path / "bands.png")
    assert (tmp_path / "bands.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_a_tiff_of_many_pixels_is_no_bomb(tmp_path):
    import tifffile

    tifffile.memmap(tmp_path / "a.tif", shape=(8200, 8200), dtype=np.uint8, photometric="minisblack").flush()
    assert read_shapes(tmp_path / "a.tif") == [(1, 8200, 8200)]
