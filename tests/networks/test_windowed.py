"""The pass in windows against torch's convolutions: any network, any image, any number of shares."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.networks import Gradients, build
from isthmus.networks.accelerators import conv, training_pass
from isthmus.networks.accelerators.windowed import WindowedPass, pays, shares
from isthmus.parts import ACTIVATIONS, DECODERS, Conv
from isthmus.training.hardware import using_threads


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def recorded(step, x, at_x_hat, at_code, *, windowed):
    """x_hat, code and every gradient of one step, by the one way or the other."""
    for parameter in step.network.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(conv, "pays", lambda _channels, _multiplications: windowed)
        (x_hat, code, _), tapes = step.record(x, x.dtype)
        assert isinstance(tapes.encoder, WindowedPass) is isinstance(tapes.decoder, WindowedPass) is windowed
        step.backward(tapes, Gradients(at_x_hat, at_code))
    return [x_hat, code, *(parameter.grad.clone() for parameter in step.network.parameters())]


@st.composite
def steps(draw):
    kernel = draw(st.integers(1, 5))
    part = Conv(
        tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))),
        kernel,
        draw(st.integers(0, kernel - 1)),
        draw(st.sampled_from(DECODERS)),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        output=draw(st.sampled_from(ACTIVATIONS)),
    )
    shape = (draw(st.integers(1, 3)), draw(st.integers(9, 17)), draw(st.integers(9, 17)))
    return part, shape, draw(st.sampled_from([1, 5, 32]))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(steps(), st.integers(1, 2))
def test_both_ways_give_the_same_images_codes_and_gradients(step, threads):
    part, shape, n = step
    try:
        built = build(part, math.prod(shape), seeded(), shape).double()
    except ValueError:  # deeper than the image allows
        return
    x, at_x_hat = (torch.randn((n, built.n_features), generator=seeded(i), dtype=torch.float64) for i in (1, 2))
    step = training_pass(built)
    at_code = torch.randn((n, built.code_size), generator=seeded(3), dtype=torch.float64)
    with using_threads(threads):
        expected = recorded(step, x, at_x_hat, at_code, windowed=False)
        for _ in range(2):  # the second step finds what the first one left
            for mine, reference in zip(recorded(step, x, at_x_hat, at_code, windowed=True), expected, strict=True):
                torch.testing.assert_close(mine, reference, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("decoder", ["unpool", "deconv-unpool"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_where_an_image_is_of_one_colour_all_switches_point_to_the_upper_left(kernel, decoder):
    """Four positions that see the same are computed alike to the last bit, however many channels are summed."""
    part = Conv((16, 40, 24), kernel, padding=0, decoder=decoder, activation="tanh")
    built = build(part, 60 * 60, seeded(), (1, 60, 60))
    x = torch.full((32, 3600), 0.7) * torch.linspace(0.1, 1, 32)[:, None]
    step = training_pass(built)
    args = x, torch.ones_like(x), None
    for mine, reference in zip(
        recorded(step, *args, windowed=True)[:2], recorded(step, *args, windowed=False)[:2], strict=True
    ):
        torch.testing.assert_close(mine, reference)
    for windows in step.windowed.values():
        for down in windows.down:
            assert down.switches._right.sum() == down.switches._lower.sum() == 0


def test_float32_steps_agree_to_rounding():
    part = Conv((8, 16, 16), padding=0, decoder="deconv-unpool", output="sigmoid")
    built = build(part, 784, seeded(), (1, 28, 28))
    x = torch.rand((64, 784), generator=seeded(1))
    step = training_pass(built)
    args = x, x - 0.5, torch.ones((64, built.code_size))
    expected = recorded(step, *args, windowed=False)
    assert expected[0].std(dim=0).max() > 1e-3, "the output moves"
    for mine, reference in zip(recorded(step, *args, windowed=True), expected, strict=True):
        assert (mine - reference).norm() < 1e-4 * reference.norm()


def test_what_is_returned_is_not_overwritten_by_the_next_step_which_uses_the_same_buffers():
    step = training_pass(build(Conv((3, 2)), 144, seeded(), (1, 12, 12)))
    x = torch.rand((1, 144), generator=seeded(1))
    first = recorded(step, x, x, None, windowed=True)
    kept, (buffers,) = [one.clone() for one in first], step.windowed.values()
    recorded(step, 1 - x, x, None, windowed=True)
    assert all(torch.equal(one, before) for one, before in zip(first, kept, strict=True))
    assert [*step.windowed.values()] == [buffers]


def test_shares_are_equal_and_not_small():
    assert [shares(n, 2) for n in (1, 16, 31, 32, 33, 64)] == [1, 1, 1, 2, 1, 2]
    assert [shares(64, threads) for threads in (1, 2, 3, 4, 5, 16, 64)] == [1, 2, 2, 4, 4, 4, 4]


def test_it_pays_for_small_steps_on_grey_images():
    assert pays(1, 10_000_000)
    assert not pays(1, 100_000_000)
    assert not pays(3, 10_000_000)
