"""`isthmus score` finds small flaws, and says how unusual an image is among those that were held out of the fit."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from isthmus.cli import run_command

N, SIDE = 260, 24


def surface(n, seed):
    """Normal surfaces, (n, 24, 24) in [0, 1]: a shade that goes from side to side, of many directions, with grain."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    a, b, c = draw.uniform(-0.15, 0.15, (3, n, 1, 1))
    grain = draw.normal(scale=0.05 * draw.uniform(0.7, 1.3, (n, 1, 1)), size=(n, SIDE, SIDE))
    return (0.5 + c + a * x + b * y + grain).clip(0, 1).astype(np.float32)


def spotted(n, seed):
    """Surfaces with a small dark spot."""
    x, draw = surface(n, seed), np.random.default_rng(seed + 1)
    for image in x:
        row, column = draw.integers(2, SIDE - 6, 2)
        image[row : row + 4, column : column + 4] -= 0.12
    return x


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder with a model of normal surfaces, m, and new ones, of which the last 30 of 200 have a spot."""
    folder = tmp_path_factory.mktemp("surfaces")
    np.save(folder / "normal.npy", surface(N, 0))
    np.savez(folder / "new.npz", x=np.concatenate([surface(170, 3), spotted(30, 5)]), y=np.repeat([0, 1], [170, 30]))
    for name, more in (("m", ["--test", 0.4]), ("few", [])):
        words = ["fit", folder / "normal.npy", "-o", folder / name, "--bottleneck", 3, "--epochs", 20, "--threads", 1]
        assert run_command([str(word) for word in (*words, *more)]) == 0
    return folder


def scored(done, bench, *more, model="m"):
    out, _ = done("score", bench / model, bench / "new.npz", "--json", *more)
    table = json.loads(out)
    return table, {int(row["name"]): row for row in table["images"]}


def test_a_small_spot_stands_out_in_the_worst_pixels_and_not_in_the_mean(bench, done):
    by_mean, rows = scored(done, bench, "--normal", 0)
    by_spot, _ = scored(done, bench, "--normal", 0, "--by", "spot")
    assert (by_mean["by"], by_spot["by"]) == ("mse", "spot")
    assert by_mean["auroc"] < 0.75
    assert by_spot["auroc"] > 0.95
    assert by_mean["auroc_by"] == by_spot["auroc_by"] == {"mse": by_mean["auroc"], "spot": by_spot["auroc"]}
    for table, kind in ((by_mean, "mse"), (by_spot, "spot")):
        assert [row[kind] for row in table["images"]] == sorted((row[kind] for row in rows.values()), reverse=True)
    text, _ = done("score", bench / "m", bench / "new.npz", "--normal", 0)
    assert f"AUROC {by_spot['auroc']:.4f} by the MSE of the worst 5x5 pixels: --by spot" in text


@pytest.mark.parametrize("kind", ["mse", "spot"])
def test_of_normal_images_as_many_have_a_small_p_as_p_says(bench, done, kind):
    _, rows = scored(done, bench, "--by", kind)
    p = np.array([rows[i]["p"] for i in range(200)])
    assert p.min() >= 1 / 105
    for level, low, high in ((0.05, 0, 0.13), (0.5, 0.35, 0.65)):
        assert low <= (p[:170] <= level).mean() <= high
    order = np.argsort([-rows[i][kind] for i in range(200)], kind="stable")
    assert (np.diff(p[order]) >= 0).all()
    if kind == "spot":
        assert (p[170:] <= 0.05).mean() > 0.8


def test_the_threshold_is_printed_and_counts_what_lies_above_it(bench, done):
    text, _ = done("score", bench / "m", bench / "new.npz", "--by", "spot")
    _, rows = scored(done, bench, "--by", "spot")
    line = next(line for line in text.splitlines() if line.startswith("p is at most 0.05 above "))
    limit, beyond = float(line.split()[6].rstrip(":")), int(line.split()[7])
    assert beyond == sum(row["p"] <= 0.05 for row in rows.values())
    assert beyond == sum(row["spot"] > limit for row in rows.values())
    assert line.endswith("of 200; if all were normal, about 10 would")
    assert "p: the share of 104 images held out of the fit, and of this one, with as large an MSE of the worst" in text


def test_few_held_out_images_say_that_they_are_few(tmp_path, bench, done):
    np.save(tmp_path / "some.npy", surface(60, 8))
    done("fit", tmp_path / "some.npy", "-o", tmp_path / "m", "--bottleneck", 3, "--epochs", 3, "--threads", 1)
    text, _ = done("score", tmp_path / "m", bench / "new.npz", "--top", 3)
    assert "for a p of 0.05 it takes 19, and `fit --test` holds out more" in text
    assert "p is at most" not in text


def test_a_reader_that_has_read_enough_stops_nothing(bench, tmp_path):
    """With `| head` scores.csv and the maps were missing, without a word."""
    words = ["score", bench / "m", bench / "new.npz", "-o", tmp_path / "scores"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        command = [sys.executable, "-W", "ignore", "-m", "isthmus", *map(str, words)]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, (tmp_path / "scores/scores.csv").is_file()) == (0, True), done.stderr
    assert "written: scores.csv" in done.stderr


def test_of_images_that_the_model_knows_p_means_nothing(bench, done):
    text, _ = done("score", bench / "few", bench / "normal.npy", "--top", 3)
    assert "p is at most" in text  # of those held out, which chose nothing
    assert text.splitlines()[-1].endswith("none of these images is new: they are those of the fit")
    rows = json.loads(done("score", bench / "few", bench / "normal.npy", "--json")[0])["images"]
    held_out = [row for row in rows if not (row["seen"] or row["selected"])]
    of_each = sorted((row["mse"] for row in held_out), reverse=True)
    for row in held_out:  # its place among the others that were held out, itself counted once
        assert row["p"] == pytest.approx((1 + of_each.index(row["mse"])) / len(held_out), abs=1e-6)
    words = ("fit", bench / "normal.npy", "-o", bench / "all", "--test", 0, "--bottleneck", 3, "--epochs", 3)
    done(*words, "--threads", 1)
    text, _ = done("score", bench / "all", bench / "normal.npy", "--top", 3)
    assert "held out of the fit, which chose its epoch, and of this one" in text
    assert "it means nothing here, for the model knows all of these images" in text


def test_the_table_has_the_errors_and_the_place(bench, tmp_path, done):
    done("score", bench / "m", bench / "new.npz", "-o", tmp_path / "s", "--by", "spot", "--maps", 2)
    _, rows = scored(done, bench, "--by", "spot")
    with open(tmp_path / "s/scores.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 200
    for row in table:
        expected = rows[int(row["name"])]
        assert [float(row[name]) for name in ("mse", "spot", "p")] == pytest.approx(
            [expected[name] for name in ("mse", "spot", "p")], rel=1e-5
        )
    assert json.loads((tmp_path / "s/isthmus.json").read_text("utf-8"))["by"] == "spot"


@pytest.mark.parametrize("text", ["AAAA!", "AAA=", "", None, 5, "AADAfw=="])
def test_what_a_folder_does_not_know_is_not_said(bench, tmp_path, done, text, monkeypatch):
    """Nor where images are prepared in another way than those of the fit. The last text is NaN."""
    from isthmus import persistence

    read = persistence.read_config

    def edited(folder):
        config = read(folder)
        config["extra"]["held_out_errors"]["mse"] = text
        return config

    monkeypatch.setattr("isthmus.commands.images.model_folder.persistence.read_config", edited)
    assert {row["p"] for row in scored(done, bench)[1].values()} == {None}


def test_images_with_hardly_an_error_are_unusual_too(bench, tmp_path, done):
    x = np.concatenate([surface(20, 3), np.full((2, SIDE, SIDE), 0.5, np.float32)])
    np.save(tmp_path / "x.npy", x)
    text, _ = done("score", bench / "m", tmp_path / "x.npy")
    assert "2 new images with less than half of the least error of those held out: what is blank" in text
    assert "less than half" not in done("score", bench / "m", bench / "new.npz")[0]


def test_images_prepared_in_another_way_have_no_place(bench, done):
    assert {row["p"] for row in scored(done, bench, "--range", "0:2")[1].values()} == {None}


def test_photographs_of_patches_have_a_place_where_whole_ones_were_held_out(photographs, denoiser, tmp_path, done):
    table = json.loads(done("score", denoiser, photographs, "--json")[0])
    assert {row["p"] for row in table["images"]} == {None}  # regions of each were held out
    draw = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", draw.random((30, 20, 20), np.float32))
    words = ("--patches", 8, "--bottleneck", 5, "--epochs", 2, "--threads", 1)
    done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *words)
    table = json.loads(done("score", tmp_path / "m", tmp_path / "x.npy", "--json")[0])
    assert all(1 / 12 < row["p"] <= 1 for row in table["images"])
