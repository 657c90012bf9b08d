"""What a microscopist brings: dim images, 12 bits in arrays, counts, dead pixels, files of several depths and sizes."""

import json
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from isthmus import Autoencoder, Denoiser, Dense, GaussianNoise, Images, Residual, open_images, persistence
from isthmus.cli import run_command
from isthmus.commands.shared import previews
from isthmus.errors import DataError

FIT = ("--epochs", 1, "--threads", 1, "--bottleneck", 4)


@pytest.fixture(scope="module")
def counts():
    """40 images of 12 bits, uint16, mostly dark: a background of 100 and a spot of up to 1,500."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    places = rng.uniform(3, 13, (40, 2, 1, 1))
    spots = np.exp(-((y - places[:, 0]) ** 2 + (x - places[:, 1]) ** 2) / 6)
    return rng.poisson(100 + 1500 * spots).astype(np.uint16)


@pytest.fixture(scope="module")
def dim(counts, tmp_path_factory):
    """The folder of a model of these counts without a range, and their file."""
    folder = tmp_path_factory.mktemp("dim")
    np.save(folder / "x.npy", counts)
    assert run_command(["fit", str(folder / "x.npy"), "-o", str(folder / "m"), *map(str, FIT)]) == 0
    return folder


def agrees(text, value):
    return float(text) == pytest.approx(value, rel=0.005) and float(text) != 0


def test_errors_of_dim_images_keep_their_digits(dim, tmp_path, done):
    out, _ = done("evaluate", dim / "m", dim / "x.npy")
    rows = {row["metric"]: row for row in json.loads(done("evaluate", dim / "m", dim / "x.npy", "--json")[0])["rows"]}
    mse = rows["mse"]
    assert mse["value"] < 1e-5, "or they are not dim"
    shown = re.search(r"^mse +(\S+) \((\S+) to (\S+)\)", out, re.MULTILINE).groups()
    assert all(map(agrees, shown, [mse["value"], *mse["ci95"]]))
    np.save(tmp_path / "dimmer.npy", np.load(dim / "x.npy") // 16)
    out, _ = done("score", dim / "m", tmp_path / "dimmer.npy")
    scores = json.loads(done("score", dim / "m", tmp_path / "dimmer.npy", "--json")[0])["images"]
    assert scores[0]["largest_error"] < 0.01, "or three decimals are enough"
    shown = out.splitlines()[1].split()[2:5]
    assert all(map(agrees, shown, [scores[0][name] for name in ("mse", "spot", "largest_error")]))
    out, err = done("fit", dim / "x.npy", "-o", tmp_path / "m", *FIT)
    assert re.search(r"loss [1-9]\.\d\de-0\d, validation [1-9]\.\d\de-0\d", err)
    assert re.search(r"the mean image +[1-9]\.\d\de-0\d  \S+ to [1-9]\.\d\de-0\d", out)
    assert "0.000000" not in out + err


def test_another_range_than_that_of_the_training_is_said(dim, tmp_path, done):
    words = "was trained with {}: with another its errors and its images are in other units"
    for given in ("0:4095", "auto"):
        assert words.format("no --range") in done("evaluate", dim / "m", dim / "x.npy", "--range", given)[1]
    done("fit", dim / "x.npy", "-o", tmp_path / "m", "--range", "0:4095", *FIT)
    assert words.format("--range 0:4095") in done("score", tmp_path / "m", dim / "x.npy", "--range", "0:2000")[1]
    for same in ((), ("--range", "0:4095")):
        assert "was trained with" not in done("evaluate", tmp_path / "m", dim / "x.npy", *same)[1]


def test_dark_arrays_are_said_to_be_dark(dim, tmp_path, counts, done):
    for command in (
        ("data", "info", dim / "x.npy"),
        ("reconstruct", dim / "m", dim / "x.npy", "-o", tmp_path / "y.npy"),
    ):
        assert f"the brightest pixel is {counts.max() / 65535:.3g} of white: --range 0:2047 or" in "".join(
            done(*command)
        )
    assert not open_images(counts, value_range=(0, 4095)).notes
    assert not open_images((counts * 16).astype(np.uint16)).notes


def test_numbers_that_a_range_cuts_off_are_said(dim, counts, tmp_path, done):
    path = dim / "x.npy"
    assert (
        "40 images: values outside --range became black or white, more than a tenth of all"
        in done("data", "info", path, "--range", "200:400")[0]
    )
    _, err = done("fit", path, "-o", tmp_path / "m", "--range", "0:1200", *FIT)
    assert "40 images: values outside --range became black or white" in err
    one = np.minimum(counts, 1200)
    one[3, 2, 2] = 1300
    np.save(tmp_path / "one.npy", one)
    assert (
        "1 image: values outside --range became black or white\n"
        in done("data", "info", tmp_path / "one.npy", "--range", "0:1200")[0]
    )
    np.save(tmp_path / "negative.npy", counts.astype(np.float32) - 500)
    _, err = done("reconstruct", tmp_path / "m", tmp_path / "negative.npy", "-o", tmp_path / "y.npz")
    assert "40 images: values outside --range became black or white, more than a tenth of all" in err
    assert "--range" not in done("fit", path, "-o", tmp_path / "whole", "--range", "0:2000", *FIT)[1]


def test_a_range_may_begin_below_zero(counts, tmp_path, done):
    """It looked like an option."""
    np.save(tmp_path / "signed.npy", counts.astype(np.int16) - 500)
    apart, joined = (
        done("data", "info", tmp_path / "signed.npy", *words)[0]
        for words in (("--range", "-500:3595"), ("--range=-500:3595",))
    )
    assert apart == joined
    assert run_command(["data", "info", str(tmp_path / "signed.npy"), "--range", "--grey"]) == 2


def test_files_of_fewer_bits_than_a_range_are_said(counts, tmp_path, done):
    (tmp_path / "mixed").mkdir()
    for i in range(12):
        tifffile.imwrite(tmp_path / f"mixed/a{i}.tif", counts[i])
        tifffile.imwrite(tmp_path / f"mixed/b{i}.tif", (counts[i] // 8).astype(np.uint8))
    said = "12 files: of too few bits for --range"
    assert said in done("data", "info", tmp_path / "mixed", "--range", "0:4095")[0]
    assert said in done("fit", tmp_path / "mixed", "-o", tmp_path / "m", "--range", "auto", *FIT)[1]
    assert said in done("reconstruct", tmp_path / "m", tmp_path / "mixed", "-o", tmp_path / "made")[1]
    np.save(tmp_path / "eight.npy", (counts // 8).astype(np.uint8))
    _, err = done("evaluate", tmp_path / "m", tmp_path / "eight.npy")
    assert "40 images: of too few bits for --range" in err


def test_numbers_far_below_a_range_are_said(counts, tmp_path, done):
    (tmp_path / "files").mkdir()
    fractions, said = (counts / 4095).astype(np.float32), "no pixel reaches a hundredth of what --range says is white"
    for i in range(12):
        tifffile.imwrite(tmp_path / f"files/{i}.tif", fractions[i])
    np.save(tmp_path / "x.npy", fractions)
    np.save(tmp_path / "right.npy", counts)
    done("fit", tmp_path / "right.npy", "-o", tmp_path / "m", "--range", "0:4095", *FIT)
    for name, n in (("x.npy", "40 images"), ("files", "12 files")):
        path = tmp_path / name
        for command in (
            ("data", "info", path, "--range", "0:4095"),
            ("fit", path, "-o", tmp_path / f"of_{name}", "--range", "0:4095", *FIT),
            ("evaluate", tmp_path / "m", path),
            ("score", tmp_path / "m", path),
        ):
            assert f"{n}: {said}" in "".join(done(*command)), command
    assert not open_images(counts, value_range=(0, 65535)).notes, "though the brightest is 0.025 of white"


def test_a_denoiser_of_other_numbers_is_doubted_once_for_all_images(counts, tmp_path, done):
    settings = {"crop": 8, "crops_per_epoch": 16, "epochs": 1, "random_state": 0}
    model = Denoiser(Residual(4, 4), noise=GaussianNoise(0.05), **settings).fit(list(counts[:, None] / 4095))
    persistence.save(model, tmp_path / "m")
    floats = (counts / 4095**2).astype(np.float32)
    floats[:2] *= 4095
    np.save(tmp_path / "x.npy", floats)
    for command in ("denoise", "reconstruct"):
        _, err = done(command, tmp_path / "m", tmp_path / "x.npy", "-o", tmp_path / f"{command}.npy")
        (line,) = (line for line in err.splitlines() if "other numbers" in line)
        assert line.startswith("38 images in other numbers than those of the training: from dark to bright 8")
        assert line.endswith("of black to white, there 0.37; say what is black and white with --range LOW:HIGH")
        assert "of Y" not in err


def test_images_of_several_sizes_are_refused_before_the_work(counts, tmp_path, done, refused, monkeypatch):
    def through(*_args, **_options):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("isthmus.commands.images.restoration.through", through)
    (tmp_path / "sizes").mkdir()
    np.save(tmp_path / "x.npy", counts)
    done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--patches", 8, "--range", "0:4095", *FIT)
    for i in range(3):
        tifffile.imwrite(tmp_path / f"sizes/{i}.tif", counts[i][:, : 16 - (i == 2)])
    for name in ("y.npy", "y.npz"):
        line = refused("reconstruct", tmp_path / "m", tmp_path / "sizes", "-o", tmp_path / name)
        assert "one size: 0.tif has 16×16 grey, 2.tif 16×15 grey; give a folder with -o" in line
    monkeypatch.undo()
    done("reconstruct", tmp_path / "m", tmp_path / "sizes", "-o", tmp_path / "y.npy", "--crop", 8)
    assert np.load(tmp_path / "y.npy").shape == (3, 1, 8, 8)
    tifffile.imwrite(tmp_path / "sizes/2.tif", counts[2][:4])  # too small for a patch, left out
    done("reconstruct", tmp_path / "m", tmp_path / "sizes", "-o", tmp_path / "z.npy", "--skip-bad")
    assert np.load(tmp_path / "z.npy").shape == (2, 1, 16, 16)


def test_noise_in_counts_is_said_to_be_in_other_units(dim, counts, tmp_path, done):
    options = ("--range=-100:3900", "--corruption", "gaussian:20", *FIT)
    _, err = done("fit", dim / "x.npy", "-o", tmp_path / "m", *options)
    assert "20 of the numbers of --range=-100:3900 is gaussian:0.005" in err
    said = "sigma is a share of black to white"
    assert said in err
    assert said in done("evaluate", tmp_path / "m", dim / "x.npy", "--corruption", "masking:0.1+gaussian:20")[1]
    y = tmp_path / "y.npy"
    assert said in done("denoise", tmp_path / "m", dim / "x.npy", "-o", y, "--corruption", "gaussian:20")[1]
    assert said not in done("evaluate", tmp_path / "m", dim / "x.npy", "--corruption", "gaussian:0.9")[1]


def test_a_dead_pixel_is_named(counts, tmp_path, done, refused):
    x = counts.astype(np.float32)
    x[3, 5, 5] = np.nan
    np.save(tmp_path / "x.npy", x)
    line = refused("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--range", "auto", *FIT)
    assert "NaN in image 3, counted from 0; remove or repair it" in line
    out, _ = done("data", "info", tmp_path / "x.npy")
    assert "refused as it is" in out
    (tmp_path / "dead").mkdir()
    tifffile.imwrite(tmp_path / "dead/0.tif", x[0])
    tifffile.imwrite(tmp_path / "dead/1.tif", np.full_like(x[0], np.nan))
    assert "1.tif has 256 of 256 pixels that are NaN" in refused(
        "fit", tmp_path / "dead", "-o", tmp_path / "m", "--range", "auto", *FIT
    )


def test_what_is_no_image_says_the_way_out(counts, refused, monkeypatch, tmp_path):
    assert "there is no file or folder nosuch.npy" in refused("data", "info", "nosuch.npy")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces.npy").write_bytes(b"")
    assert refused("data", "info", "face.npy").endswith('Did you mean "faces.npy"?')
    assert refused("data", "info", "digit").endswith('Did you mean "digits"?')
    with pytest.raises(DataError, match=r"got 100 to 4000; say what is black and white.*value_range"):
        Images(np.linspace(100, 4000, 64).reshape(1, 1, 8, 8))
    with pytest.raises(DataError, match="save each channel by itself"):
        open_images(np.stack([counts, counts], 1))
    with pytest.raises(DataError, match="open_images"):
        Images(counts[:, None])


@pytest.mark.parametrize(
    ("make", "options", "bits", "words"),
    [
        (lambda x: x, ("--range", "0:4095"), 16, " as PNG of 16 bits, in numbers from 0 to 4095"),
        (lambda x: x, (), 16, " as PNG of 16 bits"),
        (lambda x: (x / 4095).astype(np.float32), (), 16, " as PNG of 16 bits"),
        (lambda x: x / 100 - 4.0, ("--range=-4:40",), 16, " as PNG of 16 bits"),
        (lambda x: (x / 16).clip(0, 255).astype(np.uint8), (), 8, " as PNG of 8 bits"),
    ],
)
def test_an_array_is_written_to_a_folder_with_as_many_bits_as_it_had(
    make, options, bits, words, counts, tmp_path, done
):
    np.save(tmp_path / "x.npy", make(counts))
    done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *FIT, *options)
    _, err = done("reconstruct", tmp_path / "m", tmp_path / "x.npy", "-o", tmp_path / "r")
    assert f"{tmp_path / 'r'}{words}\n" in err
    done("reconstruct", tmp_path / "m", tmp_path / "x.npy", "-o", tmp_path / "r.npy")
    made = np.load(tmp_path / "r.npy")[:, 0].astype(float)
    with Image.open(tmp_path / "r" / "07.png") as picture:
        numbers = np.asarray(picture).astype(float)
    full = 255 if bits == 8 else 65535
    if options == ("--range", "0:4095") or bits == 8:
        np.testing.assert_allclose(numbers, made[7], atol=0.51)
    else:
        low, high = (-4, 40) if options else (0, 1)
        np.testing.assert_allclose(numbers / full, (made[7] - low) / (high - low), atol=0.51 / full)


@pytest.mark.parametrize(("scale", "is_other"), [(1.0, True), (1 / 4095, False)])
def test_a_model_of_other_numbers_says_so_on_the_command_line(scale, is_other, counts, tmp_path, done):
    x = (counts * scale).astype(np.float32)
    Autoencoder(Dense(bottleneck=4), recipe="fast", epochs=2, random_state=0).fit(x).save(tmp_path / "m")
    np.save(tmp_path / "x.npy", counts)
    for command in (("encode", "-o", tmp_path / "c.npz"), ("reconstruct", "-o", tmp_path / "r"), ("score",)):
        _, err = done(command[0], tmp_path / "m", tmp_path / "x.npy", *command[1:], "--range", "0:4095")
        assert ("m was fitted in Python to numbers about 1" in err) == is_other


# --- what is drawn of dim images ---


def inside(path):
    """The grey values of a picture's middle third, where images are and no words."""
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"))
    h, w = grey.shape
    return grey[h // 3 : -h // 3, w // 3 : -w // 3]


def test_pictures_of_dim_images_are_stretched_alike_and_say_by_how_much(dim, counts, tmp_path, done, monkeypatch):
    drawn, draw = [], previews._sheet
    monkeypatch.setattr(previews, "_sheet", lambda *given: (drawn.append(given), draw(*given))[1])
    model, source, white = dim / "m", dim / "x.npy", f"(white: {counts.max() / 65535:.2g})"
    done("fit", source, "-o", tmp_path / "m", *FIT)
    done("reconstruct", model, source, "-o", tmp_path / "r")
    done("denoise", model, source, "-o", tmp_path / "d", "--corruption", "gaussian:0.001")
    done("score", model, source, "-o", tmp_path / "s")
    (fitted, _), (reconstructed, _), (denoised, _), (scored, labels) = drawn
    for rows in (fitted, reconstructed, denoised):
        assert all(name.endswith(f"\n{white}") for name in rows)
        original, made = rows[f"original\n{white}"], list(rows.values())[-1]
        assert 0.9 < original.max() <= 1
        assert original.mean() == pytest.approx(made.mean(), rel=0.2), "by one factor"
    unusual = np.stack(list(scored.values()))
    assert list(labels[:2]) == [f"original\n{white}", "model\n(same)"]
    assert 0.9 < unusual[:, 0].max() <= 1
    assert unusual[:, 0].mean() == pytest.approx(unusual[:, 1].mean(), rel=0.2)
    for path in ("m/preview.png", "r/preview.png", "d/preview.png", "s/most-unusual.png"):
        assert np.ptp(inside(tmp_path / path)) > 150, path


@pytest.mark.parametrize(("brightest", "white"), [(0.0, 1), (0.063, 0.063), (0.49, 0.49), (0.5, 1), (1.0, 1)])
def test_what_is_bright_enough_or_black_is_drawn_as_it_is(brightest, white, tmp_path):
    images = np.linspace(0, brightest, 128, dtype=np.float32).reshape(2, 1, 8, 8)
    assert previews.white_of(images) == pytest.approx(white)
    previews.write_preview(tmp_path / "a.png", {"original": images}, white=previews.white_of(images))
    previews.write_preview(tmp_path / "b.png", {"original": images})
    assert ((tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()) == (white == 1)


def test_the_ground_around_small_dim_images_stays_white(tmp_path, monkeypatch):
    drawn, draw = [], previews._sheet
    monkeypatch.setattr(previews, "_sheet", lambda *given: (drawn.append(given[0]), draw(*given))[1])
    page = previews.stacked([np.full((1, 4, 4), 0.05), np.full((1, 8, 8), 0.1)])
    previews.write_preview(tmp_path / "a.png", {"original": page}, white=0.1)
    assert drawn[0]["original\n(white: 0.1)"][0, 0, 0, 0] == 1
    assert drawn[0]["original\n(white: 0.1)"][0, 0, 4, 4] == pytest.approx(0.5)
