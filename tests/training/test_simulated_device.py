"""Nothing is made on one device and used on another: what is used on a GPU, used on a device that is not there.

Its numbers are the CPU's, so the arrays must be too. A step that would be recorded as a CUDA graph is recorded here by
what looks whether it waits for the device or copies from the host, neither of which a graph can.
"""

import numpy as np
import pytest
import torch

from isthmus.training import replay
from tests.simulated_device import DEVICE, simulated, waits
from tests.training.test_on_cuda import COMPOSITIONS, DRAWING, USES, model, squares

WAITING = {"poisson", "sequence"}  # whose rates are looked at first


class Watched:
    """A recording of a step that is computed again."""

    found: list[list[str]] = []  # noqa: RUF012  # of all

    def __init__(self, call, generators):
        self.call = call

    def replay(self):
        before = len(waits)
        self.call()
        Watched.found.append(waits[before:])


@pytest.fixture(autouse=True)
def watched(monkeypatch):
    monkeypatch.setattr(Watched, "found", [])
    monkeypatch.setitem(replay.RECORDERS, DEVICE.type, Watched)


@pytest.fixture(scope="module")
def x():
    return squares()


def trained(name, device, x):
    fitted = model(name, device).fit(x)
    return [fitted.transform(x), fitted.reconstruct(x), fitted.history_.losses]


EVERY = {
    **{name: lambda device, x, name=name: trained(name, device, x) for name in COMPOSITIONS},
    **USES,
    **{name: use for name, use in DRAWING.items() if name != "dropout"},  # which is torch's own generator's
}


@pytest.mark.parametrize("name", EVERY)
def test_it_gives_what_the_cpu_gives_and_no_recorded_step_waits(name, x):
    with simulated():
        there = EVERY[name]("cuda", x)
    for at_there, at_here in zip(there, EVERY[name]("cpu", x), strict=True):
        np.testing.assert_allclose(at_there, at_here, rtol=1e-3, atol=2e-5)
    assert not any(Watched.found) or name in WAITING


def test_it_refuses_what_a_gpu_refuses():
    with simulated():
        there = torch.ones(3, device=DEVICE)
        assert (there + 1).device.type == DEVICE.type
        assert (there + 1).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="another device"):
            torch.rand(3, generator=torch.Generator(), device=DEVICE)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
