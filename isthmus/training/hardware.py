"""Where training runs: the device, the precision, the state of its threads."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import threadpoolctl
import torch

from isthmus.errors import RequestError, RunError
from isthmus.networks.accelerators.products import is_faster_by_onednn


def resolve_device(name: str) -> torch.device:
    """The torch device for "auto" (cuda, then mps, then cpu), "cpu", "cuda" or "mps"."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        here = ", ".join(kind for kind, is_here in available.items() if is_here)
        raise RequestError(f'device "{name}" is not on this machine; here: {here}, auto')
    return torch.device(name)


def processor_of(device: torch.device) -> str:
    """What of a device decides the bits of its products: a GPU's model, or a CPU's widest vectors and the library."""
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    library = ", oneDNN" if is_faster_by_onednn() else ""
    return f"cpu, {torch.backends.cpu.get_cpu_capability()}{library}" if device.type == "cpu" else device.type


# Products of a number and a weight in a step's forward pass from which on bfloat16 may pay on a CPU. Of the digits, in
# batches of 32 on AVX-512 without AMX, a convolutional network (1.1 million) took 2.2 to 2.5 times as long in it as in
# float32, and modules of one's own (0.3 million) 1.9 times; a convolutional one of MNIST (13 million) takes the same.
_WORTH = 5e6


def resolve_precision(name: str, device: torch.device, products: float = math.inf) -> str:
    """What "auto" means on a device: bfloat16 products where the hardware has them, else float32.

    products: of a number and a weight in a step's forward pass. Of few, turning numbers into bfloat16 takes longer.
    """
    if name != "auto":
        return name
    if device.type == "cpu" and products < _WORTH:
        return "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bfloat16"
    return "float32"


_MOST_RAISED = 2**25  # bytes: glibc's DEFAULT_MMAP_THRESHOLD_MAX where a pointer has 64 bits
_HEADER = 2**16  # more than a block has beside what was asked for


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one, up to 64 MiB, for as long as the process lives.

    From its start it gives blocks of more than 128 KiB back to the system, whose pages are then made and zeroed anew in
    each step: a step of 40 ms had 9,000 of these faults and took 1.2 (float32) to 1.7 (bfloat16) times as long. It
    learns better from the largest block of at most 32 MiB that was ever freed; here is one, which nothing touches.
    """
    torch.empty(_MOST_RAISED - _HEADER, dtype=torch.uint8)


_POOL_CAN_BE_REACHED = sys.platform == "linux" and platform.machine() == "x86_64"  # and elsewhere it need not be
_FTZ_AND_DAZ = 0x8040  # the two bits of x86's MXCSR that flush denormal results and operands to zero


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormals to zero in this thread and in every worker of its OpenMP pool; restore the flags afterwards.

    Weights of pixels that are hardly ever lit get Adam moments that decay into denormals, on which x86 is up to a
    hundred times slower. torch.set_flush_denormal reaches the calling thread alone. A training thread of its own would
    have a pool born with the flag, but libgomp stops spinning once two pools outnumber the cores: steps of small
    networks then took 4 times as long. So torch's own pool is asked to run libm's fesetenv in each worker.
    """
    if not _POOL_CAN_BE_REACHED:
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


# Steps of less arithmetic than this are no faster with two threads than with one.
_ONE_THREAD_FLOP = 20e6


def step_threads(multiplications: int, batch_size: int, available: int, device: torch.device) -> int:
    """The threads that a step is worth: 1 for a small one on a CPU, else all. multiplications: of one sample's pass.

    A function of its arguments alone, for the threads decide in which order floats are summed, and so the bits.
    """
    small = 6 * multiplications * batch_size < _ONE_THREAD_FLOP
    return 1 if small and device.type == "cpu" else available


@contextlib.contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Torch uses n threads inside, and what it used before outside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def using_threads_everywhere(n: int) -> Iterator[None]:
    """As `using_threads`, and the BLAS of NumPy and scikit-learn uses n too."""
    with threadpoolctl.threadpool_limits(n), using_threads(n):
        yield


@contextlib.contextmanager
def convolutions_repeatable(device: torch.device) -> Iterator[None]:
    """On CUDA, take convolutions whose sums have one order inside: the others give other bits each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextlib.contextmanager
def memory_told(batch_size: int) -> Iterator[None]:
    """Where memory runs out inside, raise a RunError that says what to make smaller."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's allocator on a CPU has no exception of its own
        message = str(error).lower()
        if not (isinstance(error, MemoryError) or "out of memory" in message or "allocate memory" in message):
            raise
        smaller = f"a smaller batch_size than {batch_size}, such as {max(1, batch_size // 4)}"
        raise RunError(f"out of memory; use {smaller}, or a smaller network") from None


class FairShare:
    """Lets idle threads sleep, instead of spin, while other programs want the cores.

    libgomp's threads spin 300,000 turns at the end of every operation before they sleep. Alone, that makes steps of
    medium networks twice as fast; but two trainings at once then wait for each other's spinning threads, and take four
    times their fair share. libgomp spins 100 turns only while it manages more threads than there are cores (GCC's
    manual, GOMP_SPINCOUNT), so a second pool, which does nothing, switches the spinning off, and its end switches it
    on again. Which threads spin has no influence on any result.
    """

    _LOOK, _RETRY = 0.1, 2.0  # seconds over which the share is measured; until spinning is tried again

    def __init__(self, threads: int) -> None:
        self.threads = threads if _POOL_CAN_BE_REACHED else 1
        self._second_pool: tuple[threading.Thread, threading.Event] | None = None
        self._wall = self._cpu = 0.0  # seconds measured before the last pause
        self.resume()

    @property
    def sleeping(self) -> bool:
        """Whether idle threads sleep at once."""
        return self._second_pool is not None

    def resume(self) -> None:
        """Measure from now on."""
        self._wall_start, self._cpu_start = time.perf_counter(), time.process_time()

    def pause(self) -> None:
        """Stop measuring; what was measured counts when it is resumed."""
        self._wall += time.perf_counter() - self._wall_start
        self._cpu += time.process_time() - self._cpu_start

    def look(self) -> None:
        """Call it often: once in a while it compares the processor time that was had with what spinning takes."""
        wall = self._wall + time.perf_counter() - self._wall_start
        if self.threads < 2 or wall < (self._RETRY if self.sleeping else self._LOOK):
            return
        cpu = self._cpu + time.process_time() - self._cpu_start
        crowded = not self.sleeping and cpu < 0.8 * self.threads * wall
        self.end()
        if crowded:
            self._begin()

    def _begin(self) -> None:
        over, ready = threading.Event(), threading.Event()

        def idle() -> None:
            state = (ctypes.c_uint32 * 8)()
            _libm().fegetenv(state)
            _torch_cpu().GOMP_parallel(_libm().fesetenv, state, ctypes.c_uint(os.cpu_count() or 1), ctypes.c_uint(0))
            ready.set()
            over.wait()

        thread = threading.Thread(target=idle, name="isthmus-fair-share", daemon=True)
        thread.start()
        ready.wait()
        self._second_pool = thread, over

    def end(self) -> None:
        """Spin again; what was measured so far is forgotten."""
        if self._second_pool is not None:
            thread, over = self._second_pool
            over.set()
            thread.join()
            self._second_pool = None
        self._wall = self._cpu = 0.0
        self.resume()
