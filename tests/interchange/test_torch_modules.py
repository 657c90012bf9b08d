"""Plain modules of fitted models: the same bits, nothing shared, and torch.export takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Conv, Denoiser, Dense, Dictionary, Gaussian, Quantized, Residual
from isthmus.networks import Network

CASES = {
    "dense": (Dense((12,), 5, activation="gelu"), None),
    "dictionary": (Dictionary((), 9), None),
    "gaussian": (Dense((12,), 5, code_activation="linear"), Gaussian()),
    "quantized": (Dense((12,), 4, code_activation="linear"), Quantized(8, 2)),
    "deconv": (Conv((3, 4)), None),
    "unpool": (Conv((3, 4), decoder="unpool"), None),
    "deconv-unpool": (Conv((3, 4), decoder="deconv-unpool"), None),
}


X = np.random.default_rng(0).random((30, 1, 9, 8), np.float32)


def fitted(name, **parameters):
    network, code = CASES[name]
    return Autoencoder(network, code=code, epochs=2, learning_rate=1e-2, random_state=0, **parameters).fit(X)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_the_estimators(name, standardize):
    model = fitted(name, standardize=standardize)
    x, code = torch.from_numpy(X), model.transform(X)
    assert code.std() > 0
    with torch.no_grad():
        np.testing.assert_array_equal(model.as_module()(x), model.reconstruct(X))
        np.testing.assert_array_equal(model.as_module("encode")(x), code)
        np.testing.assert_array_equal(model.as_module("decode")(torch.from_numpy(code)), model.inverse_transform(code))
        module = model.as_module("encode")
        np.testing.assert_array_equal(module.reconstruct(x), model.reconstruct(X))


def test_rows_stay_rows(x):
    model = Autoencoder(Dense(bottleneck=3), epochs=1, random_state=0).fit(x)
    assert model.as_module()(torch.from_numpy(x)).shape == x.shape


def test_nothing_is_shared_and_it_can_be_trained():
    model = fitted("unpool", standardize=True)
    before, module = model.reconstruct(X), model.as_module()
    loss = (module(torch.from_numpy(X)) - torch.from_numpy(X)).square().mean()
    loss.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.zero_()
    np.testing.assert_array_equal(model.reconstruct(X), before)
    assert {name.split(".")[-1] for name in module.state_dict()} >= {"ends", "weight", "bias"}


@pytest.mark.parametrize("name", CASES)
def test_torch_export_takes_it_with_any_number_of_samples(name):
    model, x = fitted(name, standardize=True), torch.from_numpy(X)
    for function, given in (("reconstruct", x), ("encode", x), ("decode", torch.from_numpy(model.transform(X)))):
        module = model.as_module(function)
        program = torch.export.export(module, (given[:4],), dynamic_shapes=({0: torch.export.Dim("n")},))
        with torch.no_grad():
            for n in (2, 30):
                np.testing.assert_array_equal(program.module()(given[:n]), module(given[:n]))


def test_torch_export_takes_a_denoiser():
    photos = np.random.default_rng(0).random((4, 1, 20, 30), np.float32)
    model = Denoiser(Residual(width=6, depth=4), crop=16, crops_per_epoch=32, epochs=1, random_state=0).fit(photos)
    module, y, level = model.as_module(), torch.from_numpy(photos), torch.full((1, 1, 1, 1), 0.1)
    program = torch.export.export(module, (y[:2], level), dynamic_shapes=({0: torch.export.Dim("n")}, None))
    with torch.no_grad():
        for n in (2, 4):
            np.testing.assert_array_equal(program.module()(y[:n], level), module(y[:n], level))


def test_no_estimator_is_reached_from_it():
    module = fitted("dense").as_module()
    assert all(isinstance(each, torch.nn.Module) for each in module.modules())
    assert isinstance(module.network, Network)
