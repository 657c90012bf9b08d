"""The optimizers of one vector against torch's own, and the limit on the length of a gradient."""

from __future__ import annotations

import pytest
import torch

from isthmus.training.optimizers import OPTIMIZERS, Adam


def vector(size=50):
    made = torch.zeros(size, requires_grad=True)
    made.grad = torch.zeros(size)
    return made


def gradients(n, outlier=None):
    stream = torch.Generator().manual_seed(0)
    made = [torch.randn(50, generator=stream) for _ in range(n)]
    if outlier is not None:
        made[outlier] *= 100
    return made


def after(optimizer, given, rate=1e-3):
    for gradient in given:
        optimizer.gradient.copy_(gradient)
        optimizer.step(rate)
    return optimizer.vector.clone()


@pytest.mark.parametrize(("name", "theirs"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_they_do_what_torch_does(name, theirs):
    expected = vector()
    other = getattr(torch.optim, theirs)([expected], lr=1e-3)
    for gradient in gradients(30):
        expected.grad.copy_(gradient)
        other.step()
    torch.testing.assert_close(after(OPTIMIZERS[name](vector(), {}), gradients(30)), expected.detach())


@pytest.mark.parametrize("outlier", [0, 1, 200])
def test_a_limit_changes_a_gradient_that_is_too_long_alone(outlier):
    free, limited = Adam(vector(), {}), Adam(vector(), {}, clip=4.0)
    before = gradients(outlier)
    assert torch.equal(after(free, before), after(limited, before))  # as they come, to the bit
    long = gradients(outlier + 1, outlier)[-1]
    after(limited, [long])
    if outlier == 0:  # there is nothing that it could be long beside
        assert torch.equal(limited.gradient, long)
    else:
        norms = torch.stack([gradient.norm() for gradient in before])
        # of the last of these, weighted as Adam does
        weights = 0.999 ** torch.arange(outlier - 1, -1, -1.0)
        usual = ((weights * norms**2).sum() / weights.sum()).sqrt()
        torch.testing.assert_close(limited.gradient, long * 4 * usual / long.norm(), rtol=1e-3, atol=0)


def test_a_limit_leaves_what_is_zero_or_no_number():
    limited = Adam(vector(), {}, clip=4.0)
    assert torch.equal(after(limited, [torch.zeros(50)] * 3), torch.zeros(50))
    assert after(limited, gradients(3)).abs().min() > 0
    assert after(limited, [torch.full((50,), torch.nan)]).isnan().all()  # the loop says where it diverged
