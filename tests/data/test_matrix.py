"""Every format and mode: pixels, alpha, EXIF, profile and bits come out as they went in, upright."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from isthmus.data.formats import image_file
from isthmus.data.formats import page as page_module
from isthmus.data.formats.image_file import quiet_readers, read_pages
from isthmus.data.formats.tiff_exif import Layout, add_lists
from isthmus.data.formats.writers import write_like

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]
MODES = [
    (kind, bits, colours, alpha)
    for kind, all_bits, some_colours, alphas in (
        ("jpg", (8,), (1, 3), ("",)),
        ("png", (8, 16), (1, 3), ("", "unassalpha")),
        ("webp", (8,), (3,), ("", "unassalpha")),
        ("tif", (8, 16, 32), (1, 3), ("", "unassalpha", "assocalpha")),
    )
    for bits in all_bits
    for colours in some_colours
    for alpha in alphas
]


def exif_of(orientation):
    exif = Image.Exif()
    exif.endian = "<"
    exif[271], exif[274] = "A camera", orientation
    exif.get_ifd(0x8769).update({33434: 0.01, 36867: "2024:01:02 03:04:05", 37500: b"maker's own", 0xA002: 7})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 6.5)})
    return exif


def make(path, values, orientation, alpha, **options):
    """Write (h, w, c) as a camera does, which says how to turn it."""
    colours = values.shape[2] - bool(alpha)
    exif, profile = exif_of(orientation), GREY if colours == 1 else SRGB
    if path.suffix == ".tif":
        tags = [(271, 2, 0, "A camera", True), (274, 3, 1, orientation, True)]
        options |= {"photometric": "rgb" if colours == 3 else "minisblack", "extratags": tags, "iccprofile": profile}
        options |= {"planarconfig": options.get("planarconfig", 1)} if values.shape[2] > 1 else {}
        options |= {"extrasamples": [alpha]} if alpha else {}
        stored = np.moveaxis(values, 2, 0) if options.get("planarconfig") == 2 else values.squeeze()
        tifffile.imwrite(path, stored, metadata=None, **options)
        content, layout = exif.tobytes()[6:], Layout("<", False)
        (first,) = layout.place.unpack(content[4:8])
        places = {code: value for code, _, _, value in layout.read(content, first) if code in (0x8769, 0x8825)}
        lists = {code: layout.read(content, *layout.place.unpack(value)) for code, value in places.items()}
        with open(path, "r+b") as file:
            add_lists(file, Layout("<", options.get("bigtiff", False)), [lists])
    elif values.dtype == np.uint16:
        small = path.with_name("small.png")
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)[..., :colours].squeeze()).save(
            small, exif=exif, icc_profile=profile
        )
        content, deep = small.read_bytes(), bytes(imagecodecs.png_encode(values.squeeze()))
        path.write_bytes(deep[:33] + content[33 : content.index(b"IDAT") - 4] + deep[33:])
    else:
        how = {".webp": {"lossless": True, "exact": True}, ".jpg": {"quality": 95, "subsampling": 0}}
        Image.fromarray(values.squeeze()).save(path, exif=exif, icc_profile=profile, **how.get(path.suffix, {}))


def stored(path):
    """(h, w, c) as it lies in a file."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            values = file.pages[0].asarray()
            values = np.moveaxis(values, 0, 2) if "S" in file.pages[0].axes[0] else values
    elif path.suffix == ".png":
        values = imagecodecs.png_decode(path.read_bytes())
    else:
        values = np.asarray(Image.open(path))
    return values.reshape(*values.shape[:2], -1)


def check(path, values, orientation, alpha):
    colours = values.shape[2] - bool(alpha)
    with quiet_readers():
        (page,) = read_pages(path)
    image = page.scaled()
    target = path.with_name(f"again{path.suffix}")
    assert write_like(path, image / 255 if image.dtype == np.uint8 else image, target) == ()
    upright = np.rot90(values, -1) if orientation == 6 else values
    found = stored(target)
    assert (found.dtype, found.shape) == (values.dtype, upright.shape)
    if path.suffix == ".jpg":
        assert np.abs(found.astype(float) - upright).mean() < 3
    else:
        np.testing.assert_allclose(found, upright, rtol=1e-6, atol=0)
    assert beside(target) == {
        "profile": GREY if colours == 1 else SRGB,
        "orientation": 1,
        "model": "A camera",
        "width": upright.shape[1],
        "date": "2024:01:02 03:04:05",
        "note": b"maker's own",
        "place": ("N", 48),
    }


def beside(path):
    """What stands beside the pixels, as other programs read it."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            profile, orientation, model = tags.valueof(34675), tags.valueof(274, 1), tags.valueof(271)
            details, gps = tags.valueof(0x8769), tags.valueof(0x8825)
        width, date, note = (details[name] for name in ("PixelXDimension", "DateTimeOriginal", "MakerNote"))
        place = gps["GPSLatitudeRef"], gps["GPSLatitude"][0]
    else:
        with Image.open(path) as image:
            profile, exif = image.info["icc_profile"], image.getexif()
        orientation, model, details, gps = exif[274], exif[271], exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        width, date, note = (details[code] for code in (0xA002, 36867, 37500))
        place = gps[1], gps[2][0]
    words = ("profile", "orientation", "model", "width", "date", "note", "place")
    return dict(zip(words, (profile, orientation, model, width, date, note, place), strict=True))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("kind", "bits", "colours", "alpha"), MODES, ids=lambda value: str(value) or "opaque")
def test_everything_comes_out_as_it_went_in(kind, bits, colours, alpha, orientation, tmp_path, monkeypatch):
    if orientation == 6:
        monkeypatch.setattr(image_file, "_LARGE", 0)  # mapped when it is written again
    ramp = np.add.outer(np.arange(9), 2 * np.arange(7))[..., None] * np.arange(1, 5)[: colours + bool(alpha)]
    values = (ramp / 100).astype(np.float32) if bits == 32 else (ramp * (2**bits // 128)).astype(f"u{bits // 8}")
    if alpha == "assocalpha":
        values[..., :-1] = np.minimum(values[..., :-1], values[..., -1:])
    make(tmp_path / f"a.{kind}", values, orientation, alpha)
    check(tmp_path / f"a.{kind}", values, orientation, alpha)


@pytest.mark.parametrize(
    "options",
    [{"bigtiff": True}, {"compression": "lzw", "predictor": 2}, {"tile": (16, 16)}, {"planarconfig": 2}],
    ids=str,
)
def test_a_tiff_keeps_it_all_in_any_layout(options, tmp_path, monkeypatch):
    monkeypatch.setattr(image_file, "_LARGE", 0)  # mapped when it is written again
    values = np.random.default_rng(0).integers(0, 2**16, (40, 30, 4), np.uint16)
    make(tmp_path / "a.tif", values, 6, "unassalpha", **options)
    check(tmp_path / "a.tif", values, 6, "unassalpha")


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)], ids=["grey", "rgb"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_pixels_of_a_large_tiff_are_no_view_of_its_file(shape, dtype, byteorder, tmp_path, monkeypatch):
    """A file that is cut short while a view of it is read ends the program."""
    monkeypatch.setattr(image_file, "_LARGE", 0)
    monkeypatch.setattr(page_module, "_BAND", 1000)
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=byteorder, photometric="rgb" if len(shape) == 3 else None)
    (page,) = read_pages(tmp_path / "a.tif")
    np.testing.assert_array_equal(page.pixels, np.atleast_3d(values).transpose(2, 0, 1))
    assert page.pixels.dtype == dtype
    owner = page.pixels
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    assert isinstance(owner, np.ndarray), "not the map"


@pytest.mark.parametrize("mode", ["L", "I;16B"])
def test_exif_of_another_programs_tiff(mode, tmp_path):
    tags = {271: "A camera", 0x8769: {33434: 0.01, 0xA005: {1: "R98"}}, 0x8825: {1: "N", 2: (48.0, 8.0, 6.5)}}
    Image.new(mode, (7, 9)).save(tmp_path / "a.tif", tiffinfo=tags)
    images = [page.scaled() for page in read_pages(tmp_path / "a.tif")]
    assert write_like(tmp_path / "a.tif", np.asarray(images[0], float), tmp_path / "b.tif") == ()
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(tmp_path / "b.tif") as after:
        assert after.byteorder == (">" if mode == "I;16B" else "<")
        for code in (0x8769, 0x8825):
            values = [file.pages[0].tags.valueof(code) for file in (before, after)]
            assert values[0].keys() == values[1].keys()
            places = [value.pop("InteroperabilityTag", None) for value in values]
            assert values[0] == values[1]
            assert (places[0] is None) == (code == 0x8825)
    with Image.open(tmp_path / "b.tif") as image:
        assert image.getexif().get_ifd(0xA005) == {1: "R98"}


def test_frames_of_a_webp_keep_their_alpha(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (9, 7, 4), np.uint8) for _ in range(3)]
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], lossless=True, exact=True)
    pages = read_pages(tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as before:
        assert before.mode == "RGBA"
        assert write_like(tmp_path / "a.webp", [page.pixels / 255 for page in pages], tmp_path / "b.webp") == ()
        with Image.open(tmp_path / "b.webp") as after:
            for i in range(3):
                before.seek(i)
                after.seek(i)
                np.testing.assert_array_equal(np.asarray(after.getchannel("A")), np.asarray(before.getchannel("A")))
