"""A study's model with a recipe: its choice is in the plan before training, and what is said in the TOML is kept."""

from __future__ import annotations

import pytest
import torch

from isthmus import load
from isthmus.errors import RequestError
from isthmus.studies.spec.parser import parse_study

FAST = """
[[model]]
name = "fast-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
recipe = "fast"
"""


@pytest.mark.parametrize("said", ["", "epochs = 3\nbatch_size = 100\n"], ids=["all is chosen", "some is said"])
def test_the_plan_and_the_model_agree_on_what_was_chosen(said, tools, run, folder):
    results = run(tools.HEAD + FAST + said)
    (plan,), (timing,) = results.plan, [one for one in results.timings if one["phase"] == "fit"]
    model = load(folder / "models" / "fast-4")
    training = model.training_
    assert plan["epochs"] == timing["epochs"] == training.epochs == len(model.history_)
    assert plan["steps"] == training.epochs * -(-300 // training.batch_size)
    assert (training.schedule, training.start) == ("one-cycle", "data")
    if said:
        assert (training.epochs, training.batch_size) == (3, 100)
    assert "recipe='fast'" in results.models[0]["code"]


def test_an_unknown_recipe_is_refused_with_its_model(tools):
    with pytest.raises(RequestError, match=r'small.toml, model "fast-4".*unknown recipe "quick"'):
        parse_study(tools.HEAD + FAST.replace('"fast"\n', '"quick"\n'), "small", "small.toml")


def test_a_study_trains_in_float32_on_every_processor_unless_it_says_otherwise(tools, run, folder, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for place in ("training.hardware", "networks.accelerators.dense"):  # the model is small
        monkeypatch.setattr(f"isthmus.{place}._WORTH", 0)
    results = run(tools.HEAD + tools.DENSE + tools.DENSE.replace("dense-4", "auto") + 'precision = "auto"\n')
    assert {name: load(folder / "models" / name).precision_ for name in ("dense-4", "auto")} == {
        "dense-4": "float32", "auto": "bfloat16",
    }  # fmt: skip
    said = {t["model"]: t["precision"] for t in results.timings if t["phase"] == "fit"}
    assert said == {"dense-4": "float32", "auto": "bfloat16"}
    assert results.value("dense-4", "mse", "test") != results.value("auto", "mse", "test")
