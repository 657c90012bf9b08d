"""An image that a model was trained on is known again by its pixels, whatever has become of its file."""

import json

import numpy as np
import pytest
from PIL import Image

import isthmus
from isthmus.commands.fitting.training_record import table_of
from isthmus.commands.images import leakage
from isthmus.commands.images.gallery import gallery_of
from isthmus.commands.images.holdout import hold_out
from isthmus.data.sources.registry import load

KINDS = ("png", "tif", "bmp", "16.png", "rgb.png", "16.tif", "webp")


def facts(model):
    return json.loads((model / "config.json").read_text())["extra"]["seen"]


def evaluated(done, model, data, *options):
    return json.loads(done("evaluate", model, data, "--json", *options)[0])


def written_again(pixels, kind, target):
    """A grey image as a file of another kind, without loss."""
    if kind.startswith("16"):
        Image.fromarray(pixels.astype(np.uint16) * 257).save(target)
    elif kind == "rgb.png":
        Image.fromarray(pixels).convert("RGB").save(target)
    else:
        Image.fromarray(pixels).save(target, **({"lossless": True} if kind == "webp" else {}))


@pytest.fixture
def mixture(model, digits, tmp_path):
    """A folder of 10 images that the model was trained on, 4 by which its epoch was chosen, and 6 that were held out,
    under other names and in other kinds of files; and what each is."""
    table, folder, truth = facts(model), tmp_path / "mixture", {}
    folder.mkdir()
    trained = [name for name in isthmus.open_images(digits).names if name not in table["left_out"]]
    new = [name for name in table["left_out"] if name not in table["selected_on"]]
    for what, names in (("trained", trained[:10]), ("selected", table["selected_on"][:4]), ("new", new[:6])):
        for i, name in enumerate(names):
            target = folder / f"{what}-{i}.{KINDS[i % len(KINDS)]}"
            written_again(np.asarray(Image.open(digits / name)), KINDS[i % len(KINDS)], target)
            truth[target.name] = what
    return folder, truth


def test_images_are_known_again_one_by_one(model, mixture, tmp_path, done):
    folder, truth = mixture
    out, err = done("score", model, folder, "--grey", "--json")
    rows = json.loads(out)["images"]
    said = {row["name"]: "trained" if row["seen"] else "selected" if row["selected"] else "new" for row in rows}
    assert said == truth
    words = "was trained on 10 of these 20 images, and 4 more chose its best epoch: expect larger errors on new ones"
    assert words in err
    found = evaluated(done, model, folder, "--grey")
    assert [found[name] for name in ("seen", "n_seen", "selected", "n_selected")] == [True, 10, True, 4]
    for command in (["evaluate"], ["reconstruct", "-o", tmp_path / "out"]):
        out, err = done(command[0], model, folder, "--grey", *command[1:])
        assert out.startswith("20 images, 10 trained on, 4 selected on  ")
        assert words in err
    lines = done("score", model, folder, "--grey", "--top", 20)[0].splitlines()[1:21]
    marked = {line.split()[1]: " ".join(line.split()[6:]) for line in lines}
    assert marked == {name: "" if what == "new" else f"{what} on" for name, what in truth.items()}


def test_of_new_images_alone_nothing_is_said(model, mixture, done):
    folder, truth = mixture
    for name, what in truth.items():
        if what != "new":
            (folder / name).unlink()
    out, err = done("evaluate", model, folder, "--grey")
    assert "trained on" not in out + err
    found = evaluated(done, model, folder, "--grey")
    assert [found[name] for name in ("seen", "n_seen", "selected", "n_selected")] == [False, 0, False, 0]


def test_an_image_that_chose_the_epoch_is_not_new(model, digits, done):
    one = digits / facts(model)["selected_on"][0]
    found = evaluated(done, model, one)
    assert (found["seen"], found["selected"]) == (False, True)
    assert "'s best epoch was chosen by this image: expect larger errors" in done("evaluate", model, one)[1]


def test_the_page_shows_the_images_of_a_mixture_that_were_held_out(model, mixture):
    folder, truth = mixture
    gallery = gallery_of(model, str(folder))
    assert {truth[name] for name in gallery.images.names} == {"new"}
    assert len(gallery.images) == 6
    assert "6 images, held out of the training" in gallery.title
    assert all(truth[file.name] != "trained" for file in gallery.files)


@pytest.mark.parametrize("name", ["some.npy", "floats.npy", "doubles.npy"])
def test_images_of_an_array_are_known_again(model, digits, tmp_path, done, name):
    left_out, images = facts(model)["left_out"], isthmus.open_images(digits)
    which = [0, 1, 2, 40, *(i for i, one in enumerate(images.names) if one in left_out)]
    n = sum(images.names[i] not in left_out for i in which)
    pixels = images.pixels[which]
    pixels = {"some.npy": pixels, "floats.npy": (pixels / 255).astype(np.float32), "doubles.npy": pixels / 255}[name]
    np.save(tmp_path / name, pixels)
    assert evaluated(done, model, tmp_path / name)["n_seen"] == n
    rows = json.loads(done("score", model, tmp_path / name, "--json")[0])["images"]
    assert sum(row["seen"] for row in rows) == n


def test_a_data_set_is_known_again_by_its_images(tmp_path, done):
    folder = tmp_path / "m"
    done("fit", "digits", "-o", folder, "--epochs", 1, "--threads", 1)
    assert evaluated(done, folder, "digits")["n_seen"] == 0
    assert evaluated(done, folder, "digits", "--split", "train")["n_seen"] == facts(folder)["n_trained_on"]
    images = load("digits").train
    np.save(tmp_path / "few.npy", images.pixels[:50])
    trained_on = {one.tobytes() for one in hold_out(images, 0).train.pixels}
    n = sum(one.tobytes() in trained_on for one in images.pixels[:50])
    assert evaluated(done, folder, tmp_path / "few.npy")["n_seen"] == n
    assert 0 < n < 50


def test_photographs_are_known_again_before_they_are_cut(denoiser, photographs, tmp_path, done):
    pixels = np.array(Image.open(photographs / "flower.png"))
    Image.fromarray(pixels).save(tmp_path / "same.bmp")
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(tmp_path / "other.png")
    assert evaluated(done, denoiser, tmp_path / "same.bmp")["n_seen"] == 1
    assert evaluated(done, denoiser, tmp_path / "same.bmp", "--crop", 40, "--patches", 8)["n_seen"] == 1
    assert evaluated(done, denoiser, tmp_path / "other.png")["n_seen"] == 0
    array = isthmus.open_images(tmp_path / "same.bmp").pixels
    np.save(tmp_path / "same.npy", array)
    assert evaluated(done, denoiser, tmp_path / "same.npy")["n_seen"] == 1


def test_copies_in_two_parts_are_said(tmp_path, done):
    folder, rng = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    for i in range(30):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    options = ("--epochs", 1, "--threads", 1)
    assert "copies of images" not in done("fit", folder, "-o", tmp_path / "a", *options)[1]
    for i in range(30):
        Image.open(folder / f"{i}.png").save(folder / f"{i} again.tif")
    parts = hold_out(isthmus.open_images(folder), 0)
    trained_on = {one.tobytes() for one in parts.train.pixels}
    n = sum(one.tobytes() in trained_on for one in parts.test.pixels)
    assert n > 1
    _, err = done("fit", folder, "-o", tmp_path / "b", *options)
    assert f"{n} of 10 images to measure the errors are copies of images to train on: expect larger errors" in err


def test_sixty_thousand_images_are_remembered_in_less_than_a_megabyte():
    pixels = np.arange(60_000, dtype=np.uint32).view(np.uint8).reshape(60_000, 1, 2, 2)
    images = isthmus.Images(pixels)
    parts = hold_out(images, 0)
    text = json.dumps(table_of("digits", "train", images, parts))
    assert len(text) < 700_000
    memory = leakage.memory_of(json.loads(text), "digits", "test", "m")
    found = memory.of_all(images)
    assert sum(one.trained_on for one in found) == len(parts.train)
    assert sum(one.selected_on for one in found) == len(parts.validation)
    assert set(memory.of_all(parts.test)) == {leakage.Status(False, False)}


@pytest.mark.parametrize("kept", [{}, {"trained": None}, {"trained": "?", "selected": ""}, {"trained": "AAAA"}])
def test_marks_that_were_edited_are_nothing_known(kept):
    table = {"collection": "digits test", "n": 5, "n_trained_on": 4, "left_out": None, **kept}
    assert leakage.memory_of(table, "digits", "test", "m").about([]).n_trained_on == 4
