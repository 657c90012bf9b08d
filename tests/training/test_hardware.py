"""Where training runs: devices and precisions by name, and denormals flushed in every thread for a while."""

import json
import platform
import subprocess
import sys
import threading
import time

import pytest
import torch

from isthmus.errors import RequestError
from isthmus.training.hardware import (
    FairShare,
    convolutions_repeatable,
    denormals_flushed,
    resolve_device,
    resolve_precision,
    step_threads,
    using_threads,
)

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_what_a_step_frees_is_there_for_the_next():
    """Else the system makes all its pages anew: 8,000 in a step of these three blocks."""
    code = """
import resource, torch
from isthmus.training.hardware import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2_600_000) for _ in range(3)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(5)][2:])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert max(json.loads(told)) < 500


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
    for products in (4e6, 6e6):  # of few, bfloat16 takes longer on a CPU
        auto = resolve_precision("auto", device, products)
        assert auto == ("float32" if kind == "cpu" and products < 5e6 else resolve_precision("auto", device))
        assert resolve_precision("bfloat16", device, products) == "bfloat16"


CPU = torch.device("cpu")


def test_small_steps_have_one_thread_and_large_ones_all():
    assert step_threads(1_000, 64, 2, CPU) == 1
    assert step_threads(1_000_000, 64, 2, CPU) == 2
    assert step_threads(1_000, 64, 2, torch.device("cuda")) == 2


def test_using_threads_restores_the_number():
    before = torch.get_num_threads()
    with using_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@x86
def test_a_crowded_machine_makes_idle_threads_sleep_until_the_end(monkeypatch):
    monkeypatch.setattr(FairShare, "_LOOK", 0.02)
    names = lambda: [thread.name for thread in threading.enumerate()]  # noqa: E731
    share = FairShare(2)
    deadline = time.perf_counter() + 5
    while not share.sleeping and time.perf_counter() < deadline:
        time.sleep(0.005)  # no processor time is had: as if other programs had it
        share.look()
    assert share.sleeping
    assert "isthmus-fair-share" in names()
    share.end()
    assert not share.sleeping
    assert "isthmus-fair-share" not in names()


def test_a_machine_of_our_own_keeps_spinning(monkeypatch):
    monkeypatch.setattr(FairShare, "_LOOK", 0.02)
    share = FairShare(2)
    monkeypatch.setattr(time, "process_time", lambda: 2 * time.perf_counter())  # as two busy threads have it
    deadline = time.perf_counter() + 0.2
    share.resume()  # by the new clock
    while time.perf_counter() < deadline:
        share.look()
    assert not share.sleeping


def test_time_between_epochs_does_not_count(monkeypatch):
    monkeypatch.setattr(FairShare, "_LOOK", 0.02)
    share = FairShare(2)
    share.pause()
    time.sleep(0.1)
    share.resume()
    share.look()
    assert not share.sleeping


def test_one_thread_never_needs_it():
    share = FairShare(1)
    share._wall = 1e6
    share.look()
    assert not share.sleeping


def test_convolutions_are_asked_for_one_order_on_cuda_alone():
    for device, inside in (("cuda", True), ("cpu", False)):
        with convolutions_repeatable(torch.device(device)):
            assert torch.backends.cudnn.deterministic is inside
        assert torch.backends.cudnn.deterministic is False
