"""Where training runs: devices and precisions by name, and denormals flushed in every thread for a while."""

import platform
import sys

import pytest
import torch

from isthmus.errors import RequestError
from isthmus.training.hardware import denormals_flushed, resolve_device, resolve_precision

x86 = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the flag of every worker is set on x86 Linux"
)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def share_flushed():
    """Call it for the share of a long tensor's denormals that a multiplication makes zero: each thread does a part."""
    denormals = torch.full((4_000_000,), 1e-40)
    return lambda: ((denormals * 0.5).view(torch.int32) == 0).double().mean().item()


@x86
@pytest.mark.usefixtures("two_threads")
def test_denormals_are_flushed_in_every_worker_and_only_inside(share_flushed):
    assert share_flushed() == 0
    with denormals_flushed():
        assert share_flushed() == 1
        with denormals_flushed():
            assert share_flushed() == 1
        assert share_flushed() == 1, "leaving an inner block restores what the outer one set"
    assert share_flushed() == 0


@x86
@pytest.mark.usefixtures("two_threads")
def test_the_flag_is_restored_after_an_error(share_flushed):
    with pytest.raises(KeyboardInterrupt), denormals_flushed():
        raise KeyboardInterrupt
    assert share_flushed() == 0


@x86
def test_a_callers_own_flag_survives():
    denormal = torch.tensor(1e-40)
    torch.set_flush_denormal(True)
    try:
        with denormals_flushed():
            pass
        assert denormal * 0.5 == 0
    finally:
        torch.set_flush_denormal(False)
    assert (denormal * 0.5).view(torch.int32) != 0


def test_results_are_the_same_inside_for_ordinary_numbers():
    x = torch.randn((50, 50), generator=torch.Generator().manual_seed(0))
    outside = torch.tanh(x @ x)
    with denormals_flushed():
        assert torch.equal(torch.tanh(x @ x), outside)


def test_devices_by_name():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_an_error_that_names_those_that_are(name):
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if here[name]:
        assert resolve_device(name).type == name
        return
    with pytest.raises(RequestError, match=f'device "{name}" is not on this machine; here: cpu.*auto'):
        resolve_device(name)


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_precisions_by_name(kind):
    device = torch.device(kind)
    assert resolve_precision("float32", device) == "float32"
    assert resolve_precision("bfloat16", device) == "bfloat16"
    assert resolve_precision("auto", device) in (("float32",) if kind == "mps" else ("float32", "bfloat16"))
