"""The objective: known answers, and what a penalty is summed over."""

import importlib
import math
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import ClassVar

import pytest
import torch
from torch.nn import functional

from isthmus import kinds
from isthmus.errors import RequestError
from isthmus.networks import Term
from isthmus.objective import Objective, averages, register
from isthmus.parts import BCE, KL, L1, MSE, PENALTIES, Loss, Penalty

of_averages = importlib.import_module("isthmus.objective.averages")  # `averages` is a function of the package too


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


def at(come):
    """A ramp by which every warm-up has come so far."""
    return lambda warmup: come if warmup else 1.0


def penalty_of(objective, x_hat, code, x):
    return objective(x_hat, code, x) - Objective(objective.loss)(x_hat, code, x)


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
    assert Objective(MSE(), L1(0.5, warmup=1))(x_hat, code, x, at(0.25)) == 0.375 + 0.125 * 3.5


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
        gradient = objective.with_gradients(x, moved, x)[1].code
        assert (gradient.sign() == (moved - code).sign()).all(), "back to the target"
    gradient = objective.with_gradients(x, code, x)[1].code
    assert gradient.abs().max() < 1e-12


def test_kl_of_units_that_are_always_off_or_on_is_finite_and_pushes_back():
    code, x = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.zeros((2, 1))
    objective = Objective(MSE(), KL(1.0, target=0.25))
    value, (_, gradient, _) = objective.with_gradients(x, code, x)
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
    objective = Objective(MSE(), kind(weight, warmup=1))
    assert torch.equal(objective(*shares, at(ramp)), Objective(MSE())(*shares))
    assert objective.with_gradients(*shares, at(ramp))[1].code is None


@pytest.mark.parametrize("kind", PENALTIES.values())
def test_the_ramp_multiplies_the_penalty(kind, shares):
    objective, half = Objective(MSE(0.5), kind(0.2, warmup=1)), Objective(MSE(0.5), kind(0.1))
    assert penalty_of(half, *shares) > 0.01
    torch.testing.assert_close(objective(*shares, at(0.5)), half(*shares))
    (value, gradients), (of_half, at_half) = objective.with_gradients(*shares, at(0.5)), half.with_gradients(*shares)
    torch.testing.assert_close((value, *gradients[:2]), (of_half, *at_half[:2]))


@pytest.mark.parametrize("penalty", [None, L1(0.1), L1(0.1, per="element"), L1(0.1, per="batch"), L1(0)])
@pytest.mark.parametrize("loss", [MSE(), MSE(0.5), BCE(), BCE(2.0)])
def test_gradients_are_those_of_autograd(loss, penalty, batch):
    x_hat, code, x = batch
    objective = Objective(loss, penalty)
    x_hat.requires_grad_()
    code.requires_grad_()
    at_x_hat, at_code = torch.autograd.grad(objective(x_hat, code, x), (x_hat, code), allow_unused=True)
    value, (ours_x_hat, ours_code, _) = objective.with_gradients(x_hat.detach(), code.detach(), x)
    torch.testing.assert_close(value, objective(x_hat, code, x).detach())
    torch.testing.assert_close(ours_x_hat, at_x_hat)
    torch.testing.assert_close(ours_code, at_code)


@pytest.mark.parametrize("penalty", [L1(0.3), KL(0.3), KL(2.0, 0.7), KL(0.3, per="element")])
@pytest.mark.parametrize("ramp", [1.0, 0.25])
def test_gradients_at_codes_between_0_and_1_are_those_of_autograd(penalty, ramp, shares):
    x_hat, code, x = shares
    objective = Objective(MSE(), replace(penalty, warmup=1))
    code.requires_grad_()
    (at_code,) = torch.autograd.grad(objective(x_hat, code, x, at(ramp)), code)
    before = code.detach().clone()
    value, (_, ours, _) = objective.with_gradients(x_hat, code.detach(), x, at(ramp))
    assert at_code.abs().max() > 1e-4
    torch.testing.assert_close(value, objective(x_hat, code, x, at(ramp)).detach())
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
    ours, (gradient, _, _) = Objective(BCE()).with_gradients(torch.tensor([[z]]), x, x)
    assert ours.item() == pytest.approx(float(value), rel=1e-6)
    # smaller numbers than 1e-38 are flushed to zero, or have fewer digits
    assert gradient.item() == pytest.approx(float(slope), rel=1e-6, abs=1e-38)
    assert Objective(BCE())(torch.tensor([[z]]), x, x).item() == ours.item()


@dataclass(frozen=True, repr=False)
class Hoyer(Penalty):
    """|code|₁² / |code|₂², the number of units that are on, if they are on alike (Hoyer 2004)."""

    kind: ClassVar[str] = "hoyer"
    weight: float
    per: str = "sample"
    warmup: float = 0.0


@dataclass(frozen=True, repr=False)
class Absolute(Loss):
    kind: ClassVar[str] = "absolute"


@pytest.fixture
def registered():
    register(Hoyer, lambda part, code: code.abs().sum(dim=1) ** 2 / code.square().sum(dim=1))
    register(Absolute, lambda part, x_hat, x: (x_hat - x).abs())
    yield
    kinds.unregister("penalty", Hoyer)
    kinds.unregister("loss", Absolute)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("per", "factor"), [("sample", 1 / 12), ("element", 1 / 12), ("batch", 1)])
def test_a_value_for_each_sample_is_enough_for_a_penalty_from_outside(per, factor, batch):
    x_hat, code, x = batch
    objective = Objective(Absolute(2.0), Hoyer(0.5, per, warmup=2))
    each = torch.stack([row.abs().sum() ** 2 / row.square().sum() for row in code])
    expected = 2 * (x_hat - x).abs().mean() + 0.5 * 0.25 * factor * each.sum()
    torch.testing.assert_close(objective(x_hat, code, x, at(0.25)), expected)
    value, (at_x_hat, at_code, _) = objective.with_gradients(x_hat, code, x, at(0.25))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(at_x_hat, 2 * (x_hat - x).sign() / x.numel())
    l1, l2 = code.abs().sum(dim=1, keepdim=True), code.square().sum(dim=1, keepdim=True)
    by_hand = 2 * l1 * code.sign() / l2 - 2 * l1**2 * code / l2**2
    torch.testing.assert_close(at_code, 0.125 * factor * by_hand)


def test_a_kind_that_there_is_is_refused():
    for base, taken in ((Penalty, "l1"), (Loss, "mse")):
        with pytest.raises(RequestError, match=f'kind "{taken}" already stands for'):
            register(type("Other", (base,), {"kind": taken}), lambda part, *given: given[0])


@pytest.mark.parametrize("loss", [MSE(0.5), BCE()])
def test_the_loss_of_all_is_the_mean_of_each_samples(loss, batch):
    x_hat, code, x = batch
    each = Objective(loss, unit=2.0).of_samples(x_hat, x)
    torch.testing.assert_close(each.mean(), Objective(loss, unit=2.0)(x_hat, code, x))
    torch.testing.assert_close(each[3], Objective(loss, unit=2.0)(x_hat[3:4], code[3:4], x[3:4]))


@pytest.mark.parametrize(
    ("shape", "per", "average"),
    [
        ((6,), "sample", 1.0),
        ((6, 4), "sample", 4.0),
        ((6, 4), "element", 1.0),
        ((6, 4), "batch", 24.0),
        ((), "sample", 1),
    ],
)
def test_terms_are_averaged_as_they_say_in_the_one_place(shape, per, average, batch):
    term, objective = Term(torch.ones(shape), 0.5, per, warmup=1), Objective(MSE())
    assert averages({"own": term})["own"] == average
    torch.testing.assert_close(
        objective(*batch, at(0.25), {"own": term}) - objective(*batch), torch.tensor(0.125 * average)
    )
    value, gradients = objective.with_gradients(*batch, at(0.25), {"own": term})
    torch.testing.assert_close(value, objective(*batch, at(0.25), {"own": term}))
    assert gradients.terms["own"] * term.values.numel() == pytest.approx(0.125 * average)


def test_an_unknown_average_of_a_term_is_refused(batch):
    with pytest.raises(RequestError, match='unknown value of "per" "samples"'):
        Objective(MSE()).with_gradients(*batch, terms={"own": Term(torch.ones(3), per="samples")})


@pytest.mark.parametrize("kind", [MSE, BCE, Absolute])
@pytest.mark.parametrize("cached", [1, 60, 2**17])
def test_draws_of_a_few_samples_at_a_time_are_those_of_all(kind, cached, registered, monkeypatch):
    monkeypatch.setattr(of_averages, "_CACHED", cached)
    generator = torch.Generator().manual_seed(0)
    k, x, x_hat = 4, torch.rand((7, 5), generator=generator).round(), torch.randn((28, 5), generator=generator)
    terms = {"kl": Term(torch.randn((7, k), generator=generator), per="draw")}
    leaf, others = x_hat.clone().requires_grad_(), x.repeat_interleave(k, dim=0)
    each = of_averages.VALUES[kind](kind(), leaf, others).sum(dim=1).view(7, k) + terms["kl"].values
    expected = (math.log(k) - torch.logsumexp(-each, dim=1)).mean()
    value, gradients = Objective(kind(), in_nats=True).with_gradients(x_hat, x_hat, x, terms=terms)
    torch.testing.assert_close(value - Objective(kind(), in_nats=True).normalizer(x), expected.detach())
    torch.testing.assert_close(gradients.x_hat, torch.autograd.grad(expected, leaf)[0])
