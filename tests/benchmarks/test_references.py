"""What seeds measured goes into a study's file by a program, and into nothing else of it."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks import references
from isthmus.studies.results.results_json import read_results
from isthmus.studies.spec.parser import catalog, parse_study

STUDY = """\
title = "tiny"  # a comment that stays
seed = 2
[data]
name = "digits"
train = 200
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 2

[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4

[[reference]]
id = "tiny.loss"
model = "dense-4"
metric = "loss"
split = "train"
value = 0.1
rtol = 0.01

# --- another ---

[[reference]]
id = "tiny.size"
model = "pca-4"
metric = "code_size"
value = 4
atol = 0.1
"""


def without(study):
    """A study as it is without its values over seeds, and without its text."""
    bare = tuple(dataclasses.replace(one, over_seeds=()) for one in study.references)
    return dataclasses.replace(study, references=bare)


def test_ten_seeds_as_they_come_are_written_into_the_reference_that_is_near(tmp_path, capsys):
    path, out = tmp_path / "tiny.toml", tmp_path / "out"
    path.write_text(STUDY)
    references.main([str(path), "--out", str(out), "--threads", "1"])
    text = path.read_text()
    study = parse_study(text, "tiny", "tiny.toml")
    loss, size = study.references
    assert size.over_seeds == ()
    results = read_results(out / "tiny")
    by_seed = next(one["by_seed"] for one in results.references if one["id"] == "tiny.loss")
    assert loss.over_seeds == pytest.approx(by_seed, rel=1e-5)
    assert len(set(loss.over_seeds)) == 10
    assert {row.seed for row in results.rows if row.model == "dense-4"} >= set(range(2, 12))
    assert without(study) == parse_study(STUDY, "tiny", "tiny.toml")
    kept = [line for line in STUDY.splitlines() if line not in text.splitlines()]
    assert kept == []
    # one that has values gets them anew; nothing else is trained for it, and nothing of the file changes
    references.main([str(path), "--out", str(out), "--threads", "1"])
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("measured", "tolerance", "near"),
    [
        (1.06, {"rtol": 0.1}, True),
        (1.04, {"rtol": 0.1}, False),
        (0.94, {"atol": 0.1}, True),
        ([1.0, 1.0], {"atol": 0.1}, False),
        ([1.0, 1.2], {"rtol": 0.1}, True),
        (None, {"rtol": 0.1}, False),
    ],
)
def test_what_is_near_its_tolerance(measured, tolerance, near):
    published = [1.0, 1.0] if isinstance(measured, list) else 1.0
    assert references.is_near({"published": published, "measured": measured, **tolerance}) is near


@pytest.mark.parametrize("name", catalog())
def test_every_reference_of_the_shipped_studies_can_be_written(name):
    text = catalog()[name]
    study = parse_study(text, name, name)
    for one in study.references:
        if isinstance(one.value, tuple):
            continue
        values = [one.value * (1 + i / 100) for i in range(10)]
        changed = references.written(text, one.id, values)
        again = parse_study(changed, name, name)
        (there,) = (reference for reference in again.references if reference.id == one.id)
        assert there.over_seeds == pytest.approx(values, rel=1e-5)
        assert without(again) == without(study)
        assert references.written(changed, one.id, values) == changed


@pytest.mark.parametrize(
    ("arguments", "words"), [(["digits", "--seeds", "9"], "at least 10"), (["no"], "unknown study")]
)
def test_what_cannot_be_measured_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as refused:
        references.main(arguments)
    assert words in f"{refused.value}{capsys.readouterr().err}"
