"""The server of tests/faults/crash.py, and what must be the same after a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def crash():
    """Call it with a task of crash.py for a process that does it; returns how that ended."""
    command = [sys.executable, str(Path(__file__).parent / "crash.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:

        def ask(do, **task):
            server.stdin.write(json.dumps({"do": do, **task}, default=str) + "\n")
            server.stdin.flush()
            end = json.loads(server.stdout.readline())
            lines = end["err"].splitlines()
            if lines and lines[-1].startswith("calls "):
                end["calls"] = int(lines.pop().split()[1])
            return {**end, "lines": lines}

        yield ask
        server.stdin.close()
        server.wait()


def untimed(path: Path) -> list[dict]:
    """The rows of a history.jsonl, without their seconds."""
    return [{**json.loads(line), "seconds": None} for line in path.read_text("utf-8").splitlines()]


def model_bytes(folder: Path) -> tuple:
    """What of a model's folder must be the same: the weights' bytes, and history and configuration but for seconds."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if timing := config["extra"].get("timing"):
        del timing["seconds"], config["sha256"]
    return (folder / "model.safetensors").read_bytes(), untimed(folder / "history.jsonl"), config


def leftovers(folder: Path) -> list[str]:
    """What no finished work may leave behind."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if ".tmp" in path.name or "checkpoint" in path.name
    )


@pytest.fixture(scope="session")
def same():
    """The functions above."""
    import types

    return types.SimpleNamespace(model_bytes=model_bytes, leftovers=leftovers)
