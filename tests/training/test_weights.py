"""Flat weights: one vector, the same network; and the gradients that backward writes into it."""

import pytest
import torch
from torch import nn

from isthmus.networks import Gradients, Output, build
from isthmus.networks.accelerators import training_pass
from isthmus.networks.network import Trainable
from isthmus.parts import ACTIVATIONS, Dense
from isthmus.training.optimizers import SGD, Adam
from isthmus.training.weights import FlatWeights

pytestmark = pytest.mark.usefixtures("small_products_in_bfloat16")


def network(**fields):
    part = Dense(**{"hidden": (17,), "bottleneck": 12, "decoder_hidden": (16, 15), "output": "sigmoid", **fields})
    return build(part, 9, torch.Generator().manual_seed(0))


def samples(n=4):
    return torch.rand(n, 9, generator=torch.Generator().manual_seed(1))


def loss_of(net, x):
    x_hat, code, _ = net(x)
    return (x_hat - x).square().mean() + code.square().sum()


def written(net, x, dtype=torch.float32):
    """The gradients of loss_of that `record` and `backward` write, twice, the second time over the first."""
    weights, step = FlatWeights(net), training_pass(net)
    with torch.no_grad():
        for _ in range(2):
            (x_hat, code, _), tapes = step.record(x, dtype)
            step.backward(tapes, Gradients(2 * (x_hat - x) / x.numel(), 2 * code))
    return [parameter.grad for parameter in net.parameters()], weights


def of_autograd(net, x):
    return torch.autograd.grad(loss_of(net, x), list(net.parameters()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_written_are_those_of_autograd(activation):
    net = network(activation=activation, output=activation)
    expected = of_autograd(net, samples())
    gradients, weights = written(net, samples())
    for ours, theirs in zip(gradients, expected, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs)
        assert ours.untyped_storage().data_ptr() == weights.gradient.untyped_storage().data_ptr()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_record_computes_what_forward_does(activation):
    net = network(activation=activation, output=activation)
    x = samples()
    before = x.clone()
    output, _ = training_pass(net).record(x, torch.float32)
    torch.testing.assert_close(output[:2], net(x)[:2])
    assert torch.equal(x, before)


def test_bfloat16_products_give_nearly_the_same_gradients():
    net = network(activation="tanh")
    (x_hat, code, _), _ = training_pass(net).record(samples(), torch.bfloat16)
    assert x_hat.dtype == code.dtype == torch.float32
    expected = of_autograd(net, samples(64))
    gradients, _ = written(net, samples(64), torch.bfloat16)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert ours.dtype == torch.float32
        assert 0 < (ours - theirs).norm() < 0.02 * theirs.norm()


def test_outputs_are_the_same_bits():
    net = network()
    before = net(samples())[0].detach()
    weights = FlatWeights(net)
    assert torch.equal(net(samples())[0], before)
    weights.release()
    assert torch.equal(net(samples())[0], before)


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


def test_of_autograd_the_gradients_stay_where_they_were_made():
    net = network()
    weights = FlatWeights(net, autograd=True)
    (x_hat, code, _), tapes = net.record(samples(), torch.float32)
    made = of_autograd(net, samples())
    net.backward(tapes, Gradients(2 * (x_hat - samples()) / samples().numel(), 2 * code))
    moments = weights.beside_gradients(torch.arange(float(weights.vector.numel())))
    for parameter, gradient, theirs, moment in zip(net.parameters(), weights.gradients, made, moments, strict=True):
        assert gradient is parameter.grad
        torch.testing.assert_close(gradient, theirs)
        assert moment.shape == parameter.shape
        assert int(moment.flatten()[0]) == parameter.storage_offset()


def test_what_has_no_gradient_yet_stays_as_it_is():
    net = network()
    weights = FlatWeights(net, autograd=True)
    first, *others = net.parameters()
    before = [parameter.detach().clone() for parameter in (first, *others)]
    for parameter in others:
        parameter.grad = torch.ones_like(parameter)
    for kind in (Adam, SGD):
        kind(weights, {}).step(1e-2)
    assert torch.equal(first, before[0])
    assert all((parameter < former).all() for parameter, former in zip(others, before[1:], strict=True))


class Odd(Trainable):
    """Two of its weights have one gradient, and the third's lies in memory as it does not."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Parameter(torch.rand(9, 4)) for _ in range(3))

    def forward(self, x, *, logits=False, generator=None):
        code = x @ (self.first + self.second)
        return Output(code @ self.first.t() + self.third.sum(dim=1), code)


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_gradients_that_autograd_leaves_in_odd_places_are_followed_like_others(clip):
    states = []
    for autograd in (False, True):
        torch.manual_seed(0)
        net = Odd()
        weights = FlatWeights(net, autograd=autograd)
        adam = Adam(weights, {}, clip)
        for _ in range(3):
            gradients = of_autograd(net, samples())
            if autograd:
                (x_hat, code, _), tapes = net.record(samples(), torch.float32)
                net.backward(tapes, Gradients(2 * (x_hat - samples()) / samples().numel(), 2 * code))
            else:
                for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                    parameter.grad.copy_(gradient)
            adam.step(1e-2)
        states.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    torch.testing.assert_close(*states)
