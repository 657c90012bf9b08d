"""Where training runs: the device, the precision, and a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from isthmus.errors import RequestError

T = TypeVar("T")


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


def in_own_thread(steps: Callable[[threading.Event], Iterator[T]]) -> Iterator[T]:
    """Run a generator in a thread of its own, with denormals flushed to zero, and yield what it yields.

    A thread's OpenMP workers are born with its floating-point flags and die with it. So every worker of this
    training flushes denormals (with the flag set in an existing pool, only the caller would), and the user's
    own threads never do. Stopping early, or Ctrl-C, sets the event, which `steps` looks at between its steps.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1, "isthmus-training", initializer=lambda: torch.set_flush_denormal(True)) as own:
        generator = steps(stop)
        end = object()
        try:
            while (item := own.submit(next, generator, end).result()) is not end:
                yield item  # type: ignore[misc]
        finally:
            stop.set()
