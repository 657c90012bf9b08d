"""`isthmus fit --recipe`: fast unless plain is asked for, what is said counts more, and what was chosen is told."""

from __future__ import annotations

import pytest

import isthmus

HERE = ("--threads", 1, "--device", "cpu")


def test_fast_is_the_default_and_says_what_it_chose(digits, tmp_path, done):
    _, err = done("fit", digits, "-o", tmp_path / "m", "--epochs", 2, *HERE)
    for said in ("one-cycle", "from PCA's solution", "batches of 16", "a learning rate of 0.005"):
        assert said in err
    model = isthmus.load(tmp_path / "m")
    assert (model.schedule, model.start, model.epochs, model.patience) == ("one-cycle", "pca", 2, 2)


def test_plain_is_a_constant_rate_with_patience(digits, tmp_path, done):
    _, err = done("fit", digits, "-o", tmp_path / "m", "--recipe", "plain", "--batch-size", 30, "--epochs", 40, *HERE)
    assert "stopping " in err
    model = isthmus.load(tmp_path / "m")
    assert (model.training_.schedule, model.training_.start, model.batch_size) == ("constant", "pca", 30)
    assert model.patience < model.epochs


@pytest.mark.parametrize("recipe", ["fast", "plain"])
def test_what_is_said_counts_more_than_the_recipe(recipe, digits, tmp_path, done):
    words = ("--epochs", 2, "--batch-size", 20, "--learning-rate", 0.002, "--schedule", "cosine", "--patience", 1)
    done("fit", digits, "-o", tmp_path / "m", "--recipe", recipe, *words, *HERE)
    training = isthmus.load(tmp_path / "m").training_
    assert (training.batch_size, training.learning_rate, training.schedule) == (20, 0.002, "cosine")
    assert (training.epochs, training.patience) == (2, 1)


def test_an_unknown_recipe_is_refused(digits, tmp_path, refused):
    assert "quick" in refused("fit", digits, "-o", tmp_path / "m", "--recipe", "quick")
