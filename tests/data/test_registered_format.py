"""A format of image files from outside the package: one module, registered, and every reader takes its files."""

from __future__ import annotations

import queue

import numpy as np
import pytest
from PIL import Image

from isthmus import open_images
from isthmus.cli import run_command
from isthmus.data.collections.pieces import Piece
from isthmus.data.collections.reader_process import ReaderProcess
from isthmus.data.formats import image_file
from isthmus.data.framing import Framing
from isthmus.errors import RequestError


def toy(pixels):
    return b"TOY!" + bytes(pixels.shape) + pixels.tobytes()


@pytest.fixture
def module(extension):
    """The module of the example, which registers itself."""
    return extension("image_format")


@pytest.fixture
def folder(tmp_path):
    """Images of 8×8 as toy files, with a PNG among them."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 8, 8), np.uint8)
    for i, image in enumerate(pixels[:-1]):
        (tmp_path / "images" / f"{i}.toy").write_bytes(toy(image))
    Image.fromarray(pixels[-1]).save(tmp_path / "images" / "5.png")
    return tmp_path / "images", pixels


def test_until_it_is_registered_it_is_no_image(folder):
    path, _ = folder
    images = open_images(path)
    assert len(images) == 1
    assert "5 other files left out (5 .toy)" in images.notes


def test_a_folder_of_it_is_read(module, folder):
    path, pixels = folder
    np.testing.assert_array_equal(open_images(path).pixels[:, 0], pixels)


def test_a_reader_process_reads_it_too(module, folder):
    path, pixels = folder
    inbox = queue.SimpleQueue()
    with ReaderProcess(Framing(), inbox) as reader:
        reader.ask(Piece(0, 0, (str(path / "3.toy"),)))
        _, ready = inbox.get(timeout=30)
        _, reading = inbox.get(timeout=30)
    assert ready == []
    ((block,),) = [reading]
    np.testing.assert_array_equal(block[0][0][0, 0], pixels[3])


def test_damage_is_an_error_that_names_the_file(module, folder):
    path, _ = folder
    (path / "2.toy").write_bytes(b"TOY!\x08\x08short")
    with pytest.raises(RequestError, match=r"2\.toy is a damaged image \(cut short\); replace it, or leave it out"):
        open_images(path)


def test_commands_read_and_write_it(module, folder, tmp_path, capsys):
    path, _ = folder
    fit = ["fit", str(path), "-o", str(tmp_path / "m"), "--epochs", "1", "--bottleneck", "2"]
    assert run_command([*fit, "--validation", "0.3"]) == 0
    assert run_command(["encode", str(tmp_path / "m"), str(path), "-o", str(tmp_path / "codes.csv")]) == 0
    rows = (tmp_path / "codes.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [*(f"{i}.toy" for i in range(5)), "5.png"]
    assert len({row.partition(",")[2] for row in rows[1:]}) > 1
    assert run_command(["reconstruct", str(tmp_path / "m"), str(path), "-o", str(tmp_path / "again")]) == 0
    written = open_images(tmp_path / "again")
    assert written.names == (*(f"{i}.toy" for i in range(5)), "5.png")
    assert written.pixels.std() > 0
    capsys.readouterr()


def test_an_uploaded_file_of_it_is_decoded_in_its_own_process(module, folder):
    from isthmus.explore.answers.drawings import Manner
    from isthmus.explore.answers.upload_decoder import decode

    path, pixels = folder
    x, _ = decode((path / "3.toy").read_bytes(), (1, 8, 8), Manner(False, 0.7, (0.5, 0.5)))
    np.testing.assert_allclose(x[0] * 255, pixels[3], atol=1e-4)


def test_a_format_that_is_there_is_refused(module):
    with pytest.raises(RequestError, match=r"\.toy files are read already, as Toy"):
        image_file.register(module)
    module.KINDS, module.STARTS = {".new": "New"}, (b"\x89PNG\r\n\x1a\n2",)
    with pytest.raises(RequestError, match="are read already"):
        image_file.register(module)
