"""CONTRIBUTING is a page, what it names exists, and each module of examples/extending has a test, some of them here."""

from __future__ import annotations

import re
from contextlib import closing
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Dense, load
from isthmus.collapse import collapse
from isthmus.metrics import l0
from isthmus.studies.spec.parser import parse_study
from isthmus.training.checkpoint import Checkpoints

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
STUDY = """
title = "s"
seed = 0
[data]
name = "digits"
[[model]]
name = "a"
estimator = "autoencoder"
network = {kind = "dense"}
"""
GIVEN = {"epochs": 8, "learning_rate": 0.01, "batch_size": 32, "random_state": 0}


@pytest.fixture
def x():
    return np.random.default_rng(0).random((200, 12), np.float32)


def study_of(arguments):
    """The one model of a study that says these arguments."""
    return parse_study(f"{STUDY}{arguments}\n", "s", "s.toml").models[0]


def test_it_is_a_page():
    assert len(TEXT.splitlines()) <= 100


def test_every_example_is_in_the_table_and_has_a_test():
    names = {path.stem for path in (ROOT / "examples" / "extending").glob("*.py")}
    assert set(re.findall(r"\]\(examples/extending/(\w+)\.py\)", TEXT)) == names
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in names if f'extension("{name}")' not in tests and f'"{name}.py"' not in tests} == set()


def test_every_path_and_function_that_it_names_is_there():
    paths = re.findall(r"[`(]([a-z_/]+(?:\.py|/))[`)]", TEXT)
    assert [path for path in paths if not any((folder / path).exists() for folder in (ROOT, ROOT / "isthmus"))] == []
    assert len(paths) > 40
    functions = re.findall(r"`isthmus\.([a-z_.]+)\.(register)`", TEXT)
    assert len(functions) > 8
    assert all(callable(getattr(import_module(f"isthmus.{module}"), name)) for module, name in functions)


def test_a_penalty(extension, x, tmp_path):
    Hoyer = extension("penalty_and_loss").Hoyer
    network = Dense(bottleneck=24, code_activation="relu")
    penalized = Autoencoder(network, penalty=Hoyer(0.01), **GIVEN).fit(x)
    plain = Autoencoder(network, **GIVEN).fit(x)
    assert l0(penalized.transform(x)).mean() < 0.8 * l0(plain.transform(x)).mean()
    penalized.save(tmp_path / "m")
    assert load(tmp_path / "m").penalty == Hoyer(0.01)
    assert study_of('penalty = {kind = "hoyer", weight = 0.1}').arguments["penalty"] == Hoyer(0.1)


def test_a_code(extension, x, tmp_path):
    TopK = extension("code_top_k").TopK
    network = Dense(bottleneck=9, code_activation="relu")

    def model(**changes):
        return Autoencoder(network, code=TopK(3), **{**GIVEN, **changes})

    fitted = model().fit(x)
    code = fitted.transform(x)
    z = fitted.network_.encode(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_array_equal(code, np.where(z >= np.sort(z)[:, -3:-2], z, 0))
    assert l0(code).max() == 3
    np.testing.assert_allclose(fitted.reconstruct(x), fitted.inverse_transform(code), rtol=1e-5, atol=1e-6)
    assert fitted.history_.losses[-1] < 0.5 * fitted.history_.losses[0]
    assert fitted.history_[-1].terms["lost"] > 0
    state = fitted.network_.state_dict()
    with closing(model().fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        next(rows), next(rows)
    resumed = model().fit(x, checkpoint=tmp_path / "c").network_.state_dict()
    assert state.keys() == resumed.keys() >= {"code.since", "code.in_use"}
    assert all(torch.equal(state[name], resumed[name]) for name in state)
    fitted.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.code == TopK(3)
    assert torch.equal(again.network_.code.since, fitted.network_.code.since)
    np.testing.assert_array_equal(again.transform(x), code)
    assert collapse(fitted, x) is None
    fitted.network_.code.since.fill_(100)
    assert collapse(fitted, x).what == "no unit was kept for 100 steps"
    assert study_of('code = {kind = "top-k", k = 2}').arguments["code"] == TopK(2)
    silent = model().set_params(code=TopK(3, sigma=0.0, weight=0.0)).fit(x)
    assert not torch.equal(silent.network_.encoder.layers[0].weight, fitted.network_.encoder.layers[0].weight)


def test_a_network(extension, x, tmp_path):
    Tied = extension("network_tied").Tied
    fitted = Autoencoder(Tied(6), **GIVEN).fit(x)
    assert fitted.history_.losses[-1] < 0.5 * fitted.history_.losses[0]
    code, weight = fitted.transform(x), fitted.network_.module.encoder.weight.detach().numpy()
    decoded = code @ weight + fitted.network_.module.offset.detach().numpy()
    np.testing.assert_allclose(fitted.reconstruct(x), decoded, rtol=1e-5, atol=1e-6)
    fitted.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").transform(x), code)
    study = parse_study(STUDY.replace("dense", "tied"), "s", "s.toml")
    assert study.models[0].network == Tied()
