"""Cores of the machine, and worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker(call: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start another Python that calls `call`, "package.module:function"; its stdin and stdout are pipes.

    environment: additional variables. The worker does not receive Ctrl-C; it should end when its stdin is closed.
    multiprocessing would send pickles, and import the caller's script a second time.
    """
    module, function = call.split(":")
    code = f"import sys; sys.path[:] = sys.argv[1:]; from {module} import {function}; {function}()"
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
