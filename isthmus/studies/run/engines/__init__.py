"""Engines, which run a study's models: worker processes, here or elsewhere, and those registered from outside."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.errors import RequestError, require, unknown
from isthmus.studies.plan.context import Request
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


def engine(name: str, option: Callable[[str], str] = "--{}".format) -> Engine:
    """The engine of this name; option: as for `engine_of`. Raises RequestError for one that is not registered."""
    if name not in _ENGINES:
        raise RequestError(f"{unknown('engine', name, _ENGINES)}; {option('import')} MODULE registers others")
    return _ENGINES[name]()


def engine_of(request: Request, option: Callable[[str], str] = "--{}".format) -> Engine:
    """The engine that a request is for. option: how the user writes an option, for errors.

    Raises RequestError for options that contradict each other, or ask for what is not there.
    """
    launch, hosts, workers, address, name = map(option, ("launch", "hosts", "workers", "address", "engine"))
    require(request.workers >= 1, workers, "at least 1", request.workers)
    if request.launch:
        if request.engine != LOCAL:
            raise RequestError(f"{launch} is an engine itself; leave {name} {request.engine} out")
        return launched(request.launch, request.hosts, request.workers, option)
    if request.hosts or request.workers > 1:
        raise RequestError(f"{hosts} and {workers} say where {launch} starts workers: give it, such as 'ssh {{host}}'")
    if not request.address:
        return engine(request.engine, option)
    if request.engine != RAY:
        raise RequestError(f"{address} is that of a Ray cluster: add {name} {RAY}")
    return OnRay(request.address, address)


__all__ = ["LOCAL", "RAY", "Engine", "Message", "Task", "engine", "engine_of", "launched", "register"]
