"""`isthmus evaluate` of models whose codes have a prior: nll beside the errors, or in words why it has no meaning."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

import isthmus
from isthmus import Autoencoder, Dense, Gaussian
from tests.commands.conftest import fitted


@pytest.fixture(scope="module")
def variational(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("models") / "variational"
    images = isthmus.open_images(digits)
    Autoencoder(Dense((16,), 3), code=Gaussian(noise="learned"), epochs=30, random_state=0).fit(images).save(folder)
    return folder


@pytest.mark.parametrize(("draws", "given"), [(200, ()), (7, ("--n-samples", 7))])
def test_nll_stands_beside_the_errors_with_its_draws(draws, given, variational, digits, done):
    out, _ = done("evaluate", variational, digits, "--corruption", "gaussian:0.2", *given)
    table = json.loads(done("evaluate", variational, digits, "--json", *given)[0])
    row = next(row for row in table["rows"] if row["metric"] == "nll")
    each = -isthmus.load(variational).log_likelihood(isthmus.open_images(digits), n_samples=draws)
    assert (row["n"], row["n_samples"], row["corruption"]) == (90, draws, None)
    assert row["value"] == pytest.approx(each.mean(), rel=1e-5)
    margin = 1.987 * each.std(ddof=1) / np.sqrt(90)
    np.testing.assert_allclose(row["ci95"], [row["value"] - margin, row["value"] + margin], rtol=1e-3)
    line = f"nll, nats by {draws} draws  {row['value']:.2f} ({row['ci95'][0]:.2f} to {row['ci95'][1]:.2f})"
    assert line in out.splitlines(), "and nothing under noise, of which it is no likelihood"
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["mse", "psnr", "ssim", "nll,"]


def test_others_have_none_and_it_is_said_where_draws_were_asked_for(model, variational, digits, done, refused):
    out, err = done("evaluate", model, digits)
    assert "nll" not in out + err
    out, err = done("evaluate", model, digits, "--n-samples", 9)
    assert f"not measured: nll: {model} has no likelihood; a model with --code gaussian has one" in err
    assert "--n-samples must be at least 1, got 0" in refused("evaluate", variational, digits, "--n-samples", 0)


def test_progress_is_told_image_by_image(variational, digits):
    told = []
    images, loaded = isthmus.open_images(digits), isthmus.load(variational)
    loaded.log_likelihood(images, n_samples=500, on_progress=lambda *done: told.append(done))
    assert told[-1] == (90, 90)
    assert len(told) > 10
    assert told == sorted(told)


def test_of_patches_it_is_said_why_there_is_no_likelihood_and_no_probe(tmp_path, photographs, digits, done):
    for label, name in (("east", "china.jpg"), ("garden", "flower.png")):
        (tmp_path / "data" / label).mkdir(parents=True)
        shutil.copy(photographs / name, tmp_path / "data" / label)
    patches, data = ["--patches", "8x8", "--epochs", 1, "--bottleneck", 4], tmp_path / "data"
    folder = fitted(tmp_path / "patches", data, *patches, "--code", "gaussian")
    out, err = done("evaluate", folder, data)
    assert "nll" not in out
    words = "not measured: nll: it is of a patch, and photographs are put together of patches that overlap"
    assert words in err
    probes = r"not measured: linear_probe, knn, silhouette, trustworthiness, effective_rank: labels are of photographs"
    assert re.search(probes + ", and codes of patches", err), "a sub-folder is a label"
    omitted = json.loads(done("evaluate", folder, data, "--json")[0])["omitted"]
    assert omitted.keys() == {"nll", *isthmus.analysis.representation.METRICS}
    grey = fitted(tmp_path / "grey", digits / "one", "--patches", "8x8", "--epochs", 1)
    assert "not measured" not in done("evaluate", grey, digits / "one")[1], "no likelihood, and no labels"
