"""What a model's folder remembers of its images, and what the commands say because of it."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import isthmus
from isthmus import GaussianNoise, Occlusion, Sequence
from isthmus.commands.images import leakage
from isthmus.commands.score import map_name
from isthmus.commands.shared.tables import worse_than_nothing


def facts(model):
    return json.loads((model / "config.json").read_text())["extra"]["seen"]


def test_the_same_files_elsewhere_are_the_same_collection(digits, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(digits, moved)
    known = leakage.collection_of(str(digits), "test")
    assert leakage.collection_of(str(moved), "train") == known
    (moved / "one").rename(moved / "uno")
    assert leakage.collection_of(str(moved), "test") != known
    assert leakage.collection_of("digits", "train") != leakage.collection_of("digits", "test")


def test_a_link_that_leads_nowhere_is_left_out_and_stops_no_fit(digits, tmp_path, done):
    shutil.copytree(digits, tmp_path / "d")
    (tmp_path / "d/one/gone.png").symlink_to("nowhere.png")
    _, err = done("fit", tmp_path / "d", "-o", tmp_path / "m", "--epochs", 1, "--threads", 1, "--skip-bad")
    assert "1 unreadable file left out: one/gone.png" in err
    assert facts(tmp_path / "m")["n"] == 90
    assert "trained on" in done("evaluate", tmp_path / "m", tmp_path / "d", "--skip-bad")[0]


def test_a_model_remembers_what_it_was_trained_on(model, digits, tmp_path, done):
    found = facts(model)
    names = isthmus.open_images(digits).names
    assert (found["n"], found["n_trained_on"], len(found["left_out"])) == (90, 71, 19)
    assert set(found["left_out"]) < set(names)
    assert found["n_selected_on"] == len(found["selected_on"]) == 9
    assert set(found["selected_on"]) < set(found["left_out"])
    out, err = done("score", model, digits, "-o", tmp_path / "scores", "--json")
    assert "was trained on 71 of these 90 images, and 9 more chose its best epoch: expect larger errors" in err
    rows = json.loads(out)["images"]
    assert {row["name"] for row in rows if not row["seen"]} == set(found["left_out"])
    assert {row["name"] for row in rows if row["selected"]} == set(found["selected_on"])
    with open(tmp_path / "scores/scores.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["name"] for row in table if row["seen"] == "no"} == set(found["left_out"])
    assert {row["name"] for row in table if row["selected"] == "yes"} == set(found["selected_on"])
    facts_of_all = json.loads(done("evaluate", model, digits, "--json")[0])
    assert (facts_of_all["seen"], facts_of_all["selected"]) == (True, True)


def test_a_folder_of_an_earlier_version_does_not_know_what_chose(model, digits, tmp_path, copy_of, done):
    folder = copy_of(model, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    for name in ("n_selected_on", "selected_on", "trained", "selected"):
        del config["extra"]["seen"][name]
    del config["extra"]["test"], config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    out, err = done("score", folder, digits, "--json")
    assert "was trained on 71 of these 90 images: expect" in err
    rows = json.loads(out)["images"]
    assert {row["selected"] for row in rows} == {None}
    assert {row["name"] for row in rows if not row["seen"]} == set(facts(model)["left_out"])
    assert json.loads(done("evaluate", folder, digits, "--json")[0])["selected"] is None


def test_a_folder_of_an_earlier_version_says_nothing_of_a_part_of_its_images(model, digits, tmp_path, copy_of, done):
    folder = copy_of(model, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    for name in ("trained", "selected"):
        del config["extra"]["seen"][name]
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    out, err = done("score", folder, digits / "one", "--json")
    assert "trained on" not in err
    assert {row["seen"] for row in json.loads(out)["images"]} == {None}
    found = json.loads(done("evaluate", folder, digits / "one", "--json")[0])
    assert [found[name] for name in ("seen", "n_seen", "selected", "n_selected")] == [False, None, None, None]


@pytest.mark.parametrize("table", [None, [], {}, {"collection": 1}, "digits test"])
def test_a_folder_that_knows_nothing(table):
    memory = leakage.memory_of(table, "digits", "test", "m")
    assert (memory.about([]).sentence, memory.of("a", 1)) == ("", leakage.Status())


def test_images_without_names_are_known_together():
    table = {"collection": "digits test", "n": 5, "n_trained_on": 4, "left_out": None}
    memory = leakage.memory_of(table, "digits", "test", "m")
    assert memory.about([]).sentence == "m was trained on 4 of these 5 images: expect larger errors on new ones"
    assert memory.of("0", 1) == leakage.Status()


def test_the_patches_of_an_image_count_as_the_image(denoiser, photographs, done):
    _, err = done("score", denoiser, photographs)
    assert "was trained on these 3 images" in err


def test_a_denoiser_that_is_tried_out_on_its_own_images_says_so(denoiser, photographs, tmp_path, done):
    _, err = done("denoise", denoiser, photographs, "-o", tmp_path / "a", "--corruption", "gaussian:0.1")
    assert "was trained on these 3 images" in err
    _, err = done("denoise", denoiser, photographs, "-o", tmp_path / "b")
    assert "was trained on" not in err


# --- models that are of no use ---


def test_a_collapsed_model_says_so_whenever_it_is_used(digits, tmp_path, done):
    folder = tmp_path / "m"
    options = ["--recipe", "plain", "--penalty", "l1:100", "--epochs", 8, "--learning-rate", 0.01, "--threads", 1]
    _, err = done("fit", digits, "-o", folder, *options)
    assert "collapsed: " in err
    for command in (["evaluate"], ["score"], ["reconstruct", "-o", tmp_path / "out"]):
        _, err = done(command[0], folder, digits, *command[1:])
        assert f"{folder}, when it was fitted: collapsed: " in err


def test_images_that_come_out_worse(model, digits, tmp_path, done):
    """This model of six numbers draws badly, and next to no noise was in the images."""
    little = ["--corruption", "gaussian:0.001"]
    _, err = done("evaluate", model, digits, *little, "--corruption", "gaussian:0.9")
    assert re.search(r"gaussian\(0\.001\): the model makes these images worse \(MSE \d\.\d\de-07 before", err)
    assert "gaussian(0.9)" not in err
    _, err = done("denoise", model, digits, "-o", tmp_path / "out", *little)
    assert "the model makes these images worse" in err
    _, err = done("denoise", model, digits, "-o", tmp_path / "out2", "--corruption", "gaussian:0.9")
    assert "makes these images worse" not in err


def test_worse_than_nothing_needs_both_errors():
    noise = GaussianNoise(0.1)
    assert {worse_than_nothing(*errors, noise) for errors in ((None, 1.0), (1.0, None), (1.0, 0.9))} == {""}
    assert worse_than_nothing(0.9, 1.0, noise).endswith(
        ": of more images, for this corruption, with --patches, or for photographs with --corruption alone"
    )
    for part in (Occlusion(2), Sequence((noise, Occlusion(2)))):  # of which a patch has all or nothing
        assert worse_than_nothing(0.9, 1.0, part).endswith(": of more images or for this corruption")


# --- words ---


def test_a_grey_file_is_called_grey(denoiser, tmp_path, refused):
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "a.png")
    assert "a.png: 5×6 grey; " in refused("score", denoiser, tmp_path / "a.png")


def test_a_square_needs_one_number(denoiser, photographs, done, refused):
    assert done("score", denoiser, photographs, "--patches", "8")[0] == done("score", denoiser, photographs)[0]
    assert "like 64x48, got '8x'" in refused("score", denoiser, photographs, "--patches", "8x")


def test_no_two_maps_have_one_name():
    names = ["a.png", "a.jpg", "b.PNG", "b.tif", "c.jpg", "c.jpg.png"]
    maps = [map_name(name, names) for name in names]
    assert maps == ["a.png", "a.jpg.png", "b.PNG", "b.tif.png", "c.jpg.map.png", "c.jpg.png"]


def test_a_file_that_is_no_image(tmp_path, refused):
    (tmp_path / "notes.txt").write_text("hello")
    line = refused("fit", tmp_path / "notes.txt", "-o", tmp_path / "m")
    assert line.startswith(
        f"isthmus: {tmp_path}/notes.txt is neither an image nor an array; give a folder of images, one image"
    )


def test_one_is_one(tmp_path, digits, done):
    _, err = done("fit", digits, "-o", tmp_path / "m", "--epochs", 1, "--threads", 1)
    assert "1 epoch in " in err
    one = next((digits / "one").iterdir())
    assert done("evaluate", tmp_path / "m", one)[0].startswith("1 image")


def test_the_preview_shows_images_from_everywhere(model, digits, tmp_path, done, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "isthmus.commands.images.restoration.write_preview", lambda path, rows, **given: shown.append(rows)
    )
    done("reconstruct", model, digits, "-o", tmp_path / "out")
    images = isthmus.open_images(digits)
    wanted = images.floats(np.linspace(0, 89, 6).round().astype(int))
    np.testing.assert_allclose(shown[0]["original"].reshape(6, -1), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("n", "n_trained_on", "words"),
    [(1, 1, "this image"), (2, 2, "these 2 images"), (3000, 2, "2 of these 3,000 images"), (None, 3, "these images")],
)
def test_how_many_images_were_seen_is_said_as_people_say_it(digits, n, n_trained_on, words):
    table = {"collection": leakage.collection_of(str(digits), "test"), "n": n, "n_trained_on": n_trained_on}
    found = leakage.memory_of(table, str(digits), "test", "m").about([])
    assert found.sentence == f"m was trained on {words}: expect larger errors on new ones"
