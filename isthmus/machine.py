"""Cores of the machine, worker processes, and the processes that torchrun started together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from isthmus.errors import RequestError, require

# New objects until Python looks for garbage. What is imported stays: to look through it again and again takes half a
# second with Python's 700, and `gc.freeze()` spares as much at the end.
COLLECT_AFTER = 10_000


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launched() -> tuple[int, int]:
    """The rank of this process among those that torchrun started, and how many these are; (0, 1) without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def check_shards(shards: object, n_processes: int, name: str = "shards", most: int | None = None) -> None:
    """Raise RequestError, with those that are possible, unless each batch can be cut into so many shards.

    most: the samples of a batch.

    >>> check_shards(4, 2)
    """
    if n_processes & (n_processes - 1):
        raise RequestError(f"one fit takes 1, 2, 4, 8, … processes, and torchrun started {n_processes}")
    possible = [n for n in (1, 2, 4, 8, 16, 32, 64) if n >= n_processes and (most is None or n <= most)]
    if most is not None and n_processes > most:
        raise RequestError(f"{n_processes} processes are too many for batches of {most} samples; start fewer")
    listed = ", ".join(map(str, possible)) + ("" if most is not None and most < 128 else ", …")
    rule = "a power of two" + (f" and a multiple of the {n_processes} processes" if n_processes > 1 else "")
    rule += "" if most is None else f", at most the {most} samples of a batch"
    is_one = isinstance(shards, int) and not isinstance(shards, bool) and shards > 0 and shards & (shards - 1) == 0
    fits = is_one and shards >= n_processes and (most is None or shards <= most)  # type: ignore[operator]
    require(fits, name, f"{rule} ({listed})", shards)


def worker(call: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start another Python that calls `call`, "package.module:function"; its stdin and stdout are pipes.

    environment: additional variables. The worker does not receive Ctrl-C; it should end when its stdin is closed.
    multiprocessing would send pickles, and import the caller's script a second time.
    """
    module, function = call.split(":")
    code = (
        f"import gc, sys; gc.set_threshold({COLLECT_AFTER}); sys.path[:] = sys.argv[1:]; "
        f"from {module} import {function}; {function}(); gc.freeze()"
    )
    return piped([sys.executable, "-c", code, *sys.path], environment)


def piped(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command as `worker` starts Python."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the child inherits
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
