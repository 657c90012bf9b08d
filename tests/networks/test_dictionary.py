"""Dictionaries: x_hat = code @ atoms, unit norm after every step, gradients as autograd's."""

import numpy as np
import pytest
import torch

from isthmus import L1, Autoencoder, Dictionary
from isthmus.networks import Gradients, build
from isthmus.networks.accelerators import training_pass
from isthmus.objective import Objective
from isthmus.parts import MSE

pytestmark = pytest.mark.usefixtures("small_products_in_bfloat16")

PARTS = [
    Dictionary(n_atoms=7),
    Dictionary(hidden=(6,), n_atoms=9, code_activation="linear", unit_norm=False),
    Dictionary(hidden=(8, 5), n_atoms=4, activation="tanh", code_activation="relu"),
]
every_part = pytest.mark.parametrize("part", PARTS, ids=repr)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_published_dictionary_has_its_size():
    """784-1024-1176 with biases, and 1176 atoms of 784 without."""
    network = build(Dictionary(hidden=(1024,), n_atoms=1176), 784, seeded())
    assert sum(p.numel() for p in network.parameters()) == 784 * 1024 + 1024 + 1024 * 1176 + 1176 + 1176 * 784


@every_part
def test_record_and_backward_are_autograds(part):
    network = build(part, 10, seeded()).double()
    x, objective = torch.rand((6, 10), generator=seeded(1), dtype=torch.float64), Objective(MSE(0.5), L1(0.1))
    x_hat, code, _ = network(x)
    objective(x_hat, code, x).backward()
    expected = [p.grad.clone() for p in network.parameters()]
    for p in network.parameters():
        p.grad.fill_(7.0)
    with torch.no_grad():
        step = training_pass(network)
        (recorded, its_code, _), tapes = step.record(x, torch.float64)
        _, at = objective.with_gradients(recorded, its_code, x)
        step.backward(tapes, at)
    torch.testing.assert_close(recorded, x_hat)
    torch.testing.assert_close(its_code, code)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-3


@every_part
def test_the_decoder_is_linear_in_the_code(part):
    network = build(part, 10, seeded())
    code = torch.randn((3, network.code_size), generator=seeded(1))
    torch.testing.assert_close(network.decode(code), code @ network.atoms)
    torch.testing.assert_close(network.decode(torch.eye(network.code_size)), network.atoms)


def test_the_start_is_xaviers_uniform():
    atoms = build(Dictionary(n_atoms=300, unit_norm=False), 200, seeded()).atoms
    bound = (6 / 500) ** 0.5
    assert float(atoms.detach().abs().max()) == pytest.approx(bound, rel=1e-3)
    assert float(atoms.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("unit_norm", [True, False])
def test_atoms_have_length_1_after_training_if_they_are_to(unit_norm):
    X = np.random.default_rng(0).random((200, 12), np.float32)
    part = Dictionary(n_atoms=20, unit_norm=unit_norm)
    model = Autoencoder(part, penalty=L1(1e-2), epochs=5, learning_rate=0.01, random_state=0).fit(X)
    lengths = np.linalg.norm(model.network_.atoms.detach().numpy(), axis=1)
    assert np.allclose(lengths, 1, atol=1e-5) is unit_norm
    assert model.history_.losses[-1] < model.history_.losses[0]


def test_atoms_of_no_length_stay_finite():
    network = build(Dictionary(n_atoms=3), 4, seeded())
    with torch.no_grad():
        network.atoms[1] = 0
    network.after_step()
    assert network.atoms.isfinite().all()
    assert (network.atoms[1] == 0).all()


def test_bfloat16_is_near_float32():
    network = build(Dictionary(hidden=(8,), n_atoms=6), 10, seeded())
    x = torch.rand((5, 10), generator=seeded(1))
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    with torch.no_grad():
        step = training_pass(network)
        (x_hat, code, _), tapes = step.record(x, torch.bfloat16)
        step.backward(tapes, Gradients(torch.ones_like(x), None))
    torch.testing.assert_close(x_hat, network(x)[0].detach(), rtol=0.05, atol=0.05)
    assert code.dtype == torch.float32
    assert network.atoms.grad.abs().max() > 0
