"""The two laboratory sheets against STUDIES.md: widths, sizes, training, noise, and every published number."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from isthmus.networks import build
from isthmus.parts import L1, GaussianNoise
from isthmus.studies.results.verdict import spread_of
from isthmus.studies.spec.parser import load_study
from isthmus.studies.spec.study import matches

PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "published.json").read_text())
SHEETS = ("lab", "imaging")
every_sheet = pytest.mark.parametrize("name", SHEETS)


def dense(*widths: int) -> int:
    """Weights and biases of a chain of widths."""
    return sum(a * b + b for a, b in pairwise(widths))


DEEP = (784, 512, 256, 128, 30, 128, 256, 784)
CONV = (1 * 8 * 9 + 8) + (8 * 16 * 9 + 16) + (16 * 16 * 9 + 16)
BACK = (16 * 16 * 9 + 16) + (16 * 8 * 9 + 8) + (8 * 9 + 1)
# parameters, numbers of the code, switches
SIZES = {
    "lab": {
        "deep-30": (dense(*DEEP), 30, 0),
        **{f"dense-{k}": (dense(784, k, 784), k, 0) for k in (64, 128, 256)},
        **{f"sparse-1024-{weight}": (dense(784, 1024, 784), 1024, 0) for weight in ("0", "1e-5", "1e-4", "1e-3")},
        **{f"dae-{k}": (dense(784, k, 784), k, 0) for k in (1, 64)},
        "manifold-8": (dense(784, 64, 8, 64, 784), 8, 0),
        "conv-unpool": (CONV + BACK, 16, 1768),
    },
    "imaging": {
        **{f"ae1-{epochs}": (dense(*DEEP), 30, 0) for epochs in (10, 20)},
        **{f"ae2-{k}": (dense(784, k, 784), k, 0) for k in (64, 128, 256)},
        **{f"sparse-1156-{weight}": (dense(784, 1156, 784), 1156, 0) for weight in ("1e-6", "1e-5", "1e-4")},
        **{f"dae-256-{sigma}": (dense(784, 256, 784), 256, 0) for sigma in (0.3, 0.5, 0.8, 0.9)},
        "manifold-8": (dense(784, 64, 8, 64, 784), 8, 0),
        "conv-unpool": (CONV + (16 * 8 * 9 + 8) + (8 * 9 + 1), 144, 2496),
        "conv-deconv": (CONV + (16 * 16 * 9 + 16) + (16 * 8 * 16 + 8) + (8 * 16 + 1), 144, 0),
        "conv-deconv-unpool": (CONV + BACK, 144, 2496),
    },
}


def published(name):
    """The models of a sheet as they were published: those done right have a suffix."""
    return [model for model in load_study(name).models if model.training and not model.name.endswith("-right")]


@every_sheet
def test_every_published_number_is_a_reference(name):
    study = load_study(name)
    numbers = {key: fact for key, fact in PUBLISHED.items() if key.startswith(f"{name}.")}
    references = {reference.id: reference for reference in study.references}
    assert references.keys() == numbers.keys()
    assert len(numbers) >= 10
    for key, fact in numbers.items():
        reference = references[key]
        value = list(reference.value) if isinstance(reference.value, tuple) else reference.value
        assert (value, reference.rtol, reference.atol) == (fact["value"], fact.get("rtol"), fact.get("atol"))
        assert key.startswith(f"{name}.{reference.model}.")
        assert not reference.model.endswith("-right"), "what was published is compared as published"


def test_what_depends_on_the_start_is_held_against_ten_seeds():
    over_seeds = {one.id: one for one in load_study("lab").references if one.over_seeds}
    assert over_seeds.keys() >= {f"lab.dense-{k}.{split}" for k in (64, 128) for split in ("train", "val")}
    for reference in over_seeds.values():
        assert len(set(reference.over_seeds)) >= 10
        spread = spread_of(reference.over_seeds)
        low, high = spread["interval"]
        assert low <= reference.value <= high, reference.id
        assert spread["low"] < spread["mean"] < spread["high"]
        assert high - low < spread["mean"] / 2, "narrow enough to tell one width of the code from another"


def test_what_was_published_for_images_that_nobody_knows_is_held_against_all_images():
    """No ten others are those ten: of ten random training images one in ten has the published error or more."""
    random = [one for one in load_study("lab").references if "random" in one.note]
    assert len(random) == 7
    for reference in random:
        assert reference.images == ()
        assert reference.over_seeds == (), "seeds say nothing of which images they were"


@every_sheet
def test_published_models_have_the_published_sizes(name):
    found = {}
    for model in published(name):
        network = build(model.arguments["network"], 784, torch.Generator().manual_seed(0), (1, 28, 28))
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        found[model.name] = n_parameters, network.code_size, network.n_switches
    assert found == SIZES[name]


@every_sheet
def test_published_models_are_trained_as_published(name):
    data = load_study(name).data
    split = ("mnist", 50_000, 10_000, "random") if name == "lab" else ("mnist", 60_000, 0, "file")
    assert (data.name, data.train, data.validation, data.split) == split
    for model in published(name):
        training, network = model.training, model.arguments["network"]
        assert (training.optimizer, training.schedule) == ("adam", "constant")
        assert training.learning_rate == (8e-4 if model.name.startswith("dae-256") else 1e-3)
        assert (training.batch_size, training.shuffle) == ((64, True) if name == "lab" else (256, False))
        own = {"conv-unpool": 20} if name == "lab" else {"ae1-20": 20}
        assert training.epochs == own.get(model.name, 15 if name == "lab" else 10)
        assert network.activation == "relu"
        linear = {("lab", "manifold-8"), ("imaging", "conv-unpool")}
        assert (network.code_activation or "relu") == ("linear" if (name, model.name) in linear else "relu")
        sigmoid = name == "lab" or model.name == "manifold-8"
        assert network.output == ("sigmoid" if sigmoid else "relu")


@every_sheet
def test_penalties_and_noise_are_the_published_ones(name):
    """On the sum over a batch, and on the images of the model's own name; done right, on each sample."""
    for model in load_study(name).models:
        penalty, corruption = model.arguments.get("penalty"), model.arguments.get("corruption")
        if model.name.startswith("sparse-"):
            weight = float(model.name.removesuffix("-right").split("-", 2)[2])
            per = "sample" if model.name.endswith("-right") else "batch"
            assert penalty == (L1(weight, per=per) if weight else None)
        else:
            assert penalty is None
        if model.name.startswith("dae-"):
            lab = name == "lab"
            sigma = 0.5 if lab else float(model.name.split("-")[2])
            assert corruption == GaussianNoise(sigma, clip=lab)
        else:
            assert corruption is None


@every_sheet
def test_every_trained_model_is_measured_under_the_noise_of_the_sheet(name):
    study = load_study(name)
    labels = {f"gaussian({sigma}{'' if name == 'lab' else ',clip=false'})" for sigma in (0.3, 0.5, 0.8, 0.9)}
    for model in study.models:
        measures = [m for m in study.measures if matches(model, m.models) and m.split == "test" and "mse" in m.metrics]
        measured = {part.label for m in measures for part in m.corruptions() if part}
        assert labels <= measured or not model.training, model.name


@every_sheet
def test_a_sheet_is_in_sections_with_its_traps(name):
    study = load_study(name)
    assert len(study.sections) >= 5
    assert {figure.section for figure in study.figures} <= {section.name for section in study.sections}
    assert all(figure.section for figure in study.figures)
    assert len(study.traps) >= 6
    assert any(model.name.endswith("-right") for model in study.models)
