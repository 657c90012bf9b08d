"""The recipes of CONTRIBUTING, followed to the letter: what it shows of outside the package is run, then trained."""

from __future__ import annotations

import importlib
import re
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Dense, kinds, load
from isthmus.collapse import collapse
from isthmus.metrics import l0
from isthmus.studies.spec.parser import parse_study
from isthmus.training.checkpoint import Checkpoints

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text("utf-8")
GIVEN = {"epochs": 8, "learning_rate": 0.01, "batch_size": 32, "random_state": 0}


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Import the module that the recipe for a thing shows. What it registers is gone after the test."""
    before = list(kinds._registered)

    def run(thing):
        (recipe,) = re.findall(rf"\*\*{thing}\.\*\*(?:(?!\n\*\*).)*?```python\n(.*?)```", TEXT, re.DOTALL)
        (tmp_path / "recipe.py").write_text(recipe, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "recipe", raising=False)
        return importlib.import_module("recipe")

    yield run
    for kind in [kind for kind in kinds._registered if kind not in before]:
        kinds.unregister(kinds._registered[kind][0], kind)


@pytest.fixture
def x():
    return np.random.default_rng(0).random((200, 12), np.float32)


def study_of(arguments):
    """The one model of a study that says these arguments."""
    head = 'title = "s"\nseed = 0\n[data]\nname = "digits"\n[[model]]\nname = "a"\nestimator = "autoencoder"\n'
    return parse_study(f'{head}network = {{kind = "dense"}}\n{arguments}\n', "s", "s.toml").models[0]


def test_a_penalty(follow, x, tmp_path):
    Hoyer = follow("a penalty").Hoyer
    network = Dense(bottleneck=24, code_activation="relu")
    penalized = Autoencoder(network, penalty=Hoyer(0.01), **GIVEN).fit(x)
    plain = Autoencoder(network, **GIVEN).fit(x)
    assert l0(penalized.transform(x)).mean() < 0.8 * l0(plain.transform(x)).mean()
    penalized.save(tmp_path / "m")
    assert load(tmp_path / "m").penalty == Hoyer(0.01)
    assert study_of('penalty = {kind = "hoyer", weight = 0.1}').arguments["penalty"] == Hoyer(0.1)


def test_a_code(follow, x, tmp_path):
    recipe = follow("a code")
    TopK = recipe.TopK
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
    assert state.keys() == resumed.keys() >= {"code.since", "code.kept"}
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
