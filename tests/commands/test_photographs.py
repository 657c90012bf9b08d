"""`isthmus fit` and `isthmus denoise` of photographs: a denoiser of any size, the level told or estimated."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn.datasets import load_sample_images

import isthmus
from isthmus import GaussianNoise, Poisson, Residual, Sequence, cli, console, persistence
from isthmus.commands.denoise import _at_level, _note_the_level
from isthmus.commands.fitting import photograph_errors, photograph_fit
from isthmus.commands.fitting.photograph_errors import non_local_means, wavelets
from isthmus.commands.images.model_folder import Opened
from isthmus.commands.images.photograph_gallery import is_of_photographs, photograph_gallery
from isthmus.data.framing import Framing
from isthmus.data.images import floats_of, pixels_of
from isthmus.data.photographs.image_list import ImageList
from isthmus.errors import RequestError
from isthmus.estimators.adapters import adapter_of
from isthmus.estimators.denoising import one_image
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.denoising.denoiser_adapter import AtLevel
from isthmus.estimators.denoising.tiles import denoise_tiles
from isthmus.explore.answers.photograph_routes import picture
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf_loader import shelve
from tests.image_files import read_image

QUICK = ("--epochs", 1, "--training-crop", 8, "--batch-size", 256, "--threads", 1)
NOISY = ("--noisy", "--training-crop", 16, "--epochs", 1, "--batch-size", 256, "--threads", 1)
FIT = (
    "--corruption",
    "gaussian:0..0.2",
    "--epochs",
    1,
    "--threads",
    1,
    "--training-crop",
    16,
    "--learning-rate",
    0.004,
)


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    """Of the command's denoisers the epochs alone are shorter; how well they learn is shown of `fitted`, which is
    not."""
    monkeypatch.setattr(photograph_fit, "Denoiser", partial(Denoiser, crops_per_epoch=1024))


@pytest.fixture(scope="module")
def fitted(photographs, tmp_path_factory):
    """A denoiser of the three photographs, one of them held out, and what its fit printed."""
    folder = tmp_path_factory.mktemp("models") / "photographs"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert cli.run_command(["fit", str(photographs), "-o", str(folder), *map(str, FIT), "--threads", "1"]) == 0
    return folder, out.getvalue(), err.getvalue()


def test_a_fit_of_photographs_is_measured_beside_what_needs_no_training(fitted):
    folder, out, err = fitted
    denoiser = isthmus.load(folder)
    assert isinstance(denoiser, Denoiser)
    model = f"photographs, {denoiser.n_parameters_:,} weights"
    assert "Gaussian noise of 0 to 0.2 of black to white, not clipped" in err
    assert "1 photograph is grey among colour ones" in err
    assert "1 epoch of 8,192 crops of 16×16" in err
    head, *rows = out.splitlines()
    assert head.startswith("on 1 photograph, held out, sigma 0.1 told")
    names = [re.sub(r"blur of [\d.]+", "blur of W", row.split("  ")[0]) for row in rows]
    assert names == [
        model, "non-local means", "wavelets", "Gaussian blur of W pixels", "the noisy photographs",
    ]  # fmt: skip
    errors = {row.split("  ")[0]: float(row.split()[-2]) for row in rows}
    assert errors[model] < errors["the noisy photographs"] / 2
    assert errors["the noisy photographs"] == pytest.approx(0.1**2, rel=0.05), "as it is said, not clipped"
    assert (folder / "preview.png").is_file()
    extra = json.loads((folder / "config.json").read_text())["extra"]
    assert (extra["seen"]["n"], extra["seen"]["n_trained_on"], len(extra["seen"]["left_out"])) == (3, 2, 1)


def test_photographs_keep_name_format_size_and_depth(fitted, photographs, tmp_path, done):
    _, err = done("denoise", fitted[0], photographs, "-o", tmp_path / "clean")
    assert "noise estimated: sigma" in err
    for name, (form, mode, size) in {
        "china.jpg": ("JPEG", "RGB", (120, 90)),
        "flower.png": ("PNG", "RGB", (80, 80)),
        "deep/grey.tif": ("TIFF", "I;16", (71, 60)),
    }.items():
        with Image.open(tmp_path / "clean" / name) as image:
            assert (image.format, image.mode, image.size) == (form, mode, size)
        before, after = read_image(photographs / name).pixels, read_image(tmp_path / "clean" / name).pixels
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9
    assert (tmp_path / "clean" / "preview.png").is_file()


def test_the_table_of_a_fit_is_what_evaluate_says_of_the_same_photograph(fitted, photographs, done):
    """It was of estimates that were cut to black and white."""
    (name,) = json.loads((fitted[0] / "config.json").read_text())["extra"]["seen"]["left_out"]
    out, _ = done("evaluate", fitted[0], photographs / name, "--corruption", "gaussian:0.1", "--json")
    (mse,) = (row["value"] for row in json.loads(out)["rows"] if row["metric"] == "mse" and row["corruption"])
    row = fitted[1].splitlines()[1]
    assert float(row.split()[-2]) == pytest.approx(mse, abs=2e-6), row


def test_of_images_without_noise_it_is_said_by_how_much_they_were_changed(fitted, tmp_path, done):
    ramp = np.broadcast_to(np.arange(64, 192, 2) / np.float32(255), (5, 3, 64, 64))  # nothing is clipped in the file
    np.save(tmp_path / "clean.npy", ramp)
    _, err = done("denoise", fitted[0], tmp_path / "clean.npy", "-o", tmp_path / "out.npy")
    words = re.search(r"5 images with hardly any noise: sigma is less than 0.008, changed by ([\d.e-]+) at most\n", err)
    changes = np.sqrt(np.mean((np.load(tmp_path / "out.npy") - ramp) ** 2, axis=(1, 2, 3)))
    assert float(words[1]) == pytest.approx(changes.max(), rel=0.05)


def test_a_photograph_in_several_tiles_is_written_as_in_one_piece_and_how_far_it_is_is_said(
    fitted, photographs, tmp_path, done, monkeypatch
):
    whole, tiled, model = tmp_path / "whole", tmp_path / "tiled", tmp_path / "model"
    exact = isthmus.load(fitted[0])
    exact.precision_ = "float32"  # of 16 bits rounding to bfloat16 would be seen, and it is another in each tile
    extra = json.loads((fitted[0] / "config.json").read_text())["extra"]
    persistence.save(exact, model, extra=extra)
    done("denoise", model, photographs, "-o", whole, "--sigma", "0.1")
    monkeypatch.setattr(one_image, "denoise_tiles", partial(denoise_tiles, tile=32))
    monkeypatch.setattr(console, "_SILENCE", -1)
    _, err = done("denoise", model, photographs, "-o", tiled, "--sigma", "0.1")
    # of a JPEG the cosines of whole squares are rounded
    for name, levels in (("china.jpg", 8), ("flower.png", 1), ("deep/grey.tif", 1)):
        before, after = (read_image(folder / name).pixels.astype(float) for folder in (whole, tiled))
        white = 1 if before.max() <= 1 else 255
        assert np.abs(before - after).max() <= levels * white / 255, name
        assert np.mean(before != after) < (0.01 if levels == 1 else 0.05), name
    assert "denoised: 0 of 3, and 12 of 12 tiles of the next\ndenoised: 1 of 3\n" in err
    _, err = done("denoise", model, photographs / "china.jpg", "-o", tmp_path / "a.jpg", "--sigma", "0.1")
    assert [line for line in err.splitlines() if "tiles" in line] == [
        f"denoised: {i} of 12 tiles" for i in range(1, 13)
    ]


def test_the_mean_over_flips_and_turns(fitted, photographs, tmp_path, done):
    images = []
    for words in ((), ("--self-ensemble",)):
        out = tmp_path / f"{len(words)}.png"
        done("denoise", fitted[0], photographs / "flower.png", "-o", out, "--sigma", "0.1", *words)
        images.append(read_image(out).pixels.astype(float))
    assert 0 < np.abs(images[0] - images[1]).mean() < 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_model_counts_the_tiles_of_all_channels(dtype, photographs, tmp_path, done, monkeypatch):
    grey = tmp_path / "grey"
    done("fit", photographs, "-o", grey, "--grey", *FIT, "--test", "0")
    model, steps = isthmus.load(grey), []
    model.precision_ = "float32"  # of 16 bits rounding to bfloat16 would be seen
    x = isthmus.open_images(photographs / "flower.png").pixels[0]
    x = pixels_of(floats_of(x), np.dtype(dtype))
    adapter = adapter_of(AtLevel(model, 0.1))
    monkeypatch.setattr(one_image, "denoise_tiles", partial(denoise_tiles, tile=64))
    rounded = adapter.reconstruct_image(x, lambda *step: steps.append(step), rounded=True)
    assert steps == [(i, 12) for i in range(1, 13)]
    np.testing.assert_array_equal(rounded, pixels_of(adapter.reconstruct_image(x), x.dtype), strict=True)
    of_floats = pixels_of(adapter.reconstruct_image(floats_of(x)), x.dtype)
    assert np.abs(rounded.astype(float) - of_floats).max() <= 1, "whether a number is multiplied or divided"


def test_a_level_that_is_told_is_what_the_model_is_given(fitted, photographs, tmp_path, done):
    for sigma in ("0", "0.2"):
        done("denoise", fitted[0], photographs / "flower.png", "-o", tmp_path / f"{sigma}.png", "--sigma", sigma)
    little, much = (read_image(tmp_path / f"{sigma}.png").pixels.astype(float) for sigma in ("0", "0.2"))
    before = read_image(photographs / "flower.png").pixels
    assert np.abs(little - before).mean() < 0.8 * np.abs(much - before).mean()


def test_noise_is_added_and_taken_out_again(fitted, photographs, tmp_path, done):
    out, _ = done("denoise", fitted[0], photographs, "-o", tmp_path / "tried", "--corruption", "gaussian:0.1")
    assert "gaussian(0.1,clip=false), as it is" in out
    before, after = (row["mse"] for row in json.loads((tmp_path / "tried" / "isthmus.json").read_text())["errors"])
    assert after < before / 2
    assert before == pytest.approx(0.01, rel=0.1)  # not clipped


def test_noise_that_is_said_to_be_clipped_is(fitted, photographs, tmp_path, done):
    """Of light images much is cut off at white; what is unsaid is as in the training, which never clips."""
    np.save(tmp_path / "light.npy", np.full((3, 3, 64, 64), 0.95, np.float32))
    for words, clipped in (("gaussian:0.1:clip=true", True), ("gaussian:0.1", False)):
        out, err = done("evaluate", fitted[0], tmp_path / "light.npy", "--corruption", words, "--json")
        (before,) = (row["value"] for row in json.loads(out)["as_it_is"] if row["metric"] == "mse")
        assert before == pytest.approx(0.0059 if clipped else 0.01, rel=0.1)
        assert ("leaves unsaid is as" in err) is not clipped
        done("denoise", fitted[0], tmp_path / "light.npy", "-o", tmp_path / words[-4:], "--corruption", words)
        (table,) = (json.loads(path.read_text()) for path in (tmp_path / words[-4:]).rglob("isthmus.json"))
        assert table["errors"][0]["mse"] == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("gaussian:0.1", "gaussian(0.1,clip=false)"),
        ("poisson:30+gaussian:0.1", "poisson(30)+gaussian(0.1,clip=false)"),
        ("poisson:30", "poisson(30)"),
        ("gaussian:0.1:clip=true", "gaussian(0.1)"),
    ],
)
@pytest.mark.parametrize("noise", [Poisson(30.0), GaussianNoise((0, 0.2))], ids=repr)
def test_no_noise_of_photographs_is_clipped_unless_it_is_said(noise, text, label):
    opened = Opened(Denoiser(Residual(4, 4), noise=noise), Path("m"), None, None, Framing(), "")
    assert opened.corruption(text).label == label


@pytest.mark.parametrize(("noise", "n_clean"), [(GaussianNoise((0, 0.2)), 2), (GaussianNoise((0.006, 0.012)), 1)])
def test_noise_like_that_of_the_training_is_noise_however_little(noise, n_clean, capsys):
    opened = SimpleNamespace(model=SimpleNamespace(noise=noise), folder="m")
    _note_the_level(opened, [0.004, 0.007, 0.009], [1e-6, 4e-6, 9e-6])
    assert f"{n_clean} image" in capsys.readouterr().err.split(" with hardly any noise")[0].splitlines()[-1]


def test_evaluate_measures_it_and_encode_refuses(fitted, photographs, done, capsys):
    out, _ = done("evaluate", fitted[0], photographs / "flower.png", "--corruption", "gaussian:0.1")
    assert "mse" in out
    assert "gaussian(0.1,clip=false), as it is" in out
    assert cli.run_command(["encode", str(fitted[0]), str(photographs / "flower.png"), "-o", "codes.npz"]) == 2
    assert "an encoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--corruption", "gaussian:0..0.2", "--patches", "16x16"), "from whole photographs without --patches"),
        (("--corruption", "gaussian:0.2..0.1"), "range"),
    ],
)
def test_what_a_range_cannot_be_had_of(arguments, words, photographs, tmp_path, capsys):
    assert cli.run_command(["fit", str(photographs), "-o", str(tmp_path / "m"), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_small_images_go_through_a_code(digits, tmp_path, capsys):
    assert cli.run_command(["fit", str(digits), "-o", str(tmp_path / "m"), "--corruption", "gaussian:0..0.2"]) == 2
    assert "of at least 49 pixels a side" in capsys.readouterr().err


def test_of_small_images_all_that_are_held_out_are_measured(tmp_path, done):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", np.kron(rng.random((140, 1, 5, 5)), np.ones((1, 1, 4, 4))).astype(np.float32))
    out, _ = done(
        "fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--corruption", "gaussian:0.1", "--training-crop", 16, *QUICK
    )
    assert out.startswith("on 14 photographs, held out, sigma 0.1 told")


@pytest.fixture
def small(tmp_path):
    """Twelve images of 16×20 with edges, in a file."""
    rng = np.random.default_rng(0)
    edges = np.kron(rng.random((12, 1, 4, 5)), np.ones((1, 1, 4, 4)))
    np.save(tmp_path / "small.npy", edges.astype(np.float32))
    return tmp_path / "small.npy"


@pytest.mark.parametrize(
    ("how", "crop"),
    [
        (("--corruption", "gaussian:0.1", *QUICK), 8),
        (("--corruption", "gaussian:0..0.2", *QUICK), 8),
        (NOISY, 16),
    ],
)
def test_small_images_are_denoised_whole_where_the_side_of_crops_is_said(how, crop, small, tmp_path, capsys):
    assert cli.run_command(["fit", str(small), "-o", str(tmp_path / "m"), *map(str, how)]) == 0
    out, err = capsys.readouterr()
    assert f"1,024 crops of {crop}×{crop}" in err
    assert ("half their size; at full size the order may be another" in err) is ("--noisy" in how)
    assert "non-local means" in out
    model = persistence.load(tmp_path / "m")
    assert (type(model), model.crop) == (Denoiser, crop)
    denoise = ["denoise", str(tmp_path / "m"), str(small), "-o", str(tmp_path / "out"), "--sigma", "0.1"]
    assert cli.run_command(denoise) == 0, capsys.readouterr().err


@pytest.mark.parametrize("how", [("--corruption", "gaussian:0..0.2"), ("--noisy",)])
def test_the_way_out_for_small_images_is_named(how, small, tmp_path, capsys):
    assert cli.run_command(["fit", str(small), "-o", str(tmp_path / "m"), *how]) == 2
    assert "of at least 49 pixels a side, or of smaller ones with --training-crop 16\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--corruption", "gaussian:0.1", "--training-crop", "7"), "at least 8 and at most 16"),
        (
            ("--corruption", "gaussian:0.1", "--training-crop", "21"),
            "at most 16, the shorter side of the images, got 21",
        ),
        (("--noisy", "--training-crop", "9"), "even, at least 16 and at most 16"),
        (("--corruption", "gaussian:0.1", "--training-crop", "8", "--bottleneck", "9"), "without --bottleneck"),
        (("--corruption", "masking:0.1", "--training-crop", "8"), "--training-crop"),
        (("--training-crop", "8"), "--training-crop"),
    ],
)
def test_a_side_of_crops_that_cannot_be_is_refused(arguments, words, small, tmp_path, capsys):
    assert cli.run_command(["fit", str(small), "-o", str(tmp_path / "m"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_noise_is_not_told_from_detail_in_very_small_images(digits, tmp_path, capsys):
    assert cli.run_command(["fit", str(digits), "-o", str(tmp_path / "m"), "--noisy", "--training-crop", "8"]) == 2
    assert "of at least 16 pixels a side\n" in capsys.readouterr().err


def test_crops_of_a_data_set_by_its_name_are_refused(tmp_path, capsys):
    command = ["fit", "digits", "-o", str(tmp_path / "m"), "--corruption", "gaussian:0.1", "--training-crop", "8"]
    assert cli.run_command(command) == 2
    assert "in files of your own" in capsys.readouterr().err


@pytest.mark.parametrize("sigma", ["-0.1", "25", "nan"])
def test_a_level_in_another_unit_is_refused(sigma, fitted, photographs, tmp_path, capsys):
    command = ["denoise", str(fitted[0]), str(photographs), "-o", str(tmp_path / "out"), f"--sigma={sigma}"]
    assert cli.run_command(command) == 2
    assert "--sigma" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("method", [non_local_means, wavelets])
def test_what_a_denoiser_is_held_against_denoises(method, grey):
    china = load_sample_images().images[0][100:196, 200:320].transpose(2, 0, 1).astype(np.float32) / 255
    x = china[:1] if grey else china
    y = x + np.random.default_rng(0).normal(0, 0.1, x.shape).astype(np.float32)
    x_hat = method(y, 0.1)
    assert x_hat.shape == x.shape
    assert np.square(x_hat - x).mean() < 0.85 * np.square(y - x).mean()


def test_a_model_that_is_there_is_not_replaced(fitted, photographs, capsys):
    folder = fitted[0]
    before = (folder / "model.safetensors").read_bytes()
    for noise in ("gaussian:0..0.2", "gaussian:0.1"):
        assert cli.run_command(["fit", str(photographs), "-o", str(folder), "--corruption", noise]) == 2
        assert "already holds a model" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("option", [("--patience", "3"), ("--validation", "0.2")])
def test_what_would_choose_an_epoch_is_refused(option, photographs, tmp_path, capsys):
    command = ["fit", str(photographs), "-o", str(tmp_path / "m"), "--corruption", "gaussian:0.1", *option]
    assert cli.run_command(command) == 2
    assert "trains all its epochs" in capsys.readouterr().err


def test_the_last_pages_of_a_stack_are_held_out_and_12_bits_have_a_range(tmp_path, done):
    stack = np.random.default_rng(0).integers(200, 4095, (12, 50, 60)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    np.save(tmp_path / "stack.npy", stack)
    for source, left_out in (("stack.tif", ["stack.tif#11", "stack.tif#12"]), ("stack.npy", [])):
        model = tmp_path / source.replace(".", "-")
        arguments = ("--corruption", "gaussian:0.1", "--range", "0:4095", *QUICK)
        out, _ = done("fit", tmp_path / source, "-o", model, *arguments)
        assert "on 1 photograph, held out, sigma 0.1 told" in out
        extra = json.loads((model / "config.json").read_text())["extra"]
        assert extra["seen"]["left_out"] == left_out  # of a stack the page before the last one is in neither part
        assert isthmus.load(model).scale_ == pytest.approx(3895 / 4095, abs=0.01)
        done("denoise", model, tmp_path / source, "-o", tmp_path / f"clean-{source}")
    assert tifffile.imread(tmp_path / "clean-stack.tif").dtype == np.uint16
    clean = np.load(tmp_path / "clean-stack.npy")
    assert clean.shape == (12, 1, 50, 60)
    assert 100 < clean.mean() < 4095  # in the numbers that came in


def test_one_photograph_and_none_held_out(photographs, tmp_path, done):
    source = photographs / "china.jpg"
    out, err = done("fit", source, "-o", tmp_path / "one", "--corruption", "gaussian:0.1", *QUICK)
    assert "on the right quarter of one photograph, held out" in out
    out, err = done("fit", photographs, "-o", tmp_path / "all", "--corruption", "gaussian:0.1", "--test", 0, *QUICK)
    assert out == ""
    assert "3 photographs to train on, none held out" in err


def test_copies_of_what_is_trained_on_are_not_measured(photographs, tmp_path, done):
    (tmp_path / "photos").mkdir()
    for i in range(6):
        (tmp_path / "photos" / f"{i}.png").write_bytes((photographs / "flower.png").read_bytes())
    Image.new("RGB", (60, 60), "grey").save(tmp_path / "photos" / "other.png")
    arguments = ("--corruption", "gaussian:0.1", "--test", 0.9, *QUICK)
    out, err = done("fit", tmp_path / "photos", "-o", tmp_path / "m", *arguments)
    assert "copies of what is trained on: " in err
    assert "on 1 photograph, held out" in out


def test_files_that_cannot_be_read(tmp_path, photographs, capsys):
    (tmp_path / "bad").mkdir()
    content = (photographs / "flower.png").read_bytes()
    (tmp_path / "bad" / "a.png").write_bytes(content[:2000])
    command = ["fit", str(tmp_path / "bad"), "-o", str(tmp_path / "m"), "--corruption", "gaussian:0.1", "--skip-bad"]
    assert cli.run_command(command) == 2
    err = capsys.readouterr().err
    assert "a.png" in err
    assert "Traceback" not in err


def test_the_page_shows_what_was_held_out(fitted, photographs, tmp_path, capsys):
    folder = fitted[0]
    left_out = json.loads((folder / "config.json").read_text())["extra"]["seen"]["left_out"]
    for data in (None, str(photographs)):  # where the photographs are is known
        gallery = photograph_gallery(folder, data)
        assert [file.relative_to(photographs).as_posix() for file in gallery.files] == left_out
        assert gallery.title == f"{photographs}: 1 photograph, held out of the training"
    assert is_of_photographs(folder)
    shelf = shelve(folder, gallery)
    for file in photographs.rglob("*.*"):
        words = picture(shelf, Query({}), file.read_bytes())[1]
        assert ("was trained on this photograph" in words["seen"]) is (file.name not in left_out[0])
    (tmp_path / "others").mkdir()
    Image.new("RGB", (60, 60)).save(tmp_path / "others" / "black.png")
    assert photograph_gallery(folder, str(tmp_path / "others")).title.endswith("others: 1 photograph")
    moved = photographs.rename(photographs.with_name("moved"))
    try:
        assert photograph_gallery(folder).files == ()
    finally:
        moved.rename(photographs)
    assert "has moved or changed; give photographs as DATA" in capsys.readouterr().err


def test_a_second_fit_of_a_large_folder_reads_the_cache_and_is_the_same(photographs, tmp_path, done, monkeypatch):
    from isthmus.data.photographs import album, pixel_sources

    fit = ("fit", photographs, "--corruption", "gaussian:0.1", *QUICK, "-o")
    with monkeypatch.context() as patch:
        patch.setattr(album, "WORTH_BYTES", 0)
        done(*fit, tmp_path / "first")
        for module in (album, pixel_sources):
            patch.setattr(module, "iterate_pages", None)
        done(*fit, tmp_path / "second")
    done(*fit, tmp_path / "in-memory")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second", "in-memory")]
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.parametrize("options", [("--range", "0:4095"), ()])
def test_photographs_of_an_array_are_known_again(options, tmp_path, done):
    x = np.random.default_rng(0).integers(0, 4096 if options else 65536, (10, 64, 64)).astype(np.uint16)
    np.save(tmp_path / "x.npy", x)
    done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--corruption", "gaussian:0.1", *options, *QUICK)
    for command in ("evaluate", "score"):
        assert "m was trained on 9 of these 10 images" in done(command, tmp_path / "m", tmp_path / "x.npy")[1]


@pytest.fixture(scope="module")
def noisy_photographs(tmp_path_factory):
    """Six pieces of the two photographs with noise of 25 of 255, clipped and rounded, as files have it."""
    folder, stream = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0)
    for i in range(6):
        x = load_sample_images().images[i % 2][100 + 50 * i :][:96, 60 * i :][:, :120]
        Image.fromarray((x + stream.normal(0, 25, x.shape)).round().clip(0, 255).astype(np.uint8)).save(
            folder / f"{i}.png"
        )
    return folder


def test_noisy_photographs_alone_are_enough(noisy_photographs, tmp_path, done):
    out, err = done("fit", noisy_photographs, "-o", tmp_path / "m", "--noisy", *FIT[2:-2], "--batch-size", 64)
    assert "their noise, estimated: sigma 0.1" in err.replace("0.09", "0.1")
    assert "every second pixel is denoised to measure" in err
    assert "on 1 photograph, held out, against neighbours, whose noise adds 0.0" in out
    errors = {row.split("  ")[0].split(",")[0]: float(row.split()[-2]) for row in out.splitlines()[1:]}
    blur = next(error for name, error in errors.items() if name.startswith("Gaussian blur of"))
    assert max(errors["m"], blur) < errors["the noisy photographs"]
    model = isthmus.load(tmp_path / "m")
    assert model.target == "noisy"
    assert 0.05 < model.noise.sigma[0] <= model.noise.sigma[1] < 0.14
    assert (tmp_path / "m" / "preview.png").is_file()
    _, err = done("denoise", tmp_path / "m", noisy_photographs, "-o", tmp_path / "clean")
    assert "by the estimate" not in err
    before, after = (read_image(folder / "0.png").pixels / 255 for folder in (noisy_photographs, tmp_path / "clean"))
    assert 0.005 < (before - after).std() < 0.13
    for command in ("evaluate", "score"):
        _, err = done(command, tmp_path / "m", noisy_photographs)
        assert "learned from noisy images alone; its errors here are against the images as they are" in err


def test_what_makes_photographs_worse_is_said_to_and_larger_crops_come_first(
    noisy_photographs, tmp_path, done, monkeypatch
):
    """Steps that are too long: of crops of 8 a training diverged, and was to be given more epochs."""
    monkeypatch.setattr(photograph_fit, "Denoiser", Denoiser)  # of few steps the last is not finite
    rate = ("--learning-rate", 10)
    _, err = done("fit", noisy_photographs, "-o", tmp_path / "m", *NOISY, *rate)
    (line,) = [line for line in err.splitlines() if line.startswith("this model leaves more error")]
    assert "and than the noisy photographs as they are: give it --training-crop 64, or " in line
    assert line.endswith("or --learning-rate 2.5, for its training diverged, or more photographs")
    assert json.loads((tmp_path / "m/config.json").read_text())["extra"]["faults"] == [line]


def trained(losses, noise=None, crop=64):
    of_rate = SimpleNamespace(learning_rate=1e-3)
    history = SimpleNamespace(losses=np.array(losses))
    return SimpleNamespace(crop=crop, history_=history, training_=of_rate, noise=noise, target="clean")


@pytest.mark.parametrize(
    ("losses", "former", "diverged"),
    [
        ((0.01, 0.012, 0.011), None, False),
        ((0.01, 2.8e7, 7e15), None, True),
        ((2.8e7, 2.7e7), trained([0.02, 0.01]), True),  # in its first epoch
        ((0.2, 0.19), trained([0.02, 0.01], GaussianNoise(0.01)), False),  # of other noise
    ],
)
def test_a_training_that_diverged_is_seen(losses, former, diverged):
    assert photograph_errors.has_diverged(trained(losses), former) is diverged


@pytest.mark.parametrize(
    ("side", "crop", "diverged", "worse", "ways"),
    [
        (64, 64, False, False, ["more --epochs"]),
        (64, 64, False, True, []),
        (64, 64, True, False, ["--learning-rate 0.00025, for its training diverged"]),
        (50, 16, False, False, ["--training-crop 50", "more --epochs"]),
        (40, 32, False, False, ["more --epochs"]),
    ],
)
def test_the_ways_to_a_better_denoiser_can_be_gone(side, crop, diverged, worse, ways):
    images = ImageList(tuple(np.zeros((200, 1, side, side + 9), np.uint8)), 1 / 255)
    assert photograph_errors.ways(trained([0.01], crop=crop), images, diverged=diverged, worse=worse) == ways


def test_where_neighbours_differ_by_more_than_noise_the_table_is_doubted(noisy_photographs, tmp_path, done):
    _, err = done("fit", noisy_photographs, "-o", tmp_path / "noisy", *NOISY)
    assert "of what neighbours differ by is no noise" not in err
    letters = np.random.default_rng(0).integers(0, 2, (4, 64, 64)) * 255
    (tmp_path / "letters").mkdir()
    for i, page in enumerate(letters.repeat(3, axis=1).repeat(3, axis=2).astype(np.uint8)):
        Image.fromarray(page).save(tmp_path / "letters" / f"{i}.png")
    _, err = done("fit", tmp_path / "letters", "-o", tmp_path / "m", *NOISY)
    assert re.search(r"\d+% of what neighbours differ by is no noise but the picture", err)


def test_noise_that_grows_with_the_brightness_is_named(noisy_photographs, tmp_path, done):
    """One sigma is an average then, and Poisson noise is like it."""
    _, err = done("fit", noisy_photographs, "-o", tmp_path / "even", *NOISY)
    assert "grows" not in err.replace(str(tmp_path), "")  # which is named after this test
    (tmp_path / "photons").mkdir()
    for i in range(4):
        x = load_sample_images().images[i % 2][60 * i :][:96, 100 * i :][:, :192].mean(axis=-1) / 255
        counts = np.random.default_rng(i).poisson(60 * x) * (4095 / 60)  # of 12 bits in 16
        Image.fromarray(counts.round().clip(0, 4095).astype(np.uint16)).save(tmp_path / "photons" / f"{i}.tif")
    out, err = done("fit", tmp_path / "photons", "-o", tmp_path / "m", "--range", "0:4095", *NOISY)
    pattern = r"their noise grows with the brightness, .* sigma is about ([\d.]+) .* and ([\d.]+) .* poisson:(\d+) in"
    dark, bright, peak = map(float, re.search(pattern, err).groups())
    assert dark < bright < 0.2
    assert 40 < peak < 90
    (held_out,) = json.loads((tmp_path / "m/config.json").read_text())["extra"]["seen"]["left_out"]
    with Image.open(tmp_path / "photons" / held_out) as photograph:
        mean = np.asarray(photograph).mean() / 4095
    added = float(re.search(r"whose noise adds ([\d.e-]+)", out)[1])
    assert added == pytest.approx(mean / 60, rel=0.25), "of all its pixels, not of most"


def test_a_small_one_among_photographs_of_other_sizes_is_trained_on_too(photographs, tmp_path, done):
    shutil.copytree(photographs, tmp_path / "mixed")
    Image.new("RGB", (90, 20), (9, 99, 9)).save(tmp_path / "mixed" / "strip.png")
    _, err = done("fit", tmp_path / "mixed", "-o", tmp_path / "m", "--corruption", "gaussian:0.1", *QUICK)
    assert "a denoiser of photographs of any size" in err
    assert re.search(r"^Residual\(.*\), \d+ epochs? of [\d,]+ crops of 8×8$", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--noisy", "--corruption", "gaussian:0.1"), "give one of them"),
        (("--noisy", "--patches", "16x16"), "from whole photographs without --patches"),
        (("--noisy", "--network", "conv"), "from whole photographs without --network"),
    ],
)
def test_what_noisy_photographs_are_not_learned_with(arguments, words, photographs, tmp_path, refused):
    assert words in refused("fit", photographs, "-o", tmp_path / "m", *arguments)


def test_shot_noise(photographs, tmp_path, done):
    _, err = done("fit", photographs, "-o", tmp_path / "m", "--corruption", "poisson:20..100", *QUICK)
    assert "poisson(20..100), not clipped" in err
    done("denoise", tmp_path / "m", photographs, "-o", tmp_path / "tried", "--corruption", "poisson:30")
    before, after = (row["mse"] for row in json.loads((tmp_path / "tried" / "isthmus.json").read_text())["errors"])
    assert after < before
    _, err = done("denoise", tmp_path / "m", photographs, "-o", tmp_path / "clean")
    assert "noise estimated" in err


@pytest.mark.parametrize(
    ("noise", "sigmas", "words"),
    [
        (GaussianNoise(0.04), [0.039, 0.037, 0.042], None),
        (GaussianNoise(0.04), [0.03], ("1 image with less", "sigma 0.04\n")),
        (GaussianNoise((0.01, 0.04)), [0.05, 0.02, 0.06], ("2 images with more", "sigma 0.01 to 0.04\n")),
    ],
)  # fmt: skip
def test_other_noise_than_was_trained_on_is_told_within_what_an_estimate_is_worth(noise, sigmas, words, capsys):
    opened = SimpleNamespace(model=SimpleNamespace(noise=noise), folder="den")
    _note_the_level(opened, sigmas, [0.0] * len(sigmas))
    err = capsys.readouterr().err
    assert err.count("by the estimate") == (words is not None)
    assert words is None or " noise, by the estimate, than den was trained on: ".join(words) in err


@pytest.mark.parametrize(
    ("sigma", "words"),
    [
        (0.04, ""),
        (0.011, ""),
        (0.1, "--sigma 0.1: den was trained on sigma 0.01 to 0.04, and knows no other noise\n"),
        (0.001, "--sigma 0.001: den was trained on sigma 0.01 to 0.04, and knows no other noise\n"),
    ],
)
def test_a_level_that_is_said_and_that_the_model_does_not_know_is_said_to_be(sigma, words, capsys):
    model = Denoiser(Residual(4, 4), noise=GaussianNoise((0.01, 0.04)))
    _at_level(Opened(model, Path("den"), None, None, Framing(), ""), sigma, None)
    assert capsys.readouterr().err == words


@pytest.mark.parametrize(
    ("value_range", "words"),
    [(None, "40 of 0 to 255 is 0.157"), ((0.0, 4095.0), "40 of the numbers of --range 0:4095 is 0.00977")],
)
def test_a_level_in_counts_is_refused_with_the_share_that_it_is(value_range, words):
    opened = Opened(Denoiser(Residual(4, 4)), Path("den"), None, None, Framing(value_range=value_range), "")
    with pytest.raises(RequestError, match=f"share of black to white, got 40; {words}$"):
        _at_level(opened, 40.0, None)


def test_noise_in_counts_is_said_before_a_long_fit_and_its_own_noise_is_no_other_unit(tmp_path, done):
    x = np.random.default_rng(0).integers(0, 4096, (4, 64, 64)).astype(np.uint16)
    np.save(tmp_path / "x.npy", x)
    words = ("--range", "0:4095", "--corruption", "gaussian:40", *QUICK)
    _, err = done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *words)
    assert "40 of the numbers of --range 0:4095 is gaussian:0.00977" in err.splitlines()[0]
    assert "in the same numbers" not in err


def test_a_crop_that_no_photograph_has_is_refused(tmp_path, photographs, capsys):
    sides = [min(read_image(path).pixels.shape[1:]) for path in photographs.iterdir() if path.is_file()]
    wanted = [
        "fit",
        photographs,
        "-o",
        tmp_path / "m",
        "--corruption",
        "gaussian:0.1",
        "--training-crop",
        max(sides) + 1,
    ]
    assert cli.run_command([*map(str, wanted)]) == 2
    assert f"at least 8 and at most {max(sides)}, the shorter side of the images, got" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.fixture(scope="module")
def correlated_photographs(tmp_path_factory):
    """Real photographs with noise of 0.06 blurred by a pixel, as a camera's is by demosaicing; and white noise."""
    from scipy.ndimage import gaussian_filter

    folders, stream = tmp_path_factory.mktemp("correlated"), np.random.default_rng(0)
    for i, image in enumerate(load_sample_images().images):
        for kind, width in (("correlated", 1.0), ("white", 0.0)):
            noise = gaussian_filter(stream.normal(size=image.shape), (width, width, 0))
            y = image / 255 + 0.06 * noise / noise.std()
            (folders / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels_of(y.clip(0, 1), np.dtype(np.uint8))).save(folders / kind / f"{i}.png")
    return folders


@pytest.mark.parametrize(("kind", "is_said"), [("correlated", True), ("white", False)])
def test_noise_that_is_correlated_is_said_with_the_way_out(
    fitted, correlated_photographs, done, tmp_path, kind, is_said
):
    noisy = correlated_photographs / kind
    _, err = done("denoise", fitted[0], noisy, "-o", tmp_path / "out")
    words = "2 images with noise that seems correlated between neighbouring pixels"
    assert (words in err) is is_said
    way_out = r"estimated too low, and stays: say --sigma 0\.0[56]\d* or more, or make"
    assert (re.search(way_out, err) is not None) is is_said
    _, err = done("denoise", fitted[0], noisy, "-o", tmp_path / "told", "--sigma", 0.06)
    assert "seems correlated" not in err
    _, err = done("fit", noisy, "-o", tmp_path / "m", *NOISY)
    assert (f"{words}, as a camera's is after" in err) is is_said
    assert ("make the photographs half their size first, or take each scene twice" in err) is is_said


def test_the_noise_of_a_camera_that_the_pages_show_is_trained(photographs, done, tmp_path):
    """Photons and what reading them out adds: the words of README and docs, and what they say is the same in Python."""
    root = Path(__file__).parents[2]
    words, same = "poisson:20..200+gaussian:0.02", "Sequence([Poisson((20, 200)), GaussianNoise(0.02)])"
    for page in ("README.md", "docs/howto/denoise.md"):
        assert f"{words}`" in (root / page).read_text("utf-8")
        assert same in (root / page).read_text("utf-8")
    assert f"--corruption {words}`" in (root / "docs/tutorials/engineer.md").read_text("utf-8")
    _, err = done("fit", photographs, "-o", tmp_path / "m", "--corruption", words, *QUICK)
    assert "a denoiser of photographs of any size: " in err
    model = isthmus.load(tmp_path / "m")
    assert model.noise == eval(same, {"Sequence": Sequence, "Poisson": Poisson, "GaussianNoise": GaussianNoise})
    assert model.noise.shot_and_read == (True, 0.02)
    out, _ = done(
        "denoise", tmp_path / "m", photographs, "-o", tmp_path / "out", "--corruption", "poisson:50+gaussian:0.02"
    )
    assert "denoised" in out


def test_frames_of_an_animation_are_denoised_one_by_one(fitted, tmp_path, done):
    """Each is an image of its own, and goes back into its file."""
    stream = np.random.default_rng(0)
    frames = [stream.normal(50 + 60 * i, 20, (60, 70)).clip(0, 255).astype(np.uint8) for i in range(3)]
    first, *rest = map(Image.fromarray, frames)
    (tmp_path / "noisy").mkdir()
    first.save(tmp_path / "noisy" / "moves.gif", save_all=True, append_images=rest, duration=100)
    _, err = done("denoise", fitted[0], tmp_path / "noisy", "-o", tmp_path / "out")
    assert "written: 3 images" in err
    with Image.open(tmp_path / "out" / "moves.gif") as written:
        assert written.n_frames == 3
        for i, frame in enumerate(frames):
            written.seek(i)
            x_hat = np.asarray(written.convert("L")).astype(float)
            assert x_hat.shape == frame.shape
            assert x_hat.std() < 0.75 * frame.std()
            assert abs(x_hat.mean() - frame.mean()) < 6


def test_a_tiff_with_pixels_that_are_nan_is_refused_by_name_and_left_out_where_that_is_asked(
    fitted, tmp_path, done, capsys
):
    folder = tmp_path / "noisy"
    folder.mkdir()
    values = np.random.default_rng(0).random((3, 50, 60), np.float32)
    tifffile.imwrite(folder / "good.tif", values, photometric="rgb", planarconfig="separate")
    values[1, 5, 6] = np.nan
    tifffile.imwrite(folder / "torn.tif", values, photometric="rgb", planarconfig="separate")
    assert cli.run_command(["denoise", str(fitted[0]), str(folder), "-o", str(tmp_path / "out")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "NaN" in line]
    assert "torn.tif has 1 of 9,000 pixels that are NaN" in line
    assert "--skip-bad" in line
    assert not (tmp_path / "out").exists()
    _, err = done("denoise", fitted[0], folder, "-o", tmp_path / "out", "--skip-bad")
    assert "written: 1 of 2 images" in err
    assert np.isfinite(tifffile.imread(tmp_path / "out" / "good.tif")).all()
    assert not (tmp_path / "out" / "torn.tif").exists()
