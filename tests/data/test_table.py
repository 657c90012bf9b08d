"""README's table of what is read, kept and lost says what the code does."""

import io
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from isthmus.data.formats.image_file import KINDS, quiet_readers, read_pages
from isthmus.data.formats.page import grey_of
from isthmus.data.formats.writers import write_like

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
LINES = re.search(r"<!-- files: begin -->\n(.*?)<!-- files: end -->", README, re.DOTALL)[1].splitlines()
ROWS = {(cells := [cell.strip() for cell in line.strip("|").split("|")])[0]: cells[1:] for line in LINES[2:]}
PILLOW = {"PNG": "PNG", "JPEG": "JPEG", "WebP": "WEBP", "GIF": "GIF", "BMP": "BMP", "JPEG 2000": "JPEG2000"}
COLOUR = np.add.outer(np.arange(24), np.arange(32)).astype(np.uint8)[:, :, None] * np.array([1, 2, 3], np.uint8)
GREY_PALETTE = Image.fromarray(COLOUR[..., 0]).convert("P")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def listed(kind, column):
    return [word.strip() for word in ROWS[kind][column].split(",") if word.strip()]


def saved(kind, *, image=COLOUR, **options):
    """A file of this kind, written by others."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if kind == "Netpbm":
        return b"P6\n32 24\n255\n" + COLOUR.tobytes()
    if kind == "TIFF":
        array = np.asarray(image)
        tifffile.imwrite(buffer, array, **{"photometric": "rgb" if array.ndim == 3 else "minisblack", **options})
    else:
        image.save(buffer, PILLOW[kind], **options)
    return buffer.getvalue()


def again(kind, content, tmp_path, *, grey=False):
    path, target = tmp_path / "a", tmp_path / "b"
    path.write_bytes(content)
    with quiet_readers():
        images = [page.scaled() for page in read_pages(path)]
    images = [image / 255 if image.dtype == np.uint8 else image for image in images]
    images = [grey_of(image) for image in images] if grey else images
    notes = write_like(path, images, target, grey=grey)
    return target, " ".join(notes)


EXIF = Image.Exif()
EXIF[271] = "A camera"


def with_word(kind, word):
    """A file that has what a word of the table stands for."""
    text = PngImagePlugin.PngInfo()
    if word == "gamma":
        text.add(b"gAMA", (45455).to_bytes(4, "big"))
    elif word == "XMP":
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    else:
        text.add_text("Title", "words")
    profile = SRGB if word == "profile" else None
    of_tiff = {
        "resolution": {"resolution": (300, 300)},
        "description": {"description": "words", "metadata": None},
        "XMP": {"extratags": [(700, 1, len(XMP), XMP, True)]},
        "profile": {"iccprofile": SRGB},
        "compression": {"compression": "lzw"},
        "lossy compression": {"compression": "jpeg"},
    }
    if kind == "TIFF" and word in of_tiff:
        return saved(kind, **of_tiff[word])
    if kind == "TIFF" and word == "EXIF":
        buffer = io.BytesIO()
        Image.fromarray(COLOUR).save(buffer, "TIFF", tiffinfo={34665: {33434: 0.01}})
        return buffer.getvalue()
    if kind == "Netpbm":
        if word != "comment":
            raise KeyError(word)
        return saved(kind).replace(b"\n32", b"\n# words\n32", 1)
    if kind == "JPEG 2000" and word in ("resolution", "XMP", "profile"):
        content = saved(kind)
        box = {"resolution": b"res ", "XMP": b"xml ", "profile": b"uuid" + bytes(16)}[word]
        at = content.index(b"jp2c") - 4
        return content[:at] + (4 + len(box)).to_bytes(4, "big") + box + content[at:]
    alpha, cmyk = {"image": np.dstack([COLOUR, COLOUR[..., :1]])}, {"image": Image.fromarray(COLOUR).convert("CMYK")}
    if kind == "TIFF":
        alpha["extrasamples"], cmyk["photometric"] = ["unassalpha"], "separated"
    return {
        "resolution": lambda: saved(kind, dpi=(300, 300)),
        "EXIF": lambda: saved(kind, exif=EXIF),
        "XMP": lambda: saved(kind, pnginfo=text) if kind == "PNG" else saved(kind, xmp=XMP),
        "profile": lambda: saved(kind, icc_profile=profile),
        "gamma": lambda: saved(kind, pnginfo=text),
        "text": lambda: saved(kind, pnginfo=text),
        "comment": lambda: saved(kind, comment=b"words"),
        "alpha": lambda: saved("GIF", image=GREY_PALETTE, transparency=0) if kind == "GIF" else saved(kind, **alpha),
        "palette": lambda: with_palette(kind),
        "CMYK": lambda: saved(kind, **cmyk),
        "colours beyond 256": lambda: saved(kind),
    }[word]()  # fmt: skip


def with_palette(kind):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).quantize(16).save(buffer, kind)
    return buffer.getvalue()


def has(kind, word, path):
    """Whether a file has it."""
    if kind == "TIFF":
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            found = {
                "resolution": tags.valueof(282) == (300, 1),
                "description": tags.valueof(270) == "words",
                "XMP": tags.valueof(700) == XMP,
                "profile": tags.valueof(34675) == SRGB,
                "compression": tags.valueof(259) == 5,
                "lossy compression": tags.valueof(259) == 7,
                "EXIF": 34665 in tags,
                "alpha": tags.valueof(277) == 4 and tags.valueof(262) == 2,
                "palette": tags.valueof(262) == 3,
                "CMYK": tags.valueof(262) == 5,
            }
            return found[word]
    content = path.read_bytes()
    if kind == "Netpbm":
        return b"#" in content[:20]
    with Image.open(path) as image:
        image.load()
        info = image.info
        found = {
            "resolution": ("dpi" in info and np.allclose(info["dpi"], 300, atol=0.1)) or b"res " in content,
            "EXIF": image.getexif().get(271) == "A camera",
            "XMP": XMP in (info.get("xmp"), info.get("XML:com.adobe.xmp", "").encode()) or b"xml " in content[:400],
            "profile": info.get("icc_profile") == SRGB or (kind == "JPEG 2000" and b"uuid" in content),
            "gamma": info.get("gamma") == 0.45455,
            "text": info.get("Title") == "words",
            "comment": info.get("comment") == b"words",
            "alpha": image.mode in ("RGBA", "LA") or "transparency" in info,
            "palette": image.mode == "P",
            "CMYK": image.mode == "CMYK",
            "colours beyond 256": image.mode != "P",
        }
        return found[word]


def test_the_kinds_and_their_endings():
    table = {kind: set(cells[0].split()) for kind, cells in ROWS.items()}
    code: dict = {}
    for ending, kind in KINDS.items():
        code.setdefault("Netpbm" if kind in ("PBM", "PGM", "PPM", "PNM") else kind, set()).add(ending)
    assert table == code


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind in ROWS for word in listed(kind, 3)])
def test_what_is_kept(kind, word, tmp_path):
    content = with_word(kind, word)
    target, notes = again(kind, content, tmp_path)
    assert has(kind, word, tmp_path / "a")
    assert has(kind, word, target)
    assert notes == ("a GIF has 256 colours at most, so they are not kept exactly" if kind == "GIF" else "")


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind in ROWS for word in listed(kind, 4)])
def test_what_is_not_kept_is_said(kind, word, tmp_path):
    if word != "colours beyond 256":
        content = with_word(kind, word)
        (tmp_path / "c").write_bytes(content)
        assert has(kind, word, tmp_path / "c")
    target, notes = again(kind, with_word(kind, word), tmp_path)
    assert not has(kind, word, target)
    assert re.search(word.split()[0].removeprefix("lossy") or "compression", notes)


@pytest.mark.parametrize(("kind", "bits"), [(kind, bits) for kind in ROWS for bits in listed(kind, 1)])
def test_the_bits(kind, bits, tmp_path):
    if bits == "floats":
        content, expected = saved(kind, image=Image.fromarray((COLOUR[..., 0] / 255).astype(np.float32))), 32
    elif bits == "8":
        content, expected = saved(kind), 8
    else:
        expected = int(bits)
        deep = COLOUR.astype(np.uint16) << (expected - 8)
        buffer = io.BytesIO()
        if kind == "TIFF":
            tifffile.imwrite(buffer, deep, photometric="rgb")
        elif kind == "PNG":
            buffer.write(imagecodecs.png_encode(deep))
        elif kind == "JPEG 2000":
            buffer.write(imagecodecs.jpeg2k_encode(deep, level=0, reversible=True, bitspersample=expected))
        else:
            buffer.write(b"P6 32 24 %d\n" % (2**expected - 1) + deep.astype(">u2").tobytes())
        content = buffer.getvalue()
    target, _ = again(kind, content, tmp_path)
    assert [page.bits for page in read_pages(tmp_path / "a")] == [expected]
    assert [page.bits for page in read_pages(target)] == [expected]


@pytest.mark.parametrize("kind", ROWS)
def test_the_pages(kind, tmp_path):
    frames = [Image.fromarray(np.ascontiguousarray(COLOUR[:, ::step])) for step in (1, -1)]
    if kind == "Netpbm":
        content = saved(kind) * 2
    elif kind == "TIFF":
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.stack(frames), photometric="rgb")
        content = buffer.getvalue()
    elif ROWS[kind][2]:
        content = saved(kind, save_all=True, append_images=frames[1:], duration=50)
    else:
        assert kind in ("JPEG", "BMP", "JPEG 2000")
        return
    target, _ = again(kind, content, tmp_path)
    assert len(read_pages(tmp_path / "a")) == len(read_pages(target)) == 2
    assert ROWS[kind][2] in ("all", "of 8 bits")


WORDS = sorted({word for kind in ROWS for column in (3, 4) for word in listed(kind, column)})


@pytest.mark.parametrize("kind", ROWS)
def test_the_table_leaves_out_nothing(kind, tmp_path):
    """Whatever any kind of file has beside its pixels: where another kind can have it too, its cells say what becomes
    of it.
    """
    told = {*listed(kind, 3), *listed(kind, 4)} - {"colours beyond 256"}  # which an image has, and not its file
    possible = set()
    for word in WORDS:
        try:
            (tmp_path / "c").write_bytes(with_word(kind, word))
            possible |= {word} if has(kind, word, tmp_path / "c") else set()
        except (KeyError, TypeError, OSError, ValueError):
            continue  # this kind of file cannot have it
    possible -= {"colours beyond 256"} | ({"palette"} if kind == "GIF" else set())  # a GIF has nothing else
    assert possible == told


@pytest.mark.parametrize("kind", ROWS)
def test_what_grey_does_is_said(kind, tmp_path):
    options = {"iccprofile": SRGB} if kind == "TIFF" else {"icc_profile": SRGB} if kind in ("PNG", "JPEG") else {}
    target, notes = again(kind, saved(kind, **options), tmp_path, grey=True)
    assert "colours are not kept: written as grey" in notes
    assert ("a colour profile of other channels is not kept" in notes) == bool(options)
    (page,) = read_pages(target)
    np.testing.assert_allclose(page.pixels, np.repeat(page.pixels[:1], len(page.pixels), 0), atol=2)  # a lossy WebP
    assert "colours are not kept" not in again(kind, saved(kind), tmp_path)[1]


def test_a_grey_file_loses_no_colours(tmp_path):
    assert again("PNG", saved("PNG", image=COLOUR[..., 0]), tmp_path, grey=True)[1] == ""
