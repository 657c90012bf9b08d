"""The loops that isthmus is timed against train what it trains; the table says who is best, and by how much."""

import importlib.util

import numpy as np
import pytest

from benchmarks import rivals
from benchmarks.rival_loops import CASES, LOOPS, PACKAGES, VAE, is_for


@pytest.fixture(scope="module")
def x():
    """Squares at places of their own, (512, 784) of 0 and 1."""
    rng, pictures = np.random.default_rng(0), np.zeros((512, 28, 28), np.float32)
    for picture, (i, j) in zip(pictures, rng.integers(0, 16, (512, 2)), strict=True):
        picture[i : i + 10, j : j + 10] = 1
    return pictures.reshape(512, 784)


COMPILED = pytest.param("torch.compile", "dense-64", marks=pytest.mark.slow)


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)  # by torch.compile itself
@pytest.mark.parametrize(
    ("loop", "name"),
    [*((loop, name) for loop in LOOPS for name in ("dense-64", VAE) if loop != "torch.compile"), COMPILED],
)
def test_all_loops_come_to_the_same_loss(loop, name, x):
    """JAX and Keras are not in the tests' environment; the program itself stops where losses differ."""
    if not is_for(loop, name) or not all(map(importlib.util.find_spec, PACKAGES.get(loop, ()))):
        pytest.skip("has no such loop")
    epochs = {who: LOOPS[who](name, x, "float32") for who in ("isthmus", loop)}
    losses = {who: [epoch() for _ in range(12)] for who, epoch in epochs.items()}
    assert losses[loop][-1] == pytest.approx(losses["isthmus"][-1], rel=0.1)
    assert losses[loop][-1] < 0.7 * losses[loop][0]


def test_losses_that_differ_are_no_comparison(x, monkeypatch):
    monkeypatch.setitem(LOOPS, "torch", lambda *_: lambda: 1.0)
    with pytest.raises(SystemExit, match="dense-64 is not the same for all"):
        rivals.steps_of("dense-64", x, "float32", ["isthmus", "torch"], 1, 1)


def test_the_best_rival_is_named_with_its_ratio_of_each_round():
    rounds = {"isthmus": [10.0, 20.0, 10.0], "torch": [30.0, 30.0, 30.0], "JAX scan": [15.0, 20.0, 14.0]}
    line = rivals.row({"model": "dense-64", "rounds": rounds}, ["isthmus", "torch", "JAX scan", "Keras on JAX"], 4.0)
    assert line == "| dense-64 | 10 | 30 | 15 | – | JAX scan: 1.40 (1.00 to 1.50) | 2.5 |"


def test_only_what_others_cannot_build_is_left_out():
    left_out = {(loop, name) for loop in LOOPS for name in CASES if not is_for(loop, name)}
    assert left_out == {("JAX scan", "conv-unpool"), ("Keras on JAX", "conv-unpool"), ("Keras on JAX", VAE)}
