"""The loops that isthmus is timed against train what it trains; the table says who is best, and by how much."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from benchmarks import readme, rival_loops, rivals
from benchmarks.floor import step_floor
from benchmarks.rival_jax import trainee
from benchmarks.rival_loops import CASES, DENOISERS, LOOPS, PACKAGES, VAE, begun, denoising_error, is_for, objective
from isthmus.parts import Residual


@pytest.fixture(scope="module")
def x():
    """Squares at places of their own, (512, 1, 28, 28) of 0 and 1."""
    rng, pictures = np.random.default_rng(0), np.zeros((512, 28, 28), np.float32)
    for picture, (i, j) in zip(pictures, rng.integers(0, 16, (512, 2)), strict=True):
        picture[i : i + 10, j : j + 10] = 1
    return pictures.reshape(512, 1, 28, 28)


@pytest.fixture
def crops(x, monkeypatch):
    """Of them, (64, 1, 16, 16): small ones are quick to convolve."""
    monkeypatch.setattr(rival_loops, "CROP", 16)
    return np.ascontiguousarray(x[:64, :, 8:24, 8:24])


COMPILED = [loop for loop in LOOPS if loop.startswith("torch.compile")]


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)  # by torch.compile itself
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # and by that of a whole step
@pytest.mark.parametrize(
    ("loop", "name"),
    [
        *((loop, name) for loop in LOOPS if loop not in COMPILED for name in ("dense-64", VAE)),
        *(pytest.param(loop, "dense-64", marks=pytest.mark.slow) for loop in COMPILED),
    ],
)
def test_all_loops_come_to_the_same_loss(loop, name, x):
    """JAX and Keras are not in the tests' environment; the program itself stops where losses differ."""
    if not is_for(loop, name) or not all(map(importlib.util.find_spec, PACKAGES.get(loop, ()))):
        pytest.skip("has no such loop")
    epochs = {who: LOOPS[who](name, x, "float32") for who in ("isthmus", loop)}
    losses = {who: [epoch() for _ in range(12)] for who, epoch in epochs.items()}
    assert losses[loop][-1] == pytest.approx(losses["isthmus"][-1], rel=0.1)
    assert losses[loop][-1] < 0.7 * losses[loop][0]


@pytest.mark.parametrize("name", DENOISERS)
def test_torchs_denoiser_is_trained_as_isthmus(name, crops):
    """Towards the same loss: that without any denoising is nine times as high as the last one."""
    epochs = [LOOPS[who](name, crops, DENOISERS[name]) for who in ("isthmus", "torch")]
    losses = [[epoch() for _ in range(25)] for epoch in epochs]
    assert np.mean(losses[1][-10:]) == pytest.approx(np.mean(losses[0][-10:]), rel=0.25)
    assert np.mean(losses[1][-10:]) < 0.4 * losses[1][0]


@pytest.mark.parametrize("name", ["dense-64", "deep-30", "conv-unpool", "denoiser"])
def test_a_network_of_jax_is_that_of_torch(name, x, monkeypatch):
    """The same loss and the same gradients at the same weights, where nothing is drawn."""
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(rival_loops, "HIGHEST", 0.0)
    network = begun(name)
    if name == "denoiser":
        x = np.pad(x, [(0, 0), (0, 0), (18, 18), (18, 18)])[:4]
        torch.nn.init.normal_(network.tail.weight, std=0.01)  # it starts as the identity
    it = trainee(network, "float32", highest=0.0)
    rows = x[:32].reshape(-1, *it.shape)
    value, gradients = jax.value_and_grad(it.loss)(it.weights, rows, jax.random.key(0))
    error = denoising_error if name == "denoiser" else objective
    loss = error(network, torch.from_numpy(x[:32]))
    loss.backward()
    assert float(value) == pytest.approx(loss.item(), rel=1e-5)
    theirs = sorted(float(np.linalg.norm(one)) for one in jax.tree.leaves(gradients))
    ours = sorted(one.grad.norm().item() for one in network.parameters())
    assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-7)


def test_losses_that_differ_are_no_comparison(x, monkeypatch):
    monkeypatch.setitem(LOOPS, "torch", lambda *_: lambda: 1.0)
    with pytest.raises(SystemExit, match="dense-64 is not the same for all"):
        rivals.steps_of("dense-64", x, "float32", ["isthmus", "torch"], 1, 1)


def test_the_best_rival_is_named_with_its_ratio_of_each_round():
    rounds = {"isthmus": [10.0, 20.0, 10.0], "torch": [30.0, 30.0, 30.0], "JAX": [15.0, 20.0, 14.0]}
    line = rivals.row({"model": "dense-64", "rounds": rounds}, ["isthmus", "torch", "JAX", "Keras on JAX"], 4.0)
    assert line == "| dense-64 | 10 | 30 | 15 | – | JAX: 1.40 (1.00 to 1.50) | 2.5 |"


def figures_of(threads, steps):
    """What a run of so many threads leaves; of it `steps` times as long."""
    rounds = {"isthmus": [2000.0 * steps] * 3, "torch": [5000.0] * 3, "JAX": [1000.0, 1100.0, 1200.0]}
    models = [{"model": name, "rounds": rounds, "floor, µs": 500.0} for name in CASES]
    return {"about": f"Medians of 3 rounds, {threads} threads.", "models": models}


def test_each_half_of_the_table_is_measured_by_itself():
    one, both = rivals.page({"1": figures_of(1, 1)}), rivals.page({"2": figures_of(2, 5), "1": figures_of(1, 1)})
    assert one[2] == "| dense-64 | 2.00 | JAX 1.10 | 0.55 (0.50 to 0.60) | 4.0 | – | – | – |"
    assert both[2] == one[2].replace("– | – | –", "10.0 | JAX 1.10 | 0.11 (0.10 to 0.12)")
    assert rivals.page({"2": figures_of(2, 5)})[2].startswith("| dense-64 | – | – | – | – | 10.0 |")
    assert one[-1] == "Medians of 3 rounds, 1 threads."
    assert both[-1] == f"{one[-1]}\n\nMedians of 3 rounds, 2 threads."


@pytest.mark.skipif(not rivals.FIGURES.exists(), reason="not measured yet since the table has two halves")
def test_readme_has_what_was_measured():
    figures = json.loads(rivals.FIGURES.read_text("utf-8"))
    text = readme.README.read_text("utf-8")
    assert readme.replaced(text, "benchmarks.rivals", rivals.page(figures)) == text


def test_milliseconds_have_three_digits():
    assert [rivals.milliseconds([us]) for us in (499.0, 3148.0, 99_130.0, 213_400.0)] == [
        "0.499",
        "3.15",
        "99.1",
        "213",
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_denoiser_has_a_floor(dtype):
    assert 0 < step_floor(Residual(width=4, depth=4), 2, (1, 16, 16), dtype) < 1


def test_only_what_others_cannot_build_is_left_out():
    left_out = {(loop, name) for loop in LOOPS for name in CASES if not is_for(loop, name)}
    assert left_out == {("Keras on JAX", name) for name in ("conv-unpool", *DENOISERS)}
