"""Steps that are recorded and replayed: the bookkeeping, exercised on the CPU by a recorder that computes again.

What this cannot show is that CUDA's graphs do the same; `test_on_a_gpu` does, where there is one.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from isthmus import L1, Affine, Autoencoder, Conv, Dense, GaussianNoise, Poisson
from isthmus.training import replay

RATE = 2.0**-10  # the same number as a float32 and as a float64


class Rerun:
    """Records nothing, and computes again what was to be recorded."""

    made = 0

    def __init__(self, call, generators):
        type(self).made += 1
        self.call = call

    def replay(self):
        self.call()


@pytest.fixture
def replaying(monkeypatch):
    """Steps on the CPU are replayed inside."""
    monkeypatch.setattr(Rerun, "made", 0)
    monkeypatch.setitem(replay.RECORDERS, "cpu", Rerun)


@pytest.fixture
def x():
    return np.random.default_rng(0).random((110, 1, 8, 8), np.float32)


CASES = {
    "adam": {"network": Dense(bottleneck=5)},
    "sgd": {"network": Dense(bottleneck=5), "optimizer": "sgd", "learning_rate": 0.5},
    "noise": {"network": Dense(bottleneck=5), "corruption": GaussianNoise(0.3)},
    "augmentation": {"network": Dense(bottleneck=5), "augmentation": Affine()},
    "warm-up": {"network": Dense(bottleneck=5), "penalty": L1(1e-3, warmup=1.5)},
    "conv": {"network": Conv(channels=(2, 3))},
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_weights_as_computed_as_they_come(case, x, monkeypatch):
    # 110 samples in batches of 20: the last batch of an epoch is smaller, and is not the recorded one
    model = Autoencoder(**{"learning_rate": RATE, "epochs": 3, "batch_size": 20, "random_state": 0, **CASES[case]})
    plain = model.fit(x)
    weights, losses = plain.network_.state_dict(), plain.history_.losses
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    monkeypatch.setattr(Rerun, "made", 0)
    monkeypatch.setitem(replay.RECORDERS, "cpu", Rerun)
    replayed = model.fit(x)
    assert Rerun.made == 1
    for name, tensor in replayed.network_.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=1e-6 if case == "sgd" else 0)
    np.testing.assert_allclose(replayed.history_.losses, losses, rtol=1e-5 if case == "sgd" else 0)


def test_a_schedule_reaches_the_replayed_steps(x, replaying, monkeypatch):
    model = Autoencoder(Dense(bottleneck=5), schedule="one-cycle", epochs=4, batch_size=20, random_state=0)
    replayed = model.fit(x).history_.losses
    monkeypatch.delitem(replay.RECORDERS, "cpu")
    np.testing.assert_allclose(replayed, model.fit(x).history_.losses, rtol=1e-4)


def test_batches_of_another_size_are_never_replayed(x, replaying):
    Autoencoder(Dense(bottleneck=5), epochs=3, batch_size=200, random_state=0).fit(x)
    assert Rerun.made == 0


def test_what_cannot_be_recorded_is_computed_as_it_comes(x, monkeypatch):
    def refuse(call, generators):
        raise RuntimeError("operation not permitted when stream is capturing")

    model = Autoencoder(Dense(bottleneck=5), epochs=2, batch_size=20, learning_rate=RATE, random_state=0)
    before = model.fit(x).history_.losses
    monkeypatch.setitem(replay.RECORDERS, "cpu", refuse)
    assert np.array_equal(model.fit(x).history_.losses, before)


def test_a_recording_that_fails_leaves_generators_and_the_stream_as_they_were(monkeypatch):
    class Stream(torch.Generator):
        def clone_state(self):
            return "before"

        def graphsafe_set_state(self, state):
            self.state = state

    class Recorded:
        def register_generator_state(self, generator):
            pass

    @contextlib.contextmanager
    def recording(graph):
        current.append("of the recording")  # and it stays there where the recording cannot be ended
        yield
        current.pop()

    streams, current = (Stream(), Stream()), ["of all else"]
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "default_generators", streams[1:])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "set_stream", current.append)

    def wait():
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="capturing"):
        replay.CudaGraph(wait, streams[:1])
    assert [stream.state for stream in streams] == ["before", "before"]
    assert current[-1] == "of all else"
    replay.CudaGraph(lambda: None, streams[:1])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", [*CASES, "poisson"])
def test_on_a_gpu(case, x, monkeypatch):
    arguments = CASES.get(case, {"network": Dense(bottleneck=5), "corruption": Poisson(50.0)})
    model = Autoencoder(
        **{
            "learning_rate": RATE,
            "epochs": 3,
            "batch_size": 20,
            "random_state": 0,
            "precision": "float32",
            **arguments,
        },
        device="cuda",
    )
    replayed = model.fit(x).history_.losses
    monkeypatch.delitem(replay.RECORDERS, "cuda")
    np.testing.assert_allclose(replayed, model.fit(x).history_.losses, rtol=1e-4)
