"""A snapshot as files, which are known to be whole.

last.safetensors has the weights and the optimizer's tensors, best.safetensors the best weights, if they are kept, and
history.jsonl the epochs; state.json has the sha256 of the others and of itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from isthmus.errors import DataError
from isthmus.fingerprints import table_fingerprint
from isthmus.training.history import History
from isthmus.training.snapshots.snapshot import Arrays, Snapshot

FORMAT = 1
FILES = _LAST, _BEST, _HISTORY, _STATE = "last.safetensors", "best.safetensors", "history.jsonl", "state.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, safetensors.SafetensorError)


def write_snapshot(snapshot: Snapshot, facts: dict[str, Any], folder: Path) -> None:
    weights = {f"weights.{name}": array for name, array in snapshot.weights.items()}
    optimizer = {f"optimizer.{name}": array for name, array in snapshot.optimizer.items()}
    safetensors.numpy.save_file({**weights, **optimizer}, folder / _LAST)
    if snapshot.best_weights is not None:
        safetensors.numpy.save_file(snapshot.best_weights, folder / _BEST)
    (folder / _HISTORY).write_text(snapshot.history.to_jsonl(), "utf-8")
    state = {
        "format": FORMAT,
        "epoch": len(snapshot.history),
        "seed": snapshot.seed,
        "best": snapshot.best if math.isfinite(snapshot.best) else None,
        "waited": snapshot.waited,
        "facts": facts,
        "sha256": {file.name: _sha256(file) for file in sorted(folder.iterdir())},
    }
    text = json.dumps({"state": state, "sha256": table_fingerprint(state)}, indent=1, allow_nan=False)
    (folder / _STATE).write_text(text, "utf-8")


def read_snapshot(folder: Path) -> tuple[Snapshot, dict[str, Any]]:
    """A checkpoint and its facts. Raises DataError, with the path, for anything that is not whole."""
    try:
        document = json.loads((folder / _STATE).read_text("utf-8"))
        state = document["state"]
        if document["sha256"] != table_fingerprint(state):
            raise DataError(f"{_STATE} was changed")
        if state["format"] != FORMAT:
            raise DataError(f"format {state['format']}, this isthmus reads {FORMAT}")
        for name, digest in state["sha256"].items():
            if _sha256(folder / name) != digest:
                raise DataError(f"{name} was changed or cut short")
        tensors = safetensors.numpy.load_file(folder / _LAST)
        best = safetensors.numpy.load_file(folder / _BEST) if _BEST in state["sha256"] else None
        history = History.from_jsonl((folder / _HISTORY).read_text("utf-8"))
        weights, optimizer = _named(tensors, "weights."), _named(tensors, "optimizer.")
        least = math.inf if state["best"] is None else state["best"]
        snapshot = Snapshot(state["seed"], history, weights, optimizer, least, state["waited"], best)
    except _DAMAGE as error:
        raise DataError(f"the checkpoint {folder} is damaged: {' '.join(str(error).split())}") from None
    return snapshot, state["facts"]


def _named(tensors: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
