"""The plain code with an activation: that of the network where it has one, else applied to what the encoder gives."""

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import KL, L1, Autoencoder, Conv, Dense, Dictionary, Gaussian, Module, Plain, collapse, load
from isthmus.cli import run_command
from isthmus.codes import Code, build
from isthmus.errors import DoubtWarning, RequestError
from isthmus.networks.accelerators import PASSES, training_pass
from isthmus.objective import Objective
from isthmus.parts import MSE
from isthmus.parts.networks import ACTIVATIONS
from isthmus.persistence import read_config

SHAPE = (1, 4, 4)
GIVEN = {"epochs": 2, "batch_size": 20, "random_state": 0}


def linear(shape, width=3):
    n = int(np.prod(shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(n, width)), nn.Linear(width, n)


def rectified(shape):
    encoder, decoder = linear(shape)
    return nn.Sequential(encoder, nn.ReLU()), decoder


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((60, *SHAPE), np.float32)


def weights(model):
    return {name: tensor.numpy() for name, tensor in model.network_.state_dict().items()}


@pytest.mark.parametrize("network", [Dense((6,), 3), Conv((2, 3))], ids=str)
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_of_a_network_it_is_its_code_activation(network, activation, x):
    by_code = Autoencoder(network, code=Plain(activation), **GIVEN).fit(x)
    network = type(network)(**{**vars(network), "code_activation": activation})
    by_network = Autoencoder(network, **GIVEN).fit(x)
    np.testing.assert_equal(weights(by_code), weights(by_network))
    assert by_code.network_.part == network
    assert type(by_code.network_.code) is Code
    assert type(training_pass(by_code.network_)) in PASSES.values()
    both = Autoencoder(network, code=Plain(activation), **GIVEN).fit(x)
    np.testing.assert_equal(weights(both), weights(by_network))


@pytest.mark.parametrize(
    "network", [Dense(code_activation="relu"), Dictionary(), Conv((2,), code_activation="relu")], ids=str
)
def test_two_activations_of_one_code_are_refused(network, x):
    words = r"""code_activation="relu" and code Plain\(activation='tanh'\) are two activations of one code; say one"""
    with pytest.raises(RequestError, match=words):
        Autoencoder(network, code=Plain("tanh"), **GIVEN).fit(x)
    Autoencoder(network, code=Plain("relu"), **GIVEN).fit(x)


def test_one_that_there_is_not_is_refused():
    with pytest.raises(RequestError, match="activation"):
        Plain("sigmod")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_of_a_module_it_is_applied_by_itself(activation, x):
    fitted = Autoencoder(Module(linear), code=Plain(activation), **GIVEN).fit(x)
    network = fitted.network_
    with torch.no_grad():
        z = network.encode(torch.from_numpy(x).flatten(1))
    by_torch = {"linear": lambda z: z, "leakyrelu": nn.functional.leaky_relu}
    expected = by_torch.get(activation, getattr(torch, activation, getattr(nn.functional, activation, None)))(z)
    np.testing.assert_array_equal(fitted.transform(x), expected)
    np.testing.assert_array_equal(fitted.inverse_transform(fitted.transform(x)), fitted.reconstruct(x))
    plain = Autoencoder(Module(linear), **GIVEN).fit(x)
    assert (weights(fitted)["encoder.1.weight"] == weights(plain)["encoder.1.weight"]).all() == (activation == "linear")


@pytest.mark.parametrize("penalty", [KL(0.1), L1(0.1), None], ids=str)
def test_its_gradients_are_autograds(penalty):
    code = Plain("sigmoid")
    network = build(Module(linear), code, 16, torch.Generator().manual_seed(0), SHAPE).double()
    x = torch.rand((7, 16), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    objective = Objective(MSE(), penalty)
    output, tapes = training_pass(network).record(x, x.dtype, generator=torch.Generator())
    value, at = objective.with_gradients(output.x_hat, output.code, x, terms=output.terms)
    training_pass(network).backward(tapes, at)
    z = network.encode(x).sigmoid()
    expected = objective(network.decode(z), z, x)
    torch.testing.assert_close(value, expected.detach())
    parameters = list(network.parameters())
    for ours, theirs in zip(parameters, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(ours.grad, theirs)
        assert ours.grad.abs().max() > 1e-6


def test_a_penalty_that_needs_to_know_can_be_had_of_a_module(x):
    with pytest.raises(RequestError, match=r'penalty "kl" needs codes between 0 and 1, and of these nothing is known; '
                                           r'.* fit with code=Plain\("sigmoid"\)'):  # fmt: skip
        Autoencoder(Module(linear), penalty=KL(0.1), **GIVEN).fit(x)
    fitted = Autoencoder(Module(linear), code=Plain("sigmoid"), penalty=KL(0.1), **GIVEN).fit(x)
    assert 0 < fitted.transform(x).min() < fitted.transform(x).max() < 1


def test_l1_is_doubted_only_where_the_activation_is_known(x):
    Autoencoder(Module(rectified), penalty=L1(0.01), **GIVEN).fit(x)  # warnings are errors
    Autoencoder(Module(linear), code=Plain("relu"), penalty=L1(0.01), **GIVEN).fit(x)
    for network, code in ((Module(linear), Plain("tanh")), (Dense((6,), 3), Plain("tanh"))):
        with pytest.warns(DoubtWarning, match='never exactly zero, because its activation is "tanh"'):
            Autoencoder(network, code=code, penalty=L1(0.01), **GIVEN).fit(x)


def test_saved_resumed_and_exported_as_ever(x, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    given = {**GIVEN, "code": Plain("tanh"), "epochs": 4}
    whole = Autoencoder(Module(linear), **given).fit(x)
    rows = Autoencoder(Module(linear), **given).fit_epochs(x, checkpoint=tmp_path / "c")
    next(rows), next(rows)
    rows.close()
    resumed = Autoencoder(Module(linear), **given).fit(x, checkpoint=tmp_path / "c")
    np.testing.assert_equal(weights(resumed), weights(whole))
    whole.save(tmp_path / "m")
    assert read_config(tmp_path / "m")["parameters"]["code"] == {"kind": "plain", "activation": "tanh"}
    again = load(tmp_path / "m", build=linear)
    assert again.code == Plain("tanh")
    np.testing.assert_array_equal(again.transform(x), whole.transform(x))
    np.testing.assert_allclose(again.transform(x.astype(float)), whole.transform(x), rtol=1e-4, atol=1e-6)
    for function, inputs, outputs in (("encode", x, whole.transform(x)), ("reconstruct", x, whole.reconstruct(x))):
        whole.to_onnx(tmp_path / "m.onnx", function)
        session = ort.InferenceSession(tmp_path / "m.onnx")
        (got,) = session.run(None, {session.get_inputs()[0].name: inputs})
        np.testing.assert_allclose(got, outputs, atol=1e-5)


def test_a_recipe_and_other_codes_take_what_they_need(x):
    assert Autoencoder(code=Plain("sigmoid"), recipe="fast").part("network").code_activation == "sigmoid"
    assert Autoencoder(code=Plain("sigmoid")).part("network").code_activation == "sigmoid"
    assert Autoencoder(code=Gaussian()).part("network").code_activation == "linear"
    assert Autoencoder(code=Plain()).part("network") == Dense()


def test_a_module_whose_units_are_dead_is_told_of(x):
    """It raised AttributeError: of a module nobody knows a hidden activation."""
    fitted = Autoencoder(Module(linear), code=Plain("relu"), **GIVEN).fit(x)
    with torch.no_grad():
        fitted.network_.encoder[1].bias.fill_(-100)
    assert "a ReLU unit that is zero for every image gets no gradient" in collapse.collapse(fitted, x).cause


def test_the_command_line_takes_it(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    command = ["fit", str(tmp_path / "x.npy"), "-o", str(tmp_path / "m"), "--code", "plain:sigmoid", "--epochs", "1"]
    assert run_command([*command, "--penalty", "kl:0.1", "--network", "dense", "--threads", "1"]) == 0
    assert load(tmp_path / "m").network.code_activation == "sigmoid"
