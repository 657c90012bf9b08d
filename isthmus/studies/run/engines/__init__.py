"""Engines, which run a study's models: worker processes, here or elsewhere, and those registered from outside."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.errors import RequestError, unknown
from isthmus.studies.run.engines.engine import Engine, Message, Task
from isthmus.studies.run.engines.launched import launched, slurm
from isthmus.studies.run.engines.local import Local

LOCAL = "local"
_ENGINES: dict[str, Callable[[], Engine]] = {LOCAL: Local, "slurm": slurm}


def register(name: str, make: Callable[[], Engine]) -> None:
    """Let `isthmus run --engine NAME` use an engine from outside the package. The last of a name is used."""
    _ENGINES[name] = make


def engine(name: str) -> Engine:
    """The engine of this name. Raises RequestError for one that is not registered."""
    if name not in _ENGINES:
        raise RequestError(f"{unknown('engine', name, _ENGINES)}; --import MODULE registers others")
    return _ENGINES[name]()


__all__ = ["LOCAL", "Engine", "Message", "Task", "engine", "launched", "register"]
