"""Flat weights: one vector, the same network; and the gradients that backward writes into it."""

import copy

import pytest
import torch
from torch import nn

from isthmus.networks import build
from isthmus.parts import ACTIVATIONS, Dense
from isthmus.training.weights import FlatWeights


def network(**fields):
    part = Dense(**{"hidden": (17,), "bottleneck": 12, "decoder_hidden": (16, 15), "output": "sigmoid", **fields})
    return build(part, 9, torch.Generator().manual_seed(0))


def samples(n=4):
    return torch.rand(n, 9, generator=torch.Generator().manual_seed(1))


def loss_of(net, x):
    x_hat, code = net(x)
    return (x_hat - x).square().mean() + code.square().sum()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_written_are_those_of_autograd(activation):
    x = samples()
    net = network(activation=activation, output=activation)
    plain = copy.deepcopy(net)
    loss_of(plain, x).backward()
    weights = FlatWeights(net)
    for _ in range(2):  # the second time over the gradients of the first
        loss_of(net, x).backward()
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert theirs.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, theirs.grad)
        assert ours.grad.untyped_storage().data_ptr() == weights.vector.grad.untyped_storage().data_ptr()


def test_outputs_are_the_same_bits():
    x = samples()
    net = network()
    before = net(x)[0].detach()
    weights = FlatWeights(net)
    assert torch.equal(net(x)[0], before)
    weights.release()
    assert torch.equal(net(x)[0], before)


def test_gradients_reach_the_input():
    x = samples().requires_grad_()
    net = network()
    (expected,) = torch.autograd.grad(loss_of(net, x), x)
    FlatWeights(net)
    (written,) = torch.autograd.grad(loss_of(net, x), x)
    torch.testing.assert_close(written, expected)


def test_bfloat16_products_give_nearly_the_same_gradients():
    x = samples(64)
    net = network(activation="tanh")
    plain = copy.deepcopy(net)
    loss_of(plain, x).backward()
    FlatWeights(net)
    with torch.autocast("cpu", torch.bfloat16):
        x_hat, code = net(x)
    assert x_hat.dtype == torch.bfloat16
    ((x_hat.float() - x).square().mean() + code.float().square().sum()).backward()
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert ours.grad.dtype == torch.float32
        assert (ours.grad - theirs.grad).norm() < 0.02 * theirs.grad.norm()


def test_changing_the_vector_changes_the_network_until_release():
    net = network()
    weights = FlatWeights(net)
    with torch.no_grad():
        weights.vector.zero_()
    assert all((parameter == 0).all() for parameter in net.parameters())
    weights.release()
    with torch.no_grad():
        weights.vector.fill_(1)
    assert all((parameter == 0).all() for parameter in net.parameters())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_other_modules_gradients_are_cleared_and_added_up():
    net = nn.Sequential(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 9))
    x = samples(5)
    weights = FlatWeights(net)
    gradients = []
    for _ in range(2):
        weights.clear_gradients()
        net(x).square().mean().backward()
        gradients.append(weights.vector.grad.clone())
    assert gradients[0].abs().max() > 0
    assert torch.equal(*gradients)


def test_after_release_autograd_adds_up_as_always():
    net = network()
    FlatWeights(net).release()
    x = samples()
    loss_of(net, x).backward()
    once = next(net.parameters()).grad.clone()
    loss_of(net, x).backward()
    torch.testing.assert_close(next(net.parameters()).grad, 2 * once)
