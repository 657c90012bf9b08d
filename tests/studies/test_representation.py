"""What codes are worth, as a study measures it: the library's own numbers, with how they were measured, or why not."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

import isthmus
from isthmus.analysis.representation import METRICS
from isthmus.data.sources.registry import load
from isthmus.data.splits import split_dataset
from isthmus.errors import RequestError
from isthmus.report.html_page import write_report
from isthmus.studies.spec.parser import load_study
from isthmus.studies.spec.quantities import REPRESENTATION

WORTH = """
[[measure]]
metrics = ["linear_probe", "knn", "silhouette", "trustworthiness", "effective_rank"]
"""
MORE = """
[[measure]]
models = ["pca-4"]
metrics = ["knn"]
split = "train"
[[model]]
name = "prior"
estimator = "decoder-prior"
of = "dense-4"
"""


def test_a_study_says_what_codes_are_worth(run, folder, tools):
    results = run(tools.SMALL.replace(tools.NOISE, "") + WORTH + MORE)
    train = split_dataset(load("digits"), train=300, validation=60, seed=3)["train"]
    test = load("digits").test.take(slice(0, 120))
    for name in ("nothing", "pca-4", "dense-4"):
        coder = None if name == "nothing" else isthmus.load(folder / "models" / name)
        expected = isthmus.representation(coder, train, None, test)
        rows = {metric: results.row(name, metric, "test") for metric in REPRESENTATION}
        assert {metric for metric, row in rows.items() if row.value is None} == set(expected.omitted)
        for metric, estimate in expected.estimates.items():
            assert (rows[metric].value, rows[metric].ci95, rows[metric].n) == (estimate.value, estimate.ci95, 120)
        assert rows["knn"].note.startswith("by classifiers of 300 images to train on")
        assert rows["knn"].held_out
    assert results.row("nothing", "trustworthiness", "test").note == "the codes are the samples themselves"
    assert results.row("pca-of", "effective_rank", "test").value <= 2
    across = results.row("pca-4", "knn", "train")
    assert across.note.startswith("by classifiers in 5 folds of 300 images")
    assert across.seen
    searched = results.row("prior", "knn", "test")
    assert (searched.value, searched.note) == (None, "its codes are searched for, which takes too long")
    schema = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(json.loads((folder / "results.json").read_text("utf-8")))


def test_over_seeds_it_is_still_said_how_it_was_measured(run, folder, tools):
    results = run(tools.HEAD + tools.PCA + WORTH, seeds=2)
    (mean,) = [row for row in results.rows if (row.metric, row.seed) == ("knn", None)]
    assert mean.note == results.row("pca-4", "knn", "test").note
    assert mean.note.startswith("by classifiers of 300 images to train on")
    schema = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(json.loads((folder / "results.json").read_text("utf-8")))
    assert f">{mean.note}</small></td><td>test" in write_report(folder).read_text("utf-8")


def test_what_was_measured_is_not_measured_again(run, tools, monkeypatch):
    text = tools.HEAD + tools.PCA + WORTH
    before = run(text)
    monkeypatch.setattr("isthmus.studies.results.rows.representation", None)  # which nothing may call
    assert run(text).rows == before.rows
    assert before.row("pca-4", "knn", "test").value > 0.3


def test_it_is_of_clean_images(study, tools):
    wrong = WORTH + 'corruption = {kind = "gaussian"}\nlevels = [0.1]\n'
    with pytest.raises(RequestError, match="corruption of a measure must be left out with linear_probe"):
        load_study(str(study(tools.HEAD + tools.PCA + wrong)))
    asked = '[[reference]]\nid = "r"\nmodel = "pca-4"\nmetric = "knn"\nvalue = 0.9\nrtol = 0.1\n'
    with pytest.raises(RequestError, match=r"no \[\[measure\]\] asks for knn of pca-4 on test images"):
        load_study(str(study(tools.HEAD + tools.PCA + asked)))
    assert load_study(str(study(tools.HEAD + tools.PCA + WORTH + asked))).references


def test_the_names_are_those_of_the_function():
    assert REPRESENTATION == METRICS
