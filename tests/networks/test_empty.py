"""Layers before they have weights: no global generator is drawn from, and nothing slow is imported for them."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from isthmus.networks.empty import empty


@pytest.mark.parametrize(
    ("kind", "sizes", "options"),
    [
        (nn.Linear, (3, 5), {}),
        (nn.Conv2d, (2, 4), {"kernel_size": (3, 3)}),
        (nn.ConvTranspose2d, (2, 4), {"kernel_size": 2}),
    ],
)
def test_a_layer_is_torchs_but_for_its_start(kind, sizes, options):
    before = torch.random.get_rng_state()
    layer = empty(kind, *sizes, **options)
    assert torch.equal(torch.random.get_rng_state(), before)
    usual = kind(*sizes, **options)
    assert {
        name: (p.shape, p.stride(), p.dtype, p.device, p.requires_grad) for name, p in layer.named_parameters()
    } == {name: (p.shape, p.stride(), p.dtype, p.device, p.requires_grad) for name, p in usual.named_parameters()}
    layer.load_state_dict(usual.state_dict())
    x = torch.rand(2, *((3,) if kind is nn.Linear else (2, 6, 6)))
    assert torch.equal(layer(x), usual(x))


def test_a_network_is_built_and_counted_without_sympy_and_the_compiler():
    code = (
        "import sys, torch; from isthmus.networks import build; from isthmus.parts import Conv, Dense; "
        "build(Dense(bottleneck=2), 4, torch.Generator()); "
        "build(Conv(channels=(2,)), 64, torch.Generator(), (1, 8, 8)); "
        "from isthmus.networks.denoisers import build; from isthmus.parts import Residual, UNet; "
        "torch.set_default_device('meta'); "
        "[build(part, 1, torch.Generator('cpu')) for part in (Residual(width=8, depth=2), UNet(width=8))]; "
        "torch.set_default_device('cpu'); import isthmus.codes; from isthmus import Gaussian; "
        "assert Gaussian().multiplications(Dense(bottleneck=2), 4, None) == 4 * 4 + 2 * 4; "
        "sys.exit('sympy' in sys.modules or 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
