"""The contract of every composition: any two parts that go together, in a row with others, and words for the rest."""

import itertools
from contextlib import closing

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, load
from isthmus.codes import build
from isthmus.errors import RequestError
from isthmus.networks.accelerators import conv, training_pass
from isthmus.objective import Objective
from isthmus.parts import ROLES
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.setup import Setup
from tests.compositions import (
    CODES,
    COMPOSITIONS,
    NETWORKS,
    SHAPE,
    VARIANTS,
    composed,
    every_pair,
    network_of,
    own,
    pairs_of,
    refusal_of_two,
    samples,
)

pytestmark = pytest.mark.filterwarnings("ignore:L1 makes this code small")
every_row = pytest.mark.parametrize("row", COMPOSITIONS.values(), ids=COMPOSITIONS)


@pytest.fixture(scope="module")
def x():
    return samples()


def state(fitted):
    return fitted.network_.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_every_kind_is_in_it_and_any_two_that_go_together_meet():
    for role, kinds in ROLES.items():
        inside = {kind for kind in kinds.values() if kind.__module__.startswith("isthmus.")}
        assert {type(part) for part in VARIANTS[role].values() if part is not None} == inside, role
    met = set().union(*map(pairs_of, COMPOSITIONS.values()))
    assert met == every_pair()[0]
    assert len(COMPOSITIONS) < 70


def test_any_two_that_do_not_go_together_are_refused_in_words(x):
    """Whatever else is in it: a few compositions of each such pair."""
    refused = every_pair()[1]
    assert 10 < len(refused) < 40
    for pair in refused:
        roles = {**dict.fromkeys(VARIANTS, "none"), "network": "dense", "code": "plain", "loss": "mse", **dict(pair)}
        with pytest.raises(RequestError) as caught:
            composed(roles).fit(x)
        assert len(str(caught.value)) > 40
        assert "\n" not in str(caught.value)


PASSES = [
    pytest.param(row, windowed, id=f"{name}, {'windowed' if windowed else 'whole'}")
    for name, row in COMPOSITIONS.items()
    for windowed in ((True, False) if row["network"] in ("conv", "unpool") else (True,))  # others have one pass
]


@pytest.mark.parametrize(("row", "windowed"), PASSES)
def test_the_gradients_of_a_step_are_autograds(row, windowed, monkeypatch):
    monkeypatch.setattr(conv, "pays", lambda _channels, _multiplications: windowed)
    model = composed(row)
    part, loss, code = model.part("network"), model.part("loss"), model.part("code")
    network = build(part, code, 64, torch.Generator().manual_seed(0), SHAPE).double()
    x = torch.rand((6, 64), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = network.code.noise
    objective = Objective(loss, model.penalty, in_nats=code.in_nats, noise=noise)
    setup = Setup(model.parts()[3], objective, 0, model.corruption, model.augmentation, SHAPE)
    stream = torch.Generator().manual_seed(3)
    x_in, x = setup.pair(setup.augmented(x, stream), stream)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, np.nan)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    by, logits = training_pass(network), objective.takes_logits
    assert (by is network) is (row["network"] == "module")
    with torch.no_grad():
        output, tapes = by.record(x_in, x.dtype, logits=logits, generator=torch.Generator().manual_seed(2))
        value, at = objective.with_gradients(output.x_hat, output.code, x, lambda _: 0.5, output.terms)
        by.backward(tapes, at)
    has_state = not code.is_plain
    assert same(before, network.state_dict()) is not has_state, "a code's figures of state are moved by a step"
    learned = None if noise is None else noise.variance.clone()
    network.load_state_dict(before)
    if learned is not None:
        noise.variance.copy_(learned)  # by which the step counted its errors
    again = network(x_in, logits=logits, generator=torch.Generator().manual_seed(2))
    expected = objective(again.x_hat, again.code, x, lambda _: 0.5, again.terms)
    torch.testing.assert_close(value, expected.detach())
    parameters = list(network.parameters())
    for ours, theirs in zip(parameters, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(ours.grad, theirs)
        assert ours.grad.abs().max() > 1e-6


@every_row
def test_it_is_trained_saved_and_resumed_to_the_same_bits(row, x, tmp_path):
    whole, other = composed(row).fit(x), composed(row, random_state=1).fit(x)
    assert not same(state(whole), state(other))
    with closing(composed(row).fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        next(rows), next(rows)
    resumed = composed(row).fit(x, checkpoint=tmp_path / "c")
    assert same(state(resumed), state(whole))
    assert [each.terms for each in resumed.history_] == [each.terms for each in whole.history_]
    whole.save(tmp_path / "m")
    again = load(tmp_path / "m", build=own if row["network"] == "module" else None)
    assert again.code == whole.network_.code_part or again.code is None
    assert {role: again.part(role) for role in ROLES} == {role: whole.part(role) for role in ROLES}
    assert same(state(again), state(whole))
    for ask in (Autoencoder.transform, Autoencoder.reconstruct):
        np.testing.assert_array_equal(ask(again, x), ask(whole, x))
    if row["network"] != "unpool":  # whose decoder sees switches beside the code
        decoded = whole.inverse_transform(whole.transform(x))
        np.testing.assert_allclose(whole.reconstruct(x), decoded, rtol=1e-4, atol=1e-5)
    gone_on, once_more = (fitted.set_params(warm_start=True).fit(x) for fitted in (again, whole))
    assert same(state(gone_on), state(once_more))


@every_row
@pytest.mark.usefixtures("small_products_in_bfloat16")
def test_it_is_trained_by_products_in_bfloat16_and_asked_in_float64(row, x):
    fitted, exact = (composed(row, precision=precision).fit(x) for precision in ("bfloat16", "float32"))
    assert not same(state(fitted), state(exact))
    assert fitted.history_.losses == pytest.approx(exact.history_.losses, rel=0.05)
    for ask in (Autoencoder.transform, Autoencoder.reconstruct):
        double, single = ask(exact, x.astype(np.float64)), ask(exact, x)
        assert double.dtype == np.float64
        np.testing.assert_allclose(double, single, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "code"), [two for two in itertools.product(NETWORKS, CODES) if not refusal_of_two(*two)]
)
def test_its_weights_and_products_are_counted_without_being_built(network, code):
    part, code = network_of(network, CODES[code]), CODES[code]
    built = build(part, code, 64, torch.Generator().manual_seed(0), SHAPE)
    assert code.n_weights(part, 64, SHAPE) == sum(tensor.numel() for tensor in built.state_dict().values())
    assert code.multiplications(part, 64, SHAPE) == built.multiplications > 0
