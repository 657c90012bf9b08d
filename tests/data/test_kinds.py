"""Every kind of file that tifffile and Pillow can write is read to what was written, or refused by name."""

import io
import itertools

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from isthmus.data.formats import tiff as reader
from isthmus.data.formats.image_file import quiet_readers, read_pages, read_shapes
from isthmus.data.formats.page import LUMA
from isthmus.errors import DataError

H, W = 21, 34
DTYPES = (np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.int32, np.float16, np.float32, np.float64)


def numbers(shape, dtype, *, seed=0):
    """Smooth and noisy numbers over all that the type has; floats in [0, 1]."""
    rng = np.random.default_rng(seed)
    waves = 0.5 + 0.3 * np.sin(np.indices(shape).sum(axis=0) / 5) + 0.2 * rng.uniform(-1, 1, shape)
    waves.flat[:2] = 0, 1
    if np.dtype(dtype).kind == "f":
        return waves.clip(0, 1).astype(dtype)
    ends = np.iinfo(dtype)
    return (ends.min + np.rint(waves.clip(0, 1) * (ends.max - ends.min))).clip(ends.min, ends.max).astype(dtype)


def stored(tmp_path, content):
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    return path


def tiff(array, **options):
    """None where tifffile does not write such a file."""
    buffer = io.BytesIO()
    try:
        with quiet_readers():
            tifffile.imwrite(buffer, array, **options)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, imagecodecs.DelayedImportError):
        return None
    return buffer.getvalue()


def held(path, expected, *, atol=0.0):
    """The pages of a file are these arrays (c, h, w), by their headers too."""
    with quiet_readers():
        pages = read_pages(path)
        assert read_shapes(path) == [page.pixels.shape for page in pages] == [one.shape for one in expected]
    for page, one in zip(pages, expected, strict=True):
        assert page.pixels.dtype == one.dtype
        if atol:
            np.testing.assert_allclose(page.pixels, one, atol=atol)
        else:
            np.testing.assert_array_equal(page.pixels, one)


def refused(path, word=""):
    with quiet_readers(), pytest.raises(DataError, match=rf"is a valid TIFF of a kind that is not read: .*{word}"):
        read_pages(path)
    with quiet_readers(), pytest.raises(DataError, match="of a kind that is not read"):
        read_shapes(path)


# channels, photometric, extrasamples -> what becomes of (h, w, channels); None: refused
LAYOUTS = {
    "grey": (1, "minisblack", None, lambda a: a[..., :1]),
    "grey and alpha": (2, "minisblack", ["unassalpha"], lambda a: a[..., :1]),
    "two channels": (2, "minisblack", ["unspecified"], None),
    "four channels": (4, "minisblack", ["unspecified"] * 3, None),
    "rgb": (3, "rgb", None, lambda a: a),
    "rgba": (4, "rgb", ["unassalpha"], lambda a: a[..., :3]),
    "rgbx": (4, "rgb", ["unspecified"], lambda a: a[..., :3]),
    "five": (5, "rgb", ["unassalpha", "unspecified"], lambda a: a[..., :3]),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_every_type_layout_and_byte_order_of_tiff(tmp_path, dtype):
    n = 0
    for (name, layout), order, planar, (big, tile) in itertools.product(
        LAYOUTS.items(), "<>", ("contig", "separate"), ((False, None), (True, (16, 16)))
    ):
        channels, photometric, extra, made = layout
        array = numbers((H, W, channels), dtype)
        values = array[..., 0] if channels == 1 else array if planar == "contig" else array.transpose(2, 0, 1)
        options = {"photometric": photometric, "byteorder": order, "bigtiff": big, "tile": tile, "extrasamples": extra}
        if channels > 1:
            options["planarconfig"] = planar
        content = tiff(values, **options)
        assert content, (name, options)
        path = stored(tmp_path, content)
        if made is None:
            refused(path, "channels")
        else:
            held(path, [made(array).transpose(2, 0, 1)])
        n += 1
    assert n == len(LAYOUTS) * 8


OF_IMAGES = ("webp", "png", "jpeg2000", "jpegxl", "lerc")  # which have no use for a predictor
LOSSLESS = ("lzw", "adobe_deflate", "deflate", "packbits", "lzma", "zstd", *OF_IMAGES)


@pytest.mark.parametrize("compression", LOSSLESS)
def test_every_lossless_compression_of_tiff(tmp_path, compression):
    n = 0
    more = {"webp": {"lossless": True}, "jpegxl": {"lossless": True}, "jpeg2000": {"reversible": True}}
    orders = "<" if compression == "jpeg2000" else "<>"  # tifffile gives the codec swapped bytes, which are then stored
    predictors = (None,) if compression in OF_IMAGES else (None, 2, 3)
    types = (np.uint8, np.uint16, np.int32, np.float32, np.float64)
    pages = ({"rowsperstrip": 5}, {"tile": (16, 32)})
    for dtype, channels, order, predictor, page in itertools.product(
        types, (1, 3), orders, predictors, pages[: 1 if compression == "lzma" else 2]
    ):
        array = numbers((H, W, channels), dtype)
        content = tiff(
            array[..., 0] if channels == 1 else array,
            photometric="minisblack" if channels == 1 else "rgb",
            compression=compression,
            compressionargs=more.get(compression),
            predictor=predictor,
            byteorder=order,
            **page,
        )
        if content is None:
            continue
        if compression == "jpeg2000" and array.itemsize > 2:
            refused(stored(tmp_path, content), "JPEG 2000 of 32 bits")
            continue
        held(stored(tmp_path, content), [array.transpose(2, 0, 1)])
        n += 1
    assert n >= (4 if compression in ("webp", "png") else 8)


def test_jpeg_within_tiff(tmp_path):
    for channels, sampling in ((1, None), (3, (1, 1)), (3, (2, 2))):
        array = numbers((64, 64, channels), np.uint8)
        array[:] = array.mean(axis=(0, 1))
        content = tiff(
            array[..., 0] if channels == 1 else array,
            photometric="minisblack" if channels == 1 else "rgb",
            compression="jpeg",
            compressionargs={"level": 98},
            subsampling=sampling,
        )
        held(stored(tmp_path, content), [array.transpose(2, 0, 1)], atol=4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32, np.int16])
def test_white_is_zero(tmp_path, dtype):
    array = numbers((H, W), dtype)
    path = stored(tmp_path, tiff(array, photometric="miniswhite"))
    if np.dtype(dtype).kind == "i":
        refused(path, "of which zero is white")
    else:
        white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
        held(path, [(white - array)[None]])


@pytest.mark.parametrize("grey", [True, False])
def test_palettes_of_tiff(tmp_path, grey):
    indices = numbers((H, W), np.uint8)
    palette = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    palette = np.repeat(palette[:1], 3, 0) if grey else palette
    path = stored(tmp_path, tiff(indices, photometric="palette", colormap=palette))
    held(path, [(palette >> 8).astype(np.uint8)[: 1 if grey else 3, indices]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_cmyk_of_tiff(tmp_path, dtype):
    array = numbers((H, W, 4), dtype)
    path = stored(tmp_path, tiff(array, photometric="separated"))
    if dtype == np.float32:
        refused(path, "CMYK")
        return
    full = np.iinfo(dtype).max
    ink = array / full
    expected = np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * full).astype(dtype)
    held(path, [expected.transpose(2, 0, 1)])
    if dtype == np.uint8:
        by_pillow = np.asarray(Image.open(path).convert("RGB")).astype(int)
        assert np.abs(by_pillow - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colours_that_were_multiplied_with_alpha(tmp_path, dtype):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    alpha = np.full((H, W, 1), 0.5)
    alpha[0] = 0
    colours = numbers((H, W, 3), np.float64)
    array = np.concatenate([colours * alpha, alpha], axis=2) * full
    array = array.astype(dtype) if full == 1 else np.rint(array).astype(dtype)
    path = stored(tmp_path, tiff(array, photometric="rgb", extrasamples=["assocalpha"]))
    (page,) = read_pages(path)
    assert page.notes == ("alpha",)
    np.testing.assert_allclose(page.pixels.transpose(1, 2, 0)[1:] / full, colours[1:], atol=3 / 255)
    assert not page.pixels[:, 0].any()


def test_bits_that_are_not_bytes(tmp_path):
    for bits, dtype in ((1, np.uint8), (2, np.uint8), (4, np.uint8), (6, np.uint8), (10, np.uint16), (12, np.uint16)):
        values = numbers((H, 40), np.float64)
        values = np.rint(values * (2**bits - 1)).astype(dtype)
        packed = b"".join(imagecodecs.packints_encode(row, bits) for row in values)
        page = {256: 40, 257: H, 258: bits, 259: 1, 262: 1, 277: 1, 278: H, 279: len(packed)}
        path = stored(tmp_path, by_hand(page, packed))
        with quiet_readers():
            (read,) = read_pages(path)
        np.testing.assert_array_equal(read.pixels[0], values)
        white = read.scaled()
        np.testing.assert_allclose(
            white / (255 if white.dtype == np.uint8 else 1), values[None] / (2**bits - 1), atol=1e-6
        )


def by_hand(tags, data):
    """A little-endian TIFF of these tags, all LONGs, whose pixels follow its table."""
    tags = {**tags, 273: 8 + 2 + 12 * (len(tags) + 1) + 4}
    table = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in sorted(tags.items())
    )
    return b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + table + bytes(4) + data


@pytest.mark.parametrize("shape", [(3, H, W), (2, 4, H, W), (3, H, W, 3)])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True}, {"volumetric": True}, {"truncate": True}, {"ome": True}]
)
def test_every_page_of_a_stack(tmp_path, shape, options):
    colour = shape[-1] == 3
    array = numbers(shape, np.uint8 if colour else np.uint16)
    content = tiff(array, photometric="rgb" if colour else "minisblack", **options)
    if content is None:
        assert options in ({"volumetric": True}, {"truncate": True}, {"imagej": True}), options
        return
    flat = array.reshape(-1, H, W, 3).transpose(0, 3, 1, 2) if colour else array.reshape(-1, 1, H, W)
    held(stored(tmp_path, content), list(flat))


def test_pages_of_different_sizes_and_types(tmp_path):
    arrays = [numbers((H, W), np.uint8), numbers((5, 9), np.float32), numbers((7, 8, 3), np.uint16)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for array in arrays:
            writer.write(array, photometric="rgb" if array.ndim == 3 else "minisblack")
    held(stored(tmp_path, buffer.getvalue()), [np.moveaxis(np.atleast_3d(array), 2, 0) for array in arrays])


def test_smaller_copies_and_masks_are_no_pages(tmp_path):
    array = numbers((H, W), np.uint8)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(array, photometric="minisblack")
        writer.write(array[::2, ::2], photometric="minisblack", subfiletype=1)
    path = stored(tmp_path, buffer.getvalue())
    held(path, [array[None]])
    assert read_pages(path)[0].notes == ("reduced",)


@pytest.mark.parametrize("photometric", ["cielab", "logluv", "cfa"])
def test_colours_that_are_not_read(tmp_path, photometric):
    array = numbers((H, W, 3), np.float32)
    content = tiff(array[..., 0] if photometric == "cfa" else array, photometric=photometric)
    refused(stored(tmp_path, content), "YCbCr|colours")


def test_complex_numbers_are_not_read(tmp_path):
    refused(stored(tmp_path, tiff(np.ones((4, 5), np.complex64))), "complex")


def test_ycbcr_of_pillow(tmp_path):
    array = numbers((H, W, 3), np.uint8)
    image = Image.fromarray(array).convert("YCbCr")
    image.save(tmp_path / "image.tif")
    held(tmp_path / "image.tif", [np.asarray(image.convert("RGB")).transpose(2, 0, 1)])


PILLOW_TIFF = (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")


def test_every_mode_that_pillow_writes(tmp_path):
    """Whatever Pillow writes is read as Pillow converts it, or refused by name."""
    colour = Image.fromarray(numbers((H, W, 3), np.uint8))
    images = {mode: colour.convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "RGBX")}
    images["LA"] = colour.convert("L").convert("LA")
    images["PA"] = colour.convert("P").convert("PA")
    images["LAB"] = Image.frombytes("LAB", (W, H), colour.tobytes())
    images["I;16"] = Image.fromarray(numbers((H, W), np.uint16))
    images["I"] = Image.fromarray(numbers((H, W), np.int32))
    images["F"] = Image.fromarray(numbers((H, W), np.float32))
    kinds = [("TIFF", {"compression": one} if one else {}) for one in (*PILLOW_TIFF, "group3", "group4", "tiff_ccitt")]
    kinds += [("PNG", {}), ("BMP", {}), ("GIF", {}), ("WEBP", {"lossless": True}), ("JPEG2000", {}), ("PPM", {})]
    written = set()
    for (mode, image), (kind, options) in itertools.product(images.items(), kinds):
        buffer = io.BytesIO()
        try:
            image.save(buffer, kind, **options)
        except (OSError, ValueError, SystemError):
            continue
        path = stored(tmp_path, buffer.getvalue())
        try:
            with quiet_readers():
                (page,) = read_pages(path)
                assert read_shapes(path) == [page.pixels.shape]
        except DataError as error:
            known = {"LAB", "PA"} if kind == "TIFF" else {"F"} if kind == "PPM" else set()
            assert "not read" in str(error), (mode, kind, options)  # noqa: PT017
            assert mode in known, (mode, kind, options)
            continue
        written.add((mode, kind))
        expected = by_pillow(path)
        grey = len(page.pixels) == 1
        shown = expected @ LUMA if grey and expected.ndim == 3 else expected
        values = page.pixels if mode in ("I", "F", "I;16") else page.scaled()
        found = values[0] if grey else values.transpose(1, 2, 0)
        np.testing.assert_allclose(
            found.astype(float),
            shown.astype(float),
            atol=1.01 if mode == "YCbCr" else 0.51,
            err_msg=f"{mode} {kind} {options}",
        )
    assert len(written) >= 30


def by_pillow(path):
    with Image.open(path) as image:
        if image.mode in ("I", "F", "I;16", "I;16B", "L"):
            return np.asarray(image)
        if image.mode == "1":
            return np.asarray(image.convert("L"))
        return np.asarray(image.convert("RGBA").convert("RGB") if image.mode in ("P", "PA") else image.convert("RGB"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.int16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000(tmp_path, dtype, channels, bare):
    for bits in {8 * np.dtype(dtype).itemsize, 12 if dtype == np.uint16 else 8 * np.dtype(dtype).itemsize}:
        array = numbers((H, W, channels), dtype) >> (8 * np.dtype(dtype).itemsize - bits)
        content = imagecodecs.jpeg2k_encode(
            array[..., 0] if channels == 1 else array,
            level=0,
            codecformat="j2k" if bare else "jp2",
            reversible=True,
            bitspersample=bits,
        )
        path = stored(tmp_path, content)
        held(path, [array[..., : 1 if channels < 3 else 3].transpose(2, 0, 1)])
        assert read_pages(path)[0].bits == bits


def test_sixteen_bits_of_every_png(tmp_path):
    for channels in (1, 2, 3, 4):
        array = numbers((H, W, channels), np.uint16)
        path = stored(tmp_path, imagecodecs.png_encode(array[..., 0] if channels == 1 else array))
        held(path, [array[..., : 1 if channels < 3 else 3].transpose(2, 0, 1)])


@pytest.mark.parametrize("white", [1, 5, 255, 1000, 4095, 65535])
def test_netpbm(tmp_path, white):
    for kind, channels in ((2, 1), (3, 3), (5, 1), (6, 3)):
        array = np.rint(numbers((H, W, channels), np.float64) * white).astype(np.uint16)
        body = array.astype(">u2" if white > 255 else np.uint8).tobytes()
        if kind < 5:
            body = b"\n".join(b" ".join(b"%d" % n for n in row.ravel()) for row in array)
        path = stored(tmp_path, b"P%d\n# a comment\n%d %d\n%d\n" % (kind, W, H, white) + body)
        (page,) = read_pages(path)
        assert read_shapes(path) == [(channels, H, W)]
        scaled = page.scaled()
        found = scaled / (255 if scaled.dtype == np.uint8 else 1)
        np.testing.assert_allclose(found.transpose(1, 2, 0), array / white, atol=0.6 / 255 if white < 255 else 1e-5)
    bits = numbers((H, W), np.uint8) > 127
    Image.fromarray(~bits).save(tmp_path / "a.pbm")
    np.testing.assert_array_equal(read_pages(tmp_path / "a.pbm")[0].scaled()[0], ~bits * np.uint8(255))
    text = b"P1 %d %d\n" % (W, H) + b"".join(b"%d" % one for one in bits.ravel())
    np.testing.assert_array_equal(read_pages(stored(tmp_path, text))[0].pixels[0], ~bits)


def test_several_pictures_in_one_netpbm(tmp_path):
    arrays = [numbers((H, W), np.uint8, seed=seed) for seed in range(3)]
    path = stored(tmp_path, b"".join(b"P5 %d %d 255\n" % (W, H) + one.tobytes() for one in arrays))
    held(path, [one[None] for one in arrays])


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"imagej": True}])
def test_a_stack_that_is_cut_short_anywhere_is_not_taken_for_a_shorter_one(options):
    """Of one whose further pages lie beyond the end, or half there, tifffile gives those before them."""
    stack, whole = np.arange(6 * 64, dtype=np.uint16).reshape(6, 8, 8), io.BytesIO()
    if "imagej" in options:
        tifffile.imwrite(whole, stack, **options)
    else:
        with tifffile.TiffWriter(whole, **options) as writer:
            for picture in stack:
                writer.write(picture, contiguous=False, metadata=None)
    data = whole.getvalue()
    assert len(reader.shapes(data)) == len(list(reader.pages(data))) == 6

    def n_pages(read, cut):
        try:
            return len(list(read(cut)))
        except Exception:  # of many kinds, which image_file words
            return None

    found = {n_pages(read, data[:end]) for end in range(8, len(data), 3) for read in (reader.shapes, reader.pages)}
    assert found <= {None, 6}
