"""The study of codes in nats: one network for all, a price for some, and Burda's two likelihoods as published."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from isthmus.cli import run_command
from isthmus.parts import BCE, Gaussian, Plain
from isthmus.studies.results.results_json import read_results
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


@pytest.fixture(scope="module")
def on_digits(tmp_path_factory):
    """The same study of a few built-in digits, all models trained for some passes."""
    folder = tmp_path_factory.mktemp("variational")
    text = (resources.files("isthmus.studies.catalog") / "variational.toml").read_text("utf-8")
    changes = {
        r'name = "mnist".*\nsplit = "file"': 'name = "digits"\ntrain = 200\ntest = 100',
        r'recipe = "fast"\n(\w+ = [\de.-]+.*\n)*': "epochs = 15\nlearning_rate = 5e-3\nbatch_size = 20\n",
        r"epochs = 800": "epochs = 15",
        r"batch_size = 256": "batch_size = 20",
        r"bottleneck = 50": "bottleneck = 20",
        r"n_components = 50": "n_components = 20",
        r"n_vectors = 256": "n_vectors = 16",
        r"hidden = \[200, 200\]": "hidden = [40]",
        r"n_samples = 5000": "n_samples = 20",
        r"(?s)\[\[reference\]\].*?\n\n": "",
    }
    for pattern, word in changes.items():
        text, n = re.subn(pattern, word, text)
        assert n, pattern
    text = text.replace('[[model]]\nname = "beta-4"', FIXED + '[[model]]\nname = "beta-4"')
    (folder / "small.toml").write_text(text)
    command = ["run", str(folder / "small.toml"), "--out", str(folder), "--threads", "1", "--workers", "1"]
    assert run_command(command) == 0
    return folder / "small"


FIXED = """[[model]]
name = "beta-fixed"
estimator = "autoencoder"
network = {kind = "dense", hidden = [40], bottleneck = 20, code_activation = "linear", output = "sigmoid"}
code = {kind = "gaussian"}
loss = {kind = "bce", binary = "fixed"}
epochs = 15
label = "pixels drawn once"

"""


def test_it_runs_on_digits_and_every_kind_of_model_has_its_figures(on_digits):
    results = read_results(on_digits)
    schema = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads((on_digits / "results.json").read_text("utf-8")), schema)
    figures = {}
    for row in results.rows:
        if row.of_code and (row.split, row.corruption) == ("test", None):
            figures.setdefault(row.model, {})[row.metric] = row.value
    in_nats = {"vae-50", "beta-0.25", "beta-fixed", "beta-4", "beta-10", "iwae-50"}
    assert figures.keys() == in_nats | {"vq-50"}
    assert {metric for model in in_nats for metric in figures[model]} == {"silent_units"}
    assert figures["beta-0.25"]["silent_units"] < figures["beta-10"]["silent_units"] <= 20
    assert results.value("beta-10", "dead_units", "test") == 0, "a silent unit is not dead"
    used = figures["vq-50"]
    assert 10 < used["perplexity"] * 10 <= used["vectors_in_use"] <= 160
    assert {row.model for row in results.rows if row.metric == "nll"} == in_nats
    assert all(results.value(model["name"], "linear_probe", "test") for model in results.models)


def test_its_report_has_the_figures_and_says_when_pixels_were_drawn(on_digits):
    page = (on_digits / "report.html").read_text("utf-8")
    assert all(f"<th>{words}</th>" in page for words in ("silent<br>units", "vectors<br>in<br>use", "perplexity"))
    assert "<dt>silent units</dt>" in page
    targets = {model["name"]: model.get("targets") for model in read_results(on_digits).models}
    assert targets["pca-50"] is targets["plain-50"] is None
    anew, once = targets["vae-50"], targets["beta-fixed"]
    assert anew.endswith("as 0 or 1 anew in each epoch")
    assert once.endswith("as 0 or 1 once for all")
    assert f"In training, {anew}." in page
    assert f"In training, {once}." in page


@pytest.mark.mnist
@pytest.mark.slow
def test_it_runs_on_mnist(tmp_path):
    assert os.environ.get("ISTHMUS_DATA"), "set ISTHMUS_DATA to a folder that holds MNIST"
    assert run_command(["run", "variational", "--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
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
