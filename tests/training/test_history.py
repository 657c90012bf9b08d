"""The history: a row per epoch, written as JSON lines and read back the same."""

import json

import numpy as np
import pytest

from isthmus.training.history import Epoch, History


@pytest.fixture
def history():
    return History(
        [
            Epoch(1, 0.1 + 0.2, 1.5, (0.5, 0.1), None),
            Epoch(2, 1 / 3, 0.25, (1e-30, 0.3), 0.7),
        ]
    )


def test_a_round_trip_keeps_every_bit(history):
    again = History.from_jsonl(history.to_jsonl())
    assert again.epochs == history.epochs
    assert again.to_jsonl() == history.to_jsonl()


def test_one_json_object_per_line_and_epoch(history):
    lines = history.to_jsonl().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert History.from_jsonl("").epochs == []


def test_columns(history):
    np.testing.assert_array_equal(history.losses, [0.1 + 0.2, 1 / 3])
    np.testing.assert_array_equal(history.validation_losses, [np.nan, 0.7])
    assert history.seconds == 1.75
    assert len(history) == len(list(history)) == 2
    assert history[-1].epoch == 2


def test_repr_says_how_long_and_how_good(history):
    assert repr(history) == "<History of 2 epochs, loss 0.333333>"
    assert repr(History()) == "<History of 0 epochs>"


@pytest.mark.parametrize("text", ["{", "[]", '{"epoch": 1}', '{"epoch": 1, "loss": 1, "step_losses": [], "x": 1}'])
def test_other_text_is_refused(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        History.from_jsonl(text)
