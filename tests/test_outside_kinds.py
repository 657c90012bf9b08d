"""A corruption and an augmentation from outside the package, by the public seam: the modules of examples/extending."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Dense, Images, Sequence, kinds, load
from isthmus.cli import run_command
from isthmus.commands.shared.part_syntax import read_words, words_of
from isthmus.corruption import corrupt, noisy_version
from isthmus.errors import RequestError
from isthmus.fingerprints import code_fingerprint
from isthmus.parts import CORRUPTIONS, Levelled
from isthmus.studies.results.results_json import read_results


@pytest.fixture
def speckle(extension):
    """The module of the example of a corruption, imported."""
    return extension("corruption_speckle")


@pytest.fixture
def x():
    return np.random.default_rng(0).random((60, 16), np.float32)


def model(**changes):
    return Autoencoder(Dense(bottleneck=4), **{"epochs": 3, "batch_size": 20, "random_state": 0, **changes})


def same(one, other):
    state, others = one.network_.state_dict(), other.network_.state_dict()
    return all(torch.equal(state[name], others[name]) for name in state)


def test_a_corruption_is_trained_with_saved_and_loaded(speckle, x, tmp_path):
    part = speckle.Speckle(0.5)
    fitted = model(corruption=part).fit(x)
    assert not same(fitted, model().fit(x))
    assert same(fitted, model(corruption=part).fit(x))
    assert not same(fitted, model(corruption=part).set_params(corruption__sigma=0.1).fit(x))
    fitted.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.corruption == part
    assert same(again, fitted)
    assert same(again.fit(x), fitted)


def test_its_noise_is_that_of_the_image_also_within_a_sequence(speckle, x):
    part = speckle.Speckle(0.5)
    noisy = noisy_version(x, part, None)
    assert noisy.std() > x.std()
    np.testing.assert_array_equal(noisy_version(x[::-1], part, None)[::-1], noisy)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    alone, within = (
        corrupt(one, torch.from_numpy(x), g) for one, g in zip((part, Sequence((part,))), generators, strict=True)
    )
    assert torch.equal(alone, within)


def test_a_command_reads_and_writes_its_words(speckle):
    part = read_words("corruption", "speckle:0.25+masking:0.1", "--corruption")
    assert part.steps[0] == speckle.Speckle(0.25)
    assert words_of(part) == "speckle:0.25+masking:0.1"
    with pytest.raises(RequestError, match=r'unknown corruption "speckel".*Did you mean "speckle"'):
        read_words("corruption", "speckel:0.25", "--corruption")


STUDY = """
title = "speckled"
[data]
name = "digits"
train = 60
test = 30
[[model]]
name = "a"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4}
corruption = {kind = "speckle", sigma = 0.3}
epochs = 2
[[model]]
name = "b"
estimator = "pca"
n_components = 2
[[measure]]
corruption = {kind = "speckle"}
levels = [0.2, 0.4]
"""


def test_a_study_trains_and_measures_with_it_in_workers(speckle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("isthmus.studies.plan.context.how_many_at_once", lambda *_: 2)
    study = tmp_path / "speckled.toml"
    study.write_text(STUDY, "utf-8")
    assert run_command(["run", str(study), "--out", str(tmp_path / "runs"), "--threads", "2"]) == 0
    results = read_results(tmp_path / "runs" / "speckled")
    rows = {(row.model, row.corruption): row.value for row in results.rows if row.metric == "mse"}
    assert "2 at a time" in capsys.readouterr().err
    assert len({rows["a", label] for label in (None, "speckle(0.2)", "speckle(0.4)")}) == 3
    assert rows["b", None] < rows["b", "speckle(0.2)"] < rows["b", "speckle(0.4)"]


def test_what_a_worker_is_told_is_registered_from_its_module(speckle):
    entries = json.loads(json.dumps(kinds.registered()))
    assert ["corruption", "corruption_speckle:Speckle", "corruption_speckle:speckle"] in entries
    kinds.register_all(entries)  # what there is already stays as it is
    assert CORRUPTIONS["speckle"] is speckle.Speckle
    kinds.unregister("corruption", speckle.Speckle)
    kinds.register_all(entries)
    assert CORRUPTIONS["speckle"] is speckle.Speckle
    with pytest.raises(RequestError, match=r"a worker cannot import nowhere:Own .* in a module of their own"):
        kinds.register_all([["corruption", "nowhere:Own", "nowhere:own"]])


def test_its_code_is_one_of_the_facts_of_a_fit(speckle):
    before = code_fingerprint()
    assert Path(speckle.__file__) in list(kinds.sources())
    kinds.unregister("corruption", speckle.Speckle)
    assert code_fingerprint() != before
    kinds.register("corruption", speckle.Speckle, speckle.speckle)
    assert code_fingerprint() == before


def test_a_word_that_another_kind_has_is_refused(speckle):
    taken = dataclasses.dataclass(frozen=True)(type("Taken", (Levelled,), {"kind": "gaussian"}))
    for kind, message in ((taken, 'corruption kind "gaussian" already stands for GaussianNoise'), (int, "the word")):
        with pytest.raises(RequestError, match=message):
            kinds.register("corruption", kind, speckle.speckle)


@pytest.mark.parametrize("as_images", [False, True])
def test_an_augmentation_is_trained_with_saved_and_loaded(as_images, extension, x, tmp_path):
    flip = extension("augmentation_flip").Flip
    given = Images(x.reshape(-1, 1, 4, 4)) if as_images else x
    fitted = model(augmentation=flip()).fit(given)
    assert not same(fitted, model().fit(given))
    fitted.save(tmp_path / "m")
    assert load(tmp_path / "m").augmentation == flip()
    assert same(load(tmp_path / "m").fit(given), fitted)
