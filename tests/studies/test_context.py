"""What a run is told of its models before it trains them: what they have seen, their work, their place, their size."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.studies.context import Request
from isthmus.studies.plan import Work
from isthmus.studies.prepare import prepare
from isthmus.studies.reading import parse_study

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
    assert context_of(only=("dense",), seeds=3).room() == 3 * dense + checkpoints
    assert context_of().room() == 2 * dense + pca + 0 + learned + dense + of_codes + checkpoints
