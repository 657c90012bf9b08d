"""A study from Python: what `isthmus run` writes, as tables and figures."""

import importlib
import json
import os
import sys

import pytest

import isthmus
from isthmus.cli import run_command
from isthmus.displays import StudyRun
from isthmus.errors import DataError, RequestError
from isthmus.studies.spec.parser import load_study


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory):
    """The study `digits` with a quarter of its images."""
    path = tmp_path_factory.mktemp("study") / "digits.toml"
    path.write_text(
        load_study("digits").text.replace("validation = 200", "train = 300\nvalidation = 60\ntest = 60"), "utf-8"
    )
    return str(path)


@pytest.fixture(scope="module")
def done(few_digits, tmp_path_factory):
    return isthmus.run(few_digits, out=tmp_path_factory.mktemp("é"), quick=True, only=["pca-*", "dense-8"])


def test_it_is_the_run_of_the_command(done, few_digits, tmp_path):
    options = ["--out", str(tmp_path), "--quick", "--only", "pca-*", "--only", "dense-8"]
    assert run_command(["run", few_digits, *options]) == 0
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (done.folder, tmp_path / "digits"))
    assert ours["rows"] == theirs["rows"]
    assert StudyRun(tmp_path / "digits").results.rows == done.results.rows


def test_tables_have_each_number_and_its_interval(done):
    table = done.table("mse")
    row = table[(table.model == "dense-8") & (table.split == "test") & table.corruption.isna()]
    assert row["value"].tolist() == [done.results.value("dense-8", "mse", "test")]
    assert row["ci95"].tolist() == [done.results.row("dense-8", "mse", "test").ci95]
    assert len(done.table()) == len(done.results.rows)
    with pytest.raises(RequestError, match='metric "mes" was not measured; there are '):
        done.table("mes")


def test_figures_are_drawn_when_they_are_asked_for(done):
    assert list(done.figures) == [facts["name"] for facts in done.results.figures]
    for figure in done.figures.values():
        assert figure.axes
    with pytest.raises(KeyError):
        done.figures["none"]


def test_a_notebook_shows_the_summary_and_the_way_to_the_report(done):
    shown = done._repr_html_()
    assert "dense-8" in shown
    assert str(done.report) in shown
    done.report.unlink()
    assert done.report.read_text().startswith("<!doctype html>")
    assert repr(done).startswith("<StudyRun digits: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"launch": "ssh {host}"}, "^hosts must be given with launch that has {host} in it"),
        ({"hosts": "a,b"}, "^hosts and workers say where launch starts workers"),
        ({"launch": "env", "workers": 0}, "^workers must be at least 1"),
        ({"launch": "env", "engine": "ray"}, "^launch is an engine itself; leave engine ray out"),
        ({"launch": "no-such-program"}, "^launch: there is no program no-such-program"),
        ({"address": "x:1"}, "^address is that of a Ray cluster: add engine ray"),
        (
            {"engine": "ray", "address": "ray://x:1"},
            "^address ray://x:1: a client of Ray cannot run models; .* HOST:6379",
        ),
        ({"engine": "slum"}, 'unknown engine "slum".*Did you mean "slurm"'),
        ({"imports": "no_such_module"}, "cannot import the module no_such_module"),
    ],
)
def test_where_models_cannot_be_trained_is_refused_by_the_names_of_the_arguments(options, words, tmp_path):
    with pytest.raises(RequestError, match=words):
        isthmus.run("digits", out=tmp_path, quick=True, **options)
    assert list(tmp_path.iterdir()) == []


OWN = """
from torch import nn
from isthmus.studies.run import engines

def build(shape, width):
    n = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(n, width)), nn.Linear(width, n)

class Mine(engines.Local):
    def slots(self, tasks, planned):
        print("tasks:", tasks)
        return 0

engines.register("mine", Mine)
"""
NAMED = """
title = "named"
[data]
name = "digits"
train = 60
test = 60
[[model]]
name = "module"
estimator = "autoencoder"
network = {kind = "module", build = "own_networks:build", params = {width = 2}}
epochs = 1
"""


def test_modules_and_engines_of_ones_own_are_asked_for_by_arguments(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_networks.py").write_text(OWN, "utf-8")
    (tmp_path / "named.toml").write_text(NAMED, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    engines = importlib.import_module("isthmus.studies.run.engines")
    monkeypatch.setattr(engines, "_ENGINES", {**engines._ENGINES})
    options = {"device": "cpu", "threads": 1}
    try:
        for fresh in (False, True):  # what a run was allowed, the next one is not
            with pytest.raises(RequestError, match=r"own_networks:build is a name.* allow_imports=True"):
                isthmus.run("named.toml", fresh=fresh, **options)
            options |= {"imports": ["own_networks"], "engine": "mine"}
            done = isthmus.run("named.toml", fresh=fresh, allow_imports=True, **options)
            assert done.results.complete
            assert "tasks: 1" in capsys.readouterr().out
    finally:
        sys.modules.pop("own_networks", None)


@pytest.mark.slow
def test_a_prefix_trains_the_same_as_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    options = {"quick": True, "only": "dense-8", "threads": 1, "device": "cpu"}
    here = isthmus.run("digits", out=tmp_path / "here", **options)
    there = isthmus.run("digits", out=tmp_path / "there", launch="env", workers=2, **options)
    model = "models/dense-8/model.safetensors"
    assert (there.folder / model).read_bytes() == (here.folder / model).read_bytes()


@pytest.mark.parametrize(
    "options",
    [{"only": "none"}, {"threads": 0}, {"threads": 10**6}, {"seeds": 0}, {"device": "gpu"}, {"study": "digit"}],
)
def test_what_cannot_be_is_refused_before_anything_is_written(options, tmp_path):
    with pytest.raises(RequestError):
        isthmus.run(**{"study": "digits", "out": tmp_path, **options})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="holds no results"):
        StudyRun(tmp_path)
