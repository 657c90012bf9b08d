"""`isthmus reconstruct` and `isthmus denoise`: pictures in, pictures out, in the form in which they came."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import isthmus
from isthmus import cli, console
from tests.image_files import read_image


def test_photographs_keep_name_format_size_and_depth(denoiser, photographs, tmp_path, done):
    out, err = done("denoise", denoiser, photographs, "-o", tmp_path / "clean")
    assert out == ""
    assert "written: 3 images" in err
    for name, (form, mode, size) in {
        "china.jpg": ("JPEG", "RGB", (120, 90)),
        "flower.png": ("PNG", "RGB", (80, 80)),
        "deep/grey.tif": ("TIFF", "I;16", (71, 60)),
    }.items():
        with Image.open(tmp_path / "clean" / name) as image:
            assert (image.format, image.mode, image.size) == (form, mode, size)
        before, after = read_image(photographs / name).pixels, read_image(tmp_path / "clean" / name).pixels
        assert 0.5 < np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.99999  # the picture, and not a copy of it
    (row,) = json.loads((tmp_path / "clean" / "isthmus.json").read_text())["errors"]
    assert row["against"] == "the noisy images"


def test_noise_is_added_and_taken_out_again(denoiser, photographs, tmp_path, done):
    out, _ = done("denoise", denoiser, photographs, "-o", tmp_path / "tried", "--corruption", "gaussian:0.2")
    head, noisy, denoised = out.splitlines()
    assert head.startswith("3 images")
    assert noisy.startswith("gaussian(0.2), as it is")
    rows = json.loads((tmp_path / "tried" / "isthmus.json").read_text())["errors"]
    errors = [row["mse"] for row in rows]
    assert all("against" not in row for row in rows)
    assert errors[1] < 0.6 * errors[0]
    assert f"{errors[1]:.6f}" in denoised
    assert (tmp_path / "tried" / "preview.png").is_file()


def test_patches_that_overlap_more_leave_less_noise(denoiser, photographs, tmp_path, done, refused):
    errors = []
    for stride in ("8", "4", "2x2"):
        out = tmp_path / stride
        arguments = ("--corruption", "gaussian:0.1", "--stride", stride)
        _, err = done("denoise", denoiser, photographs / "flower.png", "-o", out, *arguments)
        errors.append(json.loads((out / "isthmus.json").read_text())["errors"][-1]["mse"])
        assert "--patches 8x8" not in err, "the size is the model's, whatever the stride"
    assert errors[0] > errors[1] > errors[2]
    done("denoise", denoiser, photographs / "flower.png", "-o", tmp_path / "half", *arguments[:2])
    assert json.loads((tmp_path / "half" / "isthmus.json").read_text())["errors"][-1]["mse"] == errors[1]
    line = refused("denoise", denoiser, photographs, "-o", tmp_path / "none", "--stride", "9")
    assert "stride must be at most the size of a patch, (8, 8), got (9, 9)" in line


def test_a_stride_of_the_fit_is_that_of_its_photographs(photographs, tmp_path, done, refused):
    fit = ("fit", photographs, "-o", tmp_path / "m", "--patches", "8", "--corruption", "gaussian:0.1", "--epochs", 1)
    _, err = done(*fit, "--stride", "8", "--hidden", 32, "--bottleneck", 8)
    n = int(re.search(r"chosen for ([\d,]+) images", err)[1].replace(",", ""))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["extra"]["preparation"]["stride"] == [8, 8]
    _, err = done("denoise", tmp_path / "m", photographs, "-o", tmp_path / "clean")
    assert "prepared as for the training: --patches 8x8 --stride 8x8" in err
    assert n < 90 * 120 / 64 + 80 * 80 / 64 + 60 * 71 / 64 + 60
    line = refused("fit", photographs, "-o", tmp_path / "n", "--stride", "8", "--corruption", "gaussian:0..0.1")
    assert "from whole photographs without --stride" in line
    line = refused("denoise", tmp_path / "m", photographs, "-o", tmp_path / "o", "--resize", "64", "--stride", "8")
    assert "stride must be given with the size of the patches" in line


def test_the_preview_of_results_is_none_of_them(denoiser, photographs, tmp_path, copy_of, done):
    copy = copy_of(photographs, tmp_path / "copy")
    Image.new("RGB", (90, 80), "grey").save(copy / "preview.png")  # a user's own, which stays one of the images
    for source, n in ((photographs, 3), (copy, 4)):
        results, again = tmp_path / f"results{n}", tmp_path / f"again{n}"
        done("reconstruct", denoiser, source, "-o", results)
        _, err = done("reconstruct", denoiser, results, "-o", again)
        assert f"written: {n} images" in err
        out, _ = done("data", "info", results)
        assert ("left out, as a preview of a model or of results: preview.png" in out) == (n == 3)


@pytest.mark.parametrize("account", ["[]", "{", '{"drawn": 1}', '{"drawn": [1, ["a"]]}'])
def test_an_account_of_something_else_leaves_nothing_out(account, photographs, tmp_path, copy_of, done):
    copy = copy_of(photographs, tmp_path / "copy")
    (copy / "isthmus.json").write_text(account)
    out, _ = done("data", "info", copy)
    assert "3 files" in out


def test_the_noise_of_a_picture_does_not_depend_on_how_it_is_read(denoiser, photographs, tmp_path, done):
    for name in ("a", "b"):
        done("denoise", denoiser, photographs, "-o", tmp_path / name, "--corruption", "masking:0.2")
    assert (tmp_path / "a/flower.png").read_bytes() == (tmp_path / "b/flower.png").read_bytes()


def test_one_picture_to_one_file(denoiser, photographs, tmp_path, done, refused):
    done("denoise", denoiser, photographs / "china.jpg", "-o", tmp_path / "clean.jpg")
    with Image.open(tmp_path / "clean.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (120, 90))
    assert [path.name for path in tmp_path.iterdir()] == ["clean.jpg"]
    line = refused("denoise", denoiser, photographs / "china.jpg", "-o", tmp_path / "clean.png")
    assert "ends in .jpg" in line
    line = refused("denoise", denoiser, photographs / "china.jpg", "-o", tmp_path / "clean.jpg")
    assert "--force" in line
    assert "there are 3" in refused("denoise", denoiser, photographs, "-o", tmp_path / "all.jpg")


def test_small_images_through_a_model_of_their_size(model, digits, tmp_path, done):
    out, _ = done("reconstruct", model, digits, "-o", tmp_path / "again")
    names = sorted(path.relative_to(digits) for path in digits.rglob("*.png"))
    written = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*/*.png"))
    assert written == names
    loaded, images = isthmus.load(model), isthmus.open_images(digits)
    mse = -loaded.score(images)
    assert f"{mse:.4f}"[:5] in out
    x_hat = loaded.reconstruct(images)[0].clip(0, 1)
    again = read_image(tmp_path / "again" / images.names[0]).pixels
    np.testing.assert_allclose(again / 255, x_hat, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_come_back_as_arrays(kind, model, tmp_path, done):
    x = np.random.default_rng(0).integers(0, 256, (7, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    _, err = done("reconstruct", model, tmp_path / "x.npy", "-o", tmp_path / f"y.{kind}")
    assert f"written: 7 images to {tmp_path / f'y.{kind}'}, uint8 (7, 1, 8, 8)\n" in err
    found = np.load(tmp_path / f"y.{kind}", allow_pickle=False)
    y = found if kind == "npy" else found["images"]
    assert (y.shape, y.dtype) == ((7, 1, 8, 8), np.uint8)
    floats = (x / 255).astype(np.float32)
    np.save(tmp_path / "x.npy", floats)
    _, err = done("reconstruct", model, tmp_path / "x.npy", "-o", tmp_path / "z.npy")
    assert "z.npy, float32 (7, 1, 8, 8), 1 is white\n" in err
    z = np.load(tmp_path / "z.npy")
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, y / 255, atol=0.51 / 255)


def test_a_named_data_set_can_become_pictures(model, tmp_path, done):
    done("reconstruct", model, "digits", "-o", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("[0-9]*.png"))) == 360


def test_the_code_is_searched(model, digits, tmp_path, done):
    noise = ["--corruption", "gaussian:0.3"]
    done("denoise", model, digits, "-o", tmp_path / "prior", *noise, "--prior")
    errors = [row["mse"] for row in json.loads((tmp_path / "prior/isthmus.json").read_text())["errors"]]
    assert errors[1] < errors[0]
    _, err = done("denoise", model, digits, "-o", tmp_path / "pass", *noise)
    assert "was not trained on noise" in err
    passed = [row["mse"] for row in json.loads((tmp_path / "pass/isthmus.json").read_text())["errors"]]
    assert passed[0] == errors[0]  # the same noise
    assert errors[1] != passed[1]


def test_a_wide_code_is_not_searched(denoiser, photographs, tmp_path, refused):
    assert "fit one with --bottleneck" in refused("denoise", denoiser, photographs, "-o", tmp_path / "x", "--prior")
    assert not list(tmp_path.iterdir())


def test_resized_images_get_their_size_back(photographs, tmp_path, done):
    done("fit", photographs, "-o", tmp_path / "m", "--resize", "16x12", "--epochs", 2, "--threads", 1)
    _, err = done("reconstruct", tmp_path / "m", photographs, "-o", tmp_path / "out")
    assert "prepared as for the training: --resize 16x12" in err
    with Image.open(tmp_path / "out/china.jpg") as image:
        assert image.size == (120, 90)


# --- what is refused, and what a stop leaves ---


def test_another_size_is_told_with_both_and_the_way_out(model, photographs, tmp_path, refused):
    np.save(tmp_path / "x.npy", np.zeros((2, 20, 30), np.uint8))
    line = refused("reconstruct", model, tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    for words in ("20×30 grey", "8×8 grey", "--resize 8x8", "--crop 8x8", "--patches 8x8"):
        assert words in line
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 30), np.uint8))
    line = refused("reconstruct", model, tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert "--resize 8x8" in line
    assert "--crop" not in line
    assert "channels" in refused("reconstruct", model, photographs / "china.jpg", "-o", tmp_path / "y.jpg")


def test_a_grey_model_of_patches_can_be_made_of_any(model, tmp_path, done):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((2, 20, 30), np.float32))
    done("reconstruct", model, tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--patches", "8x8")
    assert np.load(tmp_path / "y.npy").shape == (2, 1, 20, 30)


def test_a_place_among_the_images_is_refused(denoiser, photographs, refused):
    assert "lies inside" in refused("denoise", denoiser, photographs, "-o", photographs / "clean")
    assert "lies inside" in refused("denoise", denoiser, photographs, "-o", photographs)
    assert "holds the images" in refused("denoise", denoiser, photographs, "-o", photographs.parent, "--force")


def test_results_are_replaced_when_asked_and_other_files_never(denoiser, photographs, tmp_path, done, refused):
    target = tmp_path / "clean"
    done("denoise", denoiser, photographs, "-o", target)
    assert "--force" in refused("denoise", denoiser, photographs, "-o", target)
    done("denoise", denoiser, photographs, "-o", target, "--force")
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"memories")
    assert "never replaced" in refused("denoise", denoiser, photographs, "-o", tmp_path / "holiday", "--force")
    assert (tmp_path / "holiday" / "beach.jpg").read_bytes() == b"memories"


@pytest.mark.parametrize("error", [KeyboardInterrupt, cli._Terminated, OSError(28, "No space left on device")])
def test_a_stop_half_way_leaves_nothing(error, denoiser, photographs, tmp_path, monkeypatch, refused):
    from isthmus.commands.images import restoration

    real, written = restoration.write_like, []

    def stopped(*arguments, **named):
        if len(written) == 2:
            raise error
        written.append(real(*arguments, **named))
        return written[-1]

    monkeypatch.setattr(restoration, "write_like", stopped)
    code = {KeyboardInterrupt: 130, cli._Terminated: 143}.get(error, 1)
    line = refused("denoise", denoiser, photographs, "-o", tmp_path / "clean", code=code)
    assert "nothing was written; run the same command again" in line
    assert not list(tmp_path.iterdir())


def test_a_damaged_picture_is_named_or_left_out(denoiser, photographs, tmp_path, copy_of, done, refused):
    folder = copy_of(photographs, tmp_path / "photographs")
    (folder / "flower.png").write_bytes(b"")
    line = refused("denoise", denoiser, folder, "-o", tmp_path / "clean")
    assert f"{folder / 'flower.png'} is empty" in line
    assert "--skip-bad" in line
    assert not (tmp_path / "clean").exists()
    _, err = done("denoise", denoiser, folder, "-o", tmp_path / "clean", "--skip-bad")
    assert "1 unreadable file left out: flower.png" in err
    assert f"written: 2 of 3 images to {tmp_path / 'clean'}; 1 left out: flower.png" in err
    assert json.loads((tmp_path / "clean/isthmus.json").read_text())["left_out"] == ["flower.png"]


def test_progress_counts_what_is_done_and_not_what_is_left_out(denoiser, photographs, tmp_path, copy_of, monkeypatch):
    """Of damaged files in the middle and at the end."""
    folder, steps = copy_of(photographs, tmp_path / "photographs"), []
    for name in ("flower.png", "zebra.png"):
        (folder / name).write_bytes(b"")

    @contextlib.contextmanager
    def progress(_what):
        yield lambda done, total, words="": steps.append((done, total, words))

    monkeypatch.setattr(console, "progress", progress)
    assert cli.run_command(["score", str(denoiser), str(folder), "--skip-bad"]) == 0
    assert [step[:2] for step in steps if not step[2]] == [(1, 4), (2, 4)]
    assert [step for step in steps if step[2]] == [
        (0, 4, ", and 90 of 90 rows of the next"),
        (1, 4, ", and 60 of 60 rows of the next"),
    ]


def test_names_that_are_not_utf8(model, digits, tmp_path, done):
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.fsdecode(b"f\xfcnf \xe2\x9c\x93.png")
    (folder / name).write_bytes(next((digits / "one").iterdir()).read_bytes())
    done("reconstruct", model, folder, "-o", tmp_path / "out")
    assert (tmp_path / "out" / name).is_file()
    done("encode", model, folder, "-o", tmp_path / "codes.csv")
    assert "f\\xfcnf ✓.png" in (tmp_path / "codes.csv").read_text("utf-8")
    out, _ = done("score", model, folder, "-o", tmp_path / "scores")
    assert "f\\xfcnf" in out
    assert (tmp_path / "scores/maps" / name).is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="no folder is read-only for root")
def test_a_read_only_place(model, digits, tmp_path, refused):
    tmp_path.chmod(0o500)
    try:
        assert "choose another folder with -o" in refused("reconstruct", model, digits, "-o", tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_cannot_be(model, digits, refused):
    assert "cannot write to /proc" in refused("reconstruct", model, digits, "-o", "/proc/none/out")


def test_models_that_are_none(digits, model, tmp_path, copy_of, refused):
    assert "does not exist; `isthmus fit DATA -o MODEL`" in refused("evaluate", tmp_path / "none", digits)
    assert "so it is not a model" in refused("evaluate", digits, digits)
    damaged = copy_of(model, tmp_path / "damaged")
    weights = bytearray((damaged / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(weights)
    assert "sha256" in refused("evaluate", damaged, digits)
    config = json.loads((model / "config.json").read_text())
    del config["sha256"]
    config["extra"]["preparation"] = {"resize": "large"}
    (damaged / "config.json").write_text(json.dumps(config))
    (damaged / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    assert "is not a preparation of images" in refused("evaluate", damaged, digits)


def test_pixels_that_are_nan(model, tmp_path, refused):
    x = np.zeros((3, 8, 8), np.float32)
    x[1, 2, 3] = np.nan
    np.save(tmp_path / "x.npy", x)
    assert "NaN" in refused("reconstruct", model, tmp_path / "x.npy", "-o", tmp_path / "y.npy")


def test_results_are_read_again_without_the_picture_of_them(model, digits, tmp_path, done):
    done("reconstruct", model, digits, "-o", tmp_path / "again")
    assert (tmp_path / "again/preview.png").is_file()
    assert "90 images" in done("evaluate", model, tmp_path / "again")[0]
    done("score", model, digits, "-o", tmp_path / "again/scores")
    assert len(isthmus.open_images(tmp_path / "again")) == 90


def test_a_size_that_takes_the_place_of_the_models_is_said(denoiser, photographs, done):
    said = done("evaluate", denoiser, photographs / "china.jpg", "--crop", "8x8")[1]
    assert "--crop replaces the sizes of the fit: --patches 8x8 is dropped, unless you give it too" in said
    said = done("evaluate", denoiser, photographs / "china.jpg", "--crop", "40x40", "--patches", "8x8")[1]
    assert "in place of" not in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the most memory of a process is Linux's to say")
def test_the_memory_of_a_large_picture_is_bounded(tmp_path):
    rng = np.random.default_rng(0)
    small = rng.random((4, 1, 24, 24), np.float32)
    model = isthmus.Denoiser(isthmus.Residual(8, 2), crop=16, crops_per_epoch=16, epochs=1, random_state=0).fit(small)
    model.save(tmp_path / "denoiser")
    Image.fromarray(rng.integers(0, 256, (4000, 4000), dtype=np.uint8)).save(tmp_path / "large.tif")
    # not ru_maxrss: it counts what the process that started this one had
    program = (
        "import sys; from isthmus.cli import run_command; from isthmus.commands.planning.step_timer import resident; "
        "code = run_command(sys.argv[1:]); print(resident('VmHWM')); sys.exit(code)"
    )
    command = ["denoise", "denoiser", "large.tif", "-o", "out.tif"]
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout.split()[-1]) < 600e6, "480 MB were measured, 1,190 with whole images in float64"
