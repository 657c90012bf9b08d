"""What is on the shelf: runs, single models, pipelines, and what is damaged."""

import json
import shutil

import numpy as np
import pytest

import isthmus
from isthmus import persistence
from isthmus.cli import run_command
from isthmus.errors import DataError, RequestError
from isthmus.estimators.adapters import encode, reconstruct
from isthmus.explore import folder
from isthmus.explore.answers.overview import facts
from isthmus.explore.shelf_loader import open_shelf

NAMES = ["nothing", "pca-4", "pca-4-2", "deep", "wide", "conv", "unpool", "prior"]


def test_a_run_has_its_models_in_its_order_and_its_test_images(shelf):
    assert list(shelf.entries) == NAMES
    assert shelf.title == "small"
    assert shelf.shape == (1, 8, 8)
    assert len(shelf.images) == 360
    assert all(entry.fault is None for entry in shelf.entries.values())


def test_a_model_of_anothers_codes_reads_images(shelf, image):
    outer, inner = shelf.model("pca-4-2"), shelf.model("pca-4")
    own = outer.steps[-1][1]
    expected = inner.inverse_transform(own.inverse_transform(own.transform(inner.transform(image))))
    np.testing.assert_array_equal(reconstruct(outer, image), expected)


def test_facts_say_what_a_model_is(shelf):
    found = {name: facts(shelf, entry) for name, entry in shelf.entries.items()}
    json.dumps(found, allow_nan=False)
    assert found["wide"]["units"] == 128
    assert found["wide"]["trained"] == [{"kind": "gaussian", "level": 0.3, "relative": False}]
    assert found["conv"]["planes"] == [4, 2, 2]
    assert found["unpool"]["switches"] > 0
    assert found["prior"]["search"]
    assert found["prior"]["units"] is None
    assert found["nothing"]["code"] is None


def test_a_run_that_was_made_with_other_images_is_shown_and_says_so(own_run):
    assert open_shelf(own_run).notes == ()
    results = json.loads((own_run / "results.json").read_text("utf-8"))
    results["data"]["sha256"] = "0" * 64
    (own_run / "results.json").write_text(json.dumps(results), "utf-8")
    assert "made with other images than those of digits" in open_shelf(own_run).notes[0]


def test_a_damaged_model_keeps_its_place_beside_those_that_work(own_run, image):
    weights = own_run / "models" / "deep" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    shelf = open_shelf(own_run)
    assert list(shelf.entries) == NAMES
    assert "sha256" in shelf.entries["deep"].fault
    assert facts(shelf, shelf.entries["deep"])["fault"]
    with pytest.raises(RequestError, match="deep cannot be shown"):
        shelf.model("deep")
    reconstruct(shelf.model("wide"), image)


def test_what_stands_on_a_damaged_model_says_so(own_run):
    (own_run / "models" / "pca-4" / "config.json").write_text("{", "utf-8")
    shelf = open_shelf(own_run)
    assert "codes of pca-4" in shelf.entries["pca-4-2"].fault


def test_a_model_that_is_being_written_is_not_shown_yet(own_run):
    shutil.copytree(own_run / "models" / "deep", own_run / "models" / "deep.0123.tmp")
    assert list(open_shelf(own_run).entries) == NAMES


def test_noise_relative_to_the_image_is_told_apart(tmp_path, x):
    noise = isthmus.GaussianNoise(0.9, relative=True)
    model = isthmus.Autoencoder(isthmus.Dense(bottleneck=3), corruption=noise, epochs=1, random_state=0).fit(x)
    isthmus.save(model, tmp_path / "mine")
    shelf = open_shelf(tmp_path / "mine")
    assert facts(shelf, shelf.entries["mine"])["trained"] == [{"kind": "gaussian", "level": 0.9, "relative": True}]


def test_a_run_without_a_whole_model_is_refused(own_run):
    for config in own_run.glob("models/*/config.json"):
        config.write_text("{", "utf-8")
    with pytest.raises(DataError, match="no model can be shown"):
        open_shelf(own_run)


def test_a_model_of_a_run_has_the_runs_images(run):
    shelf = open_shelf(run / "models" / "wide")
    assert list(shelf.entries) == ["wide"]
    assert len(shelf.images) == 360


def test_a_model_by_itself_has_no_images(tmp_path, shelf):
    isthmus.save(shelf.model("conv"), tmp_path / "mine")
    alone = open_shelf(tmp_path / "mine")
    assert alone.images is None
    assert alone.shape == (1, 8, 8)
    with pytest.raises(RequestError, match="give its images as DATA"):
        alone.test_images()


def test_a_flat_model_is_shown_as_a_square(tmp_path, x):
    model = isthmus.Autoencoder(isthmus.Dense(bottleneck=3), epochs=1, random_state=0).fit(x)
    isthmus.save(model, tmp_path / "flat")
    assert open_shelf(tmp_path / "flat").shape == (1, 4, 4)


@pytest.mark.parametrize("name", ["missing", "."])
def test_another_folder_is_refused(tmp_path, name):
    with pytest.raises(RequestError, match="give a run's folder"):
        open_shelf(tmp_path / name)


def test_an_unknown_model_is_named_with_the_nearest(shelf):
    with pytest.raises(RequestError, match='Did you mean "conv"'):
        shelf.model("konv")


def test_what_is_kept_is_computed_once_and_failures_are_not_kept(shelf):
    calls = []

    def compute():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("the first time")
        return encode(shelf.model("deep"), shelf.images)

    with pytest.raises(ValueError, match="the first time"):
        shelf.once(compute, "test")
    first = shelf.once(compute, "test")
    assert shelf.once(compute, "test") is first
    assert len(calls) == 2


def test_a_run_with_classes_shows_these_alone(own_run):
    results = own_run / "results.json"
    table = json.loads(results.read_text("utf-8"))
    assert table["data"]["classes"] is None
    table["data"]["classes"] = [3, 5]
    results.write_text(json.dumps(table), "utf-8")
    assert set(open_shelf(own_run).images.labels.tolist()) == {3, 5}
    del table["data"]["classes"]  # as an earlier version wrote it
    results.write_text(json.dumps(table), "utf-8")
    assert len(open_shelf(own_run).images) == 360


def test_the_name_of_a_models_description_is_persistences():
    assert folder.MODEL == persistence.CONFIG


def test_what_a_model_of_another_has_seen_is_what_the_other_saw(tmp_path):
    text = """
title = "of"
[data]
name = "digits"
train = 100
[[model]]
name = "pooled"
estimator = "pca"
n_components = 8
pool_test = true
[[model]]
name = "of-it"
estimator = "pca"
n_components = 2
of = "pooled"
[[model]]
name = "apart"
estimator = "pca"
n_components = 2
"""
    (tmp_path / "of.toml").write_text(text)
    assert run_command(["run", str(tmp_path / "of.toml"), "--out", str(tmp_path), "--threads", "1"]) == 0
    opened = open_shelf(tmp_path / "of")
    told = {name: facts(opened, entry) for name, entry in opened.entries.items()}
    assert {name: one["seen"] for name, one in told.items()} == {"pooled": True, "of-it": True, "apart": False}
    assert {one["selected"] for one in told.values()} == {False}


def test_a_models_error_is_that_on_clean_test_images(own_run):
    results = json.loads((own_run / "results.json").read_text("utf-8"))
    clean = next(
        row for row in results["rows"] if (row["model"], row["metric"], row["split"]) == ("deep", "mse", "test")
    )
    results["rows"].append(clean | {"corruption": "gaussian(0.5)", "value": 9.0})
    (own_run / "results.json").write_text(json.dumps(results), "utf-8")
    shelf = open_shelf(own_run)
    assert facts(shelf, shelf.entries["deep"])["mse"] == clean["value"]
    assert facts(shelf, shelf.entries["nothing"])["mse"] == 0
