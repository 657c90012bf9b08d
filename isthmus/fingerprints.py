"""The facts that decide a fit, in one list for checkpoints and studies, and hashes of large things.

If one of the facts differs, a checkpoint belongs to another training, and a study's model is trained again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import __version__, kinds

if TYPE_CHECKING:
    import numpy as np

_PACKAGE = Path(__file__).parent
# Modules that only parse, print or show. All others compute, or decide what is computed; a new module counts as one of
# them until it is named here. A test checks that no module that computes imports one of these.
SHOWING = (
    *("__init__.py", "__main__.py", "cli.py", "console.py"),
    *("callbacks", "commands", "displays", "explore", "report"),
)
CODE = "isthmus' own code"


def facts_of_fit(
    parameters: Mapping[str, Any],
    *,
    seed: int | None,
    samples: str,
    validation: str | None,
    device: str,
    precision: str,
    threads: int,
    warm_start: str | None = None,
) -> dict[str, Any]:
    """Everything that decides the bits of a fit, by name, as JSON values.

    parameters: the estimator's, with defaults filled in (`estimators.parameters`). seed: None if it was not chosen.
    samples, validation: fingerprints. threads: those that compute, not those that were requested. warm_start: the
    fingerprint of the fitted weights that the fit starts from, if any.
    """
    facts: dict[str, Any] = {
        **parameters,
        "random_state": seed,
        "samples": samples,
        "validation samples": validation,
        "device": device,
        "precision": precision,
        "threads": threads,
        CODE: code_fingerprint(),
        **versions(),
    }
    if warm_start is not None:
        facts["weights at the start"] = warm_start
    return json.loads(json.dumps(facts))  # tuples are lists there


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of the facts that differ, sorted."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def versions() -> dict[str, str]:
    """Versions of the packages that compute, and of Python, whose `sum` of floats rounds differently since 3.12."""
    import numpy
    import scipy
    import sklearn
    import torch

    return {
        "isthmus": __version__,
        "numpy": numpy.__version__,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "scikit-learn": sklearn.__version__,
        "scipy": scipy.__version__,
        "torch": str(torch.__version__),
    }


def code_fingerprint() -> str:
    """sha256 of every module that computes, as it lies on disk: what other code computed is another number.

    So are those of kinds that are registered from outside.
    """
    return _fingerprint_of_code(tuple(kinds.sources()))


@functools.cache
def _fingerprint_of_code(outside: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in computing_modules():
        digest.update(f"{file.relative_to(_PACKAGE).as_posix()}\0".encode() + file.read_bytes())
    for file in outside:
        digest.update(b"\0" + file.read_bytes())
    return digest.hexdigest()


def source_fingerprint(function: Any) -> str:
    """sha256 of the module that a function is defined in; of its own text where that is no file, as in a notebook."""
    import inspect

    function = kinds.unwrapped(function)
    if not hasattr(function, "__qualname__"):  # a callable object
        function = type(function)
    try:
        file = inspect.getsourcefile(function)
        content = Path(file).read_bytes() if file and Path(file).is_file() else inspect.getsource(function).encode()
    except (OSError, TypeError):  # typed at a prompt
        content = getattr(getattr(function, "__code__", None), "co_code", repr(type(function)).encode())
    return hashlib.sha256(content).hexdigest()


def computing_modules() -> Iterator[Path]:
    """The files of the package that `SHOWING` does not name, in order."""
    for file in sorted(_PACKAGE.rglob("*.py")):
        if file.relative_to(_PACKAGE).parts[0] not in SHOWING:
            yield file


def array_fingerprint(array: np.ndarray) -> str:
    """sha256 of an array's type, shape and numbers: 1 to 2 GB a second."""
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(array.data if array.flags.c_contiguous else array.tobytes())
    return digest.hexdigest()


def table_fingerprint(table: Any) -> str:
    """sha256 of plain values, as JSON has them with sorted keys."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
