"""What people bring: stacks and animations, numbers of other ranges, colour for a grey model, small files, masks."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn.datasets import load_sample_images

import isthmus
from isthmus.data.collections.collection import open_images
from isthmus.data.formats.image_file import read_pages

FLOWER, CHINA = (image[100:180, 200:300] for image in load_sample_images().images[::-1])
FIT = ("--epochs", 1, "--threads", 1, "--patches-per-image", 40, "--bottleneck", 16)


def twelve_bits(seed, n=4):
    """A stack (n, 40, 50) uint16 of which twelve bits are in use."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :50]
    waves = [2000 + 1500 * np.sin(x / (4 + i)) + 500 * np.cos(y / 5) + rng.normal(0, 30, (40, 50)) for i in range(n)]
    stack = np.stack(waves).clip(0, 4095).astype(np.uint16)
    stack[0, 0, :2] = 0, 4095
    return stack


@pytest.fixture(scope="session")
def stacks(tmp_path_factory):
    """Two TIFF stacks of four pages each."""
    folder = tmp_path_factory.mktemp("stacks")
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", twelve_bits(ord(name)), photometric="minisblack", resolution=(5, 5))
    return folder


@pytest.fixture(scope="session")
def ranged(stacks, tmp_path_factory):
    """A denoiser of the stacks that knows their range."""
    from isthmus.cli import run_command

    target = tmp_path_factory.mktemp("models") / "ranged"
    arguments = [stacks, "-o", target, "--patches", 8, "--range", "auto", "--corruption", "gaussian:0.1", *FIT]
    assert run_command(["fit", *map(str, arguments)]) == 0
    return target


def test_every_page_is_treated_and_written_in_its_file_and_range(ranged, stacks, tmp_path, done):
    _, err = done("denoise", ranged, stacks, "-o", tmp_path / "out")
    assert "prepared as for the training: --patches 8x8 --range 0:4095" in err
    assert "written: 8 images" in err
    for name in ("a.tif", "b.tif"):
        before, after = tifffile.imread(stacks / name), tifffile.imread(tmp_path / "out" / name)
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        assert after.max() <= 4095
        for page, made in zip(before, after, strict=True):
            assert 0.3 < np.corrcoef(page.ravel(), made.ravel())[0, 1] < 0.99999
        with tifffile.TiffFile(tmp_path / "out" / name) as file:
            assert file.pages[3].tags.valueof(282) == (5, 1)


def test_pages_have_names(ranged, stacks, tmp_path, done):
    names = [f"{name}.tif#{page}" for name in "ab" for page in range(1, 5)]
    done("score", ranged, stacks, "-o", tmp_path / "scores")
    rows = (tmp_path / "scores/scores.csv").read_text("utf-8").splitlines()[1:]
    assert sorted(row.split(",")[1] for row in rows) == names
    assert sorted(path.name for path in (tmp_path / "scores/maps").iterdir()) == [f"{name}.png" for name in names]
    done("encode", ranged, stacks, "-o", tmp_path / "codes.csv")
    codes = (tmp_path / "codes.csv").read_text("utf-8").splitlines()[1:]
    assert sorted({row.split(",")[0] for row in codes}) == names
    out, _ = done("evaluate", ranged, stacks, "--json")
    assert json.loads(out)["n"] == len(names)


def test_a_stack_becomes_one_file_or_an_array(ranged, stacks, tmp_path, done):
    done("denoise", ranged, stacks / "a.tif", "-o", tmp_path / "one.tif")
    done("denoise", ranged, stacks / "a.tif", "-o", tmp_path / "one.npy")
    pages, array = tifffile.imread(tmp_path / "one.tif"), np.load(tmp_path / "one.npy")
    assert array.shape == (4, 1, 40, 50)
    np.testing.assert_allclose(array[:, 0], pages, atol=0.51)


@pytest.mark.parametrize(("kind", "options"), [("webp", {"lossless": True}), ("gif", {}), ("png", {})])
def test_every_frame_is_treated(denoiser, kind, options, tmp_path, done):
    frames = [Image.fromarray(FLOWER[:40, 5 * i : 5 * i + 50]) for i in range(3)]
    frames = [frame.convert("L") for frame in frames] if kind == "gif" else frames
    path = tmp_path / f"film.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=70, **options)
    for command in ("denoise", "reconstruct"):
        done(command, denoiser, path, "-o", tmp_path / f"{command}.{kind}")
        made, before = read_pages(tmp_path / f"{command}.{kind}"), read_pages(path)
        assert len(made) == 3
        for one, other in zip(before, made, strict=True):
            assert np.corrcoef(one.pixels.ravel(), other.pixels.ravel())[0, 1] > 0.3


# --- ranges ---


def test_data_info_says_what_numbers_there_are(stacks, tmp_path, done):
    out, _ = done("data", "info", stacks)
    values = np.stack([tifffile.imread(stacks / f"{name}.tif") for name in "ab"])
    low, middle, high = (f"{np.percentile(values, q, method='inverted_cdf'):,.6g}" for q in (1, 50, 99))
    assert f"16 bits: 8, from 0 to 4,095 (1 %: {low}, 50 %: {middle}, 99 %: {high}), 12 of 16 bits in use" in out
    assert "--range 0:4095 says what is white" in out
    assert "says what is white" not in done("data", "info", stacks, "--range", "0:4095")[0]
    tifffile.imwrite(tmp_path / "f.tif", np.linspace(-1, 3, 99, dtype=np.float32).reshape(9, 11))
    out, _ = done("data", "info", tmp_path / "f.tif")
    assert "32-bit floats: 1, from -1 to 3" in out
    assert "--range=-1:3" in out
    np.save(tmp_path / "x.npy", (values.reshape(-1, 40, 50) << 4))
    out, _ = done("data", "info", tmp_path / "x.npy")
    assert "12 of 16 bits in use" in out


def test_dark_images_are_said_to_be_dark(stacks, tmp_path, done):
    for command in (("fit", stacks, "-o", tmp_path / "m", "--patches", 8, *FIT), ("score", tmp_path / "m", stacks)):
        _, err = done(*command)
        assert err.count("the brightest pixel is 0.06") == 1
        assert "of white: --range LOW:HIGH or --range auto says what is white" in err


def test_numbers_beyond_a_range_are_refused_with_the_option_that_helps(tmp_path, done, refused):
    folder = tmp_path / "floats"
    folder.mkdir()
    for i in range(3):
        tifffile.imwrite(folder / f"{i}.tif", (twelve_bits(i, 1)[0] / 1000 - 1).astype(np.float32))
    line = refused("fit", folder, "-o", tmp_path / "m", "--patches", 8, *FIT)
    assert f"{folder}/0.tif has float pixels from -1 to 3.09" in line
    option = line.split("say it with ")[1].split(",")[0]
    assert option.startswith("--range=-1:3.09")
    done("fit", folder, "-o", tmp_path / "m", "--patches", 8, *FIT, option)
    done("reconstruct", tmp_path / "m", folder, "-o", tmp_path / "out")
    made = tifffile.imread(tmp_path / "out/0.tif")
    assert made.dtype == np.float32
    assert np.corrcoef(made.ravel(), tifffile.imread(folder / "0.tif").ravel())[0, 1] > 0.3
    assert made.min() < 0.5
    assert 2 < made.max() <= 3.1
    values = tifffile.imread(folder / "1.tif")
    values[3, 4] = np.nan
    tifffile.imwrite(folder / "1.tif", values)
    line = refused("reconstruct", tmp_path / "m", folder, "-o", tmp_path / "again")
    assert f"{folder}/1.tif has 1 of 2,000 pixels that are NaN" in line
    for text in ("1:0", "x", "0:inf", "3"):
        assert "must be auto, or black and white like 0:4095" in refused("fit", folder, "-o", "m", "--range", text)


def test_the_range_of_an_array(tmp_path, done, refused):
    x = np.random.default_rng(0).integers(-500, 3000, (40, 8, 8)).astype(np.int16)
    np.save(tmp_path / "x.npy", x)
    assert "--range LOW:HIGH" in refused("fit", tmp_path / "x.npy", "-o", tmp_path / "m")
    _, err = done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--range", "auto", "--epochs", 1, "--threads", 1)
    assert f"--range auto is --range={x.min()}:{x.max()}" in err
    done("reconstruct", tmp_path / "m", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    y = np.load(tmp_path / "y.npy")
    assert -500 <= y.min() < y.max() <= 3000
    assert y.max() > 500


# --- grey, small, masks, damage ---


def test_colour_goes_to_a_grey_model_when_it_is_asked_for(tmp_path, done, refused):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, pixels in (("china", CHINA), ("flower", FLOWER)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    done("fit", folder, "-o", tmp_path / "grey", "--patches", 8, "--grey", *FIT)
    _, err = done("reconstruct", tmp_path / "grey", folder, "-o", tmp_path / "out")
    assert "--patches 8x8 --grey" in err
    with Image.open(tmp_path / "out/china.png") as image:
        assert (image.mode, image.size) == ("L", (100, 80))
    for path in folder.iterdir():
        Image.open(path).convert("L").save(path)
    done("fit", folder, "-o", tmp_path / "of-grey", "--patches", 8, *FIT)
    Image.fromarray(CHINA).save(folder / "china.png")
    assert "add --grey" in refused("reconstruct", tmp_path / "of-grey", folder / "china.png", "-o", tmp_path / "x.png")
    done("reconstruct", tmp_path / "of-grey", folder / "china.png", "-o", tmp_path / "x.png", "--grey")


def test_one_small_file_does_not_stop_a_folder(denoiser, photographs, copy_of, tmp_path, done, refused):
    folder = copy_of(photographs, tmp_path / "photographs")
    Image.fromarray(FLOWER[:10, :15]).save(folder / "small.png")
    line = refused("fit", folder, "-o", tmp_path / "m", "--patches", 16, *FIT)
    assert "small.png has 10×15 pixels, fewer than --patches 16x16" in line
    assert "--skip-bad leaves it out" in line
    _, err = done("fit", folder, "-o", tmp_path / "m", "--patches", 16, "--skip-bad", *FIT)
    assert "1 file too small to be cut and left out: small.png" in err
    assert f"next: isthmus evaluate {tmp_path / 'm'} {folder} --skip-bad" in err
    line = refused("denoise", tmp_path / "m", folder, "-o", tmp_path / "out")
    assert "--skip-bad leaves it out" in line
    _, err = done("denoise", tmp_path / "m", folder, "-o", tmp_path / "out", "--skip-bad")
    assert "1 file too small to be cut and left out: small.png" in err
    assert "written: 3 of 4 images" in err
    assert "; 1 left out: small.png" in err


@pytest.fixture
def mvtec(tmp_path):
    """A folder in MVTec's layout: 6 good parts to train on, 2 good and 2 bad ones to test, and two masks."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "screw"
    for place, n in (("train/good", 6), ("test/good", 2), ("test/scratch", 2), ("ground_truth/scratch", 2)):
        (folder / place).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / place / f"{i:03}.png")
    return folder


def test_masks_are_not_trained_on(mvtec, tmp_path, done):
    _, err = done("fit", mvtec, "-o", tmp_path / "m", "--epochs", 1, "--threads", 1)
    assert f"{mvtec} is in MVTec's layout: train/ is read, and the masks in ground_truth/ are left out" in err
    assert json.loads((tmp_path / "m/config.json").read_text())["extra"]["seen"]["n"] == 6
    out, err = done("score", tmp_path / "m", mvtec, "--normal", "good")
    assert "test/ is read" in err
    assert "2 images of class good against 2 others" in out
    out, _ = done("data", "info", mvtec)
    train, test = out.split("test/, which the others read")
    assert "train/, which `fit` reads (the masks in ground_truth/ are left out)" in train
    assert "6 images" in train
    assert "4 images" in test
    assert "so give one of them" not in out


def test_data_info_and_fit_agree_on_what_is_damaged(photographs, copy_of, tmp_path, done):
    folder = copy_of(photographs, tmp_path / "photographs")
    content = (folder / "flower.png").read_bytes()
    at = content.index(b"IDAT") + 20  # a header says nothing of it
    (folder / "flower.png").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    (folder / "cut.jpg").write_bytes((folder / "china.jpg").read_bytes()[:-2000])
    out, _ = done("data", "info", folder)
    assert "2 that cannot be read, to be left out with --skip-bad:" in out
    assert "flower.png is a damaged image" in out
    _, err = done("fit", folder, "-o", tmp_path / "m", "--patches", 8, "--skip-bad", *FIT)
    left_out = "2 unreadable files left out: cut.jpg, flower.png"
    assert left_out in err
    out, _ = done("data", "info", folder, "--skip-bad")
    assert left_out in out
    assert "2 files, images of 2 sizes:" in out


def test_data_info_and_fit_agree_on_what_is_too_small(photographs, copy_of, tmp_path, done, refused):
    folder = copy_of(photographs, tmp_path / "photographs")
    Image.fromarray(FLOWER[:10, :15]).save(folder / "small.png")
    line = refused("fit", folder, "-o", tmp_path / "m", "--patches", 16, *FIT)
    fault = line.removeprefix("isthmus: ").removesuffix(" (--skip-bad leaves it out)")
    assert "small.png has 10×15 pixels" in fault
    out, _ = done("data", "info", folder, "--patches", 16)
    assert f"1 too small, to be left out with --skip-bad:\n  {fault}" in out
    assert "too small" not in done("data", "info", folder, "--patches", 8)[0]
    _, err = done("fit", folder, "-o", tmp_path / "m", "--patches", 16, "--skip-bad", *FIT)
    left_out = "1 file too small to be cut and left out: small.png"
    assert left_out in err
    out, _ = done("data", "info", folder, "--patches", 16, "--skip-bad")
    assert left_out in out
    n = len(isthmus.open_images(folder / "china.jpg", patches=(16, 16)))
    n += len(isthmus.open_images(folder / "flower.png", patches=(16, 16)))
    n += len(isthmus.open_images(folder / "deep/grey.tif", patches=(16, 16)))
    assert f"with --patches 16x16: {n:,} patches of 16×16" in out


def test_errors_against_noisy_images_are_said_to_be(tmp_path, done):
    rng = np.random.default_rng(0)
    for name, sigma in (("clean", 0), ("noisy", 25)):
        (tmp_path / name).mkdir()
        for i, pixels in enumerate((CHINA, FLOWER)):
            noisy = (pixels + rng.normal(0, sigma, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / name / f"{i}.png")
    noise = ("--corruption", "gaussian:0.1", *FIT)
    _, err = done("fit", tmp_path / "noisy", "-o", tmp_path / "m", "--patches", 16, *noise)
    said = "errors are measured against them as they are, so that clean ones would have an MSE of about 0.0"
    assert "look noisy themselves (sigma about 0." in err
    assert said in err
    assert said in done("evaluate", tmp_path / "m", tmp_path / "noisy")[1]
    assert said not in done("evaluate", tmp_path / "m", tmp_path / "clean")[1]
    assert said not in done("fit", tmp_path / "clean", "-o", tmp_path / "n", "--patches", 16, *noise)[1]


def test_very_many_patches_are_said_with_the_way_to_fewer(photographs, tmp_path, done, monkeypatch):
    monkeypatch.setattr("isthmus.commands.fit._MANY", 100)
    fit = ("fit", photographs, "-o", tmp_path / "m", "--patches", 8, "--epochs", 1, "--threads", 1, "--force")
    assert "--patches-per-image N takes N random ones of each image" in done(*fit)[1]
    assert "takes N random" not in done(*fit, "--patches-per-image", 20)[1]


def test_images_of_several_sizes_are_told_the_size_of_the_model(model, tmp_path, refused):
    (folder := tmp_path / "several").mkdir()
    for side in (9, 12):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / f"{side}.png")
    for command in (("encode", "-o", tmp_path / "codes.csv"), ("evaluate",)):
        line = refused(command[0], model, folder, *command[1:])
        ways = "choose --resize 8x8 (anti-aliased), --crop 8x8 (the centre) or --patches 8x8 (overlapping pieces)"
        assert line.endswith(f"images of 2 sizes: 9×9 (1), 12×12 (1); {ways}")


@pytest.mark.parametrize("options", [(), ("--grey",), ("--range", "0:65535"), ("--patches", "8x8")], ids=str)
def test_data_info_says_of_mixed_images_what_a_fit_says(photographs, options, done):
    out, _ = done("data", "info", photographs, *options)
    prepared = {"--grey": {"grey": True}, "--range": {"value_range": (0, 65535)}}.get("".join(options[:1]), {})
    notes = open_images(photographs, resize=(8, 8), **prepared).notes
    for sentence in ("grey and colour images together: all became RGB", "8 and 16 bits together: all became floats"):
        assert (sentence in out.splitlines()) == (sentence in notes)
    assert ("grey and colour images together: all became RGB" in notes) == ("--grey" not in options)
    assert ("8 and 16 bits together: all became floats" in notes) == ("--range" not in options)


def test_the_progress_of_a_fit_names_the_model_that_is_measured_and_moves_within_one_photograph(
    tmp_path, done, monkeypatch
):
    monkeypatch.setattr("isthmus.console._SILENCE", -1)
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", 10)
    Image.fromarray(CHINA).save(tmp_path / "one.png")
    _, err = done("fit", tmp_path / "one.png", "-o", tmp_path / "m", "--patches", "8x8", *FIT)
    heard: dict = {}
    for line in err.splitlines():
        if line.startswith("measuring "):
            name, _, count = line.removeprefix("measuring ").rpartition(": ")
            heard.setdefault(name, []).append(
                [int(number.replace(",", "")) for number in count.removesuffix(" rows").split(" of ")]
            )
    assert list(heard) == ["m, 16 numbers", "PCA, 16 numbers", "the mean image", "m, validation"]
    for steps in heard.values():
        rows = [row for row, _ in steps]
        assert rows == sorted(set(rows))
        assert len(rows) > 1
        assert rows[-1] == steps[-1][1]
