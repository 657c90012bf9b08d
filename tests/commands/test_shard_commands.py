"""Shards in place of a folder of images: the same numbers from every command, and the same memory of them."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import isthmus
from isthmus.commands.images.gallery import gallery_of


@pytest.fixture(scope="module")
def shards(digits, tmp_path_factory):
    """The digits folder, converted by the command, in several shards."""
    from isthmus.cli import run_command

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isthmus.commands.data.MIB", 1500)
        folder = tmp_path_factory.mktemp("shards") / "of digits"
        assert run_command(["data", "convert", str(digits), "-o", str(folder), "--shard-size", "1"]) == 0
    assert len(list(folder.glob("0*.npy"))) > 3
    return folder


def test_convert_says_what_it_wrote(done, digits, tmp_path):
    out, err = done("data", "convert", digits, "-o", tmp_path / "s", "--resize", "4x4", "--dtype", "float16")
    assert out == f"{tmp_path / 's'}\n"
    assert "90 images of 1×4×4 uint8" not in err
    assert "90 images of 1×4×4 float16, with 3 labels in 1 shard" in err
    info = done("data", "info", tmp_path / "s")[0]
    assert "90 images  1×4×4 float16" in info
    assert "zero: 30" in info


def test_every_command_gives_the_numbers_of_the_folder(done, model, digits, shards, tmp_path):
    evaluated = [json.loads(done("evaluate", model, data, "--json")[0]) for data in (digits, shards)]
    assert evaluated[0]["rows"] == evaluated[1]["rows"]
    assert evaluated[0]["n_seen"] == evaluated[1]["n_seen"] > 0
    scored = [json.loads(done("score", model, data, "--json", "--normal", "zero")[0]) for data in (digits, shards)]
    assert scored[0] == scored[1]
    for kind in ("csv", "npz"):
        files = [tmp_path / f"{name}.{kind}" for name in ("folder", "shards")]
        for data, file in zip((digits, shards), files, strict=True):
            done("encode", model, data, "-o", file)
        assert files[0].read_bytes() == files[1].read_bytes()
    done("reconstruct", model, shards, "-o", tmp_path / "rebuilt")
    assert len(list((tmp_path / "rebuilt").rglob("*.png"))) >= 90


def test_a_fit_of_shards_knows_its_images_again_wherever_they_are(done, digits, shards, tmp_path):
    out, _ = done("fit", shards, "-o", tmp_path / "m", "--epochs", 20, "--hidden", 16, "--bottleneck", 4)
    assert "held-out images" in out
    facts = [json.loads(done("evaluate", tmp_path / "m", data, "--json")[0]) for data in (shards, digits)]
    assert facts[0]["n_seen"] == facts[1]["n_seen"]
    assert 0 < facts[0]["n_seen"] < 90
    extra = json.loads((tmp_path / "m" / "config.json").read_text())["extra"]
    assert extra["seen"]["left_out"], "images are named"


def test_codes_are_written_as_numpy_would(done, model, shards, tmp_path):
    done("encode", model, shards, "-o", tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as codes:
        images = isthmus.open_images(shards)
        np.testing.assert_array_equal(codes["code"], isthmus.load(model).transform(images))
        assert codes["name"].tolist() == list(images.names)
        np.testing.assert_array_equal(codes["label"], images.labels)
        assert codes["label_names"].tolist() == ["one", "seven", "zero"]


def test_the_page_shows_shards(model, shards, digits):
    galleries = [gallery_of(model, str(data)) for data in (shards, digits)]
    assert len(galleries[0].images) == len(galleries[1].images) > 0
    assert galleries[0].images.names == galleries[1].images.names
    assert galleries[0].files == ()


def test_what_needs_files_says_so(refused, shards, digits, tmp_path):
    assert "holds shards" in refused("fit", shards, "-o", tmp_path / "m", "--resize", "4x4")
    assert "already" in refused("data", "convert", shards, "-o", tmp_path / "s")
    assert "lies inside" in refused("data", "convert", digits, "-o", digits / "s")
    assert "--range auto would read" in refused_of_a_table(refused, tmp_path)


def refused_of_a_table(refused, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    return refused("data", "convert", tmp_path / "a.parquet", "-o", tmp_path / "s", "--range", "auto")


def test_ctrl_c_keeps_whole_shards_and_says_how_to_go_on(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((300_000, 16, 16), np.uint8))
    command = [sys.executable, "-m", "isthmus", "data", "convert", "a.npy", "-o", "s", "--shard-size", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob("s/parts/*.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; whole shards are kept, and the same command goes on after them" in err.splitlines()[-1]
    assert (tmp_path / "s" / "conversion.json").is_file()
    assert not list(tmp_path.glob("s/.*.tmp"))
