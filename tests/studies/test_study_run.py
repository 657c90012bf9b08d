"""A study from Python: what `isthmus run` writes, as tables and figures."""

import json

import pytest

import isthmus
from isthmus.cli import run_command
from isthmus.displays import StudyRun
from isthmus.errors import DataError, RequestError


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return isthmus.run("digits", out=tmp_path_factory.mktemp("é"), quick=True, only=["pca-*", "dense-8"])


def test_it_is_the_run_of_the_command(done, tmp_path):
    options = ["--out", str(tmp_path), "--quick", "--only", "pca-*", "--only", "dense-8"]
    assert run_command(["run", "digits", *options]) == 0
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
    "options",
    [{"only": "none"}, {"threads": 0}, {"threads": 10**6}, {"seeds": 0}, {"device": "gpu"}, {"study": "digit"}],
)
def test_what_cannot_be_is_refused_before_anything_is_written(options, tmp_path):
    with pytest.raises(RequestError):
        isthmus.run(**{"study": "digits", "out": tmp_path, **options})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="holds no results"):
        StudyRun(tmp_path)
