"""The record's study: thirty numbers and nothing else, no test image in a choice, epochs that fit the time."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from isthmus.cli import run_command
from isthmus.estimators.parameters import training_of
from isthmus.networks import build
from isthmus.parts import Affine, Training
from isthmus.rng import generator
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.parser import load_study

PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "published.json").read_text())
SECONDS = {"thirty-fast": 30, "thirty-minute": 60, "thirty-best": 600}
SPEED = 85e9  # operations a second: two cores with AVX2, float32, Adam and augmentation included


@pytest.fixture(scope="module")
def study():
    return load_study("thirty")


def trained(study):
    return [model for model in study.models if model.training]


def test_the_decoder_sees_thirty_numbers_and_nothing_else(study):
    for model in trained(study):
        network = build(model.arguments["network"], 784, generator(0, "init"), (1, 28, 28))
        assert (network.code_size, network.n_switches) == (30, 0), model.name
    assert study.model("pca-30").arguments["n_components"] == 30
    for model in study.models:
        if model.estimator == "decoder-prior":
            assert f"{model.of}-searched" == model.name, "its one pass stands beside it"


def test_no_test_image_is_in_a_choice(study):
    assert (study.data.name, study.data.pool_test, study.data.train, study.data.test) == ("mnist", False, None, None)
    for model in study.models:
        assert not study.pools(model)
        assert model.training is None or (model.training.patience, model.training.validation_fraction) == (None, None)
        assert "patience" not in model.arguments


def test_augmentation_is_all_that_the_twins_differ_in(study):
    with_it, without = study.model("thirty-minute"), study.model("thirty-minute-as-written")
    assert isinstance(with_it.arguments["augmentation"], Affine)
    rest = {key: value for key, value in with_it.arguments.items() if key != "augmentation"}
    assert rest == without.arguments


@pytest.mark.parametrize("name", SECONDS)
def test_the_epochs_fit_the_time(name, study):
    """By arithmetic: six operations for each product, image and epoch. What a machine takes is in results.json."""
    model = study.model(name)
    work = 6 * model.arguments["network"].multiplications(784, None) * 60_000 * model.training.epochs
    assert 0.7 * SECONDS[name] < work / SPEED < SECONDS[name]


def test_published_numbers_are_the_references(study):
    numbers = {key: fact for key, fact in PUBLISHED.items() if key.startswith("thirty.")}
    assert {reference.id: (reference.value, reference.rtol) for reference in study.references} == {
        key: (fact["value"], fact["rtol"]) for key, fact in numbers.items()
    }
    for reference in study.references:
        per_image = {"pca-30": 13.87, "thirty-minute": 3.00}[reference.model]
        assert reference.value == pytest.approx(per_image / 784, abs=5e-6)
        assert (reference.split, reference.metric) == ("test", "mse")


def test_every_model_is_trained_as_the_study_says_and_in_nothing_else_as_it_is_not_said(study):
    plain = Training()
    for model in trained(study):
        made = estimator(model, seed=5)
        assert (made.get_params()["network__bottleneck"], made.random_state) == (30, 5)
        training = training_of(made, (60_000, 784))
        assert training.epochs == model.arguments["epochs"] > 1
        said = {name: value for name, value in model.arguments.items() if name in plain.table()}
        assert {"batch_size", "learning_rate", "schedule"} <= set(said)
        assert training == dataclasses.replace(plain, **{**said, "device": "cpu"})
        for role in ("network", "augmentation", "penalty"):
            assert getattr(made, role) == model.arguments.get(role)


@pytest.mark.mnist
@pytest.mark.slow
def test_it_runs_and_a_search_of_the_fast_decoder_beats_what_was_published(tmp_path):
    assert os.environ.get("ISTHMUS_DATA"), "set ISTHMUS_DATA to a folder that holds MNIST"
    out = ["--out", str(tmp_path), "--threads", "1"]  # in this process: another test has the second core
    assert run_command(["run", "thirty", "--quick", *out]) == 0
    assert (tmp_path / "thirty" / "report.html").is_file()
    assert run_command(["run", "thirty", "--only", "pca-30", "--only", "thirty-fast*", "--fresh", *out]) == 0
    table = json.loads((tmp_path / "thirty" / "results.json").read_text())
    assert {one["id"]: one["agrees"] for one in table["references"]}["thirty.pca-30.mse"]
    errors = {row["model"]: row["value"] for row in table["rows"] if (row["metric"], row["split"]) == ("mse", "test")}
    assert errors["thirty-fast-searched"] < 0.0033 < errors["thirty-fast"] < 0.0055 < errors["pca-30"]
