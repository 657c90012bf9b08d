"""Kinds of parts and estimators, by role, and what computes each: the package's own, and registered ones."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

from isthmus.errors import RequestError

# The arguments of an `Autoencoder` that take a part; a `Denoiser`'s network; fitted estimators, with their adapters;
# a study's figures
ROLES = ("network", "code", "augmentation", "corruption", "penalty", "loss", "image-network", "estimator", "figure")
KINDS: dict[str, dict[str, type[Any]]] = {role: {} for role in ROLES}  # by the word for each
COMPUTES: dict[str, dict[type[Any], Any]] = {role: {} for role in ROLES}
_registered: dict[type[Any], tuple[str, Any]] = {}
_IMPORTS = ["imports", "", ""]  # beside what is registered: that functions may be imported by name
_imports_are_allowed = False


def word_of(role: str, kind: type[Any]) -> str:
    """The word for a kind in files and on the command line: a part's `kind`, the name of an estimator's class."""
    word = kind.__name__ if role == "estimator" else getattr(kind, "kind", None)
    if not isinstance(word, str):
        raise RequestError(f'a {role} needs the word for it as a class variable, like kind = "mine", got {kind!r}')
    return word


def register(role: str, kind: type[Any], compute: Any) -> None:
    """Let a kind from outside the package take part in a role, from here on and in this process and its workers.

    A class of the same name and module, as when a notebook's cell runs again, takes the place of the former one.
    Raises RequestError for a word that another kind has.
    """
    word = word_of(role, kind)
    former = KINDS[role].get(word)
    if former is not None and (former not in _registered or path_of(former) != path_of(kind)):
        raise RequestError(f'{role} kind "{word}" already stands for {former.__name__}; choose another word')
    if former is not None:
        unregister(role, former)
    KINDS[role][word], COMPUTES[role][kind] = kind, compute
    _registered[kind] = role, compute


def unregister(role: str, kind: type[Any]) -> None:
    """Forget a kind that was registered."""
    del KINDS[role][word_of(role, kind)], COMPUTES[role][kind], _registered[kind]


def allow_imports() -> None:
    """Let files that are read from here on name functions to import, which runs the code of their modules."""
    global _imports_are_allowed
    _imports_are_allowed = True


@contextlib.contextmanager
def importing(modules: Iterable[str], *, allowed: bool) -> Iterator[None]:
    """Import modules, which register what they have; inside, functions may be imported by name if that is `allowed`.

    They may lie in the current folder too. Raises RequestError for one that cannot be imported.
    """
    global _imports_are_allowed
    before = _imports_are_allowed
    try:
        import_modules(modules, allowed=allowed)
        yield
    finally:
        _imports_are_allowed = before


def import_modules(modules: Iterable[str], *, allowed: bool) -> None:
    """Do what `importing` does, for good."""
    modules = list(modules)
    if (modules or allowed) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if allowed:
        allow_imports()
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            rule = "it must be installed, on PYTHONPATH or in this folder"
            raise RequestError(f"cannot import the module {name}: {error}; {rule}") from None


def imports_are_allowed() -> bool:
    """Whether functions may be imported by name now."""
    return _imports_are_allowed


def imported_function(path: str) -> Any:
    """The function that "package.module:function" names. Raises RequestError unless imports are allowed."""
    if not _imports_are_allowed:
        raise RequestError(
            f"{path} is a name, and importing it runs code: pass the function, or --allow-imports to run, which is "
            "isthmus.run(..., allow_imports=True) in Python"
        )
    try:
        return _imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(f"cannot import {path}: {error}; it must be on PYTHONPATH or in this folder") from None


def registered() -> list[list[str]]:
    """What a worker needs to register the same: [role, "module:class", "module:what computes it"] of each it can."""
    entries = ((role, kind, compute) for kind, (role, compute) in _registered.items())
    known = [[role, path_of(kind), path_of(compute)] for role, kind, compute in entries if _importable(kind, compute)]
    return known + [_IMPORTS] * _imports_are_allowed


def unreachable() -> dict[str, str]:
    """The kinds that no worker can import, by their word: from a notebook or a script, or made inside a function."""
    kinds = {word_of(role, kind): (compute, kind) for kind, (role, compute) in _registered.items()}
    return {word: path_of(made) for word, pair in kinds.items() for made in pair if not _importable(made)}


def register_all(entries: Iterable[list[str]]) -> None:
    """Import and register in a worker what `registered` named in the process that started it."""
    for role, kind, compute in entries:
        if role == _IMPORTS[0]:
            allow_imports()
            continue
        try:
            if (made := _imported(kind)) not in _registered:  # which importing it may have done
                register(role, made, _imported(compute))
        except (ImportError, AttributeError) as error:
            raise RequestError(
                f"a worker cannot import {kind} and {compute} ({error}); define them in a module of their own"
            ) from None


def sources() -> Iterator[Path]:
    """The files in which registered kinds are defined, except for figures: what a model is depends on them."""
    of_models = ((kind, compute) for kind, (role, compute) in _registered.items() if role != "figure")
    names = {made.__module__ for pair in of_models for made in pair}
    files = (getattr(sys.modules.get(name), "__file__", None) for name in sorted(names))
    return (Path(file) for file in files if file is not None)


def path_of(made: Any) -> str:
    """ "package.module:name" of a class or a function; of what has no name, of the function or class that it is of."""
    named = unwrapped(made)
    named = named if hasattr(named, "__qualname__") else type(named)
    return f"{named.__module__}:{named.__qualname__}"


def unwrapped(made: Any) -> Any:
    """The function of a `functools.partial`, of however many; anything else as it is."""
    while isinstance(made, functools.partial):
        made = made.func
    return made


def _importable(*objects: Any) -> bool:
    try:
        return all(made.__module__ != "__main__" and _imported(path_of(made)) is made for made in objects)
    except (ImportError, AttributeError):
        return False


def _imported(path: str) -> Any:
    module, _, names = path.partition(":")
    return reduce(getattr, names.split("."), importlib.import_module(module))
