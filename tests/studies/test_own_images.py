"""A study of a person's own images: folders, arrays or shards, of the same numbers whichever they are."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from isthmus.cli import run_command
from isthmus.data.conversion.conversion import convert
from isthmus.data.conversion.kinds_of_source import source_of
from isthmus.data.framing import Framing
from isthmus.explore.shelf_loader import open_shelf
from isthmus.studies.results.results_json import read_results
from isthmus.studies.run import fitting

STUDY = """
title = "My images"
question = "How small can a code be?"
seed = 0

[data]
name = "images"
path = "{path}"
validation = 10

[[model]]
name = "pca"
estimator = "pca"
n_components = 4
label = "PCA"

[[model]]
name = "dense"
estimator = "autoencoder"
label = "64 → 16 → 4"
network = {{ kind = "dense", hidden = [16], bottleneck = 4 }}
epochs = 3
batch_size = 16
shuffle = false

[[measure]]
split = "test"
metrics = ["mse"]
"""


@pytest.fixture
def folder(tmp_path, images, monkeypatch):
    """train/ and test/, of PNG files in two classes."""
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    for i, image in enumerate(images.pixels):
        path = tmp_path / "mine" / ("test" if i % 4 == 3 else "train") / "ab"[i % 2 or i % 8 == 6] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    for part in ("train", "test"):
        (tmp_path / "mine" / part / "a").mkdir(exist_ok=True)
        Image.fromarray(images.pixels[0][0]).save(tmp_path / "mine" / part / "a" / "first.png")
        (tmp_path / "mine" / part / "b").mkdir(exist_ok=True)
        Image.fromarray(images.pixels[1][0]).save(tmp_path / "mine" / part / "b" / "first.png")
    return tmp_path / "mine"


def ran(tmp_path, path, *options):
    (tmp_path / "mine.toml").write_text(STUDY.format(path=path))
    out = tmp_path / f"runs of {path.name}"
    assert run_command(["run", str(tmp_path / "mine.toml"), "--out", str(out), "--threads", "1", *options]) == 0
    return out / "mine"


def test_shards_give_the_rows_and_the_weights_of_the_folder(tmp_path, folder):
    for part in ("train", "test"):
        convert(source_of(folder / part, Framing()), tmp_path / "shards" / part, shard_bytes=500)
    runs = [ran(tmp_path, path) for path in (folder, tmp_path / "shards")]
    results = [read_results(run) for run in runs]
    assert [(row.model, row.value) for row in results[0].rows] == [(row.model, row.value) for row in results[1].rows]
    assert len({row.model for row in results[0].rows}) == 2
    weights = [(run / "models" / "dense" / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    assert results[1].data["path"] == str(tmp_path / "shards")
    assert results[0].data["title"].endswith("of mine")
    marks = [json.loads((run / "models" / "dense" / "config.json").read_text())["extra"]["seen"] for run in runs]
    assert marks[0] == marks[1] != {}


def test_the_page_shows_the_test_images(tmp_path, folder):
    run = ran(tmp_path, folder)
    shelf = open_shelf(run)
    assert len(shelf.images) == len(list((folder / "test").rglob("*.png")))
    assert not shelf.notes
    (folder / "test" / "b" / "first.png").unlink()
    assert any("other images" in note for note in open_shelf(run).notes)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_arrays_will_do(tmp_path, images, ending, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "arrays").mkdir()
    for part, some in (("train", images.pixels[:45]), ("test", images.pixels[45:])):
        if ending == "npy":
            np.save(tmp_path / "arrays" / part, some)
        else:
            np.savez(tmp_path / "arrays" / part, some)
    rows = read_results(ran(tmp_path, tmp_path / "arrays")).rows
    assert {row.n for row in rows if row.metric == "mse"} == {15}


def test_the_folder_may_be_given_by_data_dir(tmp_path, folder):
    run = ran(tmp_path, tmp_path / "elsewhere", "--data-dir", str(folder))
    assert read_results(run).data["path"] == str(folder)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda folder: (folder / "test").rename(folder / "holdout"), "has no test, .* it holds holdout, train"),
        (lambda folder: (folder / "train").rename(folder.parent / "t"), "has no train"),
        (lambda folder: (folder / "test" / "b").rename(folder / "test" / "c"), "the classes in train and test"),
    ],
    ids=["test", "train", "classes"],
)
def test_what_is_missing_is_named(tmp_path, folder, damage, error, capsys):
    damage(folder)
    (tmp_path / "mine.toml").write_text(STUDY.format(path=folder))
    assert run_command(["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "out")]) == 2
    assert re.search(error, capsys.readouterr().err)


def test_more_images_than_scikit_learn_can_have_in_memory_are_refused(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.setattr(fitting, "memory_limit", lambda: 1000)
    (tmp_path / "mine.toml").write_text(STUDY.format(path=folder))
    assert run_command(["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "out"), "--threads", "1"]) == 1
    assert "pca: " in (err := capsys.readouterr().err)
    assert "give the study fewer, with train = N" in err
