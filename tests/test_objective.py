"""The objective: known answers, and what a penalty is summed over."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from torch.nn import functional

from isthmus.objective import Objective
from isthmus.parts import BCE, KL, L1, MSE, PENALTIES


@pytest.fixture
def batch():
    """x_hat and x in (0, 1), (12, 9), and a code of any numbers, (12, 5)."""
    generator = torch.Generator().manual_seed(0)
    x_hat, x = torch.rand((2, 12, 9), generator=generator)
    return x_hat, torch.randn((12, 5), generator=generator), x


@pytest.fixture
def shares(batch):
    """The same with a code in (0, 1), in float64."""
    x_hat, code, x = (part.double() for part in batch)
    return x_hat, code.sigmoid(), x


def penalty_of(objective, x_hat, code, x, ramp=1.0):
    return objective(x_hat, code, x, ramp) - Objective(objective.loss)(x_hat, code, x)


def test_mse_and_bce_are_torchs_means(batch):
    x_hat, _, x = batch
    torch.testing.assert_close(Objective(MSE())(*batch), functional.mse_loss(x_hat, x))
    logits = x_hat.logit()
    torch.testing.assert_close(Objective(BCE())(logits, *batch[1:]), functional.binary_cross_entropy(x_hat, x))


def test_known_answers_by_hand():
    x, x_hat = torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    code = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 4.0]])
    assert Objective(MSE())(x_hat, code, x) == 0.375
    assert Objective(MSE(), L1(0.5))(x_hat, code, x) == 0.375 + 0.5 * 3.5
    assert Objective(MSE(), L1(0.5, per="element"))(x_hat, code, x) == pytest.approx(0.375 + 0.5 * 3.5 / 3)
    assert Objective(MSE(), L1(0.5, per="batch"))(x_hat, code, x) == 0.375 + 0.5 * 7
    assert Objective(MSE(), L1(0.5))(x_hat, code, x, 0.25) == 0.375 + 0.125 * 3.5


def test_kl_by_hand():
    x = torch.zeros((2, 1))
    code = torch.tensor([[0.2, 0.9, 0.25], [0.4, 0.1, 0.25]])  # their means are 0.3, 0.5 and 0.25
    by_hand = [0.25 * math.log(0.25 / rho) + 0.75 * math.log(0.75 / (1 - rho)) for rho in (0.3, 0.5, 0.25)]
    assert by_hand[2] == 0 < by_hand[0] < by_hand[1]
    for per, divisor in (("sample", 1), ("element", 3)):
        value = Objective(MSE(), KL(2.0, target=0.25, per=per))(x, code, x)
        assert value.item() == pytest.approx(2 * sum(by_hand) / divisor, rel=1e-5)


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


@pytest.mark.parametrize("per", ["sample", "element"])
def test_kl_does_not_depend_on_the_batch_size(per, shares):
    objective, twice = Objective(MSE(), KL(0.1, per=per)), [torch.cat([part, part]) for part in shares]
    assert penalty_of(objective, *shares) > 0.01
    torch.testing.assert_close(penalty_of(objective, *twice), penalty_of(objective, *shares))


@pytest.mark.parametrize("target", [0.05, 0.5, 0.9])
def test_kl_is_zero_where_the_mean_is_the_target_whatever_the_samples_are(target):
    spread = torch.rand((50, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.04
    code, x = spread - spread.mean(dim=0) + target, torch.zeros((50, 1), dtype=torch.float64)
    objective = Objective(MSE(), KL(1.0, target=target))
    assert penalty_of(objective, x, code, x).item() == pytest.approx(0, abs=1e-12)
    for moved in (code + 0.01, code - 0.01):
        assert penalty_of(objective, x, moved, x) > 1e-5
        _, _, gradient = objective.with_gradients(x, moved, x)
        assert (gradient.sign() == (moved - code).sign()).all(), "back to the target"
    _, _, gradient = objective.with_gradients(x, code, x)
    assert gradient.abs().max() < 1e-12


def test_kl_of_units_that_are_always_off_or_on_is_finite_and_pushes_back():
    code, x = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.zeros((2, 1))
    objective = Objective(MSE(), KL(1.0, target=0.25))
    value, _, gradient = objective.with_gradients(x, code, x)
    torch.testing.assert_close(value, objective(x, code, x))
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert (gradient[:, 0] < 0).all()
    assert (gradient[:, 1] > 0).all()


@pytest.mark.parametrize("per", ["sample", "element", "batch"])
def test_a_penalty_pushes_codes_towards_zero(per, batch):
    x_hat, code, x = batch
    code.requires_grad_()
    Objective(MSE(), L1(0.1, per=per))(x_hat, code, x).backward()
    assert torch.equal(code.grad.sign(), code.detach().sign())


@pytest.mark.parametrize("kind", PENALTIES.values())
@pytest.mark.parametrize(("weight", "ramp"), [(0.0, 1.0), (0.3, 0.0)])
def test_weight_zero_is_no_penalty_and_costs_nothing(kind, weight, ramp, shares):
    objective = Objective(MSE(), kind(weight))
    assert torch.equal(objective(*shares, ramp), Objective(MSE())(*shares))
    assert objective.with_gradients(*shares, ramp)[2] is None


@pytest.mark.parametrize("kind", PENALTIES.values())
def test_the_ramp_multiplies_the_penalty(kind, shares):
    objective, half = Objective(MSE(0.5), kind(0.2)), Objective(MSE(0.5), kind(0.1))
    assert penalty_of(half, *shares) > 0.01
    torch.testing.assert_close(objective(*shares, 0.5), half(*shares))
    for ours, theirs in zip(objective.with_gradients(*shares, 0.5), half.with_gradients(*shares), strict=True):
        torch.testing.assert_close(ours, theirs)


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


@pytest.mark.parametrize("penalty", [L1(0.3), KL(0.3), KL(2.0, 0.7), KL(0.3, per="element")])
@pytest.mark.parametrize("ramp", [1.0, 0.25])
def test_gradients_at_codes_between_0_and_1_are_those_of_autograd(penalty, ramp, shares):
    x_hat, code, x = shares
    objective = Objective(MSE(), penalty)
    code.requires_grad_()
    (at_code,) = torch.autograd.grad(objective(x_hat, code, x, ramp), code)
    before = code.detach().clone()
    value, _, ours = objective.with_gradients(x_hat, code.detach(), x, ramp)
    assert at_code.abs().max() > 1e-4
    torch.testing.assert_close(value, objective(x_hat, code, x, ramp).detach())
    torch.testing.assert_close(ours, at_code)
    assert torch.equal(code, before)


@pytest.mark.parametrize("z", [-200.0, -40.0, -17.0, -6.5, 0.0, 6.5, 17.0, 40.0, 200.0])
@pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 1.0])
def test_cross_entropy_is_exact_where_float32s_sigmoid_is_0_or_1(z, target):
    """Against numbers of any length: log(1 + e^z) - target z, and sigmoid(z) - target."""
    x = torch.tensor([[target]])
    with localcontext() as context:
        context.prec = 120
        exact, weight = Decimal(z), Decimal(x.item())
        value = (1 + exact.exp()).ln() - weight * exact
        slope = 1 / (1 + (-exact).exp()) - weight
    ours, gradient, _ = Objective(BCE()).with_gradients(torch.tensor([[z]]), x, x)
    assert ours.item() == pytest.approx(float(value), rel=1e-6)
    # smaller numbers than 1e-38 are flushed to zero, or have fewer digits
    assert gradient.item() == pytest.approx(float(slope), rel=1e-6, abs=1e-38)
    assert Objective(BCE())(torch.tensor([[z]]), x, x).item() == ours.item()
