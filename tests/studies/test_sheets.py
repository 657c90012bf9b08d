"""The shipped studies on MNIST: each runs from end to end, and what is cheap enough agrees with what was published."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from isthmus.cli import run_command
from isthmus.studies.results.results_json import read_results
from isthmus.studies.spec.figures import FIGURES
from isthmus.studies.spec.parser import load_study
from tests.conftest import CHROMIUM

SCHEMA = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
SHEETS = ("compress", "lab", "imaging", "sparse-denoise", "prior-denoise")
ONE = ("--threads", "1")  # in this process: others have to import torch, and another test has the second core


@pytest.mark.mnist
@pytest.mark.parametrize("name", SHEETS)
def test_a_quick_run_draws_every_figure(name, tmp_path, request):
    """Every model, measure, figure and comparison of the study, in one epoch on few images, on six pages at most."""
    study = load_study(name)
    assert run_command(["run", name, "--quick", *ONE, "--out", str(tmp_path), "--json"]) == 0
    folder = tmp_path / name
    results = read_results(folder)
    Draft202012Validator(SCHEMA).validate(json.loads((folder / "results.json").read_text("utf-8")))
    assert results.complete
    seen = {row.model: row.seen for row in results.rows if (row.metric, row.split) == ("mse", "test")}
    assert seen == {model.name: study.pools(model) for model in study.models}
    assert {facts["name"] for facts in results.figures} == {figure.name for figure in study.figures}
    for facts in results.figures:
        with np.load(folder / "figures" / f"{facts['name']}.npz") as arrays:
            assert set(facts["rows"]) <= set(arrays.files)
        assert (folder / "figures" / f"{facts['name']}.png").stat().st_size > 1000
    assert {reference["agrees"] for reference in results.references} <= {None}
    assert len(results.references) == len(study.references)
    # all but lists of epochs, of which there is one
    assert all(r["measured"] is not None for r in results.references if "epochs" not in r)
    html = (folder / "report.html").read_text("utf-8")
    for section in study.sections:
        assert f'id="{section.name}"' in html
    for figure in study.figures:
        assert f'id="{figure.name}"' in html
    if CHROMIUM:
        assert 2 <= request.getfixturevalue("pages_in_print")(folder) <= 6


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "models", "ids"),
    [
        ("lab", ["pca-30", "dense-64", "dense-128", "dense-256", "manifold-8", "dae-1"], 11),
        ("imaging", ["pca-30", "ae2-64", "manifold-8"], 3),
    ],
)
def test_cheap_models_agree_with_what_was_published(name, models, ids, tmp_path):
    only = [word for model in models for word in ("--only", model)]
    assert run_command(["run", name, *only, *ONE, "--out", str(tmp_path), "--json"]) == 0
    results = read_results(tmp_path / name)
    judged = {r["id"]: r["agrees"] for r in results.references if r["agrees"] is not None}
    assert len(judged) == ids
    assert set(judged.values()) == {True}, results.references
    if name == "lab":  # one ReLU unit, which dies
        (dae,) = (facts for facts in results.models if facts["name"] == "dae-1")
        assert dae["collapsed"]["what"] == "the one unit of its code is zero for every image"


def test_digits_shows_every_kind_of_figure_and_every_family():
    study = load_study("digits")
    assert {figure.kind for figure in study.figures} == set(FIGURES) - {"photograph-crops"}
    networks = {type(model.arguments.get("network")).__name__ for model in study.models}
    assert {"Dense", "Conv", "Dictionary"} <= networks
    assert {model.estimator for model in study.models} == {
        "autoencoder", "decoder-prior", "dictionary-learning", "identity", "pca"
    }  # fmt: skip
    assert {type(model.arguments.get("penalty")).__name__ for model in study.models} >= {"L1", "KL"}
