"""Checkpoints: a training that was stopped and goes on ends with the same bits; what is damaged is never used."""

import json
from collections import deque
from contextlib import closing

import numpy as np
import pytest
import torch

from isthmus import L1, Affine, Autoencoder, Conv, Dense, GaussianNoise, Images
from isthmus.data.batches import Pixels
from isthmus.errors import DataError, DivergedError, DoubtWarning, RequestError, RunError
from isthmus.training import checkpoint as module
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.history import Epoch, History
from isthmus.training.snapshots.snapshot_files import read_snapshot

EPOCHS = 6


def small(**changes):
    arguments = {"network": Dense(bottleneck=3, activation="tanh"), "epochs": EPOCHS, "batch_size": 32}
    return Autoencoder(**{**arguments, "random_state": 0, **changes})


def outcome(model):
    """All that must be the same: the weights' bytes, and the history but for the seconds."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in model.network_.state_dict().items()}
    rows = [{**vars(row), "seconds": None} for row in model.history_]
    return weights, rows, model.seed_


def stopped(model, X, folder, after, replace=False, **given):
    """Train, and stop after this epoch, of which a checkpoint is written; or where it stops by itself."""
    checkpoints = Checkpoints(folder, every=0, replace=replace)
    with closing(model.fit_epochs(X, checkpoint=checkpoints, **given)) as rows:
        for row in rows:
            if row.epoch == after:
                break
    return checkpoints


def places(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


TRAININGS = {  # of parts: tests/test_compositions.py
    "plain": {},
    "adamw, one cycle": {"optimizer": "adamw", "schedule": "one-cycle"},
    "sgd, cosine": {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.01},
    "noise and a penalty that warms up": {
        "corruption": GaussianNoise(0.3),
        "penalty": L1(1e-2, warmup=4),
        "network": Dense(bottleneck=6),
    },
    "one order": {"shuffle": "once"},
    "the data's order": {"shuffle": False},
    "bfloat16": {"precision": "bfloat16"},
    "held-out samples": {"validation_fraction": 0.2},
}


@pytest.mark.parametrize("after", [1, 4])
@pytest.mark.parametrize("what", TRAININGS)
def test_a_stopped_training_goes_on_to_the_same_bits(what, after, x, tmp_path):
    arguments = TRAININGS[what]
    whole = small(**arguments).fit(x)
    stopped(small(**arguments), x, tmp_path / "c", after)
    again = small(**arguments)
    rows = list(again.fit_epochs(x, checkpoint=tmp_path / "c"))
    assert [row.epoch for row in rows] == list(range(after + 1, EPOCHS + 1)), "it did not begin anew"
    assert outcome(again) == outcome(whole)
    assert not (tmp_path / "c").exists(), "a finished fit leaves no checkpoint"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"validation_fraction": 0.2, "patience": 9},
        {"validation_fraction": 0.2, "patience": 1, "learning_rate": 1.0},
    ],
    ids=["plain", "the best epoch", "early stopping"],
)
def test_what_was_stopped_after_its_last_epoch_is_not_trained_again(arguments, x, tmp_path):
    whole = small(**arguments).fit(x)
    assert (len(whole.history_) < EPOCHS) == ("learning_rate" in arguments)
    stopped(small(**arguments), x, tmp_path / "c", after=None)
    again = small(**arguments)
    assert list(again.fit_epochs(x, checkpoint=tmp_path / "c")) == []
    assert outcome(again) == outcome(whole)


def test_checkpointing_changes_nothing(x, tmp_path):
    kept = small()
    for _ in kept.fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0)):
        pass
    assert outcome(kept) == outcome(small().fit(x))
    assert places(tmp_path / "c"), "whoever makes Checkpoints removes them"


@pytest.mark.parametrize("foreign", ["thesis.txt", "thesis.tmp", "photographs/one.png", "2024/one.png"])
def test_a_folder_that_holds_anything_else_is_refused_and_left_as_it_is(foreign, x, tmp_path):
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("years of work")
    with pytest.raises(RequestError, match=f"holds {foreign.split('/')[0]}, which is not a checkpoint; give a"):
        small().fit(x, checkpoint=tmp_path)
    assert places(tmp_path) == [foreign.split("/")[0]]
    assert (tmp_path / foreign).read_text() == "years of work"


def test_what_is_put_into_the_folder_during_a_fit_is_not_removed_with_the_checkpoints(x, tmp_path):
    for row in small().fit_epochs(x, checkpoint=tmp_path / "c"):
        if row.epoch == 2:
            (tmp_path / "c" / "note.txt").write_text("looks good so far")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["note.txt"]


def test_a_second_training_with_the_same_checkpoints_is_kept_from_its_beginning(x, tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", every=0.1, say=lambda _: None)
    checkpoints._seconds = 3600.0  # of a first training, of an hour
    rows = small(epochs=10_000, random_state=1).fit_epochs(x, checkpoint=checkpoints)
    with closing(rows):
        for _ in rows:
            if len(places(tmp_path / "c")):
                break
        else:
            pytest.fail("ten thousand epochs, and no checkpoint")


@pytest.mark.parametrize("after", [2, 5, 9])
def test_early_stopping_goes_on_where_it_was(after, tmp_path):
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, 40, 20)).astype(np.float32)  # nothing to learn but these 40 samples by heart
    wide = {"network": Dense(hidden=(64,), bottleneck=20, activation="tanh"), "learning_rate": 0.003}
    arguments = {**wide, "patience": 4, "epochs": 200}
    whole = small(**arguments).fit(x, validation=other)
    losses = whole.history_.validation_losses
    best = int(losses.argmin()) + 1
    assert best < len(losses) == best + 4 < 200
    assert after < len(losses)
    stopped(small(**arguments), x, tmp_path / "c", after, validation=other)
    again = small(**arguments).fit(x, validation=other, checkpoint=tmp_path / "c")
    assert outcome(again) == outcome(whole)


def test_best_and_last_weights_are_apart_and_each_of_one_epoch(tmp_path):
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, 40, 20)).astype(np.float32)
    network = Dense(hidden=(64,), bottleneck=20, activation="tanh")
    arguments = {"network": network, "learning_rate": 0.01, "epochs": 100, "patience": 90}
    losses = small(**arguments).fit(x, validation=other).history_.validation_losses
    last = 2 + int(np.flatnonzero(np.diff(losses) > 0)[0])  # the first epoch that is worse than the one before it
    best = 1 + int(losses[:last].argmin())
    assert 1 < best < last < 100
    checkpoints = stopped(small(**arguments), x, tmp_path / "c", last, validation=other)
    snapshot, _ = read_snapshot(checkpoints._places()[-1])
    for epochs, weights in ((best, snapshot.best_weights), (last, snapshot.weights)):
        model = small(**{**arguments, "epochs": epochs, "patience": None}).fit(x)
        for name, tensor in model.network_.state_dict().items():
            np.testing.assert_array_equal(weights[name], tensor.numpy(), strict=True)
    assert (snapshot.best, snapshot.waited) == (losses[best - 1], last - best)


def test_a_training_may_be_stopped_many_times(x, tmp_path):
    for after in range(1, EPOCHS):
        stopped(small(corruption=GaussianNoise(0.2)), x, tmp_path / "c", after)
    assert places(tmp_path / "c") == ["000004", "000005"]
    again = small(corruption=GaussianNoise(0.2)).fit(x, checkpoint=tmp_path / "c")
    assert outcome(again) == outcome(small(corruption=GaussianNoise(0.2)).fit(x))


def test_seconds_are_summed_over_the_parts(x, tmp_path):
    checkpoints = stopped(small(), x, tmp_path / "c", 4)
    first = read_snapshot(checkpoints._places()[-1])[0].history
    again = small().fit(x, checkpoint=tmp_path / "c")
    assert [row.seconds for row in again.history_][:4] == [row.seconds for row in first]
    assert again.history_.seconds > first.seconds > 0


def test_without_a_seed_the_checkpoints_is_taken(x, tmp_path):
    checkpoints = stopped(small(random_state=None, validation_fraction=0.3), x, tmp_path / "c", 3)
    seed = read_snapshot(checkpoints._places()[-1])[0].seed
    again = small(random_state=None, validation_fraction=0.3).fit(x, checkpoint=tmp_path / "c")
    assert again.seed_ == seed
    assert outcome(again) == outcome(small(random_state=seed, validation_fraction=0.3).fit(x))


def test_images_go_on_too_and_labels_do_not_matter(images, tmp_path):
    whole = small().fit(images)
    stopped(small(), images, tmp_path / "c", 3)
    unlabelled = Images(images.pixels)
    again = small()
    assert len(list(again.fit_epochs(unlabelled, checkpoint=tmp_path / "c"))) == 3
    assert outcome(again) == outcome(whole)


# --- another training ---


CHANGES = {
    "network": {"network": Dense(bottleneck=4, activation="tanh")},
    "corruption": {"corruption": GaussianNoise(0.1)},
    "penalty": {"penalty": L1(1e-3), "network": Dense(bottleneck=3)},
    "loss": {"loss": "bce", "network": Dense(bottleneck=3, activation="tanh", output="sigmoid")},
    "learning_rate": {"learning_rate": 2e-3},
    "epochs": {"epochs": EPOCHS + 1},
    "batch_size": {"batch_size": 33},
    "shuffle": {"shuffle": "once"},
    "random_state": {"random_state": 1},
    "precision": {"precision": "bfloat16"},
    "augmentation": {"augmentation": Affine(image_shape=(1, 4, 4))},
    "start": {"start": "data"},
    "optimizer": {"optimizer": "sgd"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_configuration_begins_anew_and_says_what_differs(name, x, tmp_path):
    x = np.clip(x / x.max(), 0, 1)
    stopped(small(precision="float32"), x, tmp_path / "c", 3)
    changed = small(**{"precision": "float32", **CHANGES[name]})
    kept = {path: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}
    with pytest.raises(RequestError, match=rf"c holds another training \(different: .*{name}.*or remove the folder"):
        changed.fit(x, checkpoint=tmp_path / "c")
    assert {path: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")} == kept
    with pytest.warns(DoubtWarning, match=rf"c holds another training \(different: .*{name}.*begins anew") as said:
        changed.fit(x, checkpoint=Checkpoints(tmp_path / "c", replace=True))
    assert "\n" not in str(said[0].message)
    assert outcome(changed) == outcome(small(**{"precision": "float32", **CHANGES[name]}).fit(x))


@pytest.mark.parametrize("what", ["samples", "validation samples", "threads"])
def test_other_samples_or_threads_begin_anew(what, x, tmp_path, monkeypatch):
    stopped(small(), x, tmp_path / "c", 3, validation=x[:20])
    other, held_out = x.copy(), x[:20].copy()
    if what == "threads":
        monkeypatch.setattr("isthmus.estimators.fits.one_fit.step_threads", lambda *_: 7)
    else:
        (other if what == "samples" else held_out)[3, 3] += 1e-3
    with pytest.raises(RequestError, match=rf"\(different: {what}\)"):
        small().fit(other, validation=held_out, checkpoint=tmp_path / "c")
    with pytest.warns(DoubtWarning, match=rf"\(different: {what}\)"):
        small().fit(other, validation=held_out, checkpoint=Checkpoints(tmp_path / "c", replace=True))


def test_a_checkpoint_of_another_training_stays_until_there_are_two_of_the_new(x, tmp_path):
    stopped(small(), x, tmp_path / "c", 3)
    with pytest.warns(DoubtWarning, match="another training"):
        stopped(small(learning_rate=0.1), x, tmp_path / "c", 1, replace=True)
    again = small()
    assert len(list(again.fit_epochs(x, checkpoint=tmp_path / "c"))) == 3, "the former one's is still there"
    assert outcome(again) == outcome(small().fit(x))


@pytest.fixture
def threads():
    """threads(n): compute with n threads; in the end with as many as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# What computes beside the steps: the validation loss, a start from the data, what config.json says of the codes. Each
# sums so many numbers that several threads would share them.
BESIDE = {
    "dense": {"network": Dense((32,), 8), "start": "data"},
    "convolutions": {"network": Conv((4,), image_shape=(1, 8, 8)), "start": "data"},
    "a recipe": {"network": Dense((32,), 8), "recipe": "fast"},
    "standardized": {"network": Dense((32,), 8), "standardize": True},
    "noise": {"corruption": GaussianNoise(0.2), "network": Dense(bottleneck=8), "patience": 5},
}


@pytest.fixture
def many():
    """1,500 samples to train on, 1,000 for validation."""
    rng = np.random.default_rng(0)
    return rng.random((1500, 64)).astype(np.float32), rng.random((1000, 64)).astype(np.float32)


@pytest.mark.parametrize("what", BESIDE)
def test_a_training_whose_steps_take_one_thread_is_the_same_by_any_number(what, many, threads, tmp_path):
    """All of it: stopped under two threads, it goes on under one to the same history and the same config.json."""
    x, held_out = many
    arguments = {"epochs": 3, "precision": "float32", **BESIDE[what]}
    ends = []
    for n in (1, 2):
        threads(n)
        model = small(**arguments).fit(x, validation=held_out)
        assert len(set(model.history_.validation_losses)) == 3
        ends.append((outcome(model), model.code_))
    assert ends[0] == ends[1]
    stopped(small(**arguments), x, tmp_path / "c", 1, validation=held_out)
    threads(1)
    again = small(**arguments)
    rows = list(again.fit_epochs(x, validation=held_out, checkpoint=tmp_path / "c"))
    assert [row.epoch for row in rows] == [2, 3]
    assert (outcome(again), again.code_) == ends[0]
    assert torch.get_num_threads() == 1


def test_where_steps_take_all_threads_another_number_is_another_training(x, threads, tmp_path):
    wide = {"network": Dense(bottleneck=2048), "epochs": 3, "batch_size": 100}
    threads(2)
    stopped(small(**wide), x, tmp_path / "c", 2)
    threads(1)
    with pytest.raises(RequestError, match=r"holds another training \(different: threads\)"):
        small(**wide).fit(x, checkpoint=tmp_path / "c")
    with pytest.warns(DoubtWarning, match=r"holds another training \(different: threads\); this one begins anew"):
        assert len(list(small(**wide).fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", replace=True)))) == 3


# --- when ---


def test_the_first_comes_after_so_many_seconds_of_training(x, tmp_path, monkeypatch):
    assert module.EVERY == 10
    checkpoints = Checkpoints(tmp_path / "c")
    rows = [Epoch(i, 1.0, 4.0) for i in range(1, 9)]
    due = [checkpoints.due(History(rows[:n])) for n in range(1, 9)]
    assert due == [False, False, True, True, True, True, True, True]
    small().fit(x, checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists()
    monkeypatch.setattr(module, "EVERY", 0.0)
    stopped(small(), x, tmp_path / "c", 2)
    assert places(tmp_path / "c") == ["000001", "000002"]


class Stopping:
    """Samples of which a batch is the last before Ctrl-C."""

    def __init__(self, x, n_batches):
        self.samples, self.left = Pixels(x, torch.device("cpu"), shuffle=True), n_batches
        self.device, self.n_features, self.fingerprint = self.samples.device, x.shape[1], "x"

    def __len__(self):
        return len(self.samples)

    def order(self, epoch):
        return self.samples.order(epoch)

    def batch(self, which):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.samples.batch(which)


@pytest.mark.parametrize("settings", [{}, {"validation_fraction": 0.2, "patience": 3, "learning_rate": 0.3}])
@pytest.mark.parametrize("n_batches", [3, 17, 25])
def test_an_interrupt_loses_no_whole_epoch(settings, n_batches, x, tmp_path):
    """Of five to seven batches: in the first, in another. A checkpoint that time asks for comes after ten seconds."""
    whole, again, seen = small(**settings).fit(Stopping(x, 1000)), small(**settings), [0]
    rows = small(**settings).fit_epochs(Stopping(x, n_batches), checkpoint=tmp_path / "c")
    with pytest.raises(KeyboardInterrupt):
        deque((seen.append(row.epoch) for row in rows), 0)
    assert (seen[-1] > 0) == (n_batches > 3)
    rows = list(again.fit_epochs(Stopping(x, 1000), checkpoint=tmp_path / "c"))
    assert [row.epoch for row in rows] == list(range(seen[-1] + 1, len(whole.history_) + 1))
    assert outcome(again) == outcome(whole)


def test_a_caller_who_has_seen_enough_can_go_on_later(x, tmp_path):
    whole, again = small().fit(x), small()
    for row in small().fit_epochs(x, checkpoint=tmp_path / "c"):
        if row.epoch == 3:
            break
    assert next(again.fit_epochs(x, checkpoint=tmp_path / "c")).epoch == 4
    assert outcome(again.fit(x, checkpoint=tmp_path / "c")) == outcome(whole)


def test_a_checkpoint_that_could_not_be_written_leaves_no_half_trained_one(x, tmp_path, monkeypatch):
    """What was to be written shares the network's memory, which training then changes."""

    def full(*_args):
        raise OSError(28, "No space left on device")

    rows = small().fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0, say=lambda _: None))
    with monkeypatch.context() as patch, closing(rows):
        patch.setattr(module, "write_snapshot", full)
        assert next(rows).epoch == 1
    assert places(tmp_path / "c") == []


def test_large_networks_wait_longer(tmp_path):
    """At 250 MB/s, a checkpoint of four times the weights takes less than 2 % of the seconds before it."""
    for n_bytes, wait in ((1 << 20, 10), (50 << 20, 42)):
        checkpoints = Checkpoints(tmp_path / "c")
        with checkpoints.held(n_bytes):
            waits = [checkpoints.due(History([Epoch(1, 1.0, wait + more)])) for more in (-1, 0.1)]
        assert waits == [False, True]
        assert 4 * n_bytes / 250e6 <= 0.02 * wait


def test_nothing_is_kept_where_nothing_was_asked_for():
    assert not Checkpoints(None, every=0).due(History([Epoch(1, 1.0, 99.0)]))
    assert Checkpoints(None).begin(dict) is None


# --- damage ---


def damaged(path, how):
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut short":
        path.write_bytes(data[: len(data) // 2])
    else:
        spoilt = bytearray(data)
        spoilt[len(data) // 2] ^= 4
        path.write_bytes(spoilt)


@pytest.mark.parametrize("how", ["missing", "empty", "cut short", "one bit flipped"])
@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors", "history.jsonl", "state.json"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_is_used(name, how, x, tmp_path):
    arguments = {"patience": 50, "validation_fraction": 0.2}
    stopped(small(**arguments), x, tmp_path / "c", 3)
    assert places(tmp_path / "c") == ["000002", "000003"]
    damaged(tmp_path / "c" / "000003" / name, how)
    again = small(**arguments)
    with pytest.warns(DoubtWarning, match=r"the checkpoint .*000003 is damaged: .*the one before it is used") as said:
        rows = list(again.fit_epochs(x, checkpoint=tmp_path / "c"))
    (sentence,) = (str(warning.message) for warning in said if warning.category is DoubtWarning)
    assert "\n" not in sentence
    assert [row.epoch for row in rows] == [3, 4, 5, 6]
    assert outcome(again) == outcome(small(**arguments).fit(x))


def test_if_all_are_damaged_training_begins_anew(x, tmp_path):
    stopped(small(), x, tmp_path / "c", 3)
    for place in places(tmp_path / "c"):
        damaged(tmp_path / "c" / place / "last.safetensors", "empty")
    again = small()
    with pytest.warns(DoubtWarning, match="damaged"):
        assert len(list(again.fit_epochs(x, checkpoint=tmp_path / "c"))) == EPOCHS
    assert outcome(again) == outcome(small().fit(x))


def test_every_flipped_bit_is_noticed(x, tmp_path):
    """In each file some bits at random: what is read is either refused or the very same."""
    checkpoints = stopped(small(patience=50, validation_fraction=0.2), x, tmp_path / "c", 3)
    place = checkpoints._places()[-1]
    snapshot, facts = read_snapshot(place)
    rng, refused = np.random.default_rng(0), 0
    for path in sorted(place.iterdir()):
        data = path.read_bytes()
        for bit in rng.integers(0, 8 * len(data), 60):
            spoilt = bytearray(data)
            spoilt[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(spoilt)
            try:
                found, its_facts = read_snapshot(place)
            except DataError:
                refused += 1
            else:  # white space of state.json, or the case of a letter in an escape
                assert (found.seed, found.best, found.waited, its_facts) == (
                    snapshot.seed, snapshot.best, snapshot.waited, facts,
                )  # fmt: skip
        path.write_bytes(data)
    assert refused > 180


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"state": 3, "sha256": ""}', "[" * 100_000, "\xff"])
def test_other_text_in_place_of_a_state(text, x, tmp_path):
    checkpoints = stopped(small(), x, tmp_path / "c", 1)
    place = checkpoints._places()[-1]
    (place / "state.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="is damaged"):
        read_snapshot(place)


def test_state_is_strict_json(x, tmp_path):
    checkpoints = stopped(small(patience=3, validation_fraction=0.5), x, tmp_path / "c", 1)

    def refuse(word):
        raise ValueError(word)

    document = json.loads((checkpoints._places()[-1] / "state.json").read_text(), parse_constant=refuse)
    assert document["state"]["epoch"] == 1


# --- what goes wrong ---


def test_divergence_keeps_the_last_good_checkpoint_and_names_step_rate_and_samples(x, tmp_path):
    x = x.copy()
    x[150] = 1e19  # whose square is finite, and the sum of ten like it not
    arguments = {"optimizer": "sgd", "learning_rate": 1e-3, "shuffle": False, "batch_size": 10}
    model = small(**arguments)
    with pytest.raises(DivergedError) as caught:
        model.fit(x, checkpoint=Checkpoints(tmp_path / "c", every=0))
    error = caught.value
    assert (error.step, error.epoch, error.learning_rate, error.samples) == (16, 1, 1e-3, tuple(range(150, 160)))
    message = str(error)
    assert "\n" not in message
    for words in (
        "step 16 (epoch 1)",
        "learning rate 0.001",
        "lower the learning rate",
        "150, 151,",
        "1e+19 in sample 150",
    ):
        assert words in message
    assert places(tmp_path / "c") == [], "no checkpoint of what is broken"
    assert not hasattr(model, "network_")


def test_what_was_kept_before_a_divergence_stays(x, tmp_path):
    rates = {
        "optimizer": "sgd",
        "learning_rate": 0.4,
        "network": Dense(bottleneck=3, activation="linear"),
        "batch_size": 200,
    }
    with pytest.raises(DivergedError) as caught:
        small(**rates).fit(x, checkpoint=Checkpoints(tmp_path / "c", every=0))
    assert caught.value.epoch > 1
    snapshot, _ = read_snapshot(tmp_path / "c" / places(tmp_path / "c")[-1])
    assert len(snapshot.history) == caught.value.epoch - 1
    assert all(np.isfinite(array).all() for array in (*snapshot.weights.values(), *snapshot.optimizer.values()))


def test_a_sample_that_float32_cannot_hold_is_named(x):
    x = x.astype(np.float64)
    x[77, 2] = 1e300
    with pytest.raises(DivergedError, match="sample 77 itself holds NaN or infinity; remove or repair it"):
        small().fit(x)
    with pytest.raises(DivergedError, match="sample 77 itself"):  # in X's own count, not in that of what is left
        small(validation_fraction=0.3, random_state=1).fit(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_named(bad, x):
    wrong = x.copy()
    wrong[[12, 90], 3] = bad
    with pytest.raises(DataError, match=r"sample 12 of X contains NaN or infinity, as do 1 more; remove or repair it"):
        small().fit(wrong)
    with pytest.raises(DataError, match="sample 12 "):
        small().fit(wrong.reshape(200, 1, 4, 4))
    with pytest.raises(DataError, match="sample 12 "):
        small().fit(x).transform(wrong)


def test_a_validation_loss_that_is_not_finite_is_an_error(x):
    huge = np.full((3, 16), 3e38, np.float32)
    with pytest.raises(
        DivergedError, match=r"the validation loss was (inf|nan) after epoch 1; lower the learning rate"
    ):
        small(patience=2).fit(x, validation=huge)


def test_two_trainings_in_one_folder(x, tmp_path):
    with closing(small().fit_epochs(x, checkpoint=tmp_path / "c")) as rows:
        next(rows)
        with pytest.raises(RunError, match=r"in use by process \d+ .*choose another folder with checkpoint="):
            small().fit(x, checkpoint=tmp_path / "c")
    small().fit(x, checkpoint=tmp_path / "c")


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(x, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="cannot write to"):
        next(small().fit_epochs(x, checkpoint=tmp_path / "file" / "c"))


def test_names_of_any_kind(x, tmp_path):
    for name in ("with spaces", "päth-日本", "x" * 200):
        stopped(small(), x, tmp_path / name, 2)
        assert len(list(small().fit_epochs(x, checkpoint=str(tmp_path / name)))) == EPOCHS - 2
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    stopped(small(), x, tmp_path / "link" / "c", 2)
    assert len(list(small().fit_epochs(x, checkpoint=tmp_path / "real" / "c"))) == EPOCHS - 2


def test_what_is_stopped_before_its_first_epoch_leaves_no_folder(x, tmp_path, monkeypatch):
    """But a folder that was there stays."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "there").mkdir()
    monkeypatch.setattr("isthmus.estimators.fits.one_fit.session", interrupted)
    for name in ("new", "there"):
        with pytest.raises(KeyboardInterrupt):
            list(small().fit_epochs(x, checkpoint=tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
