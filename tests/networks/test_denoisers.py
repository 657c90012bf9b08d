"""Networks of images of any size: their size, their reach, and that they start as the identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import isthmus
from isthmus import Denoiser
from isthmus.errors import RequestError
from isthmus.networks.denoisers import build, register
from isthmus.parts import Residual, UNet

PARTS = [
    Residual(width=8, depth=4),
    Residual(width=4, depth=6, unshuffle=1),
    UNet(width=4),
    UNet(4, scales=2, blocks=2),
]


def trained(part, channels=1):
    """A network whose last layer is not zero, as after training."""
    stream = torch.Generator().manual_seed(1)
    network = build(part, channels, torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.tail.weight.normal_(0, 0.1, generator=stream)
        network.tail.bias.normal_(0, 0.1, generator=stream)
    return network


@pytest.mark.parametrize("part", PARTS, ids=repr)
@pytest.mark.parametrize("size", [(1, 1), (7, 16), (17, 33)], ids=str)
def test_any_size_and_any_number_of_channels(part, size):
    for channels in (1, 3, 4):
        y = torch.rand(2, channels, *size)
        x_hat = trained(part, channels).denoise(y, torch.full((2, 1, *size), 0.1))
        assert x_hat.shape == y.shape
        assert not torch.equal(x_hat, y)


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_it_starts_as_the_identity(part):
    network, y = build(part, 1, torch.Generator().manual_seed(0)), torch.rand(1, 1, 20, 24)
    assert torch.equal(network.denoise(y, torch.zeros(1, 1, 20, 24)), y)


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_for_inference_it_is_the_same_but_for_the_border(part):
    network = trained(part, 3)
    y, level, mean = torch.rand(2, 3, 96, 72), torch.full((2, 1, 96, 72), 0.1), torch.zeros(2, 3, 1, 1)
    whole, copy = network.denoise(y, level, mean), network.for_inference(torch.float32)
    x_hat = copy.denoise(y, level, mean)
    border = (96 - x_hat.shape[2]) // 2
    assert border <= -(-network.reach // network.factor) * network.factor
    assert border > 0 or copy is network
    torch.testing.assert_close(x_hat, whole[:, :, border : 96 - border, border : 72 - border])
    assert torch.equal(network.denoise(y, level, mean), whole)  # which is as it was


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_a_pixel_depends_on_none_beyond_the_reach(part):
    network = trained(part)
    side = 2 * (network.reach // network.factor + 2) * network.factor
    y = torch.rand(1, 1, side, side, requires_grad=True)
    level, mean = torch.full((1, 1, side, side), 0.1), torch.zeros(1, 1, 1, 1)
    farthest = 0
    for middle in range(side // 2, side // 2 + network.factor):  # how far depends on the place within a square
        (gradient,) = torch.autograd.grad(network.denoise(y, level, mean)[0, 0, middle, middle], y)
        distances = (gradient[0, 0].nonzero() - middle).abs().amax(dim=1)
        farthest = max(farthest, int(distances.max()))
    assert farthest <= network.reach
    assert farthest >= network.reach // 2  # no bound that is far from the truth


def test_the_offset_of_an_image_passes_through():
    network, y, level = trained(Residual(8, 4), 3), torch.rand(1, 3, 16, 16), torch.full((1, 1, 16, 16), 0.1)
    offset = torch.tensor([0.5, -1.0, 3.0]).view(1, 3, 1, 1)
    assert torch.allclose(network.denoise(y + offset, level), network.denoise(y, level) + offset, atol=1e-5)


def test_a_network_from_outside_the_package_is_trained_saved_and_loaded(extension, tmp_path):
    smoother = extension("denoiser_network")
    Smoother = smoother.Smoother
    photos = [np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(1, 40, 40) for _ in range(3)]
    model = Denoiser(Smoother(5), crop=16, crops_per_epoch=64, epochs=4, learning_rate=0.1, random_state=0).fit(photos)
    assert float(model.network_.share.detach()) > 0.3  # smooth images: a blur takes away noise alone
    model.save(tmp_path / "m")
    again = isthmus.load(tmp_path / "m")
    assert again.network == Smoother(5)
    assert np.array_equal(again.denoise(photos, 0.1), model.denoise(photos, 0.1))
    with pytest.raises(RequestError, match="already stands for"):
        register(type("Other", (Smoother,), {"kind": "residual"}), smoother.SmootherNetwork)
