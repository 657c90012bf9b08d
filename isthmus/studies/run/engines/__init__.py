"""Engines, which run a study's models: worker processes, here or elsewhere, and those registered from outside."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.errors import RequestError, unknown
from isthmus.studies.run.engines.engine import Engine, Message, Task
from isthmus.studies.run.engines.launched import launched, slurm
from isthmus.studies.run.engines.local import Local
from isthmus.studies.run.engines.ray_cluster import OnRay

LOCAL = "local"
RAY = "ray"
_ENGINES: dict[str, Callable[[], Engine]] = {LOCAL: Local, "slurm": slurm, RAY: OnRay}


def register(name: str, make: Callable[[], Engine]) -> None:
    """Let `isthmus run --engine NAME` use an engine from outside the package. The last of a name is used."""
    _ENGINES[name] = make


def engine(name: str, address: str = "") -> Engine:
    """The engine of this name. address: of a Ray cluster. Raises RequestError for one that is not registered."""
    if name not in _ENGINES:
        raise RequestError(f"{unknown('engine', name, _ENGINES)}; --import MODULE registers others")
    return OnRay(address) if address else _ENGINES[name]()


__all__ = ["LOCAL", "RAY", "Engine", "Message", "Task", "engine", "launched", "register"]
