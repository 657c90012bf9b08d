"""One image, one corruption, one model: the same error in every command, in the studies' measure and on the page."""

from __future__ import annotations

import json
import re
import shutil

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity
from sklearn.datasets import load_sample_images
from sklearn.frozen import FrozenEstimator
from tifffile import imwrite

import isthmus
from isthmus.analysis.patchwork import patchwork
from isthmus.commands.fitting.whole_photographs import Uncut
from isthmus.commands.images.holdout import hold_out
from isthmus.commands.shared.part_syntax import read_words
from isthmus.corruption import noisy_version
from isthmus.data.framing import Framing
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.explore.answers import reconstructions, routes
from isthmus.explore.answers.noise import kinds, part_of
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Entry, Shelf
from isthmus.explore.shelf_loader import shelve
from isthmus.metrics import possible, psnr, squared_error
from isthmus.studies.results.measure import measure, per_image

CORRUPTIONS = ["gaussian:0.2", "gaussian:0.2:clip=false", "poisson:10+gaussian:0.1", "occlusion:3"]
EXACT = {"rel": 1e-5}  # float32: a product of other sizes rounds differently


def part_like(word):
    return read_words("corruption", word, "--corruption")


def errors_of(path):
    """(before, after): the MSE that `denoise` or `reconstruct` wrote beside its images."""
    rows = json.loads((path / "isthmus.json").read_text())["errors"]
    return [row["mse"] for row in rows]


def evaluated(done, *arguments):
    """{metric: row} of one corruption, or of the clean images."""
    table = json.loads(done("evaluate", *arguments, "--json")[0])
    label = part_like(arguments[-1]).label if "--corruption" in arguments else None
    return {row["metric"]: row for row in table["rows"] if row["corruption"] == label}


@pytest.fixture(scope="module")
def shown(model, digits):
    """The page's shelf of the model and its images."""
    loaded, images = isthmus.load(model), isthmus.open_images(digits)
    return Shelf("m", [Entry("m", loaded)], images.shape, images=images)


@pytest.mark.parametrize("word", CORRUPTIONS)
def test_an_image_has_one_error_wherever_it_is_measured(word, model, digits, tmp_path, done):
    loaded, images, part = isthmus.load(model), isthmus.open_images(digits), part_like(word)
    x = images.floats()
    x_in = np.concatenate([noisy_version(row[None], part, images.shape) for row in x])  # each alone
    x_hat = loaded.reconstruct(x_in).reshape(len(x), -1)
    before, after = squared_error(x, x_in), squared_error(x, x_hat)
    assert len(np.unique(after)) == len(x)
    assert x_hat.min() < -0.1  # so that it would be seen if something were clipped before it is measured

    np.testing.assert_allclose(measure(loaded, images, ("mse",), corruption=part).errors, after, rtol=1e-5)
    np.testing.assert_allclose(per_image(loaded, images, "mse", (80, 3), part), after[[80, 3]], rtol=1e-5)
    assert evaluated(done, model, digits, "--corruption", word)["mse"]["value"] == pytest.approx(after.mean(), **EXACT)
    done("denoise", model, digits, "-o", tmp_path / "all", "--corruption", word)
    assert errors_of(tmp_path / "all") == pytest.approx([before.mean(), after.mean()], **EXACT)
    # one image, in a folder of its own, where it has another place
    (tmp_path / "few").mkdir()
    few = [41, 7]
    for i in few:
        shutil.copy(digits / images.names[i], tmp_path / "few" / f"{i}.png")
    found = evaluated(done, model, tmp_path / "few", "--corruption", word)
    assert found["mse"]["value"] == pytest.approx(after[few].mean(), **EXACT)
    assert found["psnr"]["value"] == pytest.approx(psnr(after)[few].mean(), **EXACT)
    done("denoise", model, tmp_path / "few", "-o", tmp_path / "two", "--corruption", word)
    assert errors_of(tmp_path / "two") == pytest.approx([before[few].mean(), after[few].mean()], **EXACT)
    # and in the second chunk of an array
    pixels = np.concatenate([np.zeros((600, 8, 8), np.uint8), images.pixels[few, 0]])
    np.save(tmp_path / "many.npy", pixels)
    many = measure(loaded, isthmus.open_images(tmp_path / "many.npy"), ("mse",), corruption=part).errors
    np.testing.assert_allclose(many[600:], after[few], rtol=1e-5)
    found = evaluated(done, model, tmp_path / "many.npy", "--corruption", word)
    assert found["mse"]["value"] == pytest.approx(many.mean(), **EXACT)
    done("denoise", model, tmp_path / "many.npy", "-o", tmp_path / "many.npz", "--corruption", word)
    with np.load(tmp_path / "many.npz") as written:
        np.testing.assert_allclose(
            written["images"][600:, 0] / 255, x_hat[few].reshape(2, 8, 8).clip(0, 1), atol=0.51 / 255
        )


def test_the_page_answers_what_evaluate_prints(shown, model, digits, done):
    x, n = shown.images.floats(), len(shown.images)
    for kind, offered in kinds(shown.shape).items():
        level = offered["marks"][3]
        word = f"{kind}:{level}"
        assert part_of(kind, level) == part_like(word), "the page and the command line mean the same"
        printed = evaluated(done, model, digits, "--corruption", word)["mse"]
        table, _ = reconstructions.errors(shown, Query({"model": "m", "kind": kind}), b"")
        at = int(np.flatnonzero(table["level"] == level)[0])
        assert table["mse"][at] == pytest.approx(printed["value"], **EXACT)
        assert (table["low"][at], table["high"][at]) == pytest.approx(printed["ci95"], **EXACT)
        query = Query({"models": "m", "kind": kind, "level": str(level)})
        each = [reconstructions.reconstructed(shown, query, x[i].tobytes())[0] for i in range(0, n, 9)]
        np.testing.assert_allclose([one["mse"][0] for one in each], table["each"][at][::9], rtol=1e-5)
        x_in = noisy_version(x, part_like(word), shown.shape)
        before = squared_error(x, x_in)[::9]
        np.testing.assert_allclose([one["noisy_mse"][0] for one in each], before, rtol=1e-6)
        ahead, _ = reconstructions.at_every_stop(shown, Query({"models": "m", "kind": kind}), x[9].tobytes())
        at = int(np.flatnonzero(ahead["level"] == level)[0])
        assert ahead["mse"][0, at] == pytest.approx(each[1]["mse"][0], **EXACT)


def test_clean_images_have_one_error_too(shown, model, digits, tmp_path, done):
    errors = measure(isthmus.load(model), shown.images, ("mse",)).errors
    assert evaluated(done, model, digits)["mse"]["value"] == pytest.approx(errors.mean(), **EXACT)
    done("reconstruct", model, digits, "-o", tmp_path / "out")
    assert errors_of(tmp_path / "out") == pytest.approx([errors.mean()], **EXACT)
    scores = {row["name"]: row["mse"] for row in json.loads(done("score", model, digits, "--json")[0])["images"]}
    np.testing.assert_allclose([scores[name] for name in shown.images.names], errors, rtol=1e-5)


def test_a_fit_prints_what_evaluate_prints_of_the_same_images(digits, tmp_path, done):
    word = "gaussian:0.2"
    out, _ = done(
        *("fit", digits, "-o", tmp_path / "m", "--corruption", word, "--hidden", 16, "--bottleneck", 4),
        *("--epochs", 3, "--threads", 1, "--validation", 0.4),
    )
    extra = json.loads((tmp_path / "m/config.json").read_text())["extra"]
    held_out = tmp_path / "held out"
    for name in extra["seen"]["left_out"]:
        (held_out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits / name, held_out / name)
    mse = evaluated(done, tmp_path / "m", held_out, "--corruption", word)["mse"]
    assert mse["n"] == extra["validation"]["n"]
    assert mse["value"] == pytest.approx(extra["validation"]["mse"], **EXACT)
    done("denoise", tmp_path / "m", held_out, "-o", tmp_path / "out", "--corruption", word)
    before, after = errors_of(tmp_path / "out")
    rows = {line[:20].strip(): line for line in out.splitlines()}
    assert f"{before:.6f}" in rows["gaussian(0.2), as it"]
    assert f"{after:.6f}" in rows["m, 4 numbers"]
    assert f"{mse['ci95'][0]:.6f} to {mse['ci95'][1]:.6f}" in rows["m, 4 numbers"]


# --- photographs, through a model of patches ---


@pytest.mark.parametrize("word", [None, "gaussian:0.1", "poisson:30"])
def test_photographs_are_measured_as_they_are_denoised(word, denoiser, photographs, tmp_path, done):
    noise = [] if word is None else ["--corruption", word]
    found = evaluated(done, denoiser, photographs, *noise)
    out, _ = done("denoise" if word else "reconstruct", denoiser, photographs, "-o", tmp_path / "out", *noise)
    rows = json.loads((tmp_path / "out/isthmus.json").read_text())["errors"]
    assert found["mse"]["value"] == pytest.approx(rows[-1]["mse"], **EXACT)
    assert found["psnr"]["value"] == pytest.approx(rows[-1]["psnr"], **EXACT)
    assert found["mse"]["ci95"] == pytest.approx(rows[-1]["ci95"], **EXACT)
    assert {row["n"] for row in found.values()} == {3}
    assert f"{found['psnr']['value']:.2f}" in out.splitlines()[-1]
    if word is None:
        scored = json.loads(done("score", denoiser, photographs, "--json")[0])["images"]
        assert found["mse"]["value"] == pytest.approx(np.mean([row["mse"] for row in scored]), **EXACT)


def test_a_photograph_is_measured_whole_and_its_patches_codes(denoiser, photographs, done):
    """By hand: the photograph is corrupted, cut, put together; the codes are of the patches of the noisy one."""
    loaded, word = isthmus.load(denoiser), "gaussian:0.1"
    found = evaluated(done, denoiser, photographs / "flower.png", "--corruption", word)
    x = isthmus.open_images(photographs / "flower.png").floats().reshape(3, 80, 80)
    x_in = noisy_version(x.reshape(1, -1), part_like(word), x.shape).reshape(x.shape)

    def within(part):
        pixels = part.reshape(len(part), 3, -1)
        low, high = pixels.min(axis=2, keepdims=True), pixels.max(axis=2, keepdims=True)
        return loaded.reconstruct(part).reshape(pixels.shape).clip(low, high).reshape(part.shape)

    x_hat = patchwork(within, x_in, (8, 8))
    error = squared_error(x[None], x_hat[None])
    assert found["mse"]["value"] == pytest.approx(error[0], **EXACT)
    assert found["psnr"]["value"] == pytest.approx(psnr(error)[0], **EXACT)
    similarity = structural_similarity(x.astype(float), x_hat.astype(float), data_range=1, channel_axis=0)
    assert found["ssim"]["value"] == pytest.approx(similarity, **EXACT)
    patches = np.concatenate([x_in[:, i : i + 8, j : j + 8].ravel() for i in range(0, 73, 4) for j in range(0, 73, 4)])
    code = loaded.transform(patches.reshape(-1, 192))
    assert found["l0"]["value"] == pytest.approx((np.abs(code) > 1e-6).sum(axis=1).mean(), **EXACT)
    assert found["mean_activation"]["value"] == pytest.approx(code.mean(), rel=1e-4)
    assert found["dead_units"]["value"] == (np.abs(code) <= 1e-6).all(axis=0).sum()
    assert {row["ci95"] for row in found.values()} == {None}, "one photograph"


def uploaded(shelf, file):
    """{"mse", "noisy_mse"} that the page shows for a file that is dropped on it, of its only model, and its words."""
    pixels, words = routes.picture(shelf, Query({"name": file.name}), file.read_bytes())
    (name,), (_, rows, columns) = shelf.entries, pixels["x"].shape
    query = Query({"models": name, "level": "0.1", "rows": str(rows), "columns": str(columns)})
    return reconstructions.reconstructed(shelf, query, pixels["x"].tobytes())[0], words["said"]


@pytest.fixture(scope="module")
def kinds_of_files(tmp_path_factory):
    """Photographs as cameras and scanners keep them; the last is too large for the page, which makes it smaller."""
    folder, china = tmp_path_factory.mktemp("kinds"), load_sample_images().images[0]
    exif = Image.Exif()
    exif[274] = 6  # it lay on its side
    Image.fromarray(china[:90, :120]).save(folder / "side.jpg", exif=exif)
    deep = china[100:160, 200:290].astype(np.uint16) * 257 + np.arange(90, dtype=np.uint16)[:, None]
    imwrite(folder / "deep.tif", deep, photometric="rgb")
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    imwrite(folder / "grey.tif", deep[..., 1])
    clear = np.dstack([china[:60, :70], np.full((60, 70), 128, np.uint8)])
    Image.fromarray(clear).save(folder / "clear.png")
    Image.fromarray(np.tile(china, (2, 1, 1))).save(folder / "large.jpg")
    return folder


@pytest.mark.parametrize("name", ["side.jpg", "deep.tif", "deep.png", "grey.tif", "clear.png", "large.jpg"])
def test_the_page_measures_an_upload_as_the_commands_measure_the_file(name, denoiser, kinds_of_files, tmp_path, done):
    found, words = uploaded(shelve(denoiser), kinds_of_files / name)
    size = ()
    if name == "large.jpg":
        assert words.startswith("640×854, scaled to 474×632, as by --resize 632x474 --patches 8x8")
        size = ("--resize", "632x474", "--patches", "8x8")
    command = ("denoise", denoiser, kinds_of_files / name, "--corruption", "gaussian:0.1", *size)
    done(*command, "-o", tmp_path / "out")
    assert [found["noisy_mse"][0], found["mse"][0]] == pytest.approx(errors_of(tmp_path / "out"), **EXACT)


@pytest.mark.parametrize("size", [("--resize", "12x16"), ("--resize", "20x20", "--crop", "12x16", "--grey")])
def test_an_upload_is_prepared_as_for_the_training(size, kinds_of_files, photographs, tmp_path, done):
    done(
        "fit", photographs, "-o", tmp_path / "m", *size, "--skip-bad", "--epochs", 1, "--bottleneck", 4, "--threads", 1
    )
    shelf = shelve(tmp_path / "m")
    for file in (kinds_of_files / "side.jpg", kinds_of_files / "deep.png"):
        found, words = uploaded(shelf, file)
        assert "prepared as for the training, --resize" in words
        done("denoise", tmp_path / "m", file, "-o", tmp_path / "out", "--corruption", "gaussian:0.1", "--force")
        assert [found["noisy_mse"][0], found["mse"][0]] == pytest.approx(errors_of(tmp_path / "out"), **EXACT)


# --- a fit on patches of photographs ---

QUICK = (
    "--patches",
    "8x8",
    "--hidden",
    16,
    "--bottleneck",
    4,
    "--code-activation",
    "tanh",
    "--epochs",
    2,
    "--threads",
    1,
)
RANDOM = ("--patches-per-image", 60)


@pytest.fixture(scope="module")
def many_photographs(tmp_path_factory):
    """Ten photographs of several sizes: more than one is held out whole."""
    folder, (china, flower) = tmp_path_factory.mktemp("many"), load_sample_images().images
    for i in range(10):
        source, side = (china, flower)[i % 2], 24 + 4 * i
        Image.fromarray(source[40 * i : 40 * i + side, 200 : 220 + side]).save(folder / f"{i}.png")
    return folder


def printed_rows(out):
    """The rows of a table of errors, by their names."""
    return {line.split("  ")[0]: line for line in out.splitlines()}


def assert_printed(out, head, model, photographs, word, tmp_path, done):
    """The table of a fit has the numbers of `evaluate` and `denoise`; returns the model's MSE."""
    assert out.startswith(head)
    rows = printed_rows(out)
    mine = rows[f"{model.name}, 4 numbers"]
    noise = () if word is None else ("--corruption", word)
    found = evaluated(done, model, photographs, *noise)
    assert f"{found['mse']['value']:.6f}" in mine
    assert f"{found['psnr']['value']:.2f}" == mine.split()[-1]
    if found["mse"]["ci95"]:
        assert "{:.6f} to {:.6f}".format(*possible(found["mse"]["ci95"])) in mine
    if word is not None:
        done("denoise", model, photographs, "-o", tmp_path / "denoised", "--corruption", word)
        rewritten = json.loads((tmp_path / "denoised/isthmus.json").read_text())["errors"]
        before, after = rewritten[-2:]
        assert f"{before['mse']:.6f}" in next(rows[name] for name in rows if name.endswith("as it is"))
        assert f"{after['mse']:.6f}" in mine
    return found["mse"]


@pytest.mark.parametrize("cut", [(), RANDOM])
@pytest.mark.parametrize("word", [None, "gaussian:0.1"])
def test_a_fit_on_patches_measures_photographs_that_it_held_out(word, cut, many_photographs, tmp_path, done):
    noise = () if word is None else ("--corruption", word)
    model, held_out = tmp_path / "m", tmp_path / "held out"
    out, _ = done("fit", many_photographs, "-o", model, *QUICK, *cut, *noise)
    extra = json.loads((model / "config.json").read_text())["extra"]
    held_out.mkdir()
    names = set(extra["seen"]["left_out"]) - set(extra["seen"]["selected_on"])
    assert len(names) == 2
    for name in names:
        shutil.copy(many_photographs / name, held_out / name)
    mse = assert_printed(out, "on 2 photographs, held out", model, held_out, word, tmp_path, done)
    assert extra["test"] == {"n": 2, "mse": pytest.approx(mse["value"], **EXACT), "psnr": extra["test"]["psnr"]}
    (chosen_by,) = extra["seen"]["selected_on"]
    validation = evaluated(done, model, many_photographs / chosen_by, *noise)
    assert extra["validation"]["mse"] == pytest.approx(validation["mse"]["value"], **EXACT)
    assert extra["validation"]["n"] == 1

    # the rivals by hand, put together of patches in the same way
    patches = isthmus.open_images(many_photographs, patches=(8, 8), patches_per_image=cut[1] if cut else None)
    train = patches.take(np.array([name not in extra["seen"]["left_out"] for name in patches.names]))
    mean, error = train.floats().mean(axis=0), []
    for name in sorted(names):
        x = isthmus.open_images(many_photographs / name)
        made = patchwork(lambda part: np.repeat(mean[None], len(part), axis=0), x.floats().reshape(x.shape), (8, 8))
        error.append(squared_error(x.floats(), made.reshape(1, -1))[0])
    assert f"{np.mean(error):.6f}" in printed_rows(out)["the mean image"]


@pytest.mark.parametrize("cut", [(), RANDOM])
@pytest.mark.parametrize("word", [None, "gaussian:0.1"])
def test_a_fit_on_few_photographs_measures_a_region_of_each(word, cut, tmp_path, done):
    photographs, regions, model = tmp_path / "photographs", tmp_path / "regions", tmp_path / "m"
    photographs.mkdir()
    regions.mkdir()
    china, flower = load_sample_images().images
    whole = {"a.png": china[100:190, 200:320], "b.png": flower[100:180, 250:330]}
    for name, pixels in whole.items():
        Image.fromarray(pixels).save(photographs / name)
    noise = () if word is None else ("--corruption", word)
    out, _ = done("fit", photographs, "-o", model, *QUICK, *cut, *noise)
    parts = hold_out(isthmus.open_images(photographs, patches=(8, 8), patches_per_image=cut[1] if cut else None), 0)
    for i, (name, pixels) in enumerate(whole.items()):
        held, others = ([place[1:] for place in part.places if place[0] == i] for part in (parts.test, parts.train))
        top, left = np.min(held, axis=0)
        bottom, right = np.max(held, axis=0) + 8
        for y, x in others:
            assert not (y < bottom and y + 8 > top and x < right and x + 8 > left), "it was trained on"
        assert (bottom - top) * (right - left) < 0.3 * pixels.size / 3
        Image.fromarray(pixels[top:bottom, left:right]).save(regions / name)
    mse = assert_printed(out, "on regions of 2 photographs, held out", model, regions, word, tmp_path, done)
    extra = json.loads((model / "config.json").read_text())["extra"]
    assert extra["test"]["n"] == mse["n"] == 2
    assert extra["test"]["mse"] == pytest.approx(mse["value"], **EXACT)


def test_of_very_many_pixels_some_are_measured_and_the_table_says_so(many_photographs, tmp_path, done, monkeypatch):
    monkeypatch.setattr("isthmus.commands.fitting.whole_photographs.MOST_PIXELS", 1500)
    out, _ = done("fit", many_photographs, "-o", tmp_path / "m", *QUICK, "--test", 0.4)
    extra = json.loads((tmp_path / "m/config.json").read_text())["extra"]
    n = extra["test"]["n"]
    assert 1 <= n < 4
    assert out.startswith(f"on {n} of 4 photographs")
    monkeypatch.setattr("isthmus.commands.fitting.whole_photographs.MOST_PIXELS", 300)
    out, _ = done("fit", many_photographs, "-o", tmp_path / "n", *QUICK, "--test", 0.4)
    assert out.startswith("on 1 of 4 photographs (of large ones the middle), held out")


@pytest.mark.parametrize("cut", [(), RANDOM])
@pytest.mark.parametrize("kind", ["array", "stack", "grey beside colour", "MVTec"])
def test_photographs_are_had_again_as_they_were_before_they_were_cut(kind, cut, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 24, 30), np.uint8)
    data = tmp_path / "data"
    read = folder = data / "train" if kind == "MVTec" else data
    if kind == "array":
        read = folder = data = tmp_path / "data.npy"
        np.save(data, pixels)
    elif kind == "MVTec":
        for name in ("train/good", "test/good", "ground_truth/bad"):
            (data / name).mkdir(parents=True)
        for i, one in enumerate(pixels):
            Image.fromarray(one).save(data / f"train/good/{i}.png")
    else:
        data.mkdir()
        for i, one in enumerate(pixels[3:]):
            Image.fromarray(one).save(data / f"{i}#1.png")
        if kind == "stack":
            first, *others = map(Image.fromarray, pixels[:3])
            first.save(data / "3 pages.tif", save_all=True, append_images=others)
        else:
            Image.fromarray(np.moveaxis(pixels[:3], 0, 2)).save(data / "colour.png")
    framing = Framing(crop=(20, 25), patches=(8, 8), patches_per_image=cut[1] if cut else None)
    patches = isthmus.open_images(read, crop=(20, 25), patches=(8, 8), patches_per_image=framing.patches_per_image)
    whole = isthmus.open_images(folder, crop=(20, 25))
    parts = hold_out(patches, 0, test=0.4)
    held_out = Uncut(str(data), None, framing, 0, parts.regions).of(parts.test)
    found = [picture.x for picture in held_out.pictures.read()]
    numbers = np.unique(parts.test.places[:, 0])
    assert len(found) == len(numbers) == held_out.pictures.n >= 3
    np.testing.assert_array_equal(np.stack(found), whole.floats(numbers).reshape(-1, *whole.shape))
    assert held_out.where == f"{len(found)} photographs"


def test_no_table_shows_an_mse_below_0(denoiser, photographs, tmp_path, done):
    """Of two photographs of which one is far worse, Student's t reaches below 0; files keep the whole interval."""
    folder = tmp_path / "two"
    folder.mkdir()
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / "0.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "1.png")
    row = next(row for row in json.loads(done("evaluate", denoiser, folder, "--json")[0])["rows"] if row["ci95"])
    assert row["metric"] == "mse"
    assert row["ci95"][0] < 0
    tables = [done("evaluate", denoiser, folder)[0], done("reconstruct", denoiser, folder, "-o", tmp_path / "out")[0]]
    for table in tables:
        assert re.search(r"0\.000000 to 0\.[0-9]{6}", table)
        assert not re.search(r"-0\.0", table)
    assert json.loads((tmp_path / "out/isthmus.json").read_text())["errors"][0]["ci95"][0] < 0


def test_the_number_of_photographs_is_told(denoiser, photographs, done):
    out, _ = done("evaluate", denoiser, photographs)
    table = json.loads(done("evaluate", denoiser, photographs, "--json")[0])
    n_patches = len(isthmus.open_images(photographs, patches=(8, 8)))
    assert (table["n"], table["patches"]) == (3, n_patches)
    assert out.startswith(f"3 photographs, 3 trained on, {n_patches:,} patches ")


def test_a_search_of_the_code_finds_the_same_of_an_image_anywhere(model, digits, tmp_path, done):
    """Its random starts are an image's own, too."""
    images, part = isthmus.open_images(digits), part_like("gaussian:0.2")
    prior = DecoderPrior(FrozenEstimator(isthmus.load(model)), start="random", n_starts=2, clip=True, random_state=0)
    prior.of(prior.autoencoder.estimator)
    few = np.array([3, 40, 77])
    together = measure(prior, images, ("mse",), corruption=part).errors
    shelf = Shelf("p", [Entry("p", prior)], images.shape)
    query = Query({"models": "p", "kind": "gaussian", "level": "0.2"})
    for i in few:
        alone, _ = reconstructions.reconstructed(shelf, query, images.floats(np.array([i])).tobytes())
        assert alone["mse"][0] == pytest.approx(together[i], rel=0.01)
    reverse = measure(prior, images.take(few[::-1]), ("mse",), corruption=part).errors
    np.testing.assert_allclose(reverse[::-1], together[few], rtol=0.01)
    assert np.ptp(together[few]) > 0.1 * together[few].max()
