"""results.json of real runs against the written schema, and the schema against results that break each promise."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import replace
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from isthmus.cli import run_command
from isthmus.errors import DataError
from isthmus.parts import GaussianNoise, Masking, Occlusion, Poisson, SaltAndPepper, Sequence
from isthmus.studies.results.results_json import RESULTS, over_seeds, read_results, row_of
from isthmus.studies.spec.figures import FIGURES
from isthmus.studies.spec.figures.figure import AXES, ERRORS
from isthmus.studies.spec.quantities import (
    CODE_METRICS,
    CODE_ONLY,
    COUNTS,
    ERROR_METRICS,
    NLL,
    PER_IMAGE,
    REPRESENTATION,
    TRAINING_METRICS,
)

SCHEMA = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)

REFERENCES = """
[[figure]]
name = "curves"
kind = "curves"
models = ["dense-*"]
first_epoch = 2
[[reference]]
id = "small.dense-4.losses"
model = "dense-4"
metric = "loss"
split = "train"
value = [1.0, 0.5]
rtol = 0.99
[[reference]]
id = "small.pca-4.code"
model = "pca-4"
metric = "code_size"
value = 4
atol = 0
[[reference]]
id = "small.nothing.mse"
model = "nothing"
metric = "mse"
value = 0.5
rtol = 0.1
note = "wrong, and must be seen to be"
[[reference]]
id = "small.dense-4.last-step"
model = "dense-4"
metric = "step_loss"
split = "train"
value = 1.0
rtol = 0.99
[[reference]]
id = "small.nothing.images"
model = "nothing"
metric = "mse"
value = [0.04, 0.04]
images = [3, 5]
corruption = {kind = "gaussian", sigma = 0.2}
rtol = 0.5
[[section]]
name = "compression"
title = "Compression"
models = ["pca-*"]
[[trap]]
what = "a trap"
instead = "what is done"
section = "compression"
"""


def assert_keeps_every_promise(table, tools):
    problems = [f"{list(error.path)}: {error.message}" for error in VALIDATOR.iter_errors(table)]
    assert not problems
    rows = Counter(tools.row_key(row) for row in table["rows"])
    assert max(rows.values()) == 1
    timings = Counter((t["model"], t["seed"], t["phase"]) for t in table["timings"])
    assert max(timings.values()) == 1
    measured = {(row["model"], row["seed"]) for row in table["rows"] if row["seed"] is not None}
    assert measured == {(t["model"], t["seed"]) for t in table["timings"]}
    for row in table["rows"]:
        if row["ci95"]:
            assert row["ci95"][0] <= row["value"] <= row["ci95"][1]


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


def test_a_run_keeps_every_promise(run, folder, tools):
    results = run(tools.SMALL + REFERENCES, seeds=2)
    table = tools.read(folder / "results.json")
    assert_keeps_every_promise(table, tools)
    assert table == json.loads(json.dumps(results.table()))
    assert read_results(folder).table() == results.table()
    agrees = {reference["id"]: reference["agrees"] for reference in table["references"]}
    assert agrees == {
        "small.dense-4.losses": True,
        "small.pca-4.code": True,
        "small.nothing.mse": False,
        "small.dense-4.last-step": True,
        "small.nothing.images": True,
    }
    assert [r["id"] for r in table["references"] if r["metric"] == "loss" and r["epochs"] == [1, 2]]
    (section,) = table["sections"]
    assert section["models"] == ["pca-4", "pca-of"], "patterns are names by now"
    assert table["traps"][0]["section"] == section["name"]
    assert table["complete"]
    assert not table["quick"]


def test_quick_digits_keeps_every_promise(tmp_path, capsys, tools):
    assert run_command(["run", "digits", "--quick", "--out", str(tmp_path), "--json", "--threads", "1"]) == 0
    table = tools.read(tmp_path / "digits" / "results.json")
    assert_keeps_every_promise(table, tools)
    assert json.loads(capsys.readouterr().out) == table
    assert table["quick"]
    assert {t["epochs"] for t in table["timings"] if t["phase"] == "fit"} == {None, 1}
    assert (tmp_path / "digits" / "report.html").is_file()


SPREAD = {"n": 10, "mean": 0.5, "sd": 0.1, "low": 0.4, "high": 0.6, "interval": [0.2, 0.8]}
SEARCH = {
    "model": "a",
    "seed": 0,
    "split": "test",
    "corruption": None,
    "n": 3,
    "mean_steps": 7.5,
    "reasons": {"tol": 3},
}
COMPARISON = {
    "models": ["a", "b"],
    "metric": "mse",
    "split": "test",
    "corruption": "gaussian(0.3)+masking(0.2)",
    "section": "",
    "difference": -0.1,
    "ci95": [-0.2, 0.0],
    "n": 3,
}
BREAKS = {
    "split": lambda t: t["rows"][2].update(split="dev"),
    "no split of an error": lambda t: t["rows"][2].update(split=None),
    "split of a count": lambda t: t["rows"][0].update(split="test"),
    "metric": lambda t: t["rows"][2].update(metric="error"),
    "further key of a row": lambda t: t["rows"][2].update(note=""),
    "missing key of a row": lambda t: t["rows"][2].pop("seen"),
    "aggregate without its number of seeds": lambda t: t["rows"][2].update(seed=None),
    "one seed with a number of seeds": lambda t: t["rows"][2].update(n_seeds=2, sd=0.0),
    "negative mse": lambda t: t["rows"][2].update(value=-0.1),
    "fitted images not marked": lambda t: t["rows"][2].update(split="train"),
    "value as text": lambda t: t["rows"][2].update(value="NaN"),
    "interval of three": lambda t: t["rows"][2].update(ci95=[0, 1, 2]),
    "interval without value": lambda t: t["rows"][2].update(value=None),
    "corruption without level": lambda t: t["rows"][2].update(corruption="gaussian"),
    "half a corruption": lambda t: t["rows"][2].update(corruption="gaussian(0.3)+masking"),
    "negative dead units": lambda t: t["rows"][2].update(metric="dead_units", value=-1),
    "further key of a reference": lambda t: t["references"][0].update(tolerance=1),
    "two tolerances": lambda t: t["references"][0].update(rtol=1, atol=1),
    "values over few seeds": lambda t: t["references"][1].update(over_seeds={**SPREAD, "n": 9}),
    "a spread without its interval": lambda t: t["references"][1].update(over_seeds={"n": 10, "mean": 0.5, "sd": 0.1}),
    "a spread of a list": lambda t: t["references"][0].update(over_seeds=SPREAD),
    "values of one seed": lambda t: t["references"][1].update(by_seed=[0.5]),
    "a verdict on nothing": lambda t: t["references"][0].update(measured=None),
    "losses as one number": lambda t: t["references"][0].update(measured=0.5),
    "losses of no epochs": lambda t: t["references"][0].pop("epochs"),
    "epochs of one number": lambda t: t["references"][0].update(published=0.5, measured=0.5),
    "epochs of an error": lambda t: t["references"][0].update(metric="mse"),
    "images of a loss": lambda t: t["references"][0].update(images=[1]),
    "unknown metric of a reference": lambda t: t["references"][0].update(metric="losses"),
    "published sum of no images": lambda t: t["references"][1].update(metric="published_sse"),
    "clean as a corruption": lambda t: t["references"][1].update(corruption=None),
    "a verdict on a quick run": lambda t: t.update(quick=True),
    "phase": lambda t: t["timings"][0].update(phase="load"),
    "further key of a timing": lambda t: t["timings"][0].update(note=""),
    "negative seconds": lambda t: t["timings"][0].update(seconds=-1),
    "schema version": lambda t: t.update(schema=2),
    "further key": lambda t: t.update(more=1),
    "fingerprint": lambda t: t["data"].update(sha256="abc"),
    "no environment": lambda t: t.pop("environment"),
    "no threshold": lambda t: t.pop("l0_threshold"),
    "threshold of zero": lambda t: t.update(l0_threshold=0),
    "no sections": lambda t: t.pop("sections"),
    "section without a text": lambda t: t["sections"][0].pop("text"),
    "section with a pattern": lambda t: t["sections"][0].update(models=["dense-*"]),
    "trap without a section": lambda t: t["traps"][0].pop("section"),
    "trap in a section with a space": lambda t: t["traps"][0].update(section="a b"),
    "model without a verdict": lambda t: t["models"][0].pop("collapsed"),
    "collapse without a cause": lambda t: t["models"][0].update(collapsed={"what": "a", "instead": "b"}),
    "collapse as a word": lambda t: t["models"][0].update(collapsed="yes"),
    "empty doubt": lambda t: t["models"][0].update(doubt=""),
    "model trained on a corruption without level": lambda t: t["models"][0].update(corruption="gaussian"),
    "figure kind": lambda t: t["figures"][0].update(kind="pie"),
    "figure of another axis": lambda t: t["figures"][0].update(axis="log"),
    "figure by week": lambda t: t["figures"][0].update(per="week"),
    "figure of another metric": lambda t: t["figures"][0].update(metric="l0"),
    "no searches": lambda t: t.pop("searches"),
    "a search that never ended": lambda t: t["searches"].append({**SEARCH, "reasons": {}}),
    "a search of no split": lambda t: t["searches"].append({**SEARCH, "split": None}),
    "a comparison of three": lambda t: t["comparisons"].append({**COMPARISON, "models": ["a", "b", "c"]}),
    "a comparison of nothing": lambda t: t["comparisons"].append({**COMPARISON, "difference": None}),
    "further key of a comparison": lambda t: t["comparisons"].append({**COMPARISON, "note": ""}),
    "negative level": lambda t: t["figures"][0].update(levels=[-1]),
    "figure without a section": lambda t: t["figures"][0].pop("section"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The results of one small run, as results.json has them."""
    from isthmus.console import Lines
    from isthmus.studies.run.scheduler import Request, run_study
    from isthmus.studies.spec.parser import parse_study

    text = """
title = "small"
[data]
name = "digits"
train = 100
[[model]]
name = "dense-4"
estimator = "autoencoder"
epochs = 1
[[reference]]
id = "losses"
model = "dense-4"
metric = "loss"
value = [0.5]
rtol = 0.1
[[reference]]
id = "mse"
model = "dense-4"
metric = "mse"
value = 0.5
rtol = 0.1
[[section]]
name = "all"
title = "All"
models = ["*"]
[[figure]]
name = "curves"
kind = "curves"
models = ["*"]
[[trap]]
what = "a trap"
instead = "what is done"
"""
    request = Request(out=tmp_path_factory.mktemp("runs"), device="cpu")
    return json.loads(json.dumps(run_study(parse_study(text, "small", "small.toml"), request, Lines()).table()))


@pytest.mark.parametrize("name", BREAKS)
def test_the_schema_refuses(name, sound):
    assert VALIDATOR.is_valid(sound)
    assert VALIDATOR.is_valid({**sound, "searches": [SEARCH], "comparisons": [COMPARISON]})
    broken = copy.deepcopy(sound)
    BREAKS[name](broken)
    assert not VALIDATOR.is_valid(broken)


def test_the_schema_knows_every_word():
    known, properties = SCHEMA["$defs"], SCHEMA["$defs"]["figure"]["properties"]
    assert set(known["figure"]["anyOf"][0]["properties"]["kind"]["enum"]) == set(FIGURES)
    assert set(properties["metric"]["enum"]) == set(ERRORS)
    assert set(properties["axis"]["enum"]) == set(AXES)
    assert set(known["metric"]["anyOf"][0]["enum"]) == {
        CODE_ONLY,
        NLL,
        *ERROR_METRICS,
        *CODE_METRICS,
        *REPRESENTATION,
        *COUNTS,
    }
    assert set(known["reference"]["properties"]["metric"]["anyOf"][0]["enum"]) == set(TRAINING_METRICS)
    of_images = [rule["then"] for rule in known["reference"]["allOf"] if rule["if"] == {"required": ["images"]}]
    assert set(of_images[0]["properties"]["metric"]["enum"]) == set(PER_IMAGE)


LABELLED = [
    GaussianNoise(0.3, clip=True),
    GaussianNoise(1e-5),
    GaussianNoise(0.3**0.5, relative=True),
    GaussianNoise(2.0, clip=True, relative=True),
    SaltAndPepper(0.1),
    Masking(1),
    Occlusion(8, value=0.5),
    Occlusion(8, -1, (3, 32, 32)),
    Poisson(1e7 / 3),
    Sequence((GaussianNoise(0.3, clip=True), Masking(0.2))),
    Sequence((Poisson(1e7), GaussianNoise(0.3), Occlusion(8, value=0.5))),
]


@pytest.mark.parametrize("part", LABELLED, ids=lambda part: part.label)
def test_the_label_of_every_corruption_is_in_the_schema(part):
    pattern = Draft202012Validator(SCHEMA["$defs"]["corruption"])
    assert pattern.is_valid(part.label)
    for broken in (part.label[:-1], f"{part.label}+", f"+{part.label}", f" {part.label}", f"{part.label}{part.label}"):
        assert not pattern.is_valid(broken)


def test_what_is_not_finite_is_null():
    from isthmus.metrics import Estimate

    assert row_of(Estimate(float("nan"), (0.0, 1.0), 5), "a", 0, "mse", "test", None, False).value is None
    assert row_of(Estimate(float("inf"), (0.0, 1.0), 5), "a", 0, "mse", "test", None, False).ci95 is None
    row = row_of(Estimate(1.0, (0.5, float("inf")), 5), "a", 0, "mse", "test", None, False)
    assert (row.value, row.ci95) == (1.0, None)


def test_over_seeds_is_students_interval():
    from isthmus.metrics import Estimate

    rows = [row_of(Estimate(v, None, 9), "a", s, "mse", "test", None, False) for s, v in enumerate((1.0, 2.0, 3.0))]
    (mean,) = over_seeds([*rows, row_of(Estimate(5.0, None, 9), "b", 0, "mse", "test", None, False)])
    assert (mean.model, mean.seed, mean.n_seeds, mean.value, mean.sd) == ("a", None, 3, 2.0, 1.0)
    # Student's 97.5 % quantile with two degrees of freedom is 4.302653
    assert mean.ci95 == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_over_seeds_it_is_still_said_how_it_was_measured():
    from isthmus.metrics import Estimate

    notes = ("by classifiers in 5 folds", "by classifiers in 4 folds", "by classifiers in 5 folds", "")
    known = Estimate(0.5, None, 9)
    rows = [replace(row_of(known, "a", i, "knn", "test", None, False), note=note) for i, note in enumerate(notes)]
    (mean,) = over_seeds(rows)
    assert mean.note == "by classifiers in 5 folds; by classifiers in 4 folds"
    assert over_seeds(rows[::2])[0].note == "by classifiers in 5 folds"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "rows": [{}]}', "\xff"]
)
def test_results_that_cannot_be_read_say_so(tmp_path, text):
    (tmp_path / "results.json").write_text(text, "latin-1")
    with pytest.raises(DataError, match=r"results\.json"):
        read_results(tmp_path)
    with pytest.raises(DataError, match="holds no results"):
        read_results(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("table", "lacking"), [("timings", [{}]), ("models", [{}]), ("figures", ["x"]), ("sections", [{}])]
)
def test_damaged_tables_are_one_documented_error(tmp_path, table, lacking):
    names = ("models", "timings", "figures", "traps", "sections", "comparisons", "searches", "rows")
    tables = {name: [] for name in names} | {table: lacking}
    (tmp_path / RESULTS).write_text(json.dumps({"schema": 1, **tables}), "utf-8")
    with pytest.raises(DataError, match=rf"has {table} without "):
        read_results(tmp_path)
