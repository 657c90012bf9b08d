"""What is called after each epoch of a fit: functions, and scikit-learn's callbacks."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from isthmus import Autoencoder, Denoiser, Dense, Module, Residual
from isthmus.errors import RequestError

X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
PHOTOS = [np.random.default_rng(i).random((1, 20, 24)).astype("float32") for i in range(3)]


def autoencoder(epochs=4, **options):
    return Autoencoder(Dense(bottleneck=2), epochs=epochs, batch_size=16, random_state=0, **options)


def denoiser(epochs=3):
    return Denoiser(
        Residual(width=4, depth=2), crop=16, crops_per_epoch=16, batch_size=8, epochs=epochs, random_state=0
    )


def dropping(shape):
    return nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.4)), nn.Linear(4, 6)


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.network_.state_dict().values()])


MODELS = {
    "dense": (autoencoder, X),
    "dropout": (lambda epochs=3: autoencoder(epochs).set_params(network=Module(dropping)), X),
    "denoiser": (denoiser, PHOTOS),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_function_sees_each_epoch_as_if_the_fit_ended_there_and_changes_nothing(name):
    make, samples = MODELS[name]
    seen = []
    model = make().set_callbacks(lambda row, model: seen.append((row, model, model.transform(samples)))).fit(samples)
    assert torch.equal(weights_of(model), weights_of(make().fit(samples)))
    assert [row for row, *_ in seen] == list(model.history_)
    for row, then, codes in seen:
        shorter = make(epochs=row.epoch).fit(samples)
        assert torch.equal(weights_of(then), weights_of(shorter)), "kept, it is what it was"
        assert list(then.history_) == list(model.history_)[: row.epoch]
        for ours, expected in zip(codes, shorter.transform(samples), strict=True):
            assert np.array_equal(ours, expected)


def test_one_that_returns_true_ends_the_fit():
    model = autoencoder(20).set_callbacks(lambda row, _: row.epoch == 2, lambda row, _: None).fit(X)
    assert len(model.history_) == 2
    assert model.history_.is_stopped
    assert torch.equal(weights_of(model), weights_of(autoencoder(2).fit(X)))
    assert not autoencoder(2).set_callbacks(lambda *_: False).fit(X).history_.is_stopped


def test_where_it_ends_so_the_best_weights_are_kept_and_no_checkpoint_is_left(tmp_path):
    options = {"validation": X[::-1] * 3, "checkpoint": tmp_path / "checkpoint"}
    seen = []

    def watch(row, model):
        seen.append((row.validation_loss, weights_of(model)))
        return row.epoch == 5

    model = autoencoder(30, patience=20, learning_rate=1.0).set_callbacks(watch).fit(X, **options)
    best = int(np.argmin([loss for loss, _ in seen]))
    assert best < 4
    assert torch.equal(weights_of(model), seen[best][1])
    assert not (tmp_path / "checkpoint").exists()


class Recorder:
    """One of scikit-learn's callbacks, which notes what it is told."""

    def __init__(self, error=None):
        self.calls, self.error = [], error

    def setup(self, estimator, context):
        self.calls.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X):
        assert X is not None
        self.calls.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context):
        self.calls.append(f"end {context.task_name} {context.task_id}")
        if self.error:
            raise self.error

    def teardown(self, estimator, context):
        self.calls.append("teardown")


def test_tasks_begin_and_end_in_pairs_however_the_fit_ends(tmp_path):
    epochs = [f"{what} epoch {i}" for i in range(3) for what in ("begin", "end")]
    whole = ["setup", "begin fit 0", *epochs, "end fit 0", "teardown"]
    for model in (
        autoencoder(3),
        autoencoder(20, patience=2, learning_rate=1e-30, validation_fraction=0.2),
        denoiser(),
    ):
        recorder = Recorder()
        model.set_callbacks(recorder).fit(PHOTOS if isinstance(model, Denoiser) else X)
        assert recorder.calls == whole
    recorder = Recorder()
    rows = autoencoder(5).set_callbacks(recorder).fit_epochs(X)
    next(rows)
    rows.close()
    assert recorder.calls == ["setup", "begin fit 0", "begin epoch 0", "end epoch 0", "teardown"]


def test_one_that_raises_ends_the_fit_and_leaves_the_former_one():
    recorder = Recorder(KeyError("mine"))
    model = autoencoder(warm_start=True).fit(X)
    before = weights_of(model)
    with pytest.raises(KeyError, match="mine"):
        model.set_callbacks(recorder).fit(X)
    assert recorder.calls[-1] == "teardown"
    assert torch.equal(weights_of(model), before)
    assert len(model.set_callbacks().fit(X).history_) == 4


@pytest.mark.parametrize("callback", [Recorder, "print", 3, lambda row: None, lambda row, model, more: None, None])
def test_what_cannot_be_called_is_refused(callback):
    with pytest.raises(RequestError, match=r"a callback must be a function of \(row, model\)"):
        autoencoder().set_callbacks(callback)


def test_scikit_learn_takes_them_along(capsys):
    seen = []
    model = autoencoder(2).set_callbacks(lambda row, _: seen.append(row.epoch))
    clone(model).fit(X)
    make_pipeline(StandardScaler(), model).fit(X)
    GridSearchCV(model, {"learning_rate": [1e-3, 1e-2]}, cv=2, refit=False).fit(X)
    assert seen == [1, 2] * 6
    from sklearn.callback import ProgressBar, ScoringMonitor

    monitor = ScoringMonitor(scoring={"score": lambda estimator, X, y: estimator.score(X)})
    model = autoencoder(3).set_callbacks(monitor, ProgressBar()).fit(X)
    scores = [row["score"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert scores == [autoencoder(n).fit(X).score(X) for n in (1, 2, 3)]
    assert "Autoencoder - fit" in capsys.readouterr().out


def test_before_scikit_learn_1_9_functions_are_called_too():
    code = """
import sys, sklearn.model_selection, sklearn.callback as callback
sys.modules["sklearn.callback"] = None
import isthmus.estimators.fits.callback_support as support
sys.modules["sklearn.callback"] = callback
assert support.FitCallback is not callback.FitCallback
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
    which = "sees_each_epoch or returns_true or cannot_be_called"
    command = [sys.executable, "-c", code, __file__, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", which]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.startswith("..........")
