"""Levels of a corruption: its table at each of them, as measures and figures ask for it."""

from __future__ import annotations

from typing import Any

from isthmus.errors import RequestError
from isthmus.parts import CORRUPTIONS, Sequence
from isthmus.studies.spec.schema import read_part


def at_levels(table: Any, levels: tuple[float, ...]) -> list[Any]:
    """A corruption at each level; without levels, as it is. A sequence's levels are of the part that has none yet."""
    if table is None:
        if levels:
            raise RequestError("levels need a corruption")
        return [None]
    if isinstance(table, list | tuple):
        table = {"kind": Sequence.kind, "parts": table}
    members = CORRUPTIONS[table["kind"]].members if table.get("kind") in list(CORRUPTIONS) else ()
    several = "parts" in members and isinstance(table.get("parts"), list | tuple)
    tables = [{"kind": part} if isinstance(part, str) else part for part in table["parts"]] if several else [table]
    names = [_level_of(part) for part in tables]
    without = [i for i, name in enumerate(names) if name and name not in tables[i]]
    if not levels:
        for i in without:
            raise RequestError(f"a corruption needs levels, like levels = [0.3, 0.5], or its own {names[i]}")
        return [read_part("corruption", CORRUPTIONS, table, "without levels")]
    if several and all(names) and len(without) != 1:
        rule = "levels need a sequence in which one part leaves its level out"
        raise RequestError(f"{rule}, got {len(without)} such parts of {len(tables)}")
    corruptions = []
    for level in levels:
        filled = [
            {**part, name: level} if name and (i in without or not several) else part
            for i, (part, name) in enumerate(zip(tables, names, strict=True))
        ]
        whole = {**table, "parts": filled} if several else filled[0]
        corruptions.append(read_part("corruption", CORRUPTIONS, whole, "at one level"))
    return corruptions


def members(part: Any) -> tuple[Any, ...]:
    """The single corruptions that a corruption is made of; of none, the one that is none."""
    return (None,) if part is None else part.steps


def varied(parts: list[Any]) -> int:
    """Which of the single corruptions has another level in the first of these and in the last; 0 if none has."""
    pairs = zip(members(parts[0]), members(parts[-1]), strict=True)
    return next((i for i, (first, last) in enumerate(pairs) if first != last), 0)


def what_varies(parts: list[Any]) -> str:
    """The level of a corruption at its levels, as an axis names it: `sigma of gaussian`; "" without a corruption."""
    part = members(parts[0])[varied(parts)]
    return "" if part is None else f"{part.level} of {part.kind}"


def _level_of(table: Any) -> str | None:
    """The key that is the level of a corruption's table, if it has one."""
    kind = CORRUPTIONS.get(str(table.get("kind"))) if isinstance(table, dict) else None
    return getattr(kind, "level", None)
