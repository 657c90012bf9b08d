"""The objective: known answers, and what a penalty is summed over."""

import pytest
import torch
from torch.nn import functional

from isthmus.objective import Objective
from isthmus.parts import BCE, L1, MSE


@pytest.fixture
def batch():
    """x_hat and x in (0, 1), (12, 9), and a code, (12, 5)."""
    generator = torch.Generator().manual_seed(0)
    x_hat, x = torch.rand((2, 12, 9), generator=generator)
    return x_hat, torch.randn((12, 5), generator=generator), x


def penalty_of(objective, x_hat, code, x):
    return objective(x_hat, code, x) - Objective(objective.loss)(x_hat, code, x)


def test_mse_and_bce_are_torchs_means(batch):
    x_hat, _, x = batch
    torch.testing.assert_close(Objective(MSE())(*batch), functional.mse_loss(x_hat, x))
    torch.testing.assert_close(Objective(BCE())(*batch), functional.binary_cross_entropy(x_hat, x))


def test_known_answers_by_hand():
    x, x_hat = torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    code = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 4.0]])
    assert Objective(MSE())(x_hat, code, x) == 0.375
    assert Objective(MSE(), L1(0.5))(x_hat, code, x) == 0.375 + 0.5 * 3.5
    assert Objective(MSE(), L1(0.5, per="element"))(x_hat, code, x) == pytest.approx(0.375 + 0.5 * 3.5 / 3)
    assert Objective(MSE(), L1(0.5, per="batch"))(x_hat, code, x) == 0.375 + 0.5 * 7


@pytest.mark.parametrize("loss", [MSE, BCE])
def test_the_weight_multiplies_the_loss(loss, batch):
    torch.testing.assert_close(Objective(loss(0.5))(*batch), 0.5 * Objective(loss())(*batch))


@pytest.mark.parametrize("loss", [MSE(), BCE()])
@pytest.mark.parametrize(("per", "factor"), [(None, 1), ("sample", 1), ("element", 1), ("batch", 2)])
def test_what_happens_when_the_batch_is_doubled(loss, per, factor, batch):
    twice = [torch.cat([part, part]) for part in batch]
    alone = Objective(loss)
    torch.testing.assert_close(alone(*twice), alone(*batch))
    if per is not None:
        objective = Objective(loss, L1(0.1, per=per))
        assert penalty_of(objective, *batch) > 0.01
        torch.testing.assert_close(penalty_of(objective, *twice), factor * penalty_of(objective, *batch))


@pytest.mark.parametrize("per", ["sample", "element", "batch"])
def test_a_penalty_pushes_codes_towards_zero(per, batch):
    x_hat, code, x = batch
    code.requires_grad_()
    Objective(MSE(), L1(0.1, per=per))(x_hat, code, x).backward()
    assert torch.equal(code.grad.sign(), code.detach().sign())


def test_weight_zero_is_no_penalty(batch):
    assert torch.equal(Objective(MSE(), L1(0.0))(*batch), Objective(MSE())(*batch))


@pytest.mark.parametrize("penalty", [None, L1(0.1), L1(0.1, per="element"), L1(0.1, per="batch"), L1(0)])
@pytest.mark.parametrize("loss", [MSE(), MSE(0.5), BCE(), BCE(2.0)])
def test_gradients_are_those_of_autograd(loss, penalty, batch):
    x_hat, code, x = batch
    objective = Objective(loss, penalty)
    x_hat.requires_grad_()
    code.requires_grad_()
    at_x_hat, at_code = torch.autograd.grad(objective(x_hat, code, x), (x_hat, code), allow_unused=True)
    value, ours_x_hat, ours_code = objective.with_gradients(x_hat.detach(), code.detach(), x)
    torch.testing.assert_close(value, objective(x_hat, code, x).detach())
    torch.testing.assert_close(ours_x_hat, at_x_hat)
    torch.testing.assert_close(ours_code, at_code)


def test_cross_entropy_of_saturated_outputs_has_finite_gradients():
    x_hat, x = torch.tensor([[0.0, 1.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    _, gradient, _ = Objective(BCE()).with_gradients(x_hat, x_hat, x)
    assert gradient.isfinite().all()
    assert gradient[0, 2] < 0 < gradient[0, 3]
