"""What the machine gives to this process: cores, and other processes that work for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker(call: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Another Python with this one's path, which does `call`, "package.module:function"; its stdin, stdout are pipes.

    environment: variables beside this process' own. It never gets a Ctrl-C, which is the caller's: it is to end when
    its stdin does. multiprocessing would talk in pickles, and would import the caller's script a second time.
    """
    module, function = call.split(":")
    code = f"import sys; sys.path[:] = sys.argv[1:]; from {module} import {function}; {function}()"
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the child inherits, from its first moment
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
