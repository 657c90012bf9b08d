"""Standardization: what is fitted, that networks apply it at both ends, and that its gradients are autograd's."""

import json

import numpy as np
import pytest
import torch

from isthmus import Conv, Dense, Dictionary
from isthmus.data.batches import Pixels
from isthmus.networks import build
from isthmus.networks.accelerators import decoder_of, training_pass
from isthmus.networks.decoders import Decoder
from isthmus.networks.standardization import Standardization, standardization_of
from isthmus.objective import Objective
from isthmus.parts import L1, MSE

SHAPE = (2, 6, 6)
# two channels that differ in all four numbers
ENDS = Standardization((0.9, -3.0), (0.2, 5.0), (1.0, -2.0), (-0.3, 4.0))
PARTS = [
    Dense((7,), 5, output="sigmoid"),
    Dense((), 5),
    Dense((8,), 4, output="relu"),
    Conv((3, 4)),
    Conv((3,), decoder="unpool"),
    Dictionary((6,), 9),
]
every_part = pytest.mark.parametrize("part", PARTS, ids=repr)


def network_of(part, ends=ENDS, dtype=torch.float64, shape=SHAPE):
    network = build(part, int(np.prod(shape)), torch.Generator().manual_seed(0), shape)
    network.standardize(ends)
    return network.to(dtype)


def samples(n=6, shape=SHAPE, dtype=torch.float64):
    x = torch.rand((n, *shape), generator=torch.Generator().manual_seed(1), dtype=dtype)
    offset, scale = (
        torch.tensor(numbers[: shape[0]], dtype=dtype)[:, None, None] for numbers in (ENDS.offset, ENDS.scale)
    )
    return (x * scale + offset).reshape(n, -1)


def by_channel(numbers):
    return torch.tensor(numbers, dtype=torch.float64).repeat_interleave(36)


@every_part
def test_a_network_sees_standardized_samples_and_draws_in_their_units(part):
    bare, network, x = network_of(part, None), network_of(part), samples()
    inner = (x - by_channel(ENDS.offset)) / by_channel(ENDS.scale)
    x_hat, code, _ = network(x)
    inner_hat, inner_code, _ = bare(inner)
    close = {"atol": 1e-5, "rtol": 1e-5}  # the ends are kept as float32
    torch.testing.assert_close(code, inner_code, **close)
    torch.testing.assert_close(network.encode(x), inner_code, **close)
    torch.testing.assert_close(x_hat, inner_hat * by_channel(ENDS.out_scale) + by_channel(ENDS.out_offset), **close)
    torch.testing.assert_close(network.outward(bare.decode(code)), network.decode(code))
    torch.testing.assert_close(network.outward(network.target(x)), x)
    assert not torch.allclose(bare(x)[0], x_hat)
    assert network.state_dict().keys() == bare.state_dict().keys()  # weights alone


@every_part
@pytest.mark.parametrize("shape", [SHAPE, (1, 6, 6)], ids=str)  # of one channel, small convolutions go by windows
def test_record_and_backward_are_autograds(part, shape):
    ends = ENDS if shape[0] == 2 else Standardization((0.9,), (0.2,), (1.0,), (-0.3,))
    network, x = network_of(part, ends, shape=shape), samples(shape=shape)
    objective = Objective(MSE(0.5), L1(0.1), unit=3.0)
    x_hat, code, _ = network(x)
    objective(x_hat, code, x).backward()
    expected = [p.grad.clone() for p in network.parameters()]
    with torch.no_grad():
        step = training_pass(network)
        (recorded, its_code, _), tapes = step.record(x, torch.float64)
        _, at = objective.with_gradients(recorded, its_code, x)
        step.backward(tapes, at)
    torch.testing.assert_close(recorded, x_hat)
    torch.testing.assert_close(its_code, code)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-4


@pytest.mark.parametrize("part", PARTS[:3], ids=repr)
def test_a_search_has_autograds_derivatives(part):
    network = network_of(part)
    code, y = torch.rand(4, network.code_size, dtype=torch.float64), samples(4)
    written_out, automatic = decoder_of(network, torch.float64), Decoder(network, torch.float64)
    torch.testing.assert_close(written_out.decode(code), network.decode(code))
    torch.testing.assert_close(written_out.gradient(code, y), automatic.gradient(code, y))
    for found, expected in zip(written_out.normal_equations(code, y), automatic.normal_equations(code, y), strict=True):
        torch.testing.assert_close(found, expected)


def fitted(x, output="linear", channels=2, **options):
    return standardization_of(Pixels(x.astype(np.float32), torch.device("cpu")), channels, output, **options)


@pytest.fixture
def drawings():
    """(500, 18): two channels of nine pixels, a background of 2 and of 10, and on a third of it something darker."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((500, 18)) < 1 / 3, rng.random((500, 18)), 0)
    return np.repeat([2.0, 10.0], 9) - np.repeat([1.0, 4.0], 9) * x


def test_offset_and_scale_are_a_channels_median_and_spread(drawings):
    found = fitted(drawings)
    assert found.offset == pytest.approx((2, 10))
    deviations = drawings[:, :9].std(), drawings[:, 9:].std()
    assert found.scale == pytest.approx([d / 0.3 for d in deviations], rel=1e-5)
    assert (found.out_offset, found.out_scale) == (found.offset, found.scale)
    assert found.unit == pytest.approx(np.mean(np.square(found.scale)))
    assert Standardization.from_table(json.loads(json.dumps(found.table()))) == found


@pytest.mark.parametrize(("a", "b"), [(-1, 1), (255, 0), (1e-3, 5)])
@pytest.mark.parametrize("output", ["linear", "sigmoid", "relu", "tanh"])
def test_what_a_network_sees_does_not_depend_on_offset_and_scale(drawings, output, a, b):
    """But for the sign: turned inside out, it sees the same turned about the background."""
    here, there = fitted(drawings, output), fitted(a * drawings + b, output)
    sign = 1 if a > 0 else -1
    inside = [
        (x - np.repeat(s.offset, 9)) / np.repeat(s.scale, 9) for x, s in ((drawings, here), (a * drawings + b, there))
    ]
    np.testing.assert_allclose(inside[1], sign * inside[0], atol=2e-2 if b == 5 and a < 1 else 1e-4)
    targets = [
        (x - np.repeat(s.out_offset, 9)) / np.repeat(s.out_scale, 9)
        for x, s in ((drawings, here), (a * drawings + b, there))
    ]
    if output == "relu":
        sign = 1  # what is on the background lies above it, in both
    expected = 1 - targets[0] if output == "sigmoid" and sign < 0 else sign * targets[0]
    np.testing.assert_allclose(targets[1], expected, atol=2e-2 if b == 5 and a < 1 else 1e-4)


@pytest.mark.parametrize(("output", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, None)])
def test_outputs_with_bounds_reach_all_samples(drawings, output, low, high):
    network = network_of(Dense((), 3, output=output), fitted(drawings, output), shape=(2, 3, 3))
    targets = network.target(torch.from_numpy(drawings))
    assert float(targets.min()) == pytest.approx(low, abs=1e-5)
    assert high is None or float(targets.max()) == pytest.approx(high, abs=1e-5)


def test_a_loss_that_takes_numbers_in_0_to_1_gets_them_as_they_are():
    x = np.random.default_rng(0).random((50, 6)) * 0.2 + 0.7
    found = fitted(x, "sigmoid", 1, bounded=True)
    assert (found.out_offset, found.out_scale) == ((0,), (1,))
    assert found.offset[0] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("output", ["linear", "sigmoid", "relu", "tanh"])
def test_a_channel_that_does_not_vary_has_a_scale_all_the_same(output):
    x = np.concatenate([np.full((40, 4), 0.9), np.random.default_rng(0).random((40, 4))], axis=1)
    found = fitted(x, output)
    assert found.scale[0] == pytest.approx(found.scale[1])
    alone = fitted(np.full((40, 4), 0.9), output, 1)
    assert np.isfinite(alone.scale).all()
    assert np.isfinite(alone.out_scale).all()


def test_large_offsets_lose_no_spread():
    """A sum of squares of numbers around 1000 would lose a spread of 0.01 in float32."""
    x = 1000 + 0.01 * np.random.default_rng(0).normal(size=(400, 8))
    assert fitted(x, channels=1).scale[0] == pytest.approx(0.01 / 0.3, rel=0.05)


@pytest.mark.parametrize(
    "change", [{"scale": [0.0]}, {"offset": [1.0, 2.0]}, {"offset": [float("nan")]}, {"scale": ["1"]}]
)
def test_a_table_that_is_none_is_refused(change):
    table = Standardization((0.5,), (1.0,), (0.5,), (1.0,)).table() | change
    with pytest.raises(ValueError, match="standardization"):
        Standardization.from_table(table)
