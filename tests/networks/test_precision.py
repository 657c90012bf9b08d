"""One training step of every network, output, loss and precision: its value and gradients are those of float64."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from isthmus.data.batches import Pixels
from isthmus.networks import build
from isthmus.objective import Objective
from isthmus.parts import ACTIVATIONS, BCE, DECODERS, KL, MSE, Conv, Dense, Dictionary, Training
from isthmus.training.loop import train
from isthmus.training.setup import Setup

pytestmark = pytest.mark.usefixtures("small_products_in_bfloat16")

SHAPE, N = (1, 10, 10), 32
RATE = 1024.0  # of one step of gradient descent, from which its gradients are read: so large that no digit is lost
PARTS = {
    "dense": lambda **fields: Dense(hidden=(12,), bottleneck=6, **fields),
    "one layer": lambda **fields: Dense(bottleneck=6, **fields),
    **{name: lambda name=name, **fields: Conv((3, 4), decoder=name, **fields) for name in DECODERS},
    "dictionary": lambda **fields: Dictionary(hidden=(12,), n_atoms=6, unit_norm=False, **fields),
}
# relative, for each weight's gradient as a whole. Where two numbers of a window are as good as equal, rounding changes
# which of them is the maximum, so convolutions are farther off; more so if that moves the number in the decoder too
MARGIN = {"float32": dict.fromkeys(PARTS, 1e-3), "bfloat16": dict.fromkeys(PARTS, 0.03)}
MARGIN["bfloat16"] |= {"deconv": 0.06, "unpool": 0.2, "deconv-unpool": 0.2}


def built(name, output, level, **fields):
    """A network whose outputs lie around ± level before their activation, in halves of the image."""
    options = {"activation": "silu", **fields} | ({} if name == "dictionary" else {"output": output})
    network = build(PARTS[name](**options), math.prod(SHAPE), torch.Generator().manual_seed(3), SHAPE)
    with torch.no_grad():
        if name != "dictionary":
            bias = network.decoder.layers[-1].bias
            bias += level * torch.where(torch.arange(len(bias)) % 2 == 0, 1, -1)
    return network


def targets():
    """Numbers in [0, 1], some of them just 0, 0.5 and 1."""
    x = np.random.default_rng(0).random((N, math.prod(SHAPE)), np.float32)
    x[:, ::7], x[:, 1::7], x[:, 2::7] = 0, 0.5, 1
    return x


def one_step(network, objective, x, precision):
    """The value and the gradients of one step of `train` on all samples."""
    before = [p.detach().clone() for p in network.parameters()]
    training = Training("sgd", RATE, epochs=1, batch_size=N, shuffle=False)
    setup = Setup(training, objective, seed=0, image_shape=SHAPE, precision=precision)
    (row,) = train(network, Pixels(x, torch.device("cpu")), setup)
    after = [p.detach() for p in network.parameters()]
    return row.loss, [(b.double() - a.double()) / RATE for b, a in zip(before, after, strict=True)]


def reference(network, loss, x, penalty=None):
    """The same in float64 by autograd; the cross-entropy from what goes into the sigmoid."""
    network, x = copy.deepcopy(network).double(), torch.from_numpy(x).double()
    if isinstance(loss, BCE):
        network.decoder.activations = (*network.decoder.activations[:-1], "linear")
        x_hat, code, _ = network(x)
        value = functional.binary_cross_entropy_with_logits(x_hat, x)
    else:
        x_hat, code, _ = network(x)
        value = (x_hat - x).square().mean()
    if penalty is not None:
        t, rho = penalty.target, code.mean(dim=0)
        value = value + penalty.weight * (t * (t / rho).log() + (1 - t) * ((1 - t) / (1 - rho)).log()).sum()
    return value.item(), torch.autograd.grad(value, list(network.parameters()))


def compare(network, loss, precision, margin, penalty=None):
    x = targets()
    expected, at_weights = reference(network, loss, x, penalty)
    value, gradients = one_step(network, Objective(loss, penalty), x, precision)
    assert value == pytest.approx(expected, rel=margin)
    for (name, _), ours, theirs in zip(network.named_parameters(), gradients, at_weights, strict=True):
        assert theirs.norm() > 0, name
        assert (ours - theirs).norm() <= margin * theirs.norm(), name


# z = 4 for tanh and 8 for the others: bfloat16 rounds what they give to ±1, and float32 does not
CASES = [
    (name, output, MSE(), level)
    for name, output in itertools.product(PARTS, ACTIVATIONS)
    if name != "dictionary" or output == "linear"
    for level in (0.5, 4.0 if output == "tanh" else 8.0)
    # a dictionary has no bias that could give its outputs a level
    if not (name == "dictionary" and level != 0.5)
]
# float32's sigmoid is 1 from z = 17 on, and its logarithm was cut off at z = 100; a convolution has one bias for all
CASES += [
    (name, "sigmoid", BCE(), level) for name in PARTS if name != "dictionary" for level in (0.5, 8.0, 30.0, 200.0)
]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "output", "loss", "level"), CASES, ids=lambda value: str(value))
def test_a_step_is_float64s_within_what_its_precision_allows(name, output, loss, level, precision):
    compare(built(name, output, level), loss, precision, MARGIN[precision][name])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [name for name in PARTS if name not in ("unpool", "deconv-unpool")])
@pytest.mark.parametrize(("activation", "level"), [("sigmoid", 8.0), ("tanh", 4.0)])
def test_units_that_are_nearly_saturated_have_their_gradient_too(name, activation, level, precision):
    """Also those of the code: a unit that is nearly always on can be brought back by `KL` alone."""
    network = built(name, "linear", 0.0, activation=activation, code_activation=activation)
    with torch.no_grad():
        for layer in network.encoder.layers:
            layer.bias += level
    # the bound of ρ is 1e-6 from 1, and sigmoid(8) is 3e-4 from it
    penalty = KL(0.1, target=0.2) if activation == "sigmoid" else None
    # what is short of the bound has itself few digits left; computed in bfloat16, it had none, and no gradient
    compare(network, MSE(), precision, 0.2 if precision == "bfloat16" else 5e-3, penalty)
