"""What stands beside the pixels of a file is kept when it is written again, or its loss is said."""

import io
import json

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin

from isthmus.data.formats.image_file import quiet_readers, read_pages
from isthmus.data.formats.writers import write_like

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def again(path, **options):
    """Write a file's own pages as it is; where, and what was said."""
    target = path.with_name(f"again{path.suffix}")
    with quiet_readers():
        images = [page.scaled(options.get("value_range")) for page in read_pages(path)]
    images = [image / 255 if image.dtype == np.uint8 else image for image in images]
    return target, write_like(path, images, target, **options)


def same_pages(path, target):
    with quiet_readers():
        before, after = read_pages(path), read_pages(target)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(other.pixels, one.pixels, strict=True)


def exif_of(orientation):
    """EXIF with a camera's name, an exposure, a place and a maker's note that no library understands."""
    exif = Image.Exif()
    exif[271], exif[274], exif[282] = "A camera", orientation, 300.0
    exif.get_ifd(0x8769).update({33434: 0.01, 37500: b"maker's own"})
    exif.get_ifd(0x8825)[1] = "N"
    return exif


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_is_kept_and_the_picture_not_turned_twice(tmp_path, kind, orientation):
    path = tmp_path / f"a.{kind}"
    exif = exif_of(orientation).tobytes()
    ramp = np.add.outer(np.arange(56), 2 * np.arange(72))
    smooth = np.stack([ramp, 200 - ramp, ramp], 2).astype(np.uint8)
    Image.fromarray(smooth).save(path, exif=exif, icc_profile=SRGB)
    target, notes = again(path)
    assert notes == ()
    with Image.open(path) as before, Image.open(target) as after:
        found = after.getexif()
        assert found[274] == 1
        assert (found[271], found.get_ifd(0x8769)[37500]) == ("A camera", b"maker's own")
        assert found.get_ifd(0x8825)[1] == "N"
        assert len(after.info["exif"]) == len(before.info["exif"])
        assert after.info["icc_profile"] == SRGB
    with quiet_readers():
        (one,), (other,) = read_pages(path), read_pages(target)
    assert other.notes == ()
    assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 3


def with_thumbnail(exif):
    """EXIF with a thumbnail behind it, in a second list of tags."""
    assert exif.startswith(b"Exif\0\0")
    tiff = bytearray(exif[6:])
    order = {b"II": "little", b"MM": "big"}[bytes(tiff[:2])]
    first = int.from_bytes(tiff[4:8], order)
    at = first + 2 + 12 * int.from_bytes(tiff[first : first + 2], order)
    tiff[at : at + 4] = len(tiff).to_bytes(4, order)
    tags = [(0x103, 3, 6), (0x201, 4, len(tiff) + 42), (0x202, 4, 4)]
    entries = [
        tag.to_bytes(2, order)
        + kind.to_bytes(2, order)
        + (1).to_bytes(4, order)
        + value.to_bytes(2 if kind == 3 else 4, order).ljust(4, b"\0")
        for tag, kind, value in tags
    ]
    return exif[:6] + bytes(tiff) + (3).to_bytes(2, order) + b"".join(entries) + bytes(4) + b"\xff\xd8\xff\xd9"


@pytest.mark.parametrize("size", [None, (20, 30)])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_and_xmp_say_the_size_that_is_written_and_a_thumbnail_of_the_old_picture_is_dropped(
    tmp_path, kind, size, endian, orientation
):
    exif = exif_of(orientation)
    exif.endian = endian
    exif[256], exif[257] = 72, 56
    exif.get_ifd(0x8769).update({0xA002: 72, 0xA003: 56})
    xmp = b'<x exif:PixelXDimension="72" tiff:ImageLength="56"><exif:PixelYDimension>56</exif:PixelYDimension></x>'
    path, target = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    beside = {"pnginfo": text} if kind == "png" else {"xmp": xmp}
    Image.fromarray(np.zeros((56, 72, 3), np.uint8)).save(path, exif=with_thumbnail(exif.tobytes()), **beside)
    with Image.open(path) as before:
        assert before.getexif().get_ifd(ExifTags.IFD.IFD1)[0x202] == 4
    with quiet_readers():
        (page,) = read_pages(path)
    height, width = size or page.pixels.shape[1:]
    write_like(path, np.zeros((3, height, width)), target)
    with Image.open(target) as after:
        found = after.getexif()
        assert (after.height, after.width) == (height, width)
        assert (found[256], found[257]) == (width, height)
        details = found.get_ifd(0x8769)
        assert (details[0xA002], details[0xA003], details[37500]) == (width, height, b"maker's own")
        assert not found.get_ifd(ExifTags.IFD.IFD1)
        said = after.info.get("xmp") or after.info["XML:com.adobe.xmp"].encode()
    turned = f'<x exif:PixelXDimension="{width}" tiff:ImageLength="{height}"><exif:PixelYDimension>{height}<'
    assert said.startswith(turned.encode())


def test_xmp_does_not_turn_a_picture_twice(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(COLOUR).save(tmp_path / "a.webp", lossless=True, exact=True, xmp=xmp)
    target, _ = again(tmp_path / "a.webp")
    same_pages(tmp_path / "a.webp", target)
    with Image.open(target) as image:
        assert image.info["xmp"] == xmp.replace(b'"6"', b'"1"')


@pytest.mark.parametrize("kind", ["jpg", "bmp", "png"])
def test_the_resolution_is_kept_and_turned_with_the_picture(tmp_path, kind):
    Image.fromarray(COLOUR).save(tmp_path / f"a.{kind}", dpi=(300, 150))
    target, _ = again(tmp_path / f"a.{kind}")
    with Image.open(target) as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    if kind == "png":
        Image.fromarray(COLOUR).save(tmp_path / "a.png", dpi=(300, 150), exif=exif_of(6))
        target, _ = again(tmp_path / "a.png")
        with Image.open(target) as image:
            assert image.info["dpi"] == pytest.approx((150, 300), abs=0.02)


@pytest.mark.parametrize("depth", [8, 16])
def test_what_colours_mean_and_text_of_a_png_are_kept(tmp_path, depth):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (45455).to_bytes(4, "big"))
    info.add(b"cHRM", bytes(32))
    info.add_text("Description", "pixel size 0.5 µm", zip=True)
    info.add_itxt("Title", "Größe")
    Image.fromarray(COLOUR).save(tmp_path / "a.png", pnginfo=info)
    if depth == 16:
        content = (tmp_path / "a.png").read_bytes()
        deep = bytes(imagecodecs.png_encode(COLOUR.astype(np.uint16) * 257))
        (tmp_path / "a.png").write_bytes(deep[:33] + content[33 : content.index(b"IDAT") - 4] + deep[33:])
    target, notes = again(tmp_path / "a.png")
    assert notes == ()
    same_pages(tmp_path / "a.png", target)
    with Image.open(target) as image:
        image.load()
        assert image.info["gamma"] == 0.45455
        assert image.text == {"Description": "pixel size 0.5 µm", "Title": "Größe"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["png", "tif", "jp2", "ppm"])
def test_sixteen_bits_of_colour_are_written_as_sixteen(tmp_path, kind, channels):
    deep = RNG.integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    values, path = deep[..., 0] if channels == 1 else deep, tmp_path / f"a.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, values, photometric="rgb" if channels == 3 else "minisblack")
    elif kind == "png":
        path.write_bytes(imagecodecs.png_encode(values))
    elif kind == "jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="jp2", reversible=True))
    else:
        path.write_bytes(b"P%d 7 9 65535\n" % (6 if channels == 3 else 5) + deep.astype(">u2").tobytes())
    target, notes = again(path)
    assert notes == ()
    same_pages(path, target)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int16, np.uint32, np.float32, np.float64, np.float16])
def test_numbers_of_a_range_are_written_in_it(tmp_path, dtype):
    values = RNG.integers(0, 4096, (9, 7)).astype(dtype) if dtype != np.int8 else RNG.integers(-99, 99, (9, 7), np.int8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    target, notes = again(tmp_path / "a.tif", value_range=(-100, 4100))
    assert notes == ()
    found = tifffile.imread(target)
    assert found.dtype == values.dtype
    np.testing.assert_allclose(found.astype(float), values.astype(float), rtol=1e-3, atol=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": 2},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zstd", "bigtiff": True, "tile": (16, 16)},
        {"photometric": "miniswhite"},
        {"planarconfig": "separate"},
    ],
)
def test_how_a_tiff_is_stored_and_described_is_kept(tmp_path, options):
    colour = "planarconfig" in options
    stack = RNG.integers(0, 65536, (4, 3, 40, 30) if colour else (4, 40, 30), dtype=np.uint16)
    options = {"photometric": "rgb" if colour else "minisblack", **options}
    description = "pixel size 0.11 µm"
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        resolution=(9.5, 7.25),
        resolutionunit="CENTIMETER",
        description=description.encode(),
        software="a microscope",
        datetime="2024:01:02 03:04:05",
        extratags=[(315, 2, 0, "An artist", True), (33550, 12, 3, (0.5, 0.5, 0.0), True)],
        metadata=None,
        **options,
    )
    target, notes = again(tmp_path / "a.tif")
    assert notes == ()
    same_pages(tmp_path / "a.tif", target)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(target) as after:
        assert (after.byteorder, after.is_bigtiff, len(after.pages)) == (before.byteorder, before.is_bigtiff, 4)
        for one, other in zip(before.pages, after.pages, strict=True):
            for tag in (258, 259, 262, 277, 282, 283, 284, 296, 317, 322, 339):
                assert other.tags.valueof(tag) == one.tags.valueof(tag), tag
        for tag in (270, 305, 306, 315, 33550):
            assert after.pages[0].tags.valueof(tag) == before.pages[0].tags.valueof(tag), tag


def test_an_imagej_stack_keeps_its_axes_and_pixel_size(tmp_path):
    stack = RNG.integers(0, 4096, (2, 3, 40, 30), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(2.5, 2.5),
        metadata={"axes": "TZYX", "unit": "um", "spacing": 3},
    )
    target, notes = again(tmp_path / "a.tif")
    assert notes == ()
    with tifffile.TiffFile(target) as file:
        assert file.is_imagej
        assert (file.series[0].axes, file.imagej_metadata["unit"], file.imagej_metadata["spacing"]) == ("TZYX", "um", 3)
        np.testing.assert_array_equal(file.asarray(), stack)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "metadata", [{"Info": "hello"}, {"Labels": ["a", "b", "c"], "Info": "ä"}, {"Ranges": [0.0, 9.0]}]
)
def test_what_imagej_notes_of_a_stack_is_kept(tmp_path, metadata, byteorder):
    path = tmp_path / "a.tif"
    stack = np.stack([GREY, GREY[::-1], GREY]).astype(np.uint16)
    tifffile.imwrite(path, stack, imagej=True, byteorder=byteorder, metadata={**metadata, "axes": "ZYX", "unit": "um"})
    target, notes = again(path)
    assert notes == ()
    same_pages(path, target)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(target) as after:
        assert after.imagej_metadata == before.imagej_metadata
        assert {name: after.imagej_metadata[name] for name in metadata}.keys() == metadata.keys()


def test_what_tifffile_notes_of_an_array_is_kept_but_for_its_shape(tmp_path):
    path, noted = tmp_path / "a.tif", {"axes": "ZYX", "exposure_ms": 20, "sample": "A7"}
    tifffile.imwrite(path, np.stack([GREY, GREY]), metadata=noted)
    target, notes = again(path)
    assert notes == ()
    with tifffile.TiffFile(target) as file:
        assert json.loads(file.pages[0].description) == noted
    tifffile.imwrite(path, GREY)  # {"shape": [9, 7]}
    with tifffile.TiffFile(again(path)[0]) as file:
        assert file.pages[0].description == ""


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
@pytest.mark.parametrize("loop", [None, 0, 3])
def test_an_animation_is_played_as_often(tmp_path, kind, loop):
    path = tmp_path / f"a.{kind}"
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    frames[0].save(path, save_all=True, append_images=frames[1:], **({} if loop is None else {"loop": loop}))
    target, _ = again(path)
    with Image.open(path) as before, Image.open(target) as after:
        assert after.info.get("loop") == before.info.get("loop")


@pytest.mark.parametrize(("kind", "options"), [("gif", {}), ("png", {}), ("webp", {"lossless": True, "exact": True})])
def test_frames_keep_their_times(tmp_path, kind, options):
    frames = [Image.fromarray(np.repeat(np.repeat(one, 4, 0), 4, 1)) for one in (GREY, 255 - GREY, GREY[::-1])]
    path = tmp_path / f"a.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 80, 120], loop=3, **options)
    target, notes = again(path)
    assert notes == ()
    same_pages(path, target)
    with Image.open(target) as image:
        assert image.n_frames == 3
        times = []
        for i in range(3):
            image.seek(i)
            image.load()
            times.append(image.info["duration"])
        assert times == [40, 80, 120]
        assert image.info["loop"] == 3


def test_what_is_lost_is_said(tmp_path):
    def said(path):
        return " ".join(again(path)[1])

    exif = TiffImagePlugin.ImageFileDirectory_v2()
    exif[34665] = {37500: b"maker's own note"}
    Image.fromarray(GREY).save(tmp_path / "a.tif", tiffinfo=exif)
    content = (tmp_path / "a.tif").read_bytes()
    beyond = content.index(bytes.fromhex("7c92")) + 8  # where it says where the note lies
    (tmp_path / "a.tif").write_bytes(content[:beyond] + b"\0\0\0\x7f" + content[beyond + 4 :])
    assert "the EXIF of a TIFF is damaged, and not kept" in said(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((16, 16, 3), np.uint8), photometric="rgb", compression="jpeg")
    assert "compression JPEG is not kept" in said(tmp_path / "b.tif")
    Image.fromarray(COLOUR).save(tmp_path / "a.gif")
    assert "256 colours" in said(tmp_path / "a.gif")
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.tif", icc_profile=b"\0" * 16 + b"CMYK" + bytes(108))
    line = said(tmp_path / "c.tif")
    assert "CMYK is not kept" in line
    assert "colour profile" in line
    Image.fromarray(COLOUR).convert("P").save(tmp_path / "p.tif")
    assert "palette" in said(tmp_path / "p.tif")
    for kind, options in (("tif", {}), ("webp", {"lossless": True})):
        Image.fromarray(np.dstack([COLOUR, GREY])).save(tmp_path / f"d.{kind}", **options)
        notes = write_like(tmp_path / f"d.{kind}", np.full((3, 4, 4), 0.5), tmp_path / "cropped")
        assert "the alpha channel is not kept" in notes, "of a picture that was cropped"
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "JPEG2000")
    boxed = buffer.getvalue()
    at = boxed.index(b"jp2c") - 4
    (tmp_path / "a.jp2").write_bytes(boxed[:at] + (12).to_bytes(4, "big") + b"xml <x/>" + boxed[at:])
    assert "of a JPEG 2000 are not kept" in said(tmp_path / "a.jp2")
