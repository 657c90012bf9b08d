"""The recipes of CONTRIBUTING, followed to the letter: what it shows of outside the package is run, then trained."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from isthmus import Autoencoder, Dense, kinds, load
from isthmus.metrics import l0
from isthmus.studies.spec.parser import parse_study

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
