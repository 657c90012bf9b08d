"""What a run is told of its models before it trains them: what they have seen, their work, their place, their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus.studies.plan.context import Request, code_width
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.plan.workload import Work
from isthmus.studies.spec.parser import parse_study
from isthmus.training.hardware import resolve_precision

TEXT = """
title = "small"
seed = 3
[data]
name = "digits"
train = 300
validation = 60
test = 120
[[model]]
name = "dense"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 2
batch_size = 50
[[model]]
name = "pooled"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4}
pool_test = true
epochs = 3
[[model]]
name = "pca"
estimator = "pca"
n_components = 5
[[model]]
name = "nothing"
estimator = "identity"
[[model]]
name = "learned"
estimator = "dictionary-learning"
n_atoms = 20
n_nonzero = 3
n_images = 200
[[model]]
name = "searched"
estimator = "decoder-prior"
of = "dense"
[[model]]
name = "of-pooled"
estimator = "pca"
n_components = 2
of = "pooled"
[[measure]]
models = ["searched"]
corruption = {kind = "gaussian"}
levels = [0.1, 0.2]
"""


def context_of(**request):
    options = {"out": Path("runs"), "threads": 1, "device": "cpu", **request}
    return prepare(parse_study(TEXT, "small", "small.toml"), Request(**options))[0]


@pytest.fixture(scope="module")
def context():
    return context_of()


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("dense", {"train", "all"}),
        ("pooled", {"train", "all", "test"}),
        ("pca", {"train", "all"}),
        ("searched", {"train", "all"}),
        ("of-pooled", {"train", "all", "test"}),  # though it is fitted on codes of training images alone
    ],
)
def test_a_model_has_seen_what_it_was_fitted_on_or_what_it_is_of(name, splits, context):
    model = context.study.model(name)
    assert {split for split in ("train", "validation", "test", "all") if context.seen(model, split)} == splits


def test_work_by_hand(context):
    """A training is 6 operations for each product, sample and epoch; what is searched, seconds for each image."""
    works = {model.name: context.work(model, 3) for model in context.study.models}
    products = 2 * 64 * 4
    assert works["dense"] == Work("dense", 3, None, 2 * 6, pytest.approx(6e-9 * products * 300 * 2))
    assert works["pooled"] == Work("pooled", 3, None, 3 * 4, pytest.approx(6e-9 * products * 420 * 3))
    assert works["pca"] == Work("pca", 3, None, 0, pytest.approx(2e-9 * 64**2 * 300))
    # 200 images are learned from, 120 are coded; and 120 are searched clean and under each of two corruptions
    assert works["learned"].other == pytest.approx(0.003 * 200 + 0.001 * 120)
    assert works["searched"].other == pytest.approx(0.005 * 360)
    assert works["searched"].of == "dense"


def test_the_plan_says_what_is_to_be_done(context):
    rows = {model.name: context.plan_row(model, 4) for model in context.study.models}
    assert rows["pooled"] == {
        "model": "pooled", "seed": 4, "samples": 420, "epochs": 3, "steps": 12, "gflop": 0.0, "threads": 1,
        "side_by_side": 1,
    }  # fmt: skip
    assert (rows["learned"]["samples"], rows["learned"]["epochs"], rows["learned"]["steps"]) == (200, None, 0)
    assert rows["dense"]["samples"] == 300


def test_operations_are_told_to_a_tenth(context):
    more = parse_study(TEXT.replace("epochs = 2", "epochs = 2678"), "small", "small.toml")
    (row,) = prepare(more, Request(Path("runs"), only=("dense",), device="cpu"))[0].study.only(("dense",))
    made = prepare(more, Request(Path("runs"), only=("dense",), device="cpu"))[0]
    assert made.plan_row(row, 3)["gflop"] == pytest.approx(round(6e-9 * 512 * 300 * 2678, 1)) == 2.5


def test_each_seed_has_a_folder_for_the_model_and_one_for_its_checkpoints(context):
    model = context.study.model("dense")
    assert context.model_folder(model, 3) == Path("runs/small/models/dense")
    assert context.model_folder(model, 4) == Path("runs/small/models/dense.seed-4")
    assert context.checkpoint_folder(model, 3) == Path("runs/small/checkpoints/dense")
    assert context.checkpoint_folder(model, 4) == Path("runs/small/checkpoints/dense.seed-4")


def test_room_is_that_of_all_weights_and_of_the_largest_trainings_checkpoints():
    """In float32: weights and biases, a PCA's components and mean; checkpoints have weights, moments, best weights."""
    dense = 4 * ((64 + 1) * 4 + (4 + 1) * 64)
    pca, learned, of_codes = 4 * (5 + 1) * 64, 4 * (20 + 1) * 64, 4 * (2 + 1) * 4
    checkpoints = 3 * 4 * dense
    assert context_of(only=("nothing",)).room() == 0
    assert context_of(only=("pca",)).room() == pca
    assert context_of(only=("dense",)).room() == dense + checkpoints
    assert chosen(only=("best",)).room() == 4 * (64 + 1) * 64, "as many components as there can be"
    assert context_of(only=("dense",), seeds=3).room() == 3 * dense + checkpoints
    assert context_of().room() == 2 * dense + pca + 0 + learned + dense + of_codes + checkpoints


# --- what chose something, and what is of another model ---

CHOSEN = """
title = "chosen"
[data]
name = "digits"
train = 300
validation = 60
test = 120
[[model]]
name = "patient"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4}
epochs = 5
patience = 2
[[model]]
name = "pooled"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4}
epochs = 5
patience = 2
pool_test = true
[[model]]
name = "plain"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 6}
epochs = 5
precision = "auto"
[[model]]
name = "deeper"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 3}
epochs = 5
of = "plain"
[[model]]
name = "of-patient"
estimator = "pca"
n_components = 2
of = "patient"
[[model]]
name = "best"
estimator = "pca"
n_components = "best"
corruption = {kind = "gaussian", sigma = 0.3}
[[model]]
name = "adam"
estimator = "decoder-prior"
of = "plain"
solver = "adam"
"""


def chosen(text=CHOSEN, **request):
    return prepare(parse_study(text, "chosen", "chosen.toml"), Request(Path("runs"), device="cpu", **request))[0]


def selected(context):
    splits = ("train", "validation", "test", "all")
    return {one.name: {split for split in splits if context.selected(one, split)} for one in context.study.models}


def test_what_chose_an_epoch_or_a_number_of_components_is_known_of_it_and_of_what_is_of_it():
    nothing = {name: set() for name in ("plain", "deeper", "adam")}
    validation = {"validation"}
    of_validation = dict.fromkeys(("patient", "pooled", "of-patient", "best"), validation)
    assert selected(chosen()) == nothing | of_validation
    # without a split for it, epochs are chosen by a share of what the model is fitted on
    without = CHOSEN.replace("validation = 60\n", "").replace('"best"\ncorruption', "4\ncorruption")
    without = without.replace("patience = 2", "patience = 2\nvalidation_fraction = 0.2")
    fitted = {"train", "all"}
    of_fitted = {"patient": fitted, "of-patient": fitted, "pooled": {"train", "test", "all"}}
    assert selected(chosen(without)) == {**nothing, "best": set(), **of_fitted}


def test_a_model_of_another_has_its_code_to_work_on():
    context = chosen()
    deeper = context.study.model("deeper")
    steps = context.training(deeper).epochs * -(-300 // context.training(deeper).batch_size)
    assert context.work(deeper, 0) == Work("deeper", 0, "plain", steps, pytest.approx(6e-9 * (2 * 6 * 3) * 300 * 5))
    assert context.work(context.study.model("adam"), 0).other == pytest.approx(0.04 * 120)


def test_a_model_that_no_loop_trains_is_of_float32(monkeypatch):
    context = chosen()
    assert context.precision(context.study.model("best")) == "float32"
    assert context.precision(context.study.model("patient")) == "float32"
    assert context.precision(context.study.model("plain")) == "float32", "of steps as small as these"
    monkeypatch.setattr("isthmus.training.hardware._WORTH", 0)
    assert context.precision(context.study.model("plain")) == resolve_precision("auto", torch.device("cpu"))


def test_the_splits_of_a_study_are_its_own_and_pooled_images_lie_in_memory_once():
    splits = chosen().splits
    assert {name: len(images) for name, images in splits.items()} == {
        "train": 300, "validation": 60, "test": 120, "all": 420,
    }  # fmt: skip
    whole = splits["all"]
    for name, part in (("train", whole.take(slice(0, 300))), ("test", whole.take(slice(300, None)))):
        assert np.shares_memory(splits[name].pixels, whole.pixels)
        np.testing.assert_array_equal(splits[name].pixels, part.pixels)
    fewer = chosen(CHOSEN.replace("pool_test = true\n", "")).splits
    assert set(fewer) == {"train", "validation", "test"}
    for name, images in fewer.items():
        np.testing.assert_array_equal(images.pixels, splits[name].pixels)


@pytest.mark.parametrize(
    "table",
    [
        '[[measure]]\nmodels = ["plain"]\nmetrics = ["mse"]\nsplit = "all"\n',
        '[[figure]]\nname = "f"\nkind = "scatter"\nmodels = ["of-patient"]\nsplit = "all"\n',
    ],
    ids=["measure", "figure"],
)
def test_what_is_asked_of_all_images_needs_them_though_no_model_is_fitted_on_them(table):
    splits = chosen(CHOSEN.replace("pool_test = true\n", "") + table).splits
    assert len(splits["all"]) == len(splits["train"]) + len(splits["test"]) == 420


def test_the_width_of_a_code_is_known_before_a_model_is_fitted(context):
    widths = {one.name: code_width(context.study, one, context.shape) for one in context.study.models}
    assert widths == {
        "dense": 4, "pooled": 4, "pca": 5, "nothing": 64, "learned": 20, "searched": 4, "of-pooled": 2,
    }  # fmt: skip
    study = chosen().study
    assert code_width(study, study.model("best"), (1, 8, 8)) == 64, "no more than there are pixels"
    assert code_width(study, study.model("deeper"), (1, 8, 8)) == 3
