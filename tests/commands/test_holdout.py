"""Images in three parts: what is trained on, what chooses the best epoch, and what errors are measured on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.datasets import load_digits

import isthmus
from isthmus import Dense, GaussianNoise
from isthmus.commands.fitting import training_run
from isthmus.commands.fitting.baselines import yardsticks
from isthmus.commands.images.holdout import hold_out
from isthmus.errors import RequestError

ONE = ("--threads", 1, "--device", "cpu")


def images_of(names):
    return isthmus.Images(np.zeros((len(names), 1, 2, 2), np.uint8), names=tuple(names))


def sizes(parts):
    return len(parts.train), len(parts.validation), None if parts.test is None else len(parts.test)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (2, None),
        (3, (2, 1, None)),
        (5, (4, 1, None)),
        (6, (4, 1, 1)),
        (10, (7, 1, 2)),
        (50, (35, 5, 10)),
        (200, (160, 20, 20)),
        (2000, (1600, 200, 200)),
        (50_000, (46_000, 2000, 2000)),
    ],
)
def test_sizes_of_the_parts(n, expected):
    images = isthmus.Images(np.arange(n).astype(np.uint8).reshape(n, 1, 1, 1))
    if expected is None:
        with pytest.raises(RequestError, match="two images are too few to train on and hold one out"):
            hold_out(images, 0)
        return
    parts = hold_out(images, 0)
    assert sizes(parts) == expected
    assert f"{expected[0]:,} images to train on, {expected[1]:,} to choose the best epoch" in parts.summary
    if expected[2] is None:
        assert "selected on" in parts.summary
        assert parts.head() == f"on {expected[1]} image, selected on"
        assert parts.measured is parts.validation
    else:
        assert parts.summary.endswith(f", {expected[2]:,} to measure the errors")
        assert "held-out" in parts.head()
        assert parts.measured is parts.test


def test_shares_that_are_given_are_kept():
    images = images_of([str(i) for i in range(50)])
    alone = hold_out(images, 3, validation=0.2)
    assert sizes(alone) == (40, 10, None)
    assert alone.head() == "on 10 images, selected on"
    # the images that were held out before there was a third part
    expected = np.random.default_rng(isthmus.rng.stream_seed(3, "split")).permutation(50)[:10]
    assert alone.validation.names == tuple(str(i) for i in sorted(expected))
    three = hold_out(images, 3, validation=0.2, test=0.3)
    assert sizes(three) == (25, 10, 15)
    assert three.validation.names == alone.validation.names
    assert not set(three.test.names) & {*three.validation.names, *three.train.names}
    assert sizes(hold_out(images, 3, test=0)) == (45, 5, None)
    assert sizes(hold_out(images, 3, test=0.5)) == (20, 5, 25)
    with pytest.raises(RequestError, match=r"holding out 0\.5 and 0\.5 leaves 0 of 50"):
        hold_out(images, 0, validation=0.5, test=0.5)
    with pytest.raises(RequestError, match="one image is too few"):
        hold_out(images_of("a"), 0)


def test_images_are_held_out_at_random():
    images = images_of([str(i) for i in range(50)])
    found = [hold_out(images, seed).test.names for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_patches_of_one_photograph_are_never_in_two_parts():
    parts = hold_out(images_of([name for name in "abcdefghij" for _ in range(7)]), 0)
    names = [set(part.names) for part in (parts.train, parts.validation, parts.test)]
    assert [len(one) for one in names] == [7, 1, 2]
    assert len(set.union(*names)) == 10
    assert parts.summary.startswith("49 patches of 7 images to train on, 7 of 1 to choose")
    assert parts.head() == "on 2 held-out images"


def test_patches_of_an_array_too(tmp_path, done):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (10, 24, 24), np.uint8))
    out, err = done("fit", tmp_path / "a.npy", "-o", tmp_path / "m", "--patches", "8", "--epochs", 2, *ONE)
    said = "175 patches of 7 images to train on, 25 of 1 to choose the best epoch, 50 of 2 to measure the errors"
    assert said in err
    assert out.startswith("on 2 photographs, held out")


def test_of_few_photographs_regions_are_held_out(photographs, tmp_path, done):
    out, err = done("fit", photographs, "-o", tmp_path / "m", "--patches", "8", "--epochs", 2, *ONE)
    assert ": regions of 3 images that share no pixel; " in err
    assert out.startswith("on regions of 3 photographs, held out")
    extra = json.loads((tmp_path / "m/config.json").read_text())["extra"]
    assert extra["seen"]["n_trained_on"] == 3
    assert extra["seen"]["left_out"] == extra["seen"]["selected_on"] == []
    out, _ = done("fit", photographs, "-o", tmp_path / "n", "--patches", "8", "--test", "0", "--epochs", 2, *ONE)
    assert out.startswith("on regions of 3 photographs, selected on")


def test_two_parts_where_three_do_not_fit(tmp_path, done, refused):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (2, 20, 10), np.uint8))
    options = ["-o", tmp_path / "m", "--patches", "8", "--epochs", 2, *ONE]
    out, err = done("fit", tmp_path / "a.npy", *options)
    assert "which are then selected on: regions of 2 images" in err
    assert out.startswith("on regions of 2 photographs, selected on")
    assert "share no pixel with those to train on" in refused(
        "fit", tmp_path / "a.npy", *options, "--force", "--test", ".1"
    )
    np.save(tmp_path / "b.npy", np.random.default_rng(0).integers(0, 256, (2, 12, 10), np.uint8))
    assert "too small to hold out patches of 8×8" in refused("fit", tmp_path / "b.npy", *options, "--force")


def test_of_pure_noise_what_is_held_out_is_as_hard_as_another_image(tmp_path, done):
    """There is nothing to learn but the pixels themselves, so that only what was trained on can be drawn better."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 100, 9), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", noise[:2])
    cut = ["--patches", "8", "--patches-per-image", "300"]
    network = ["--hidden", 128, "--bottleneck", 24, "--output", "linear"]
    training = ["--recipe", "plain", "--epochs", 80, "--batch-size", 32, "--learning-rate", "3e-3"]
    done("fit", tmp_path / "noise.npy", "-o", tmp_path / "m", *cut, *network, *training, *ONE)
    model = isthmus.load(tmp_path / "m")
    extra = json.loads((tmp_path / "m/config.json").read_text())["extra"]
    assert model.history_.losses[-1] < 0.6 * -model.score(isthmus.open_images(noise[2:], patches=(8, 8)))
    # strips of another image, of the height of a tenth with the patches that reach into it, put together as those are
    np.save(tmp_path / "strips.npy", noise[2, :85].reshape(5, 17, 9))
    table = json.loads(done("evaluate", tmp_path / "m", tmp_path / "strips.npy", "--json")[0])
    other = next(row["value"] for row in table["rows"] if row["metric"] == "mse")
    for part in ("validation", "test"):
        assert 0.85 * other < extra[part]["mse"] < 1.25 * other


def test_the_printed_error_is_not_too_good(tmp_path, monkeypatch):
    """Over many small sets: what the best epoch was chosen by is too good, what chose nothing is as new images are."""
    monkeypatch.setattr(training_run, "preview", lambda *_: None)  # pictures that nobody looks at take half of the time
    data = load_digits()
    pixels = (data.images[:, None] / 16).astype(np.float32)
    selected, reported = [], []
    training = {"epochs": 40, "patience": 40, "learning_rate": 0.03, "batch_size": 12, "device": "cpu"}
    for seed in range(24):
        order = np.random.default_rng(seed).permutation(len(pixels))
        parts = hold_out(isthmus.Images(pixels[order[:60]]), seed)
        fresh = isthmus.Images(pixels[order[60:]])
        model = isthmus.Autoencoder(Dense((32,), 8, output="sigmoid"), **training, random_state=seed)
        fitted = training_run.fit(training_run.Job(model, parts, tmp_path / str(seed), 1, {}))
        extra = json.loads((tmp_path / str(seed) / "config.json").read_text())["extra"]
        expected = -fitted.model.score(fresh)
        assert fitted.head == "on 10 held-out images"
        printed = next(iter(fitted.errors.values()))["mse"].value
        assert extra["test"]["mse"] == printed
        selected.append(math.log(extra["validation"]["mse"] / expected))
        reported.append(math.log(printed / expected))
    assert student_t(selected) < -2.5
    assert student_t(reported) > -2
    assert abs(np.mean(reported)) < 0.5 * abs(np.mean(selected))


def test_the_printed_error_of_a_stack_is_not_too_good(tmp_path, monkeypatch):
    """Five pages show the same digit but for noise: what is held out is as new as pages of another stack."""
    monkeypatch.setattr(training_run, "preview", lambda *_: None)
    data = load_digits()
    clean = (data.images[:, None] / 16).astype(np.float32)
    training = {"epochs": 30, "learning_rate": 0.01, "batch_size": 12, "device": "cpu"}
    reported, singly = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(clean))

        def pages(digits, rng=rng):
            x = np.repeat(clean[digits], 5, axis=0)
            return np.clip(x + rng.normal(0, 0.02, x.shape), 0, 1).astype(np.float32)

        names = tuple(f"stack.tif#{page}" for page in range(1, 121))
        images, fresh = isthmus.Images(pages(order[:24]), names=names), isthmus.Images(pages(order[24:524]))
        part = Dense((32,), 16, output="sigmoid")
        for found, one in ((reported, images), (singly, isthmus.Images(images.pixels))):
            parts = hold_out(one, seed)
            model = isthmus.Autoencoder(part, **training, random_state=seed)
            fitted = training_run.fit(training_run.Job(model, parts, tmp_path / "m", 1, {}, force=True))
            printed = next(iter(fitted.errors.values()))["mse"].value
            found.append(math.log(printed / -fitted.model.score(fresh)))
    assert hold_out(images, 0).summary.endswith(": runs of neighbouring pages; 18 next to them are left out")
    assert student_t(singly) < -5, "pages held out one by one"
    assert student_t(reported) > -2
    assert abs(np.mean(reported)) < 0.4 * abs(np.mean(singly))


def test_of_a_short_stack_it_is_said_that_neighbours_are_in_two_parts():
    short = hold_out(images_of([f"a.tif#{page}" for page in (1, 2, 3)]), 0)
    assert "neighbouring pages of a file are in two parts, so expect larger errors on other files" in short.summary
    longer = hold_out(images_of([f"a.tif#{page}" for page in range(1, 7)]), 0)
    assert "selected on: runs of neighbouring pages; " in longer.summary
    assert sizes(longer)[1:] == (1, None)


def student_t(values):
    return np.mean(values) / (np.std(values, ddof=1) / math.sqrt(len(values)))


def test_the_numbers_of_a_pca_are_chosen_by_the_images_that_are_given_for_it():
    """Other images to choose by, and another PCA."""
    rng = np.random.default_rng(0)
    basis = rng.random((12, 25))

    def draw(n, rank):
        x = rng.random((n, rank)) @ basis[:rank] / rank
        return isthmus.Images(x.reshape(n, 1, 5, 5).astype(np.float32))

    train = draw(300, 12)

    def n_components(validation):
        found = yardsticks(train, validation, 10, GaussianNoise(0.05))
        return next(int(name.split()[1]) for name in found if name.startswith("PCA"))

    assert n_components(draw(60, 1)) != n_components(draw(60, 12))
