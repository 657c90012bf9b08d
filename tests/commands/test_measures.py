"""`isthmus evaluate`, `encode` and `score`: numbers for images, held against the library's own."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import FunctionTransformer

import isthmus
from isthmus import GaussianNoise
from isthmus.analysis.representation import METRICS
from isthmus.cli import run_command
from isthmus.corruption import noisy_version
from tests.image_files import read_image


def test_a_table_and_the_same_as_json(model, digits, done):
    noise = ["--corruption", "gaussian:0.2", "--corruption", "masking:0.3"]
    out, err = done("evaluate", model, digits, *noise)
    lines = out.splitlines()
    heads = [head.strip() for head in lines[0].split("  ") if head]
    noisy, masked = (f"{label}, as it is" for label in ("gaussian(0.2)", "masking(0.3)"))
    trained_on = "90 images, 71 trained on, 9 selected on"
    assert heads == [trained_on, "clean", noisy, "gaussian(0.2)", masked, "masking(0.3)"]
    assert [line.split()[0] for line in lines[1:7]] == ["mse", "psnr", "ssim", "mean_activation", "l0", "dead_units"]
    known = "was trained on 71 of these 90 images, and 9 more chose its best epoch"
    assert f"{model} {known}: expect larger errors on new ones\n" in err
    table = json.loads(done("evaluate", model, digits, *noise, "--json")[0])
    rows = {(row["metric"], row["corruption"]): row for row in table["rows"]}
    clean = rows["mse", None]
    assert clean["value"] == pytest.approx(-isthmus.load(model).score(isthmus.open_images(digits)), rel=1e-5)
    assert clean["ci95"][0] < clean["value"] < clean["ci95"][1]
    assert f"{clean['value']:.6f} ({clean['ci95'][0]:.6f} to {clean['ci95'][1]:.6f})" in out
    assert rows["mse", "gaussian(0.2)"]["value"] > clean["value"]
    assert table["n"] == 90
    x = isthmus.open_images(digits)
    given = {(row["metric"], row["corruption"]): row for row in table["as_it_is"]}
    as_it_is = ((noisy_version(x.floats(), GaussianNoise(0.2, clip=True), x.shape) - x.floats()) ** 2).mean(axis=1)
    assert given["mse", "gaussian(0.2)"]["value"] == pytest.approx(as_it_is.mean(), rel=1e-5)
    assert given["psnr", "gaussian(0.2)"]["value"] == pytest.approx((-10 * np.log10(as_it_is)).mean(), rel=1e-5)
    assert f"  {as_it_is.mean():.6f} (" in out


def test_a_model_that_was_copied_elsewhere(model, digits, tmp_path, copy_of, done):
    elsewhere = copy_of(model, tmp_path / "another place")
    assert done("evaluate", elsewhere, digits)[0] == done("evaluate", model, digits)[0]


def test_a_studys_models_can_be_used_too(digits, tmp_path, done):
    study = tmp_path / "tiny.toml"
    data, pca = '[data]\nname = "digits"\ntrain = 100', 'name = "pca-4"\nestimator = "pca"\nn_components = 4'
    study.write_text(f'title = "t"\n{data}\n[[model]]\n{pca}')
    assert run_command(["run", str(study), "--out", str(tmp_path)]) == 0
    out, _ = done("evaluate", tmp_path / "tiny/models/pca-4", "digits")
    assert out.startswith("360 images")


def test_patches_are_cut_as_they_were_for_the_training(denoiser, photographs, done):
    out, err = done("evaluate", denoiser, photographs)
    assert "--patches 8x8" in err
    assert out.split()[1] == "photographs,"
    assert int(re.search(r", ([\d,]+) patches", out)[1].replace(",", "")) > 500


def test_labels_say_what_codes_are_worth(model, digits, tmp_path, done):
    """Fitted on what the model was trained on, scored on the others; on other folds where there is no such part."""
    out, err = done("evaluate", model, digits)
    images, memory = isthmus.open_images(digits), json.loads((model / "config.json").read_text())["extra"]["seen"]
    others = np.isin(images.names, [*memory["left_out"]])
    assert others.sum() == 19
    assert f"classifiers are fitted on 71 images that {model} was trained on, and score the 19 others" in err
    head, *lines = out.split("\n\n")[1].splitlines()
    assert re.split("  +", head) == ["19 with labels", "codes", "pixels"]
    assert [line.split()[0] for line in lines] == list(METRICS)
    table = json.loads(done("evaluate", model, digits, "--json")[0])["representation"]
    assert (table["n_fitted"], table["n_folds"]) == (71, 0)
    for name, coder in (("codes", isthmus.load(model)), ("pixels", None)):
        expected = isthmus.representation(coder, images.take(~others), None, images.take(others))
        rows = {row["metric"]: (row["value"], row["n"]) for row in table["rows"] if row["of"] == name}
        assert rows == {metric: (of.value, of.n) for metric, of in expected.estimates.items()}
        assert table["omitted"][name] == expected.omitted
    np.savez(tmp_path / "new.npz", images=1 - images.pixels[:, 0], labels=images.labels)
    out, err = done("evaluate", model, tmp_path / "new.npz")
    assert "classifiers are fitted on some of 90 images and score others, in 5 folds" in err
    assert "\n90 with labels" in out


def test_a_data_set_has_a_training_part(model, tmp_path, done, monkeypatch):
    monkeypatch.setattr("isthmus.analysis.representation.N_PAIRS", 200)
    out, err = done("evaluate", model, "digits")
    assert "classifiers are fitted on 1,437 training images of digits" in err
    assert "of the pixels alone is better than of the codes: " in err
    assert re.search(r"^silhouette, 200 images +-?0\.\d{3} \(", out, re.M)


def test_where_labels_say_nothing_the_reason_is_printed(model, digits, tmp_path, done):
    pixels = isthmus.open_images(digits).pixels[:, 0]
    np.savez(tmp_path / "same.npz", images=1 - pixels, labels=np.zeros(90, int))
    out, err = done("evaluate", model, tmp_path / "same.npz")
    assert "not measured: linear_probe, knn, silhouette: all are of one class" in err
    assert "classifiers" not in err
    assert [line.split()[0] for line in out.split("\n\n")[1].splitlines()[1:]] == ["trustworthiness", "effective_rank"]
    np.save(tmp_path / "none.npy", pixels)
    out, err = done("evaluate", model, tmp_path / "none.npy")
    assert "\n\n" not in out
    assert "classifiers" not in err


# --- encode ---


def test_codes_as_npz_and_csv(model, digits, tmp_path, done):
    done("encode", model, digits, "-o", tmp_path / "codes.npz")
    done("encode", model, digits, "-o", tmp_path / "codes.csv")
    images = isthmus.open_images(digits)
    expected = isthmus.load(model).transform(images)
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as found:
        np.testing.assert_allclose(found["code"], expected, atol=1e-6)
        assert found["name"].tolist() == list(images.names)
        assert found["label"].tolist() == images.labels.tolist()
        assert found["label_names"].tolist() == ["one", "seven", "zero"]
    with open(tmp_path / "codes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(images.names)
    assert {row["label"] for row in rows} == {"zero", "one", "seven"}
    codes = np.array([[float(row[f"code_{i}"]) for i in range(6)] for row in rows])
    np.testing.assert_allclose(codes, expected, rtol=1e-6, atol=1e-6)


def test_a_file_of_codes_is_not_replaced_unless_asked(model, digits, tmp_path, done, refused):
    target = tmp_path / "codes.csv"
    done("encode", model, digits, "-o", target)
    assert "--force" in refused("encode", model, digits, "-o", target)
    done("encode", model, digits, "-o", target, "--force")
    assert ".npz or .csv" in refused("encode", model, digits, "-o", tmp_path / "codes.txt")


def test_codes_of_patches_say_where_they_were_cut(denoiser, photographs, tmp_path, done):
    for kind in ("npz", "csv"):
        done("encode", denoiser, photographs, "-o", tmp_path / f"codes.{kind}")
    patches = isthmus.open_images(photographs, patches=(8, 8))
    with np.load(tmp_path / "codes.npz") as found, open(tmp_path / "codes.csv", newline="") as file:
        assert len(found["code"]) == len(found["position"]) == len(patches)
        rows = list(csv.DictReader(file))
        np.testing.assert_array_equal([[int(row["row"]), int(row["column"])] for row in rows], found["position"])
        assert [row["name"] for row in rows] == found["name"].tolist()
        flower = read_image(photographs / "flower.png").pixels / np.float32(255)
        which = np.flatnonzero(found["name"] == "flower.png")
        assert len(set(found["image"][which])) == 1
        for i in which:
            y, x = found["position"][i]
            np.testing.assert_allclose(flower[:, y : y + 8, x : x + 8], patches.pixels[i], atol=1e-6)


def test_codes_of_patches_of_an_array_say_of_which_image(denoiser, tmp_path, done):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 3, 12, 16), np.float32))
    done("encode", denoiser, tmp_path / "x.npy", "-o", tmp_path / "codes.csv")
    with open(tmp_path / "codes.csv", newline="") as file:
        rows = [(row["name"], row["row"], row["column"]) for row in csv.DictReader(file)]
    assert rows == [(n, y, x) for n in "012" for y in "04" for x in "048"]


# --- score ---


@pytest.fixture(scope="session")
def ones(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("models") / "ones"
    options = ["--bottleneck", "2", "--hidden", "32", "--epochs", "60", "--learning-rate", "0.01", "--threads", "1"]
    assert run_command(["fit", str(digits / "one"), "-o", str(folder), *options]) == 0
    return folder


def test_the_most_unusual_come_first(ones, digits, tmp_path, done):
    out, _ = done("score", ones, digits, "-o", tmp_path / "scores", "--normal", "one", "--top", 5)
    with open(tmp_path / "scores/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    errors = np.array([float(row["mse"]) for row in rows])
    assert len(rows) == 90
    assert (np.diff(errors) <= 0).all()
    assert out.splitlines()[1].split()[:3] == ["1", rows[0]["name"], rows[0]["label"]]
    is_new = np.array([not {row["seen"], row["selected"]} & {"1", "true", "True", "yes"} for row in rows])
    is_other = np.array([row["label"] != "one" for row in rows])
    area, of_new = roc_auc_score(is_other, errors), roc_auc_score(is_other[is_new], errors[is_new])
    n = int((~is_other & is_new).sum())
    assert 0 < n < 30
    assert of_new > 0.8
    known = f"{30 - n} of them were trained on or chose the epoch"
    new = f"{n} new images of class one against 60 new others"
    assert f"AUROC {of_new:.4f}: {new}; {area:.4f} of all 90, though {known}\n" in out
    facts = json.loads((tmp_path / "scores/isthmus.json").read_text("utf-8"))
    assert (facts["auroc"], facts["auroc_new"]) == (pytest.approx(area), pytest.approx(of_new))
    assert "... and 85 more" in out
    images, model = isthmus.open_images(digits), isthmus.load(ones)
    i = images.names.index(rows[0]["name"])
    assert errors[0] == pytest.approx(-model.score_samples(images)[i], rel=1e-5)


def test_maps_have_one_scale_that_is_stated(ones, digits, tmp_path, done):
    done("score", ones, digits, "-o", tmp_path / "scores")
    account = json.loads((tmp_path / "scores/isthmus.json").read_text())
    white = account["maps"]["white"]
    images, model = isthmus.open_images(digits), isthmus.load(ones)
    x, x_hat = images.floats(), model.reconstruct(images).reshape(len(images), -1)
    for i in (0, 40, 89):
        found = read_image(tmp_path / "scores/maps" / images.names[i]).pixels.ravel()
        np.testing.assert_allclose(found / 255 * white, np.abs(x_hat - x)[i].clip(0, white), atol=white / 255)
    with Image.open(tmp_path / "scores/most-unusual.png") as sheet:
        assert sheet.height > sheet.width


@pytest.mark.parametrize(("n_odd", "words"), [(1, " and more"), (60, "")])
def test_errors_beyond_white_are_said(n_odd, words, tmp_path, done, monkeypatch):
    """One odd pixel does not make all others black, but it is not called the largest that white is."""
    from isthmus.commands import score
    from isthmus.commands.shared import previews

    shown, write = [], previews.write_preview
    monkeypatch.setattr(previews, "write_preview", lambda *given: (shown.append(given[2][2]), write(*given)))
    x = np.random.default_rng(0).random((4, 1, 64, 64), np.float32) / 10
    model = FunctionTransformer(lambda rows: rows / 2, lambda code: code, check_inverse=False)
    monkeypatch.setattr("isthmus.persistence.load", lambda folder: model.fit(x.reshape(4, -1)))
    isthmus.save(FunctionTransformer(check_inverse=False).fit(x.reshape(4, -1)), tmp_path / "half")
    x[2, 0, 30, :n_odd] = 1
    np.save(tmp_path / "x.npy", x)
    _, err = done("score", tmp_path / "half", tmp_path / "x.npy", "-o", tmp_path / "scores")
    white = json.loads((tmp_path / "scores/isthmus.json").read_text())["maps"]["white"]
    assert (white < 0.1) == (n_odd == 1)
    assert shown == [f"error\n(white: {white:.2g}{words.replace(' and', chr(10) + 'and')})"]
    assert f"maps/ (white: {white:.2g}{words}) and" in err
    assert score.SHEET in err


def test_photographs_are_scored_whole(denoiser, photographs, tmp_path, done):
    out, _ = done("score", denoiser, photographs, "-o", tmp_path / "scores", "--json")
    assert {row["name"] for row in json.loads(out)["images"]} == {"china.jpg", "flower.png", "deep/grey.tif"}
    with Image.open(tmp_path / "scores/maps/china.jpg.png") as found:
        assert (found.mode, found.size) == ("L", (120, 90))


def test_the_normal_class_must_be_known(ones, digits, denoiser, photographs, refused):
    assert 'Did you mean "one"?' in refused("score", ones, digits, "--normal", "on")
    assert "needs labels" in refused("score", denoiser, photographs, "--normal", "china")
    line = refused("score", ones, digits / "one", "--normal", "one")
    assert "needs labels" in line


def test_a_perfect_image_is_no_trouble(digits, tmp_path, done):
    folder = tmp_path / "identity"
    isthmus.save(FunctionTransformer(check_inverse=False).fit(isthmus.open_images(digits).floats()), folder)
    out, _ = done("score", folder, digits, "-o", tmp_path / "scores")
    assert "0.000000" in out


def test_the_numbers_come_before_the_maps_and_there_are_not_too_many_maps(ones, digits, tmp_path, done, monkeypatch):
    from isthmus.commands import score

    events = []
    write, text = score._write, score._Ranking.text
    monkeypatch.setattr(score, "_write", lambda *given: (events.append("maps"), write(*given)))
    monkeypatch.setattr(score._Ranking, "text", lambda *given: (events.append("numbers"), text(*given))[1])
    _, err = done("score", ones, digits, "-o", tmp_path / "scores", "--maps", 5)
    assert events == ["numbers", "maps"]
    assert "the 5 most unusual of 90 images; --maps N writes more" in err
    with (tmp_path / "scores/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 90
    drawn = {str(path.relative_to(tmp_path / "scores/maps")) for path in (tmp_path / "scores/maps").rglob("*.png")}
    assert drawn == {row["name"] for row in rows[:5]}
    _, err = done("score", ones, digits, "-o", tmp_path / "all")
    assert "writes more" not in err
    assert len(list((tmp_path / "all/maps").rglob("*.png"))) == 90
    parts = tmp_path / "all/maps" / rows[3]["name"], tmp_path / "scores/maps" / rows[3]["name"]
    np.testing.assert_array_equal(*(read_image(path).pixels for path in parts))  # in the same scale


def test_a_large_csv_is_announced_before_it_is_written(model, digits, tmp_path, done, monkeypatch):
    monkeypatch.setattr("isthmus.commands.encode._LARGE", 5000)
    assert "MB" not in done("encode", model, digits, "-o", tmp_path / "codes.npz")[1]
    _, err = done("encode", model, digits, "-o", tmp_path / "codes.csv")
    assert "the CSV will have about 0 MB; an .npz of the same codes has 0 MB" in err  # 7 kB
    monkeypatch.setattr("isthmus.commands.encode._LARGE", 10_000)
    assert "MB" not in done("encode", model, digits, "-o", tmp_path / "codes.csv", "--force")[1]


def test_images_that_are_worse_than_their_mean_are_named_with_a_way_out(model, digits, tmp_path, done):
    assert "mean image" not in done("evaluate", model, digits)[1]
    pixels = 255 - isthmus.open_images(digits).pixels  # in which the model has never seen anything
    np.save(tmp_path / "inverted.npy", pixels)
    _, err = done("evaluate", model, tmp_path / "inverted.npy")
    assert "worse than the mean image: its error is " in err
    assert "they look inverted: as 1 - x the error is 0.0" in err
    assert "train longer" not in err
    np.save(tmp_path / "bars.npy", (np.arange(40)[:, None, None, None] % 8 == np.arange(8)) * np.ones((8, 1)) * 0.25)
    _, err = done("evaluate", model, tmp_path / "bars.npy")
    assert re.search(
        r"they are unlike those that it was fitted on, of which it left \S+ of some that were held out; ", err
    )
    assert "they lie in 0 to 0.25, those in 0 to 1" in err
    assert "train longer" not in err


def test_that_pca_is_far_better_is_said_whenever_the_model_is_used(digits, tmp_path, done):
    short = ("--hidden", 15, "--epochs", 2, "--threads", 1, "--device", "cpu")  # too narrow to begin at PCA's solution
    _, err = done("fit", digits, "-o", tmp_path / "m", *short)
    (sentence,) = (line for line in err.splitlines() if line.startswith("this model is worse than PCA, 8 numbers"))
    assert "hidden layers narrower than twice its code keep it from PCA's solution: try --hidden 16" in sentence
    for command in (("evaluate",), ("reconstruct", "-o", tmp_path / "out")):
        assert sentence in done(command[0], tmp_path / "m", digits, *command[1:])[1]


@pytest.mark.parametrize(
    "command", [("evaluate",), ("score",), ("reconstruct", "-o", "out"), ("encode", "-o", "c.npz")]
)
def test_patches_of_a_model_of_whole_images_are_refused(command, digits, model, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, *more = command
    error = refused(name, model, digits, "--patches", "4x4", *more)
    assert "was fitted on whole images, and takes those of 8×8; leave --patches out" in error
