"""From a TOML table to a dataclass: the dataclass is the schema, and every error says where the table stands."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from isthmus.errors import RequestError, unknown
from isthmus.parts import Part, Sequence

T = TypeVar("T")
_WORDS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a table",
    list: "a list of tables",
}


def read_table(cls: type[T], table: Any, where: str) -> T:
    """An instance of the dataclass `cls` from a table: lists become tuples, everything else must fit its annotation.

    Raises RequestError, beginning with `where`, for a key that is unknown (with the nearest known one) or missing,
    and for a value that does not fit.
    """
    if not isinstance(table, Mapping):
        raise RequestError(f"{where}: must be a table, got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = _hints_of(cls)  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise RequestError(f"{where}: {unknown('key', key, fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise RequestError(f'{where}: the key "{name}" is missing')
    values = {}
    for name, value in table.items():
        if not _fits(value, hints[name]):
            raise RequestError(f"{where}: {name} must be {_describe(hints[name])}, got {value!r}")
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**values)
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None


@functools.cache
def _hints_of(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)  # compiles the text of every annotation


def read_part(role: str, kinds: Mapping[str, type[Part]], table: Any, where: str) -> Any:
    """The part that a table like {kind = "dense", ...} stands for; a bare word is its kind, a bare list a sequence."""
    return _read_part(role, kinds, table, where, f"{where}, {role}")


def _read_part(role: str, kinds: Mapping[str, type[Part]], table: Any, where: str, inside: str) -> Any:
    """where: what an error of the kind begins with; inside: what one of the other keys begins with."""
    fields = {"kind": table} if isinstance(table, str) else table
    if isinstance(table, list | tuple) and any(kind.members for kind in kinds.values()):
        fields = {"kind": Sequence.kind, "parts": table}
    kind = read_kind(role, kinds, fields, where)
    values = {k: v for k, v in fields.items() if k != "kind"}
    for name in kinds[kind].members:
        if isinstance(values.get(name), list | tuple):
            places = [(part, f"{inside}, part {i}") for i, part in enumerate(values[name], 1)]
            values[name] = [_read_part(role, kinds, part, place, place) for part, place in places]
    return read_table(kinds[kind], values, inside)


def read_kind(role: str, kinds: Mapping[str, type[Any]], table: Any, where: str) -> str:
    """The kind that a table names. Raises RequestError for one that is missing or not known."""
    if not isinstance(table, Mapping):
        raise RequestError(f'{where}: {role} must be a table like {{kind = "{min(kinds)}"}}, got {table!r}')
    if "kind" not in table:
        raise RequestError(f'{where}: {role} needs a "kind"; known: {", ".join(sorted(kinds))}')
    kind = table["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        raise RequestError(f"{where}: {unknown(f'{role} kind', kind, kinds)}")
    return kind


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, arguments[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments if argument is not types.NoneType)
    if origin is tuple:
        return f"a list, each {_describe(arguments[0])}"
    if isinstance(hint, type) and issubclass(hint, Part):
        return "a table"
    return _WORDS.get(origin or hint, str(hint))
