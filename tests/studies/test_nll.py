"""The likelihood of a study's models: in nats of an image, with its draws, in results.json and in the report."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema
import numpy as np
import pytest

from isthmus import load
from isthmus.errors import RequestError
from isthmus.report.html_page import write_report

VARIATIONAL = """
[[model]]
name = "variational"
estimator = "autoencoder"
network = {kind = "dense", hidden = [16], bottleneck = 3}
code = {kind = "gaussian", noise = "learned"}
epochs = 30
batch_size = 32
learning_rate = 0.01
"""
NLL = '[[measure]]\nmetrics = ["mse", "nll"]\nn_samples = 7\n'


def test_it_is_minus_the_mean_of_the_likelihoods_and_comes_with_its_draws(run, folder, tools):
    results = run(tools.HEAD + tools.IDENTITY + VARIATIONAL + NLL)
    assert [(row.model, row.split, row.n_samples) for row in results.rows if row.metric == "nll"] == [
        ("variational", "test", 7)
    ]
    row = results.row("variational", "nll", "test")
    (config,) = folder.rglob("variational/config.json")
    fitted = load(config.parent)
    variance = float(fitted.network_.code.noise.variance)
    assert 0.01 < variance < 0.1, "it was learned"
    low, high = row.ci95
    assert row.n == 120
    assert low < row.value < high
    # of the noise alone, an image is as unlikely as its error says
    bits = 32 * np.log(2 * np.pi * variance) + 32 * results.value("variational", "mse", "test") / variance
    assert bits < row.value < bits + 20
    table = json.loads((folder / "results.json").read_text())
    schema = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(table)
    assert run(tools.HEAD + tools.IDENTITY + VARIATIONAL + NLL).row("variational", "nll", "test") == row, (
        "and from the cache"
    )
    more = run(tools.HEAD + tools.IDENTITY + VARIATIONAL + NLL.replace("7", "200")).row("variational", "nll", "test")
    assert (more.n_samples, more.value < row.value) == (200, True), "more draws are nearer to the likelihood"
    page = write_report(folder).read_text("utf-8")
    assert "nats,<br>by 200 draws" in page
    assert f"{more.value:.2f}" in page


def test_a_section_of_models_with_likelihoods_shows_them_too(run, folder, tools):
    section = '[[section]]\nname = "nats"\ntitle = "Nats"\ntext = "These."\nmodels = ["{}"]\n'
    for models, n_tables in (("variational", 2), ("nothing", 1)):
        run(tools.HEAD + section.format(models) + tools.IDENTITY + VARIATIONAL + NLL)
        assert write_report(folder).read_text("utf-8").count("nats,<br>by 7 draws") == n_tables


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ('metrics = ["nll"]\n', "n_samples must be at least 1, given with"),
        ('metrics = ["mse"]\nn_samples = 5\n', "n_samples must be at least 1, given with"),
        ('metrics = ["nll"]\nn_samples = 0\n', "n_samples must be at least 1, given with"),
        ('metrics = ["nll"]\nn_samples = 5\ncorruption = {kind = "gaussian", sigma = 0.1}\n', "and no corruption"),
        (
            'metrics = ["nll"]\nn_samples = 5\n[[measure]]\nmetrics = ["nll"]\nsplit = "train"\nn_samples = 6\n',
            r"n_samples must be the same wherever nll is measured, got \[5, 6\]",
        ),
        ('metrics = ["nll"]\nn_samples = 5\nmodels = ["nothing"]\n', r"the models of nll must be with code Gaussian"),
    ],
    ids=["no-draws", "not-of-mse", "none", "noisy", "two", "of-no-likelihood"],
)
def test_what_is_no_likelihood_is_refused(run, measure, words, tools):
    with pytest.raises(RequestError, match=words):
        run(tools.HEAD + tools.IDENTITY + VARIATIONAL + "[[measure]]\n" + measure)
