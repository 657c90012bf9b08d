"""A fit that stays at PCA's solution is PCA of all images that it was given but those that errors are measured on."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import isthmus
from isthmus import Autoencoder, Dense, Images
from isthmus.cli import run_command
from isthmus.commands.fitting import training_run
from isthmus.commands.fitting.training_record import trained_on_selected
from isthmus.commands.images.holdout import hold_out
from isthmus.training import checkpoint

N, K = 60, 6
QUICK = ("--epochs", 3, "--learning-rate", 1e-9, "--threads", 1, "--device", "cpu")
KEPT = ("--bottleneck", K, *QUICK)


def drawn(first, last):
    return (load_digits().images[first:last, None] / 16).astype(np.float32)


@pytest.fixture
def given(tmp_path):
    np.save(tmp_path / "given.npy", drawn(0, N))
    return tmp_path / "given.npy"


def extra(folder):
    return json.loads((folder / "config.json").read_text())["extra"]


def files_of(folder):
    return [(folder / name).read_bytes() for name in ("config.json", "model.safetensors", "preview.png")]


def pca_error(fitted_to, x):
    pca = PCA(K, svd_solver="covariance_eigh").fit(fitted_to.reshape(len(fitted_to), -1))
    x = x.reshape(len(x), -1)
    return np.square(pca.inverse_transform(pca.transform(x)) - x).mean()


def rows_of(table):
    return {name.strip(): number for name, number in re.findall(r"^(.+?)  +(0\.\d+)", table, re.M)}


@pytest.mark.parametrize("options", [(), ("--test", 0)])
def test_it_is_pca_of_all_images_but_those_that_are_measured_on(options, given, tmp_path, done):
    out, err = done("fit", given, "-o", tmp_path / "m", *KEPT, *options)
    parts = hold_out(Images(drawn(0, N)), 0, test=0 if options else None)
    fitted_to = parts.train if options else parts.train.followed_by(parts.validation)
    new, model = drawn(500, 900), isthmus.load(tmp_path / "m")
    assert -model.score(new) == pytest.approx(pca_error(fitted_to.pixels, new), rel=1e-4)
    assert abs(pca_error(fitted_to.pixels, new) / pca_error(drawn(0, N), new) - 1) > 0.002, "there is a difference"
    rows = rows_of(out)
    assert rows[f"m, {K} numbers"] == rows[f"PCA, {K} numbers"], "exactly level"
    of = "train on" if options else "train on and to choose by"
    assert f"this model is PCA of the images to {of}: no epoch was better" in err
    # what is remembered of them
    assert model.input_["n_samples"] == len(fitted_to)
    seen = extra(tmp_path / "m")["seen"]
    assert (seen["n_trained_on"], seen["n_selected_on"]) == (len(fitted_to), len(parts.validation) if options else 0)
    error = pca_error(parts.train.pixels, parts.validation.pixels)
    assert extra(tmp_path / "m")["validation"]["mse"] == pytest.approx(error, rel=1e-4), "before they were fitted to"
    chose = f", and {len(parts.validation)} more chose its best epoch" if options else ""
    err = done("evaluate", tmp_path / "m", given)[1]
    assert f"was trained on {len(fitted_to)} of these {N} images{chose}: expect larger errors" in err
    np.save(tmp_path / "measured.npy", parts.measured.pixels)
    err = done("evaluate", tmp_path / "m", tmp_path / "measured.npy")[1]
    assert ("best epoch was chosen by these" in err) is bool(options)
    assert "trained on" not in err


def test_a_network_that_learned_has_not_seen_what_chose(given, tmp_path, done):
    done("fit", given, "-o", tmp_path / "m", "--bottleneck", K, "--hidden", 5, "--epochs", 2, *QUICK[4:])
    parts = hold_out(Images(drawn(0, N)), 0)
    seen = extra(tmp_path / "m")["seen"]
    assert (seen["n_trained_on"], seen["n_selected_on"]) == (len(parts.train), len(parts.validation))
    assert isthmus.load(tmp_path / "m").input_["n_samples"] == len(parts.train)


@pytest.mark.parametrize("stopped_in", ["training", "the table"])
def test_one_that_is_stopped_ends_with_the_same_bytes(stopped_in, given, tmp_path, done, monkeypatch):
    whole, folder = tmp_path / "whole" / "m", tmp_path / "m"
    done("fit", given, "-o", whole, *KEPT)
    calls, module = [], training_run if stopped_in == "the table" else checkpoint.Checkpoints
    name = "yardsticks" if stopped_in == "the table" else "keep"
    original = getattr(module, name)

    def interrupted(*arguments, **named):
        calls.append(1)
        if stopped_in == "the table" or len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 0.0)
        patch.setattr(module, name, interrupted)
        assert run_command(["fit", str(given), "-o", str(folder), *map(str, KEPT)]) == 130
    _, err = done("fit", given, "-o", folder, *KEPT)
    assert ("goes on after its last epoch" if stopped_in == "the table" else "continues after epoch 2") in err
    assert files_of(folder) == files_of(whole)


@pytest.mark.parametrize("way", ["more epochs", "from", "from, with other images too"])
def test_one_that_goes_on_is_judged_by_images_that_it_does_not_begin_with(way, given, tmp_path, done):
    m = tmp_path / "m"
    done("fit", given, "-o", m, *KEPT)
    losses, seen, before = isthmus.load(m).history_.validation_losses, extra(m)["seen"], files_of(m)[1]
    new, options = (m, ("--epochs", 6)) if way == "more epochs" else (tmp_path / "n", ("--from", m, "--epochs", 3))
    if way.endswith("too"):
        np.save(given, drawn(0, N + 10))
    _, err = done("fit", given, "-o", new, *(KEPT if way == "more epochs" else QUICK), *options)
    np.testing.assert_allclose(isthmus.load(new).history_.validation_losses, losses[0], rtol=0.3)
    still = f"this model is still PCA, as {m} was, now of the images to train on and to choose by: no epoch was better"
    assert (still in err) is way.endswith("too")
    began = f"no epoch was better by more than chance than the weights that it began with, those of {m}, which are kept"
    assert (began in err) is not way.endswith("too")
    if way.endswith("too"):
        assert (extra(new)["seen"]["n_trained_on"], extra(new)["seen"]["n"]) == (N, N + 10)
        assert "was trained on 50 of them, none of which is measured on" in err
    else:
        assert (extra(new)["seen"], files_of(new)[1]) == (seen, before), "the very same PCA"


@pytest.mark.parametrize("options", [("--augmentation", "affine"), ("--corruption", "gaussian:0.5")])
def test_what_stays_pca_of_images_that_are_changed_by_chance_stays_the_same(options, given, tmp_path, done):
    """Each cycle drew other changes, so that another PCA was said to be kept."""
    m = tmp_path / "m"
    done("fit", given, "-o", m, *KEPT, *options)
    before = (m / "model.safetensors").read_bytes()
    _, err = done("fit", given, "-o", m, *KEPT[:2], "--epochs", 5, *KEPT[4:], *options)
    assert "which are kept" in err
    assert (m / "model.safetensors").read_bytes() == before


def test_one_that_goes_on_with_images_that_are_changed_is_another_pca(given, tmp_path, done):
    """Its weights were said to be kept."""
    m, new = tmp_path / "m", tmp_path / "n"
    done("fit", given, "-o", m, *KEPT)
    _, err = done("fit", given, "-o", new, *QUICK, "--from", m, "--epochs", 3, "--augmentation", "affine")
    now = "now of the images to train on and to choose by, augmented: no epoch was better"
    assert f"this model is still PCA, as {m} was, {now}" in err
    assert "which are kept" not in err
    assert "none better than the start, PCA's solution" in err
    x, (old, other) = isthmus.open_images(given), map(isthmus.load, (m, new))
    assert not np.allclose(old.reconstruct(x), other.reconstruct(x), atol=1e-3)


def test_in_python_explicit_validation_samples_stay_held_out():
    """Unless it is said that they need not."""
    X, validation, new = drawn(0, 50), drawn(50, N), drawn(500, 900)
    model = Autoencoder(Dense((16,), K, code_activation="linear"), recipe="fast", random_state=0)
    model.set_params(epochs=3, learning_rate=1e-9).fit(X, validation=validation)
    assert model.history_.kept_start
    assert -model.score(new) == pytest.approx(pca_error(X, new), rel=1e-4)
    rows = list(model.fit_epochs(X, validation=validation, refit=True))
    assert len(rows) == 3
    assert -model.score(new) == pytest.approx(pca_error(drawn(0, N), new), rel=1e-4)
    assert model.fitted_.pca_of_all
    assert model.input_["n_samples"] == N


def test_what_is_remembered_of_many_images_without_names_stays_unknown():
    table = {"n": 9, "n_trained_on": 6, "n_selected_on": 2, "left_out": None, "selected_on": None}
    table |= {"trained": None, "selected": None}
    assert trained_on_selected(table) == table | {"n_trained_on": 8, "n_selected_on": 0}
