"""An autoencoder with a recipe: scikit-learn's contract, what was chosen can be seen, and is kept in a folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import isthmus
from isthmus import Autoencoder, Dense, GaussianNoise
from isthmus.errors import RequestError
from isthmus.parts import Training
from isthmus.training.checkpoint import Checkpoints


@parametrize_with_checks([Autoencoder(recipe="fast", epochs=3)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def fast(**changes):
    arguments = {"network": Dense((16,), 3, activation="relu"), "recipe": "fast", "random_state": 0, "device": "cpu"}
    return Autoencoder(**{**arguments, **changes})


def test_nothing_is_chosen_before_the_fit_and_what_is_chosen_is_seen_after_it(x):
    model = fast()
    before = model.get_params(deep=False)
    assert [before[name] for name in ("epochs", "batch_size", "learning_rate", "schedule", "start")] == [None] * 5
    model.fit(x)
    assert model.get_params(deep=False) == before
    assert clone(model).get_params(deep=False) == before
    assert 'recipe="fast"' in repr(model).replace("'", '"')
    training = model.training_
    assert (training.schedule, training.start, training.epochs) == ("one-cycle", "data", len(model.history_))
    assert eval(repr(training), {"Training": Training}) == training


def test_what_was_chosen_trains_the_same_when_it_is_said(x):
    chosen = fast().fit(x).training_
    names = ("epochs", "batch_size", "learning_rate", "schedule", "start", "standardize")
    said = fast(recipe=None, **{name: getattr(chosen, name) for name in names})
    np.testing.assert_array_equal(fast().fit(x).transform(x), said.fit(x).transform(x), strict=True)


def test_without_a_recipe_a_training_is_what_it_was(x):
    spelled = {"learning_rate": 1e-3, "schedule": "constant", "epochs": 20, "batch_size": 128, "start": "random"}
    plain = [fast(recipe=None, **more).fit(x) for more in ({}, spelled)]
    np.testing.assert_array_equal(plain[0].transform(x), plain[1].transform(x), strict=True)
    assert plain[0].training_ == plain[1].training_


def test_no_unit_of_a_deep_relu_code_dies(images):
    deep = Dense((64, 32, 16), 8, activation="relu", output="sigmoid")
    alive = []
    for start in ("random", "data"):
        model = fast(network=deep, start=start).fit(images)
        alive.append(int((model.transform(images) > 0).any(axis=0).sum()))
    assert alive[1] == 8
    assert alive[1] >= alive[0]


def test_the_recipe_says_what_it_chose_where_epochs_are_said(x, capsys):
    fast(verbose=1, epochs=2).fit(x)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith('recipe "fast": 2 epochs in batches of ')
    assert second.startswith("epoch 1/2: ")


def test_a_stopped_fit_goes_on_in_the_same_cycle(x, tmp_path):
    whole, stopped = fast(epochs=6), fast(epochs=6)
    whole.fit(x)
    for row in stopped.fit_epochs(x, checkpoint=Checkpoints(tmp_path / "kept", every=0)):
        if row.epoch == 3:
            break
    resumed = fast(epochs=6, verbose=0)
    rows = list(resumed.fit_epochs(x, checkpoint=Checkpoints(tmp_path / "kept", every=0)))
    assert [row.epoch for row in rows] == [4, 5, 6] or [row.epoch for row in rows] == [3, 4, 5, 6]
    np.testing.assert_array_equal(resumed.transform(x), whole.transform(x), strict=True)


def test_a_folder_keeps_what_was_chosen(x, tmp_path):
    model = fast(epochs=2).fit(x)
    model.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["parameters"]["batch_size"] is None
    assert config["fitted"]["training_"]["batch_size"] == model.training_.batch_size
    loaded = isthmus.load(tmp_path / "m")
    assert loaded.training_ == model.training_
    assert loaded.get_params(deep=False) == model.get_params(deep=False)


def test_a_folder_from_before_recipes_is_read(x, tmp_path):
    model = fast(recipe=None, epochs=2, batch_size=16, learning_rate=0.01, schedule="constant").fit(x)
    model.save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    del config["fitted"]["training_"], config["parameters"]["recipe"], config["parameters"]["start"], config["sha256"]
    path.write_text(json.dumps(config))
    assert isthmus.load(tmp_path / "m").training_.batch_size == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"recipe": "quick"}, 'unknown recipe "quick"'), ({"start": "zero"}, 'unknown start "zero"')],
)
def test_unknown_words_are_refused(arguments, message, x):
    with pytest.raises(RequestError, match=message):
        fast(**arguments).fit(x)


def test_large_images_that_vary_together_do_not_throw_a_training_back():
    """A rate for 784 numbers moved a unit of 9,216 that vary together so far that the loss rose to 47 times."""
    rng, place = np.random.default_rng(0), np.linspace(0, 1, 96, dtype=np.float32)
    down, across, waves = rng.random((3, 80, 1, 1), np.float32)
    x = down * place[:, None] + across * place + waves * np.sin(6 * place)[:, None]
    x = (x + 0.05 * rng.random(x.shape, np.float32)).reshape(80, -1) / 2
    network = Dense(bottleneck=32, code_activation="linear")
    common = {"corruption": GaussianNoise(0.1), "epochs": 20, "random_state": 0}
    model = Autoencoder(network, recipe="fast", start="data", **common).fit(x)
    losses, variance = model.history_.losses, x.var(axis=0).mean()
    assert losses.max() < 1.5 * variance
    assert losses[-1] < 0.05 * variance


@pytest.mark.parametrize("n", [19, 20, 24, 25])
@pytest.mark.filterwarnings("ignore::isthmus.errors.PoorFitWarning")
def test_samples_that_are_held_out_choose(n):
    x = np.random.default_rng(0).random((n, 12)).astype(np.float32)
    model = fast(network=Dense((), 3, code_activation="linear"), epochs=12).fit(x)
    assert (model.training_.patience is not None) is (n >= 20)
    assert all((row.validation_loss is not None) is (n >= 20) for row in model.history_)
