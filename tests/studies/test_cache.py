"""What was measured is not measured again, unless something that it depends on has changed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from isthmus.studies.results.outcome import Outcome
from isthmus.studies.results.results_json import Row


def rows(results) -> list[dict]:
    return [row.table() for row in results.rows]


@pytest.fixture
def doctored(run, folder, tools):
    """A finished run, in whose notes on pca-4 every value was made 7: whoever shows a 7 has not measured."""
    first = run(tools.SMALL)
    path = folder / "measured" / "pca-4.json"
    table = json.loads(path.read_text("utf-8"))
    for row in table["outcome"]["rows"]:
        row["value"] = 7.0
    path.write_text(json.dumps(table), "utf-8")
    return first, path


def test_the_same_run_again_measures_nothing(run, doctored, tools):
    first, _ = doctored
    again = run(tools.SMALL)
    assert {row.value for row in again.rows if row.model == "pca-4"} == {7.0}
    others = [row for row in rows(first) if row["model"] != "pca-4"]
    assert [row for row in rows(again) if row["model"] != "pca-4"] == others
    assert again.timings == first.timings


def test_what_is_asked_anew_is_measured(run, doctored, tools):
    more = run(tools.SMALL + tools.NOISE.replace("0.2, 0.5", "0.7"))
    assert "gaussian(0.7,clip=false)" in {row.corruption for row in more.rows if row.model == "pca-4"}
    assert 7.0 not in {row.value for row in more.rows}


def test_a_model_that_is_trained_again_is_measured_again(run, doctored, tools):
    assert rows(run(tools.SMALL, fresh=True)) == rows(doctored[0])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null", "[" * 100_000])
def test_damaged_notes_are_as_none(text, run, doctored, tools):
    first, path = doctored
    whole = json.loads(path.read_text("utf-8"))
    path.write_text(text, "utf-8")
    assert rows(run(tools.SMALL)) == rows(first)
    path.write_text(json.dumps({"key": whole["key"], "outcome": {"rows": []}}), "utf-8")
    assert rows(run(tools.SMALL)) == rows(first)


def test_comparisons_image_by_image_are_the_same_from_notes(run, tools):
    text = (
        tools.SMALL
        + """
[[compare]]
models = ["pca-4", "dense-4"]
corruption = {kind = "gaussian"}
levels = [0.2, 0.5]
"""
    )
    first = run(text)
    assert len(first.comparisons) == 2
    assert run(text).comparisons == first.comparisons
    assert run(text, only=("pca-4",)).comparisons == first.comparisons, "dense-4 is there, and was measured before"


def test_an_outcome_survives_its_table():
    errors = {("a", "test", None): np.array([0.1, 1 / 3, np.inf], np.float32)}
    row = Row("a", 0, "mse", "test", None, False, 0.1, (0.0, 0.2), 3)
    done = Outcome("a", 0, "fitted", [row], [{"seconds": 1.5}], [], {"kind": "mean"}, errors)
    back = Outcome.from_table(json.loads(json.dumps(done.table(), allow_nan=False)))
    assert back.rows == done.rows
    assert back.timings == done.timings
    assert back.collapsed == done.collapsed
    (key, values), (key_back, values_back) = *errors.items(), *back.errors.items()
    assert key_back == key
    assert values_back.dtype == np.float32
    assert np.array_equal(values_back[:2], values[:2])
    assert np.isnan(values_back[2]), "what is not finite has no number in JSON"
