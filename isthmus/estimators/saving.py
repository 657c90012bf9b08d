"""A fitted model written to a folder: model.safetensors, config.json, history.jsonl. `persistence` reads it."""

from __future__ import annotations

import abc
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from isthmus import __version__
from isthmus.errors import DataError, RequestError
from isthmus.estimators.parameters import parameters_kept
from isthmus.files import atomic_folder, open_regular
from isthmus.kinds import imported_function, imports_are_allowed
from isthmus.parts import NETWORKS
from isthmus.training.history import History

FORMAT = 1
WEIGHTS, CONFIG, HISTORY = "model.safetensors", "config.json", "history.jsonl"
PREVIEW = "preview.png"  # which `isthmus fit` puts beside them
CARD = "README.md"  # which `isthmus pull` does
FILES = (WEIGHTS, CONFIG, HISTORY, PREVIEW, CARD)  # all that a model's folder has
_FINDER = ".DS_Store"  # which macOS leaves in a folder that was looked at


@dataclass(frozen=True)
class Saved:
    """What of a fitted model is written beside its parameters.

    fitted: numbers and words that it is built from again. input, code: of the samples that it was fitted on, and of
    their codes, for readers: nothing is built from them.
    """

    tensors: dict[str, np.ndarray]
    fitted: dict[str, Any]
    input: dict[str, Any] | None = None
    code: dict[str, Any] | None = None
    history: History | None = None


class Savable(BaseEstimator, abc.ABC):
    """An estimator of isthmus', which can save itself."""

    @abc.abstractmethod
    def saved(self) -> Saved:
        """What of the fitted model is written."""

    def save(self, folder: str | Path) -> None:
        """Write the fitted model to a folder; `isthmus.load` reads it back to the same outputs, bit for bit.

        A model that lies there is replaced, whole or not at all; a folder that holds anything else is refused.
        """
        check_is_fitted(self)
        write(self, self.saved(), folder)


def write(model: BaseEstimator, saved: Saved, folder: str | Path, *, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted model to a folder, whole or not at all; a model that was there before is replaced.

    extra: facts to keep in config.json under "extra". Raises RequestError for a place where something lies that is no
    model.
    """
    weights = safetensors.numpy.save(saved.tensors)
    config = {
        "format": FORMAT,
        "class": type(model).__name__,
        "parameters": parameters_kept(model),
        "fitted": saved.fitted,
        "input": saved.input,
        "code": saved.code,
        "versions": {
            "isthmus": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "torch": str(torch.__version__),
        },
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "extra": extra or {},
    }
    config["sha256"] = digest(config)
    folder = Path(folder)
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as building:
        (building / WEIGHTS).write_bytes(weights)
        (building / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False), "utf-8")
        if saved.history is not None:
            (building / HISTORY).write_text(saved.history.to_jsonl(), "utf-8")


def check_place(folder: Path) -> None:
    """Raise RequestError for a place where something lies that is no model, and that `save` does not replace."""
    if folder.is_dir():
        others = sorted({path.name for path in folder.iterdir()} - {*FILES, _FINDER})
        if not others:
            return
        raise RequestError(f"{folder} holds {others[0]}, so it is not a model's folder; choose another")
    if folder.exists():
        raise RequestError(f"{folder} is a file, and a model is a folder; choose another name")


def check_weights(folder: Path, sha256: str) -> None:
    """Raise DataError unless the weights in a folder are those of this hash."""
    path = folder / WEIGHTS
    try:
        with open_regular(path) as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if actual != sha256:
        raise DataError(f"{path} was changed or cut short: its sha256 is not the one in {CONFIG}")


def digest(config: dict[str, Any]) -> str | None:
    """sha256 of a config's other entries, however they are laid out; None for values that `save` never writes."""
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def give(build: Any, config: dict[str, Any], folder: Path) -> str:
    """Put the function that builds a network in the place of its name, and return what to call it; "" without one.

    Raises RequestError if it is needed and None, unless imports are allowed and it can be imported; or not needed.
    """
    searched = config["fitted"].get("autoencoder")
    models = [config, searched] if isinstance(searched, dict) else [config]
    tables = [model["parameters"].get("network") for model in models if isinstance(model.get("parameters"), dict)]
    kinds = [NETWORKS.get(str(table.get("kind"))) if isinstance(table, dict) else None for table in tables]
    named = [table for table, kind in zip(tables, kinds, strict=True) if kind is not None and kind.by_function]
    name = str(named[0].get("build")) if named else ""
    if name and build is None:
        if not imports_are_allowed():
            raise RequestError(
                f"{folder} has the weights of modules that {name} built, and no code: add --allow-imports, which "
                f"imports it and runs its code, or in Python isthmus.load({str(folder)!r}, build=...)"
            )
        imported_function(name)
    if build is not None and not named:
        raise RequestError(f"build is for a model of Module, and {folder} holds another")
    for table in named if build is not None else ():
        table["build"] = build
    return name if build is None else "build"
