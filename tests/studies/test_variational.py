"""The study of codes in nats: one network for all, a price for some, and Burda's two likelihoods as published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isthmus.cli import run_command
from isthmus.parts import BCE, Gaussian, Plain
from isthmus.studies.spec.parser import load_study

PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "published.json").read_text())


@pytest.fixture(scope="module")
def study():
    return load_study("variational")


def test_every_network_is_that_of_the_plain_one_and_has_a_pca_of_its_size(study):
    networks = {model.name: model.arguments["network"] for model in study.models if model.training}
    assert set(networks.values()) == {networks["plain-50"]}
    network = networks["plain-50"]
    assert (network.hidden, network.bottleneck, network.activation) == ((200, 200), 50, "tanh"), "as published"
    assert study.model("pca-50").arguments["n_components"] == network.bottleneck


def test_prices_and_draws_are_all_that_codes_in_nats_differ_in(study):
    codes = {model.name: model.code for model in study.models if model.training}
    assert codes.pop("plain-50") == Plain()
    codes.pop("vq-50")
    prices = {"vae-50": 1.0, "beta-0.25": 0.25, "beta-4": 4.0, "beta-10": 10.0}
    assert codes == {**{name: Gaussian(beta=beta) for name, beta in prices.items()}, "iwae-50": Gaussian(samples=50)}
    assert {model.arguments["loss"] for model in study.models if model.training} == {BCE()}


def test_published_likelihoods_are_the_references_and_measured_as_published(study):
    numbers = {key: fact for key, fact in PUBLISHED.items() if key.startswith("variational.")}
    assert {one.id: (one.value, one.atol) for one in study.references} == {
        key: (fact["value"], fact["atol"]) for key, fact in numbers.items()
    }
    assert {(one.metric, one.split) for one in study.references} == {("nll", "test")}
    assert [one.n_samples for one in study.measures if "nll" in one.metrics] == [5000]
    assert (study.data.name, study.data.train, study.data.test, study.data.pool_test) == ("mnist", None, None, False)


def test_every_code_in_nats_has_its_units_shown(study):
    in_nats = {model.name for model in study.models if model.code and model.code.in_nats}
    (shown,) = [figure.models for figure in study.figures if figure.kind == "nats"]
    assert set(shown) == in_nats


@pytest.mark.mnist
@pytest.mark.slow
def test_it_runs_on_mnist(tmp_path):
    assert os.environ.get("ISTHMUS_DATA"), "set ISTHMUS_DATA to a folder that holds MNIST"
    assert run_command(["run", "variational", "--quick", "--out", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "variational" / "results.json").read_text())
    rows = {(row["model"], row["metric"]): row for row in table["rows"] if row["split"] == "test"}
    assert {model for model, metric in rows if metric == "nll"} == {
        "vae-50",
        "iwae-50",
        "beta-0.25",
        "beta-4",
        "beta-10",
    }
    assert all(rows["vae-50", metric]["value"] for metric in ("mse", "nll", "linear_probe"))
    page = (tmp_path / "variational" / "report.html").read_text("utf-8")
    assert all(f'id="{figure.name}"' in page or figure.title in page for figure in load_study("variational").figures)
