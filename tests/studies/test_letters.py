"""The demo: a study of letters that has every family, and whose numbers and picture the first pages show."""

import re
from pathlib import Path

import pytest

from benchmarks.demo import ROWS, picture
from isthmus import GaussianNoise, load_dataset
from isthmus.cli import run_command
from isthmus.commands.fitting.baselines import yardsticks
from isthmus.data.splits import split_dataset
from isthmus.studies.results.results_json import read_results
from isthmus.studies.spec.parser import load_study
from tests.conftest import CHROMIUM

ROOT = Path(__file__).parents[2]


def page_errors():
    """The test MSE of each model, as the start page shows it."""
    page = (ROOT / "docs" / "start.md").read_text("utf-8")
    table = page.split("<!-- benchmarks.demo: begin -->")[1].split("<!-- benchmarks.demo: end -->")[0]
    return {name: float(error) for name, error in re.findall(r"^([\w-]+) +(\d\.\d{6}) ", table, re.M)}


def test_it_has_every_family_and_is_the_demo():
    study = load_study("letters")
    parts = [model.arguments for model in study.models]
    assert {type(part.get("network")).__name__ for part in parts} >= {"Dense", "Conv", "Dictionary"}
    assert {type(part.get("code")).__name__ for part in parts} >= {"Gaussian"}
    assert {type(part.get("penalty")).__name__ for part in parts} >= {"L1"}
    assert {type(part.get("corruption")).__name__ for part in parts} >= {"GaussianNoise"}
    assert {model.estimator for model in study.models} == {"autoencoder", "identity", "pca"}
    assert "isthmus run letters" in (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
    assert page_errors().keys() == {model.name for model in study.models}
    assert {row[0] for row in ROWS} <= {figure.name for figure in study.figures}


def test_a_part_of_it_runs_without_a_download(tmp_path, monkeypatch):
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    options = ["--quick", "--only", "pca-16", "--only", "dense-16", "--threads", "1", "--out", str(tmp_path)]
    assert run_command(["run", "letters", *options]) == 0
    results = read_results(tmp_path / "letters")
    assert results.data["image_shape"] == [1, 28, 28]
    assert 0.02 < results.value("pca-16", "mse", "test") < 0.04
    assert "built into isthmus" in (tmp_path / "letters" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(("n", "sigma"), [(111, 0.3), (45, 0.5)])
def test_the_pcas_that_a_denoiser_is_held_against_have_the_numbers_that_denoise_best(n, sigma):
    splits = split_dataset(load_dataset("letters"), train=3000, validation=250, seed=0)
    noise = GaussianNoise(sigma, clip=True)
    names = yardsticks(splits["train"], splits["validation"], 784, noise)
    assert f"PCA, {n} numbers" in names
    assert load_study("letters").model(f"pca-{n}").arguments["n_components"] == n


@pytest.mark.slow
def test_the_whole_of_it_finds_what_the_first_pages_show(tmp_path, request):
    assert run_command(["run", "letters", "--threads", "1", "--out", str(tmp_path)]) == 0
    if CHROMIUM:
        assert 3 <= request.getfixturevalue("pages_in_print")(tmp_path / "letters") <= 6
    results = read_results(tmp_path / "letters")
    assert results.value("deep-16", "mse", "test") < results.value("pca-16", "mse", "test") / 2
    noisy, clear = (results.row(name, "mse", "test", "gaussian(0.5)").value for name in ("identity", "denoising-128"))
    assert clear < noisy / 4
    for pca, label in (("pca-111", "gaussian(0.3)"), ("pca-45", "gaussian(0.5)")):
        of = {name: results.row(name, "mse", "test", label).value for name in (pca, "pca-16", "denoising-128")}
        assert of["denoising-128"] < of[pca] < of["pca-16"]
    assert not any(facts["collapsed"] for facts in results.models)
    errors = page_errors()
    assert results.value("pca-16", "mse", "test") == pytest.approx(errors["pca-16"], abs=2e-6)
    for name, error in errors.items():
        assert results.value(name, "mse", "test") == pytest.approx(error, rel=0.1), name
    assert len(picture(tmp_path / "letters").axes) == len(ROWS)
