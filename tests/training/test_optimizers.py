"""The optimizers against torch's own, and the limit on the length of a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from isthmus.training.optimizers import OPTIMIZERS, Adam
from isthmus.training.weights import FlatWeights

WHERE = {"in one vector": {}, "apart": {"apart": True}, "of autograd": {"autograd": True, "apart": True}}
wherever_gradients_are = pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)


class Net(nn.Module):
    """Fifty weights, in three pieces."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([torch.zeros(20), torch.zeros(5, 2), torch.zeros(20)])


def of(kind, *, where, **limit):
    return kind(FlatWeights(Net(), **where), {}, **limit)


def gradients(n, outlier=None):
    stream = torch.Generator().manual_seed(0)
    made = [torch.randn(50, generator=stream) for _ in range(n)]
    if outlier is not None:
        made[outlier] *= 100
    return made


def after(optimizer, given, rate=1e-3):
    weights = optimizer.weights
    for gradient in given:
        for parameter, piece in zip(weights.parameters, gradient.split([20, 10, 20]), strict=True):
            piece = piece.view_as(parameter)
            parameter.grad = parameter.grad.copy_(piece) if weights.are_written else piece
        optimizer.step(rate)
    return torch.cat([parameter.detach().flatten() for parameter in weights.parameters])


@wherever_gradients_are
@pytest.mark.parametrize(("name", "theirs"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_they_do_what_torch_does(name, theirs, where):
    expected = torch.zeros(50, requires_grad=True)
    expected.grad = torch.zeros(50)
    other = getattr(torch.optim, theirs)([expected], lr=1e-3)
    for gradient in gradients(30):
        expected.grad.copy_(gradient)
        other.step()
    torch.testing.assert_close(after(of(OPTIMIZERS[name], where=where), gradients(30)), expected.detach())


@wherever_gradients_are
@pytest.mark.parametrize("outlier", [0, 1, 200])
def test_a_limit_changes_a_gradient_that_is_too_long_alone(outlier, where):
    free, limited = of(Adam, where=where), of(Adam, where=where, clip=4.0)
    before = gradients(outlier)
    assert torch.equal(after(free, before), after(limited, before))  # as they come, to the bit
    long = gradients(outlier + 1, outlier)[-1]
    momentum = limited.state["exp_avg"].clone()
    after(limited, [long])
    taken = (limited.state["exp_avg"] - 0.9 * momentum) / 0.1
    taken = torch.cat([taken[place] for place in limited.weights._places])
    if outlier == 0:  # there is nothing that it could be long beside
        torch.testing.assert_close(taken, long)
    else:
        norms = torch.stack([gradient.norm() for gradient in before])
        # of the last of these, weighted as Adam does
        weights = 0.999 ** torch.arange(outlier - 1, -1, -1.0)
        usual = ((weights * norms**2).sum() / weights.sum()).sqrt()
        torch.testing.assert_close(taken, long * 4 * usual / long.norm(), rtol=1e-3, atol=1e-5)


@wherever_gradients_are
def test_a_limit_leaves_what_is_zero_or_no_number(where):
    limited = of(Adam, where=where, clip=4.0)
    assert torch.equal(after(limited, [torch.zeros(50)] * 3), torch.zeros(50))
    assert after(limited, gradients(3)).abs().min() > 0
    assert after(limited, [torch.full((50,), torch.nan)]).isnan().all()  # the loop says where it diverged
