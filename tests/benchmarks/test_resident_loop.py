"""The strongest plain rival trains what the notebook loop trains, and differs from it in nothing but speed."""

import pytest
import torch

from benchmarks import notebook_loop, resident_loop
from benchmarks.recipes import NETWORKS, autoencoder


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_batches_give_the_losses_of_the_notebook_loop(name):
    images = torch.randint(0, 256, (96, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    # of one batch the order does not matter, which alone is drawn differently
    first, third = (resident_loop.seconds_per_epoch(name, images, epochs, 96)[1] for epochs in (1, 3))
    assert third == pytest.approx(notebook_loop.seconds_per_epoch(name, images, 3, 96)[1], rel=1e-4)
    assert third < 0.999 * first


def test_isthmus_is_measured_in_the_precision_of_its_rivals(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    images = torch.rand(64, 784, generator=torch.Generator().manual_seed(0)).numpy()
    assert autoencoder("dense-64").fit(images).precision_ == "float32"
