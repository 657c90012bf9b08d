"""Where training runs: the device, the precision, the state of its threads."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from isthmus.errors import RequestError


def resolve_device(name: str) -> torch.device:
    """The torch device for "auto" (cuda, then mps, then cpu), "cpu", "cuda" or "mps"."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        here = ", ".join(kind for kind, is_here in available.items() if is_here)
        raise RequestError(f'device "{name}" is not on this machine; here: {here}, auto')
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> str:
    """What "auto" means on a device: bfloat16 products where the hardware has them, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bfloat16"
    return "float32"


_FTZ_AND_DAZ = 0x8040  # the two bits of x86's MXCSR that flush denormal results and operands to zero


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormals to zero in this thread and in every worker of its OpenMP pool; restore the flags afterwards.

    Weights of pixels that are hardly ever lit get Adam moments that decay into denormals, on which x86 is up to a
    hundred times slower. torch.set_flush_denormal reaches the calling thread alone. A training thread of its own would
    have a pool born with the flag, but libgomp stops spinning once two pools outnumber the cores: steps of small
    networks then took 4 times as long. So torch's own pool is asked to run libm's fesetenv in each worker.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":  # there, the pool cannot be reached, or need not be
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
        return
    before = (ctypes.c_uint32 * 8)()  # glibc's fenv_t: seven words of the x87, then MXCSR
    _libm().fegetenv(before)
    flushed = (ctypes.c_uint32 * 8)(*before[:7], before[7] | _FTZ_AND_DAZ)
    _in_every_worker(flushed)
    try:
        yield
    finally:
        _in_every_worker(before)


@functools.cache
def _libm() -> ctypes.CDLL:
    return ctypes.CDLL("libm.so.6")


@functools.cache
def _torch_cpu() -> ctypes.CDLL:
    # through torch's own library, so that its OpenMP is found and not another package's copy
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))


def _in_every_worker(state: ctypes.Array[ctypes.c_uint32]) -> None:
    """fesetenv(state) in this thread and each worker that torch's parallel regions use."""
    _torch_cpu().GOMP_parallel(_libm().fesetenv, state, ctypes.c_uint(torch.get_num_threads()), ctypes.c_uint(0))
