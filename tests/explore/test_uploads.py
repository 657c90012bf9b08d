"""An uploaded file is read as the commands read it; what cannot be shown is said, or refused by the file's name."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

import isthmus
from isthmus.data.framing import Framing
from isthmus.errors import DataError
from isthmus.explore.answers.drawings import Manner
from isthmus.explore.answers.upload_decoder import decode
from isthmus.explore.answers.uploads import read_upload

PHOTOGRAPHS = Manner(False, 1, (0.5, 0.5))
DEEP = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)


def saved(save, *arguments, **options):
    file = io.BytesIO()
    save(file, *arguments, **options)
    return file.getvalue()


FILES = {
    "deep.tif": saved(imwrite, DEEP, photometric="rgb"),
    "grey.tif": saved(imwrite, DEEP[..., 0]),
    "floats.tif": saved(imwrite, (DEEP[..., 0] / 65535).astype(np.float32)),
    "deep.png": imagecodecs.png_encode(DEEP),
    "twelve.pgm": b"P5 30 20 4095\n" + (DEEP[..., 0] // 16).astype(">u2").tobytes(),
    "cinema.jp2": imagecodecs.jpeg2k_encode(DEEP, reversible=True),
    "small.gif": saved(Image.fromarray((DEEP[..., 0] // 256).astype(np.uint8)).save, format="GIF"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_has_the_pixels_that_commands_read(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    expected = isthmus.open_images(tmp_path / name)
    c, h, w = expected.shape
    x, said = read_upload(FILES[name], (c, 8, 8), PHOTOGRAPHS, whole=True)
    assert x.dtype == np.float32
    assert said == "30×20, as it is"
    np.testing.assert_array_equal(x, expected.floats().reshape(c, h, w))
    if name not in ("small.gif", "twelve.pgm"):
        assert len(np.unique(x)) > 500, "more than eight bits can hold"


def test_a_file_is_the_same_in_a_process_of_its_own():
    framing = Framing(resize=(10, 12), crop=(8, 8), grey=True, value_range=(0, 4095))
    asked = {"framing": framing, "name": "deep.tif"}
    x, said = decode(FILES["deep.tif"], (1, 8, 8), PHOTOGRAPHS, **asked)
    expected, words = read_upload(FILES["deep.tif"], (1, 8, 8), PHOTOGRAPHS, **asked)
    np.testing.assert_array_equal(x, expected)
    assert x.std() > 0
    assert said == words
    assert "values outside --range became black or white" in said
    assert "--resize 10x12 --crop 8x8 --grey --range 0:4095" in said


def test_of_several_pages_the_first_is_shown_and_that_is_said():
    pages = np.stack([np.full((20, 30), value, np.uint8) for value in (10, 200, 90)])
    frames = [Image.fromarray(page) for page in pages]
    for data in (
        saved(imwrite, pages, photometric="minisblack"),
        saved(frames[0].save, format="GIF", save_all=True, append_images=frames[1:]),
    ):
        x, said = read_upload(data, (1, 8, 8), PHOTOGRAPHS, whole=True)
        assert said == "30×20, the first of several pages"
        np.testing.assert_allclose(x, 10 / 255)


def test_what_was_done_to_a_file_is_said_in_the_commands_words():
    clear = Image.fromarray(np.full((20, 30, 4), 90, np.uint8))
    _, said = read_upload(saved(clear.save, format="PNG"), (1, 20, 30), PHOTOGRAPHS)
    assert said == "30×20, an alpha channel was ignored, made grey"
    exif = Image.Exif()
    exif[274] = 8
    turned = saved(Image.fromarray(np.full((20, 30), 90, np.uint8)).save, format="TIFF", exif=exif)
    assert read_upload(turned, (1, 8, 8), PHOTOGRAPHS, whole=True)[1].startswith("20×30, turned upright, as the camera")


def test_a_picture_of_another_size_is_cropped_to_the_middle_and_scaled_as_commands_scale():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    x, said = read_upload(saved(Image.fromarray(pixels).save, format="PNG"), (3, 10, 10), PHOTOGRAPHS)
    assert said == "80×40, cropped to the middle, scaled to 10×10"
    middle = isthmus.open_images(pixels[None, :, 20:60], resize=(10, 10))
    np.testing.assert_array_equal(x, middle.floats().reshape(3, 10, 10))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIC image, which is not read"),
        (
            saved(imwrite, np.zeros((20, 30, 5), np.uint8), photometric="minisblack", planarconfig="contig"),
            "no colours",
        ),
        (saved(imwrite, np.full((20, 30), np.nan, np.float32)), "600 of 600 pixels that are NaN"),
        (saved(imwrite, np.array([[-7, 300]], np.int16).repeat(9, 0)), "which do not say what is black and white"),
        (FILES["deep.tif"][:-400], "damaged image"),
        (FILES["cinema.jp2"][:-400], "damaged image"),
        (b"P5 20001 1 255\n" + bytes(20001), "20001×1 pixels; at most 17 million are read, 20,000 a side"),
    ],
)
def test_what_is_not_shown_is_refused_by_its_name(data, reason):
    with pytest.raises(DataError, match=reason) as error:
        read_upload(data, (1, 8, 8), PHOTOGRAPHS, whole=True, name="mine")
    assert str(error.value).startswith("mine ")
    assert "\n" not in str(error.value)
