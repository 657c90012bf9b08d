"""States of a training: the weights of shorter ones, the same after a stop; and learning does not change."""

from contextlib import closing

import numpy as np
import pytest

from isthmus import Autoencoder, Dense, GaussianNoise
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.snapshots.states import States, epochs_with_states, read_state, read_states

EPOCHS = 6
NAME = "this training"


def model(**changes):
    arguments = {"network": Dense(bottleneck=3), "corruption": GaussianNoise(0.1), "epochs": EPOCHS, "batch_size": 32}
    return Autoencoder(**{**arguments, "random_state": 0, **changes})


def trained(x, folder, *, n=20, every=None, stop_after=None, name=NAME, **changes):
    """A fit that keeps its states below a folder; what it said of them."""
    fitted, sentences = model(**changes), []
    states = States(folder / "states", n, name, sentences.append)
    checkpoints = Checkpoints(folder / "checkpoints", every=every, states=states)
    with closing(fitted.fit_epochs(x, checkpoint=checkpoints)) as rows:
        for row in rows:
            if row.epoch == stop_after:
                break
    return fitted, sentences


def content(folder):
    return {path.name: path.read_bytes() for path in (folder / "states").iterdir()}


def weights(fitted):
    return {name: tensor.numpy() for name, tensor in fitted.network_.state_dict().items()}


@pytest.mark.parametrize("epochs", [1, 2, 5, 19, 20, 57, 100, 3000])
@pytest.mark.parametrize("n", [2, 3, 8, 20])
def test_epochs_rise_from_the_start_to_the_end_and_are_as_many_as_asked_for(epochs, n):
    chosen = epochs_with_states(epochs, n)
    assert len(chosen) == min(n, epochs + 1)
    assert (chosen[0], chosen[-1]) == (0, epochs)
    steps = np.diff(chosen)
    assert (steps >= 1).all()
    assert steps[0] <= steps[-1], "more of the first epochs, in which most is learned"


def test_a_state_is_what_a_training_of_so_many_epochs_ends_with(x, tmp_path):
    trained(x, tmp_path)
    files = read_states(tmp_path / "states", NAME)
    assert list(files) == list(range(EPOCHS + 1))
    for epoch in (1, 4):
        state, shorter = read_state(files[epoch]), weights(model(epochs=epoch).fit(x))
        assert state.keys() == shorter.keys()
        for name, array in shorter.items():
            np.testing.assert_array_equal(state[name], array)
    start, end = (read_state(files[epoch]) for epoch in (0, EPOCHS))
    assert all(np.abs(start[name] - end[name]).max() > 0 for name in start)


def test_states_change_no_bit_of_what_is_learned(x, tmp_path):
    fitted, _ = trained(x, tmp_path)
    for name, array in weights(model().fit(x)).items():
        np.testing.assert_array_equal(weights(fitted)[name], array)


@pytest.mark.parametrize("after", [1, 3, EPOCHS])
@pytest.mark.parametrize("every", [0, None], ids=["checkpoint of each epoch", "of the last alone"])
def test_a_stopped_and_resumed_training_has_the_states_of_one_that_was_not(x, after, every, tmp_path):
    trained(x, tmp_path / "whole", n=4)
    trained(x, tmp_path / "stopped", n=4, every=every, stop_after=after)
    _, sentences = trained(x, tmp_path / "stopped", n=4, every=every)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
    assert sentences == []


def test_early_stopping_keeps_the_state_of_its_last_epoch(x, tmp_path):
    stops = {"epochs": 400, "validation_fraction": 0.2, "patience": 1, "learning_rate": 0.1}
    fitted, _ = trained(x, tmp_path, n=5, **stops)
    *_, last = read_states(tmp_path / "states", NAME)
    assert last == len(fitted.history_) < 400


def test_states_that_were_not_kept_from_the_start_are_said_to_be_missing(x, tmp_path):
    trained(x, tmp_path, n=0, every=0, stop_after=3)
    assert not (tmp_path / "states").exists()
    _, (sentence,) = trained(x, tmp_path, n=20)
    assert sentence == "4 of 7 states are missing: they were not kept when it began"
    assert list(read_states(tmp_path / "states", NAME)) == [4, 5, 6]


def test_a_training_without_states_removes_those_of_a_former_one(x, tmp_path):
    trained(x, tmp_path)
    trained(x, tmp_path, n=0)
    assert not (tmp_path / "states").exists()


def test_states_of_another_training_are_not_read_and_are_replaced(x, tmp_path):
    trained(x, tmp_path, name="another")
    assert read_states(tmp_path / "states", NAME) == {}
    trained(x, tmp_path, n=3)
    assert list(read_states(tmp_path / "states", NAME)) == [0, 1, EPOCHS]
    assert len(content(tmp_path)) == 3


def test_a_state_that_cannot_be_written_is_said_once_and_training_goes_on(x, tmp_path):
    (tmp_path / "states").write_text("a file in the way")
    sentences = []
    states = States(tmp_path / "states" / "model", 20, NAME, sentences.append)
    fitted = model().fit(x, checkpoint=Checkpoints(None, states=states))
    (sentence,) = sentences
    assert "no state could be written to" in sentence
    np.testing.assert_array_equal(fitted.transform(x), model().fit_transform(x))
