"""`isthmus fit`: from a folder to a model, what is said on the way, and what is refused."""

from __future__ import annotations

import argparse
import json
import re
import signal
import time

import numpy as np
import pytest
from PIL import Image

import isthmus
from isthmus import fingerprints
from isthmus.commands.fit import _left
from isthmus.commands.fitting.training_run import checkpoints_of

QUICK = ("--epochs", 2, "--threads", 1, "--device", "cpu")


def test_a_model_is_a_folder_with_a_picture(model, digits):
    assert sorted(path.name for path in model.iterdir()) == [
        "config.json",
        "history.jsonl",
        "model.safetensors",
        "preview.png",
    ]
    assert not list(model.parent.glob("*.checkpoint"))
    extra = json.loads((model / "config.json").read_text())["extra"]
    assert extra["image_shape"] == [1, 8, 8]
    assert (extra["validation"]["n"], extra["test"]["n"]) == (9, 10)
    loaded = isthmus.load(model)
    images = isthmus.open_images(digits)
    error = -loaded.score(images)
    assert error < 0.8 * images.floats().var(axis=0).mean()  # it has learned something
    assert loaded.network.bottleneck == 6
    with Image.open(model / "preview.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_what_was_chosen_and_how_good_it_is_are_said(digits, tmp_path, done):
    out, err = done("fit", digits, "-o", tmp_path / "m", "--epochs", 12, "--learning-rate", 0.004, *QUICK[2:])
    lines = out.splitlines()
    assert lines[0].startswith("on 10 held-out images")
    assert [line.split("  ")[0] for line in lines[1:]] == ["m, 8 numbers", "PCA, 8 numbers", "the mean image"]
    assert "71 images to train on, 9 to choose the best epoch, 10 to measure the errors" in err
    assert "; next its errors are measured, and PCA's" in err
    assert "chosen for 71 images of 1×8×8: Dense(hidden=(64, 32), bottleneck=8" in err
    assert err.count("m  epoch ") == 12
    assert "this model is PCA of the images to train on and to choose by: no epoch was better" in err  # of twelve
    assert f"next: isthmus evaluate {tmp_path / 'm'} {digits}" in err


@pytest.mark.parametrize("out", [".", "..", "sub/.."])
def test_a_model_needs_a_name_beside_which_its_checkpoints_can_lie(out, digits, tmp_path, monkeypatch, refused):
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty")
    assert f"-o {out} is not a name for the model's folder" in refused("fit", digits, "-o", out, *QUICK)


def test_too_few_images_are_told_as_they_were_given(tmp_path, refused):
    np.save(tmp_path / "two.npy", np.zeros((2, 8, 8), np.uint8))
    said = refused("fit", tmp_path / "two.npy", "-o", tmp_path / "m", *QUICK)
    assert "two images are too few to train on and hold one out; give more, or cut them with --patches HxW" in said


def test_the_parts_are_what_was_asked_for(digits, tmp_path, done):
    words = [
        "--network",
        "conv",
        "--channels",
        "4,4",
        "--corruption",
        "gaussian:0.2+masking:0.1",
        "--augmentation",
        "affine:4:share=0.25",
        "--penalty",
        "l1:0.01",
    ]
    out, err = done("fit", digits, "-o", tmp_path / "m", *words, "--loss", "bce", "--learning-rate", "0.01", *QUICK)
    model = isthmus.load(tmp_path / "m")
    assert model.network.channels == (4, 4)
    assert model.network.code_activation == "relu"  # that L1 can bring to zero
    assert model.corruption.label == "gaussian(0.2)+masking(0.1)"
    assert model.augmentation == isthmus.Affine(rotation=4, share=0.25)
    assert (model.penalty.weight, model.loss.kind, model.learning_rate) == (0.01, "bce", 0.01)
    assert "gaussian(0.2)+masking(0.1), as it is" in out
    assert "isthmus denoise" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("epochs", "advice"), [(2, "train longer"), (200, "it reconstructs its training images far better")]
)
def test_advice_for_a_model_that_is_worse_than_a_pca(digits, tmp_path, done, epochs, advice):
    # with a hidden layer that cannot begin at PCA's solution
    words = ("--hidden", 15, "--activation", "tanh")
    _, err = done("fit", digits, "-o", tmp_path / "m", *words, "--epochs", epochs, *QUICK[2:])
    assert f"this model is worse than PCA, 8 numbers: {advice}" in err


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Of 2,600 images 2,080 to train on: so many do not begin at PCA's solution of themselves."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2600, 8)) * 0.7 ** np.arange(8) @ np.linalg.qr(rng.normal(size=(64, 8)))[0].T
    path = tmp_path_factory.mktemp("many") / "x.npy"
    np.save(path, ((x - x.min()) / np.ptp(x)).astype(np.float32).reshape(-1, 1, 8, 8))
    return path


@pytest.mark.parametrize(
    ("options", "way", "other"),
    [
        ("", "--output linear --start pca", ""),
        ("--output linear", "--start pca", "--output linear"),
        ("--hidden 6 --output linear", "--hidden 8 --start pca", "--output linear"),
        ("--code-activation relu", "--code-activation linear --output linear --start pca", ""),
        ("--loss bce", "--output linear --start pca without --loss bce", ""),
        ("", "--output linear --start pca", "--start pca"),  # which alone is enough
    ],
)
def test_of_many_images_the_way_to_begin_at_pca_is_one(options, way, other, many, tmp_path, done):
    """It was to leave --output out, which nobody had said, and which led nowhere."""
    words = ("--bottleneck", 4, "--epochs", 1, *QUICK[2:])
    _, err = done("fit", many, "-o", tmp_path / "m", *words, *options.split())
    (sentence,) = (line for line in err.splitlines() if "this model is worse than PCA" in line)
    assert sentence.endswith(f": train longer (--epochs), or begin at PCA's solution, by {way}")
    followed = other if other == "--start pca" else f"{way.partition(' without')[0]} {other}"
    out, err = done("fit", many, "-o", tmp_path / "n", *words, *followed.split())
    assert "worse than PCA" not in err
    model, pca = (float(line.split("numbers")[1].split()[0]) for line in out.splitlines()[1:3])
    assert model <= 1.001 * pca


def test_few_images_whose_start_was_said_are_told_of_the_other(digits, tmp_path, done):
    words = ("--bottleneck", 4, "--output", "linear", "--start", "data", "--epochs", 4, *QUICK[2:])
    _, err = done("fit", digits, "-o", tmp_path / "m", *words)
    assert "begin at PCA's solution, by --start pca" in err


def test_a_start_has_no_place_beside_the_weights_of_another_model(many, tmp_path, done, refused):
    done("fit", many, "-o", tmp_path / "m", *QUICK)
    words = ("fit", many, "-o", tmp_path / "n", "--from", tmp_path / "m", "--start", "pca")
    assert "--start: the fit begins with the weights of --from" in refused(*words)
    assert 'unknown start "half-way"; known: data, pca, random' in refused(
        "fit", many, "-o", tmp_path / "n", "--start", "half-way"
    )


def test_pixels_that_a_relu_output_killed_are_named_and_not_to_be_trained_longer(tmp_path, done):
    words = ("--hidden", 64, "--bottleneck", 32, "--output", "relu", "--epochs", 15, "--batch-size", 32)
    words += ("--learning-rate", 0.01, "--recipe", "plain", *QUICK[2:])
    _, err = done("fit", "digits", "-o", tmp_path / "m", *words)
    assert re.search(r"\d% of the images' variance are the same in every reconstruction, \d+% of the error: a R", err)
    assert "this model is worse than PCA, 32 numbers\n" in err
    assert "train longer" not in err


def test_units_that_are_zero_for_every_image_are_so_for_those_to_train_on_too(tmp_path, done):
    """They were counted on the few that are held out, of which many need no unit that others need."""
    words = ("--network", "dictionary", "--atoms", 300, "--epochs", 3, "--recipe", "plain", *QUICK[2:])
    out, err = done("fit", "digits", "-o", tmp_path / "m", "--classes", "1,7", *words)
    assert "PCA" not in out, "more numbers are on than the images have"
    assert "no PCA is beside it: with 64 numbers, as the images have, it is exact" in err
    n_dead = int(re.search(r"(\d+) of 300 units of (?:the|its) code are zero for every image", err)[1])
    digits = isthmus.load_dataset("digits").train
    code = isthmus.load(tmp_path / "m").transform(digits.take(np.isin(digits.labels, [1, 7])))
    assert n_dead == (np.abs(code) <= 1e-6).all(axis=0).sum()


def test_of_two_images_their_own_mean_is_no_yardstick(tmp_path, done):
    """Of ten noisy takes of one ramp a model was as good as the mean image, and told that it left twice its error."""
    ramp, rng = np.linspace(12, 375, 4096).reshape(64, 64), np.random.default_rng(0)
    np.save(tmp_path / "takes.npy", (rng.poisson(ramp, (12, 64, 64)) / 512).astype(np.float32))
    _, err = done("fit", tmp_path / "takes.npy", "-o", tmp_path / "m", "--epochs", 3, *QUICK[2:])
    assert "times that one's" not in err


def test_a_denoiser_that_no_epoch_betters_is_said_to_be_pcas_filter(digits, tmp_path, done):
    """Its training did not begin there."""
    words = ("--corruption", "gaussian:0.3", "--epochs", 2, *QUICK[2:])
    _, err = done("fit", digits, "-o", tmp_path / "m", *words)
    assert "none better than PCA's filter" in err
    assert "this model is a linear filter, PCA's with less of a component the noisier it is" in err


def test_a_model_that_was_kept_at_pcas_solution_says_so(tmp_path, done):
    noise = np.random.default_rng(0).random((60, 1, 8, 8), np.float32)
    np.save(tmp_path / "noise.npy", noise)
    _, err = done("fit", tmp_path / "noise.npy", "-o", tmp_path / "m", "--epochs", 5, *QUICK[2:])
    assert "none better than the start, PCA's solution" in err
    assert "this model is PCA of the images to train on and to choose by: " in err
    assert err.count("a network may learn more than PCA from more images or --augmentation affine\n") == 1
    assert "this model is worse than" not in err
    _, err = done(
        "fit", tmp_path / "noise.npy", "-o", tmp_path / "a", "--augmentation", "affine", "--epochs", 5, *QUICK[2:]
    )
    assert err.count("a network may learn more than PCA from more images\n") == 1


@pytest.mark.parametrize(("side", "ways"), [(64, "--patches 16x16 or "), (32, "--patches 8x8 or ")])
def test_a_denoiser_that_learns_its_images_by_heart_is_told_of_patches(side, ways, tmp_path, done):
    blocks = np.random.default_rng(0).random((40, 1, side // 4, side // 4), np.float32)
    np.save(tmp_path / "blocks.npy", blocks.repeat(4, axis=2).repeat(4, axis=3))
    words = ("--corruption", "salt-and-pepper:0.1", "--hidden", 256, "--bottleneck", 64, "--epochs", 60, *QUICK[2:])
    _, err = done("fit", tmp_path / "blocks.npy", "-o", tmp_path / "m", *words)
    assert f"a network may learn more from {ways}more images\n" in err, "and not from images that are turned a little"


def test_where_a_region_is_missing_no_patches_are_advised(tmp_path, done, refused):
    """Each patch to train on would miss one, and of a photograph one patch does."""
    blocks = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
    np.save(tmp_path / "blocks.npy", blocks.repeat(4, axis=2).repeat(4, axis=3))
    words = ("--corruption", "occlusion:8", "--bottleneck", 256, "--epochs", 60, *QUICK[2:])
    _, err = done("fit", tmp_path / "blocks.npy", "-o", tmp_path / "m", *words)
    assert "more images" in err
    assert "--patches" not in err
    np.save(tmp_path / "large.npy", np.zeros((3, 1, 40, 40), np.float32))
    line = refused("evaluate", tmp_path / "m", tmp_path / "large.npy")
    assert "add --resize 32x32, --crop 32x32, or fit" in line
    line = refused("fit", tmp_path / "large.npy", "-o", tmp_path / "n", "--from", tmp_path / "m", "--patches", "32")
    assert "leave --patches out" in line


def test_a_collapse_is_named(digits, tmp_path, done):
    _, err = done(
        "fit", digits, "-o", tmp_path / "m", "--penalty", "l1:100", "--learning-rate", 0.05, "--epochs", 30, *QUICK[2:]
    )
    assert "collapsed: " in err
    assert "its penalty of weight 100 costs more" in err
    assert "this model is worse than" not in err


def test_the_same_command_gives_the_same_bytes(digits, tmp_path, done):
    for name in ("a", "b", "c"):
        done("fit", digits, "-o", tmp_path / name, *QUICK, "--seed", 1 if name == "c" else 0)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_named_data_and_classes(tmp_path, done):
    _, err = done("fit", "digits", "-o", tmp_path / "m", "--classes", "3", *QUICK)
    assert "of 1×8×8" in err
    assert json.loads((tmp_path / "m" / "config.json").read_text())["extra"]["images"].startswith("digits")


def test_classes_by_the_names_of_folders(digits, tmp_path, done, refused):
    _, err = done("fit", digits, "-o", tmp_path / "m", "--classes", "zero,one", *QUICK)
    assert "44 images to train on, 6 to choose the best epoch, 10 to measure" in err
    assert 'Did you mean "zero"?' in refused("fit", digits, "-o", tmp_path / "n", "--classes", "zro", *QUICK)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays(kind, tmp_path, done):
    x = np.random.default_rng(0).integers(0, 256, (30, 6, 7), dtype=np.uint8)
    path = tmp_path / f"x.{kind}"
    np.save(path, x) if kind == "npy" else np.savez(path, images=x)
    done("fit", path, "-o", tmp_path / "m", *QUICK)
    assert isthmus.load(tmp_path / "m").image_shape_ == (1, 6, 7)


def test_a_model_is_not_replaced_unless_asked(digits, tmp_path, done, refused):
    folder = tmp_path / "m"
    done("fit", digits, "-o", folder, *QUICK)
    before = (folder / "model.safetensors").read_bytes()
    assert "add --force to replace it" in refused("fit", digits, "-o", folder, *QUICK, "--seed", 2)
    assert (folder / "model.safetensors").read_bytes() == before
    done("fit", digits, "-o", folder, *QUICK, "--seed", 2, "--force")
    assert (folder / "model.safetensors").read_bytes() != before


def test_what_is_no_model_is_never_replaced(digits, tmp_path, refused):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    assert "is not a model" in refused("fit", digits, "-o", tmp_path / "thesis", *QUICK, "--force")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_notes_beside_a_model_are_never_replaced(model, digits, tmp_path, copy_of, refused):
    folder = copy_of(model, tmp_path / "m")
    (folder / "notes.txt").write_text("what I tried")
    assert "notes.txt" in refused("fit", digits, "-o", folder, *QUICK, "--force")
    assert (folder / "notes.txt").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--corruption", "gausian:0.3"], "--corruption gausian:0.3: unknown corruption"),
        (["--network", "conv", "--bottleneck", "3"], "--bottleneck belongs to dense"),
        (["--epochs", "0"], "epochs must be an integer of at least 1"),
        (["--validation", "1"], "--validation must be a share"),
        (["--test", "-0.1"], "--test must be a share of at least 0"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--threads", "0"], "threads must be between 1 and"),
        (["--resize", "3by4"], "must be a height and a width like 64x48, got '3by4'"),
        (["--device", "gpu"], "unknown device"),
        (["--patches-per-image", "3"], "given together with the size of the patches"),
        (["--patches", "4x4", "--corruption", "occlusion:2"], "--patches 4x4 with occlusion(2): one region of a "),
        (["--patches", "4", "--corruption", "gaussian:0.1+occlusion:2:1"], "leave --patches out"),
        (["--crop", "9"], "has 8×8 pixels, fewer than --crop 9x9"),
    ],
)
def test_a_wrong_request_leaves_nothing(options, words, digits, tmp_path, refused):
    assert words in refused("fit", digits, "-o", tmp_path / "m", *options)
    assert not list(tmp_path.iterdir())


def test_data_that_is_not_there(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 'Did you mean "digits"?' in refused("fit", "digts", "-o", "m")
    assert "does not exist" in refused("fit", "./digits", "-o", "m")


def test_photographs_of_several_sizes_need_to_be_told_how(photographs, tmp_path, refused):
    line = refused("fit", photographs, "-o", tmp_path / "m")
    for words in ("90×120", "80×80", "--resize HxW", "--crop HxW", "--patches HxW"):
        assert words in line


def test_a_damaged_image_is_named_or_left_out(digits, tmp_path, copy_of, done, refused):
    folder = copy_of(digits, tmp_path / "digits")
    bad = next((folder / "one").iterdir())
    bad.write_bytes(bad.read_bytes()[:40])
    assert str(bad) in refused("fit", folder, "-o", tmp_path / "m", *QUICK)
    _, err = done("fit", folder, "-o", tmp_path / "m", *QUICK, "--skip-bad")
    assert f"one/{bad.name}" in err


def test_the_model_cannot_lie_among_its_images(digits, refused):
    assert "lies inside" in refused("fit", digits, "-o", digits / "model")


def test_one_image_is_too_few(digits, tmp_path, refused):
    one = next((digits / "one").iterdir())
    assert "one image is too few" in refused("fit", one, "-o", tmp_path / "m")


LONG = ("--epochs", "300", "--patience", "300", "--hidden", "64", "--threads", "1", "--device", "cpu")


def test_a_fit_that_is_stopped_keeps_its_last_whole_epoch(forked, digits, tmp_path):
    options = argparse.Namespace(out=tmp_path / "m")
    assert _left(options) == "no epoch was finished, so there is no checkpoint; start again"
    # it would write a checkpoint after ten seconds of training
    child = forked("fit", digits, "-o", tmp_path / "m", *LONG)
    while "epoch 15/300" not in child.stderr.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    *lines, last = child.communicate(timeout=100)[1].splitlines()
    epochs = [int(line.split("/300")[0].rpartition(" ")[2]) for line in lines if " epoch " in line]
    assert child.returncode == 130
    kept = int(re.search(r"a checkpoint after epoch (\d+) is kept, and the same command resumes", last)[1])
    # a line is written of every fifteenth epoch, and of one that ends as the signal comes it may be missing
    assert 0 <= kept - max([15, *epochs]) <= 15
    assert len(next(checkpoints_of(tmp_path / "m").glob("0*/history.jsonl")).read_text().splitlines()) == kept


def test_a_fit_that_is_stopped_leaves_no_half_model_and_goes_on_to_the_same_bytes(
    forked, digits, tmp_path, done, refused, monkeypatch
):
    # the child writes a checkpoint after every epoch, and is stopped when it has two
    first = "from isthmus.training import checkpoint; checkpoint.EVERY = 0.0"
    child = forked("fit", digits, "-o", tmp_path / "m", *LONG, first=first)
    kept, deadline = checkpoints_of(tmp_path / "m"), time.monotonic() + 200
    while len(list(kept.glob("0*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    err = child.communicate(timeout=100)[1]
    assert child.returncode == 130
    epoch = int(
        re.search(r"a checkpoint after epoch (\d+) is kept, and the same command resumes", err.splitlines()[-1])[1]
    )
    assert epoch == max(len(path.read_text().splitlines()) for path in kept.glob("0*/history.jsonl"))
    assert not (tmp_path / "m").exists()
    assert kept.is_dir()

    for more, fact in ((("--seed", 1), "random_state"), (("--classes", "zero,one"), "samples")):
        err = refused("fit", digits, "-o", tmp_path / "m", *LONG, *more)
        assert "holds another training (different: " in err
        assert fact in err
        assert "or add --force to start over" in err
    with monkeypatch.context() as another_version:
        another_version.setattr(fingerprints, "code_fingerprint", lambda: "another")
        err = refused("fit", digits, "-o", tmp_path / "m", *LONG)
        assert "different: isthmus' own code" in err
        assert "which that version of isthmus continues; with this choose another -o" in err
    _, err = done("fit", digits, "-o", tmp_path / "m", *LONG)
    assert "continues after epoch" in err
    assert not kept.exists()
    done("fit", digits, "-o", tmp_path / "whole", *LONG)
    resumed, whole = (contents(tmp_path / name) for name in ("m", "whole"))
    assert set(whole) == {"model.safetensors", "config.json", "history.jsonl", "preview.png"}
    assert resumed == whole


def contents(folder):
    """The bytes of a model's files, but for the seconds that each epoch took: README says so."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    rows = [json.loads(line) for line in files["history.jsonl"].splitlines()]
    assert all(row.pop("seconds") > 0 for row in rows)
    return {**files, "history.jsonl": rows}


def strokes(n=120, side=16):
    """n pictures of three strokes each, light on black, as uint8."""
    rng, pictures = np.random.default_rng(0), np.zeros((n, side, side), np.uint8)
    for picture in pictures:
        for _ in range(3):
            along, (i, j) = np.arange(rng.integers(4, 9)), rng.integers(0, side - 9, 2)
            down, across = ((1, 0), (0, 1), (1, 1))[rng.integers(3)]
            picture[i + down * along, j + across * along] = rng.integers(150, 256)
    return pictures


@pytest.mark.parametrize("recipe", ["fast", "plain"])
def test_strokes_on_white_are_learned_as_well_as_on_black(recipe, tmp_path, done):
    options = ("--recipe", recipe, "--epochs", 40, "--hidden", "64,32", "--threads", 1, "--device", "cpu")
    errors = {}
    for ground, pixels in (("black", strokes()), ("white", 255 - strokes())):
        np.save(tmp_path / f"{ground}.npy", pixels)
        out, err = done("fit", tmp_path / f"{ground}.npy", "-o", tmp_path / ground, *options)
        assert "collapsed" not in err
        errors[ground] = [float(re.findall(r" (\d\.\d{6}) ", line)[0]) for line in out.splitlines()[1:]]
    assert errors["white"][1:] == pytest.approx(errors["black"][1:], rel=1e-3)  # PCA's and the mean image's
    assert errors["white"][0] == pytest.approx(errors["black"][0], rel=0.15)
    assert errors["white"][0] < errors["white"][2]


def test_what_is_missing_in_light_images_is_their_mean_unless_something_is_said(tmp_path, done):
    np.save(tmp_path / "white.npy", 255 - strokes(40))
    fit = ("fit", tmp_path / "white.npy", *QUICK, "--corruption")
    _, err = done(*fit, "masking:0.3+gaussian:0.1", "-o", tmp_path / "mean")
    assert "--corruption masking:0.3:value=mean+gaussian:0.1" in err
    assert next(part.label for part in isthmus.load(tmp_path / "mean").corruption.parts) == "masking(0.3,value=mean)"
    tried = (tmp_path / "mean", tmp_path / "white.npy", "--corruption")
    for command in (("evaluate", *tried), ("denoise", "-o", tmp_path / "clean", *tried)):
        out, err = done(*command, "masking:0.2")
        assert "masking(0.2,value=mean)" in out, "the same words mean the same"
        assert "leaves unsaid is as " in err
        assert "was trained: --corruption masking:0.2:value=mean\n" in err
        out, err = done(*command, "masking:0.2:value=0", *([] if command[0] == "evaluate" else ["--force"]))
        assert "masking(0.2)" in out
        assert "unsaid" not in err
    np.save(tmp_path / "dark.npy", strokes(40))
    done(
        "fit",
        tmp_path / "dark.npy",
        *QUICK[2:],
        "--from",
        tmp_path / "mean",
        "-o",
        tmp_path / "on",
        *tried[2:],
        "masking:0.2",
    )
    assert isthmus.load(tmp_path / "on").corruption.label == "masking(0.2,value=mean)"
    _, err = done(*fit, "occlusion:3:0", "-o", tmp_path / "zero")
    assert "value=mean" not in err
    np.save(tmp_path / "white.npy", strokes(40))
    done(*fit, "occlusion:3", "-o", tmp_path / "black")
    assert [isthmus.load(tmp_path / name).corruption.value for name in ("zero", "black")] == [0, 0]


def test_a_denoiser_of_patches_is_held_against_methods_that_are_told_the_noise(tmp_path, done):
    """On the photographs that are held out, of which non-local means leave less than a narrow code of patches."""
    rng = np.random.default_rng(0)
    steps = np.kron(rng.random((12, 1, 3, 3)), np.ones((1, 1, 11, 11))).astype(np.float32)
    np.save(tmp_path / "steps.npy", steps)
    fit = ("fit", tmp_path / "steps.npy", "-o", tmp_path / "m", "--patches", 8, "--bottleneck", 4, "--epochs", 2)
    out, err = done(*fit, "--corruption", "gaussian:0.1", *QUICK[2:])
    of = {line.split("  ")[0]: float(line.split()[-4]) for line in out.splitlines()[1:]}
    assert of["non-local means, told the noise"] < 0.7 * of["gaussian(0.1), as it is"]
    assert "total variation, told the noise" in of
    assert list(of)[-1] == "the mean image"
    assert "worse than non-local means, told the noise" in err
    assert "try it without --patches with --training-crop 32" in err
    np.save(tmp_path / "small.npy", steps[..., :25, :28])
    _, err = done("fit", tmp_path / "small.npy", *fit[2:], "--corruption", "gaussian:0.1", *QUICK[2:], "--force")
    assert "try it without --patches with --training-crop 24" in err
    out, _ = done(*fit, "--corruption", "masking:0.1", "--force", *QUICK[2:])
    assert "told" not in out


def test_a_sparse_code_is_held_against_pca_of_as_many_numbers_as_are_on(digits, tmp_path, done):
    out, err = done("fit", digits, "-o", tmp_path / "m", "--penalty", "l1:3e-3", "--epochs", 60, *QUICK[2:])
    on = int(re.search(r"PCA, (\d+) numbers, as many as are on", out)[1])
    code = isthmus.load(tmp_path / "m").transform(isthmus.open_images(digits))
    assert on == pytest.approx((np.abs(code) > 1e-6).sum(axis=1).mean(), abs=3)
    assert re.search(
        r"\d+ of 128 units of the code are zero for every image: a smaller weight than --penalty l1:0.0", err
    )
    assert "is as good" not in err  # fitted with as many as are on, it was half as bad again


def test_of_few_images_convolutions_are_told_that_pca_knows_more(digits, tmp_path, done):
    few = tmp_path / "few.npy"
    np.save(few, isthmus.open_images(digits).pixels[:120])
    _, err = done("fit", few, "-o", tmp_path / "m", "--network", "conv", "--epochs", 60, *QUICK[2:])
    assert "worse than PCA" in err
    numbers = isthmus.load(tmp_path / "m").network_.code_size
    assert f"try --network dense --bottleneck {numbers}, whose training begins at its solution" in err


@pytest.mark.parametrize(
    ("options", "way"),
    [
        (("--code-activation", "relu"), "takes one: try --code-activation linear"),
        (("--code-activation", "relu", "--output", "sigmoid"), "try --code-activation linear without --output"),
        (("--code-activation", "linear", "--output", "sigmoid"), "begins at PCA's solution: leave --output out"),
        (("--code-activation", "linear", "--loss", "bce"), "begins at PCA's solution: leave --loss bce out"),
        (("--code-activation", "relu", "--loss", "bce"), "try --code-activation linear without --loss bce"),
        (("--hidden", "12"), "from PCA's solution: try --hidden 16"),
        (("--hidden", "12,15", "--decoder-hidden", "9"), "try --hidden 16,16 --decoder-hidden 16"),
        (("--hidden", "12", "--code-activation", "relu"), "try --code-activation linear --hidden 16"),
    ],
)
def test_a_network_behind_pca_that_could_begin_there_is_told_so(options, way, digits, tmp_path, done):
    _, err = done("fit", digits, "-o", tmp_path / "m", "--bottleneck", 8, *options, "--epochs", 60, *QUICK[2:])
    (sentence,) = (line for line in err.splitlines() if "this model is worse than PCA" in line)
    assert sentence.endswith(way)


@pytest.mark.parametrize(("beta", "has_cheaper"), [(1, False), (20, True)])
def test_a_smaller_beta_is_named_where_the_price_costs(beta, has_cheaper, tmp_path, done):
    """Of few images with many pixels the nats of a code are few beside those of the error, unless beta is large."""
    rng, patterns = np.random.default_rng(0), np.random.default_rng(1).random((6, 24, 24))
    images = np.einsum("nk,khw->nhw", rng.random((60, 6)) / 6, patterns) + 0.02 * rng.standard_normal((60, 24, 24))
    np.save(tmp_path / "x.npy", images.clip(0, 1).astype(np.float32)[:, None])
    words = ("--code", f"gaussian:{beta}", "--hidden", 64, "--bottleneck", 8, "--epochs", 60, *QUICK[2:])
    _, err = done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *words)
    (sentence,) = (line for line in err.splitlines() if line.startswith("this model is worse than PCA"))
    assert ("--code gaussian:10" in sentence) is has_cheaper
    assert has_cheaper or "--code" not in sentence


def test_a_network_worse_than_the_mean_on_its_own_images_too_is_to_train_longer(digits, tmp_path, done):
    _, err = done(
        "fit", digits, "-o", tmp_path / "m", "--hidden", 12, "--learning-rate", 1e-5, "--epochs", 1, *QUICK[2:]
    )
    (sentence,) = (line for line in err.splitlines() if "than the mean image" in line)
    assert "train longer (--epochs)" in sentence


def test_a_penalty_is_not_blamed_for_what_is_known_by_heart(digits, tmp_path, done):
    fit = ("fit", digits, "-o", tmp_path / "m", "--hidden", 64, "--bottleneck", 16, "--epochs", 200, *QUICK[2:])
    _, err = done(*fit, "--penalty", "l1:1e-6")
    assert "it reconstructs its training images" in err
    assert "the penalty takes it" not in err


def test_a_fit_that_is_stopped_while_it_measures_is_not_trained_again(digits, tmp_path, done, monkeypatch):
    command = ("fit", digits, *QUICK)
    done(*command, "-o", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("isthmus.training.checkpoint.EVERY", 0.0)
        patch.setattr("isthmus.commands.fitting.training_run.yardsticks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            done(*command, "-o", tmp_path / "m")
    _, err = done(*command, "-o", tmp_path / "m")
    assert "goes on after its last epoch, where it was stopped" in err
    assert contents(tmp_path / "m") == contents(tmp_path / "whole")


def test_a_denoiser_through_a_code_that_is_worse_than_the_noise_is_told_of_the_one_for_photographs(tmp_path, done):
    blocks = np.random.default_rng(0).random((40, 1, 2, 2), np.float32)
    blocks = (
        0.4
        + 0.2 * blocks.repeat(25, axis=2).repeat(25, axis=3)
        + 0.2 * np.random.default_rng(1).random((40, 1, 50, 50))
    )
    np.save(tmp_path / "x.npy", np.float32(blocks))
    words = ("--corruption", "gaussian:0.02", "--hidden", 16, "--bottleneck", 4, *QUICK)
    _, err = done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *words)
    assert "--corruption alone, which trains a denoiser of whole photographs" in err
    _, err = done("evaluate", tmp_path / "m", tmp_path / "x.npy", "--corruption", "gaussian:0.02")
    assert "or for photographs with --corruption alone" in err
