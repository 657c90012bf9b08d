"""kill -9 at every step of writing and at random moments: repeated, the work ends with the bytes of one that lived."""

from __future__ import annotations

import random

import pytest

STUDY = """
title = "small"
[data]
name = "digits"
train = 200
validation = 50
test = 60
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
corruption = {kind = "gaussian", sigma = 0.2}
epochs = 4
batch_size = 20
patience = 3
"""


@pytest.fixture(scope="module")
def whole(crash, same, tmp_path_factory):
    """A fit that nothing stopped: its bytes, and how many steps of writing it took."""
    folder = tmp_path_factory.mktemp("whole")
    end = crash("fit", folder=folder)
    assert end["status"] == 0, end
    assert same.leftovers(folder) == []
    assert end["calls"] > 15
    return same.model_bytes(folder / "model"), end["calls"]


def fit_again(crash, same, folder, whole):
    end = crash("fit", folder=folder)
    assert end["status"] == 0, end
    assert same.model_bytes(folder / "model") == whole[0]
    assert same.leftovers(folder) == []
    return end["lines"]


@pytest.mark.parametrize("late", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["before", "after"])
def test_kill_9_at_every_step_of_writing(late, crash, same, whole, tmp_path):
    begun = set()
    for step in range(1, whole[1] + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        assert crash("fit", folder=folder, kill_at=step, late=late)["status"] == -9
        lines = fit_again(crash, same, folder, whole)
        begun.add(lines[0] if lines else "nothing left to train")
        assert not [line for line in lines if "damaged" in line], "killed is not damaged"
    assert {"epoch 1", "epoch 2", "epoch 3"} <= begun, "some went on from each checkpoint"


def test_kill_9_again_and_again_until_it_is_done(crash, same, whole, tmp_path):
    """Each time at a later step of its own: every process gets a little further."""
    for step in range(8, whole[1] + 1, 3):
        if crash("fit", folder=tmp_path, kill_at=step)["status"] == 0:
            break
    fit_again(crash, same, tmp_path, whole)


def killed_at_random(crash, same, whole, tmp_path, times):
    seconds = crash("fit", folder=tmp_path / "timing")["seconds"]
    moments = random.Random(0)
    for n in range(times):
        folder = tmp_path / str(n)
        folder.mkdir()
        killed = crash("fit", folder=folder, after=moments.uniform(0, 1.1 * seconds))["status"]
        assert killed in (-9, 0)
        fit_again(crash, same, folder, whole)


def test_kill_9_at_random_moments(crash, same, whole, tmp_path):
    (tmp_path / "timing").mkdir()
    killed_at_random(crash, same, whole, tmp_path, 4)


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments(crash, same, whole, tmp_path):
    (tmp_path / "timing").mkdir()
    killed_at_random(crash, same, whole, tmp_path, 20)


def test_kill_9_while_one_model_replaces_another(crash, same, whole, tmp_path):
    """At every step the old model is there or the new one, whole; never neither, never a mixture."""
    from isthmus import Autoencoder, Dense, load
    from isthmus.files import sweep

    x = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]] * 4
    for name, seed in (("old", 0), ("new", 1)):
        Autoencoder(Dense(bottleneck=2), epochs=1, random_state=seed).fit(x).save(tmp_path / name)
    old, new = (same.model_bytes(tmp_path / name) for name in ("old", "new"))
    assert old[0] != new[0]
    found = []
    for step in range(1, 40):
        load(tmp_path / "old").save(tmp_path / "model")
        end = crash("save", folder=tmp_path, kill_at=step)
        sweep(tmp_path)
        load(tmp_path / "model")
        found.append(same.model_bytes(tmp_path / "model"))
        assert found[-1] in (old, new)
        assert same.leftovers(tmp_path) == []
        if end["status"] == 0:
            break
    assert end["status"] == 0
    assert (found[0], found[-1]) == (old, new)


# --- a whole run ---


@pytest.fixture(scope="module")
def uninterrupted(crash, same, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.toml").write_text(STUDY)
    command = ["run", str(folder / "small.toml"), "--threads", "1", "--device", "cpu"]
    end = crash("run", command=[*command, "--out", str(folder)])
    assert end["status"] == 0, end
    return command, same.model_bytes(folder / "small" / "models" / "dense-4"), end["calls"]


def run_again(crash, same, out, uninterrupted):
    command, expected, _ = uninterrupted
    end = crash("run", command=[*command, "--out", str(out)])
    assert end["status"] == 0, end
    assert same.model_bytes(out / "small" / "models" / "dense-4") == expected
    assert same.leftovers(out) == []
    assert (out / "small" / "report.html").is_file()
    return end["lines"]


def killed_in_epoch(epoch, crash, out, uninterrupted):
    """A run that kills itself when this epoch is told; its checkpoints, the oldest first."""
    command = [*uninterrupted[0], "--out", str(out)]
    assert crash("run", command=command, epoch=epoch)["status"] == -9
    return sorted((out / "small" / "checkpoints" / "dense-4").glob("0*"))


def test_a_run_that_is_killed_goes_on_inside_a_model(crash, same, tmp_path, uninterrupted):
    killed_in_epoch(2, crash, tmp_path, uninterrupted)
    killed_in_epoch(3, crash, tmp_path, uninterrupted)
    lines = run_again(crash, same, tmp_path, uninterrupted)
    assert "dense-4: continues after epoch 3, where it was stopped" in lines
    assert [line.split()[2] for line in lines if line.startswith("dense-4  epoch")] == ["4/4"]


@pytest.mark.parametrize("how", ["empty", "cut short", "one bit flipped"])
def test_a_damaged_checkpoint_of_a_killed_run(how, crash, same, tmp_path, uninterrupted):
    place = killed_in_epoch(3, crash, tmp_path, uninterrupted)[-1] / "last.safetensors"
    data = place.read_bytes()
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    place.write_bytes({"empty": b"", "cut short": data[:-9], "one bit flipped": flipped}[how])
    lines = run_again(crash, same, tmp_path, uninterrupted)
    (said,) = [line for line in lines if "is damaged" in line]
    assert said.startswith("dense-4: the checkpoint ")
    assert "the one before it is used" in said
    assert "dense-4: continues after epoch 2, where it was stopped" in lines


@pytest.mark.slow
def test_a_run_is_killed_at_every_step_of_writing(crash, same, tmp_path, uninterrupted):
    went_on = 0
    for step in range(1, uninterrupted[2] + 1):
        out = tmp_path / str(step)
        assert crash("run", command=[*uninterrupted[0], "--out", str(out)], kill_at=step)["status"] == -9
        lines = run_again(crash, same, out, uninterrupted)
        went_on += any("dense-4: continues after epoch" in line for line in lines)
    assert went_on > 10
