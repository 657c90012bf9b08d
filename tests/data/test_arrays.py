"""Arrays become Images: in memory, from NumPy's files and IDX; nothing in them is executed, and none is a bomb."""

import argparse
import gzip
import pickle
import zipfile

import numpy as np
import pytest
import torch

from isthmus import open_images
from isthmus.commands import data
from isthmus.errors import DataError

RNG = np.random.default_rng(0)
# Options of `isthmus data info`, none of which is given
UNPREPARED = dict.fromkeys(("resize", "crop", "patches", "stride", "range", "data_dir")) | {
    "grey": False,
    "skip_bad": False,
}

pytestmark = pytest.mark.usefixtures("own_cache")


def test_arrays_and_tensors():
    grey = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
    colour = RNG.random((4, 3, 6, 5), np.float32)
    np.testing.assert_array_equal(open_images(grey).pixels, grey[:, None], strict=True)
    np.testing.assert_array_equal(open_images(torch.from_numpy(grey)).pixels, grey[:, None], strict=True)
    for array in (colour, colour.transpose(0, 2, 3, 1), torch.from_numpy(colour), torch.from_numpy(colour).double()):
        np.testing.assert_array_equal(open_images(array).pixels, colour, strict=True)
    assert open_images(torch.rand(2, 6, 5, dtype=torch.bfloat16, requires_grad=True)).shape == (1, 6, 5)
    deep = RNG.integers(0, 65536, (4, 6, 5), dtype=np.uint16)
    np.testing.assert_allclose(open_images(deep).pixels[:, 0], deep / 65535, atol=1e-7)
    assert set(np.unique(open_images(grey > 127).pixels)) == {0, 255}
    assert open_images(grey, resize=(3, 3)).shape == (1, 3, 3)
    assert len(open_images(grey, patches=(4, 4))) == 4 * 4
    assert open_images(np.zeros((2, 1, 1, 1))).shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros((4, 4)), r"one grey image is x[None]"),
        (np.zeros((480, 640, 3)), "x[None] for one image"),
        (np.zeros((2, 3, 8, 3)), "first or last"),
        (np.zeros((2, 1, 8, 1)), "first or last"),
        (np.zeros((2, 4, 8, 8)), "1 or 3 channels"),
        (np.zeros((2, 8, 8), np.int64), 'x.astype("uint8")'),
        (np.zeros((2, 8, 8), complex), "complex"),
        (np.full((2, 8, 8), 255.0), "divide by 255"),
        (np.full((2, 8, 8), np.nan), "NaN"),
        (np.zeros((0, 8, 8)), "no images"),
        (np.array([[[None] * 4]]), "object"),
    ],
)
def test_arrays_that_could_be_misread_are_refused(array, word, said):
    assert word in said(array)


def test_numpy_files(tmp_path, said):
    pixels = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    np.save(tmp_path / "f.npy", np.asfortranarray(pixels))
    np.save(tmp_path / "b.npy", (pixels / 255).astype(">f4"))
    for name in ("a.npy", "f.npy"):
        np.testing.assert_array_equal(open_images(tmp_path / name).pixels[:, 0], pixels)
    assert open_images(tmp_path / "b.npy").pixels.dtype == np.float32
    labels = np.arange(4, dtype=np.uint8)
    for arrays in (
        {"images": pixels, "labels": labels},
        {"x": pixels, "y": labels, "other": labels},
        {"anything": pixels},
    ):
        for write in (np.savez, np.savez_compressed):
            write(tmp_path / "a.npz", **arrays)
            images = open_images(tmp_path / "a.npz")
            np.testing.assert_array_equal(images.pixels[:, 0], pixels)
            assert (images.labels is None) == (len(arrays) == 1)
            assert images.labels is None or images.labels.tolist() == [0, 1, 2, 3]
    (tmp_path / "a.npz").rename(tmp_path / "without-ending")
    assert len(open_images(tmp_path / "without-ending")) == 4
    np.savez(tmp_path / "a.npz", pictures=pixels, names=np.array(["a", "b", "c", "d"]), ages=labels)
    np.testing.assert_array_equal(open_images(tmp_path / "a.npz").pixels[:, 0], pixels)
    np.savez(tmp_path / "a.npz", one=pixels, two=pixels)
    assert 'holds one, two, and no array called "images"' in said(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (np.array(["frog", "ant", "frog", "bee"]), [2, 0, 2, 1], ("ant", "bee", "frog")),
        (np.array(["vélo", "ant", "ant", "bee"]).astype("U40"), [2, 0, 0, 1], ("ant", "bee", "vélo")),
        (np.array([b"frog", b"ant", b"frog", b"bee"]), [2, 0, 2, 1], ("ant", "bee", "frog")),
        (np.array([[3], [1], [3], [2]]), [3, 1, 3, 2], ()),
        (np.array([3.0, 1, 3, 2]), [3, 1, 3, 2], ()),
        (np.array([True, False, True, True]), [1, 0, 1, 1], ()),
    ],
)
def test_labels_of_any_ordinary_kind(labels, numbers, names, tmp_path, capsys):
    pixels = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=labels)
    images = open_images(tmp_path / "a.npz", patches=(5, 5))
    assert images.labels.tolist() == np.repeat(numbers, 2).tolist()
    assert images.label_names == names
    data._info(argparse.Namespace(data=str(tmp_path / "a.npz"), **UNPREPARED))
    out = capsys.readouterr().out
    assert f"{names[0] if names else min(numbers)}: " in out
    assert f"{numbers.count(max(numbers))}" in out


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (np.array(["a", "b", None, "d"], object), "Python objects, a pickle, which isthmus never loads; save text"),
        (np.eye(4), "a whole number or text for each image, got float64 of (4, 4); save them so, or leave them out"),
        (np.array([0.5, 1, 2, np.nan]), "a whole number or text for each image, got float64 of (4,)"),
        (np.array([b"\xff", b"a", b"b", b"c"]), "its labels are no text"),
        (np.arange(3), "4 images and labels of shape (3,); give one label for each image, or none"),
    ],
)
def test_what_are_no_labels_is_refused_with_the_way_out(labels, word, tmp_path, said, capsys):
    pixels = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=labels)
    assert word in said(tmp_path / "a.npz")
    if labels.dtype != object:
        data._info(argparse.Namespace(data=str(tmp_path / "a.npz"), **UNPREPARED))
        out = capsys.readouterr().out
        assert "4 images  1×6×5 uint8" in out
        assert f"refused as it is: {said(tmp_path / 'a.npz')}" in out


class Trap:
    """What a pickle could do: here, leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("descr", ["\nu1", "\x1b[2Ju1"])
def test_what_a_header_says_is_quoted_in_one_line(tmp_path, said, descr):
    np.save(tmp_path / "a.npy", np.zeros((3, 6, 5), np.uint8))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"|u1", descr.encode(), 1)[: len(content)])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images\n.npy", b"")
    for name in ("a.npy", "a.npz"):
        line = said(tmp_path / name)
        assert name in line
        assert line.isprintable()


def test_a_pickle_is_never_executed(tmp_path, said):
    sprung = tmp_path / "sprung"
    for name in ("a.npy", "a.npz", "a.png", "a.pkl", "images-idx3-ubyte"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(sprung)))
        assert str(tmp_path / name) in said(tmp_path / name)
    np.save(tmp_path / "o.npy", np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    assert "never loads" in said(tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", images=np.array([Trap(sprung)], dtype=object))
    assert "never loads" in said(tmp_path / "o.npz")
    assert not sprung.exists()


def test_bombs_are_refused(tmp_path, said):
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((100, 1000, 1000), np.uint8))
    assert "decompression bomb" in said(tmp_path / "bomb.npz")
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999, 9999, 9999), }\n"
    lie = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100)
    (tmp_path / "lie.npy").write_bytes(lie)
    assert "the limit is" in said(tmp_path / "lie.npy")
    with zipfile.ZipFile(tmp_path / "z.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", lie)
    assert "packed in a way" in said(tmp_path / "z.npz")
    (tmp_path / "a-idx3-ubyte.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + (20000).to_bytes(4, "big") * 3))
    assert "the limit is" in said(tmp_path / "a-idx3-ubyte.gz")


def test_idx_finds_its_labels(tmp_path, idx, said):
    pixels = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pixels))
    assert open_images(tmp_path / "train-images-idx3-ubyte").labels is None
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(4, dtype=np.uint8))))
    images = open_images(tmp_path / "train-images-idx3-ubyte")
    assert images.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(images.pixels[:, 0], pixels)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(3, dtype=np.uint8))))
    assert "4 images and labels of shape (3,)" in said(tmp_path / "train-images-idx3-ubyte")


def test_a_list_of_images_is_opened_as_their_array():
    array = np.random.default_rng(0).integers(0, 256, (3, 8, 9), np.uint8)
    assert open_images([*array]).fingerprint == open_images(array).fingerprint
    with pytest.raises(DataError, match=r"the list: images of one shape are needed, got \(8, 9\) and, in position 2"):
        open_images([array[0], array[1], array[2].T])
