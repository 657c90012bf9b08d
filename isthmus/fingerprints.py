"""What a trained model depends on beside its configuration: the samples, and the code that computes. As sha256."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# The modules that decide which numbers come out of a training. Parts are configuration, which is compared as such; but
# those of networks also work out the sizes of convolutions.
_NUMERIC = (
    "augmentation.py",
    "corruption.py",
    "data/batches.py",
    "data/images.py",
    "estimators",
    "networks",
    "objective.py",
    "parts/networks.py",
    "rng.py",
    "solvers",
    "studies/fitting.py",
    "training",
)

# Those that decide, of a trained model, what is measured.
_MEASURING = (
    "collapse.py",
    "metrics.py",
    "studies/measure.py",
    "studies/finish.py",
    "studies/rows.py",
)


@functools.cache
def code_fingerprint() -> str:
    """sha256 of isthmus' numeric modules, as they lie on disk: what was trained by other code is another model."""
    return _of_modules(_NUMERIC)


@functools.cache
def measuring_fingerprint() -> str:
    """sha256 of the modules that measure a trained model, as they lie on disk."""
    return _of_modules(_MEASURING)


def _of_modules(names: tuple[str, ...]) -> str:
    root, digest = Path(__file__).parent, hashlib.sha256()
    for name in names:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def array_fingerprint(array: np.ndarray) -> str:
    """sha256 of an array's type, shape and numbers: 1 to 2 GB a second."""
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(array.data if array.flags.c_contiguous else array.tobytes())
    return digest.hexdigest()
