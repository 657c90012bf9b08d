"""What an image was for a model (fitted on, selected on, or neither) is said wherever its error stands."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from isthmus import console
from isthmus.cli import run_command
from isthmus.report import sentences
from isthmus.report.html_page import write_report
from isthmus.report.numbers import number
from isthmus.studies.results.results_json import read_results

MODELS = """
[[model]]
name = "patient"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 30
learning_rate = 0.01
patience = 30
[[model]]
name = "of-it"
estimator = "pca"
n_components = 2
of = "patient"
[[model]]
name = "best"
estimator = "pca"
n_components = "best"
corruption = {kind = "gaussian", sigma = 0.3}
[[model]]
name = "plain"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 30
learning_rate = 0.01
[[model]]
name = "pooled"
estimator = "pca"
n_components = 8
pool_test = true
"""
REST = """
[[section]]
name = "all"
title = "All"
models = ["*"]
[[measure]]
metrics = ["mse"]
split = "validation"
[[measure]]
metrics = ["mse"]
split = "train"
[[measure]]
metrics = ["mse"]
corruption = {kind = "gaussian"}
levels = [0.01]
[[compare]]
models = ["patient", "plain"]
split = "validation"
"""
HEAD = """
title = "Chosen"
[data]
name = "digits"
train = 200
validation = 60
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a study of this text: its folder."""

    def run(text):
        where = tmp_path_factory.mktemp("chosen")
        (where / "chosen.toml").write_text(text)
        assert run_command(["run", str(where / "chosen.toml"), "--out", str(where), "--threads", "1"]) == 0
        return where / "chosen"

    return run


@pytest.fixture(scope="module")
def finished(run):
    return run(HEAD + MODELS + REST)


def known(results, split):
    """{model: (seen, selected)} of clean images."""
    wanted = ("mse", split, None)
    return {
        row.model: (row.seen, row.selected) for row in results.rows if (row.metric, row.split, row.corruption) == wanted
    }


def test_a_row_says_what_its_images_were_for_its_model(finished):
    results = read_results(finished)
    nothing, chosen, fitted = (False, False), (False, True), (True, False)
    others = {"patient": chosen, "of-it": chosen, "best": chosen, "plain": nothing, "pooled": nothing}
    assert known(results, "validation") == others
    assert known(results, "test") == dict.fromkeys(others, nothing) | {"pooled": fitted}
    assert known(results, "train") == dict.fromkeys(others, fitted)


def test_a_share_of_the_training_images_may_have_chosen(run):
    text = HEAD.replace("validation = 60\n", "") + MODELS.split('[[model]]\nname = "of-it"')[0]
    text = text.replace("patience = 30", "patience = 30\nvalidation_fraction = 0.2")
    results = read_results(run(text + '[[measure]]\nmetrics = ["mse"]\nsplit = "train"\n'))
    assert known(results, "train") == {"patient": (True, True)}
    assert known(results, "test") == {"patient": (False, False)}


def test_the_schema_knows_it_and_does_without(finished):
    validator = Draft202012Validator(
        json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text())
    )
    table = json.loads((finished / "results.json").read_text())
    assert validator.is_valid(table)
    table["rows"][0]["selected"] = True  # of a count
    assert not validator.is_valid(table)
    for row in table["rows"]:
        del row["selected"]
    assert validator.is_valid(table)


@pytest.fixture
def rewritten(finished, tmp_path):
    """Write the page of the run with changed rows: its text, and its results."""

    def rewrite(change):
        copy = shutil.copytree(finished, tmp_path / "copy")
        table = json.loads((copy / "results.json").read_text())
        for row in table["rows"]:
            change(row)
        (copy / "results.json").write_text(json.dumps(table))
        html = write_report(copy).read_text("utf-8").split("<body", 1)[1]
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split()), read_results(copy)

    return rewrite


def test_tables_say_it(rewritten):
    text, results = rewritten(lambda row: None)
    assert console.summary(results).count("(test images seen)") == 1
    assert "pooled test images seen" in text
    value = next(
        row.value for row in results.rows if (row.model, row.metric, row.split) == ("best", "mse", "validation")
    )
    assert f"{number(value)} selected on" in text
    assert text.count("selected on") == 3 + 1 + 1  # of three models in a table, one in a comparison, and the definition
    assert "patient selected on − plain" in text


def test_a_file_of_an_earlier_version_is_read(rewritten):
    text, results = rewritten(lambda row: row.pop("selected"))
    assert {row.selected for row in results.rows} == {None}
    assert {"selected" in row.table() for row in results.rows} == {False}
    assert text.count("selected on") == 1
    assert "pooled test images seen" in text


@pytest.mark.parametrize("name", ["seen", "selected", None])
def test_what_was_not_held_out_is_not_ranked(name, rewritten):
    """The best model by far has had the test images: no sentence puts it before those that have not."""

    def change(row):
        if row["model"] == "plain" and row["split"] == "test":
            row |= {} if name is None else {name: True}
            if row["metric"] == "mse":
                row.update(value=1e-6, ci95=None)

    text, results = rewritten(change)
    names = [facts["name"] for facts in results.models]
    said = " ".join(sentences.findings(results) + sentences.section(results, names))
    assert ("plain is the " in said) == (name is None)
    mark = {"seen": "test images seen", "selected": "selected on", None: ""}[name]
    assert f"plain {mark}" in text
    shown = {"seen": "(test images seen)", "selected": "(selected on test images)", None: ""}[name]
    assert next(line for line in console.summary(results).splitlines() if line.startswith("plain ")).endswith(shown)
