"""One contract for every corruption, and what each computes."""

import pytest
import torch

from isthmus.corruption import corrupt
from isthmus.parts import CORRUPTIONS, GaussianNoise

EXAMPLES = {
    "gaussian": [
        GaussianNoise(0.3),
        GaussianNoise(0.3, clip=True),
        GaussianNoise(0.3, relative=True),
        GaussianNoise(0.3, clip=True, relative=True),
    ],
}
every_corruption = pytest.mark.parametrize("part", [p for parts in EXAMPLES.values() for p in parts], ids=repr)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.rand((50, 40), generator=seeded(0))


def test_every_corruption_has_an_example():
    assert EXAMPLES.keys() == CORRUPTIONS.keys()


@every_corruption
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(part, dtype, x, global_generators):
    x = x.to(dtype)
    before, state = x.clone(), global_generators()
    x_noisy = corrupt(part, x, seeded(1))
    assert x_noisy.shape == x.shape
    assert x_noisy.dtype == dtype
    assert torch.equal(x, before)
    assert x_noisy.data_ptr() != x.data_ptr()
    assert torch.equal(corrupt(part, x, seeded(1)), x_noisy)
    assert not torch.equal(corrupt(part, x, seeded(2)), x_noisy)
    assert (x_noisy != x).any(dim=1).all(), "every sample is corrupted"
    assert (x_noisy != x).any(dim=0).all(), "every feature is corrupted"
    assert global_generators() == state


@every_corruption
def test_a_generator_moves_on(part, x):
    generator = seeded(1)
    first = corrupt(part, x, generator) - x
    assert not torch.equal(corrupt(part, x, generator) - x, first)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_gaussian_noise_has_mean_0_and_the_asked_deviation(sigma):
    x = torch.linspace(0, 1, 400).repeat(1000, 1)
    noise = (corrupt(GaussianNoise(sigma), x, seeded(0)) - x).double()
    assert abs(noise.mean()) < 4 * sigma / noise.numel() ** 0.5
    assert noise.std().item() == pytest.approx(sigma, rel=0.01)
    assert (noise.abs() > 2 * sigma).double().mean().item() == pytest.approx(0.0455, rel=0.05)
    neighbours = torch.corrcoef(torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()]))[0, 1]
    assert abs(neighbours) < 0.01


def test_clip_keeps_pixels_in_range_and_changes_no_other(x):
    free = corrupt(GaussianNoise(0.5), x, seeded(3))
    clipped = corrupt(GaussianNoise(0.5, clip=True), x, seeded(3))
    assert free.min() < 0
    assert free.max() > 1
    assert torch.equal(clipped, free.clamp(0, 1))


def test_relative_noise_scales_with_each_samples_norm():
    x = torch.rand((3, 20_000), generator=seeded(0)) * torch.tensor([[0.01], [1.0], [100.0]])
    noise = corrupt(GaussianNoise(0.5, relative=True), x, seeded(1)) - x
    power = noise.square().mean(dim=1) / x.square().mean(dim=1)
    torch.testing.assert_close(power, torch.full((3,), 0.25), rtol=0.05, atol=0)


def test_relative_noise_leaves_a_black_image_black():
    x = torch.zeros((2, 10))
    assert torch.equal(corrupt(GaussianNoise(0.5, relative=True), x, seeded(1)), x)


def test_sigma_0_changes_nothing(x):
    assert torch.equal(corrupt(GaussianNoise(0.0), x, seeded(1)), x)
