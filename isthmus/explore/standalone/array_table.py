"""Arrays in JSON: tables that refer to them by name, and each array once, in base64."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import torch

from isthmus.interchange.operations import Operation

TYPES = ("uint8", "int32", "float32", "float64")  # as the page's `contents.js` has them


def as_json(table: dict[str, Any]) -> str:
    """A table of plain values, arrays and operations as JSON; its arrays are under "arrays".

    An array is {"array": name}, an operation {"kind": name, ...} with its fields. Numbers that are not finite, which
    JSON has no words for, are refused with ValueError outside of arrays.
    """
    arrays: dict[str, dict[str, Any]] = {}
    plain = _plain(table, arrays)
    return json.dumps({**plain, "arrays": arrays}, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def weights_in(operations: list[Operation]) -> dict[str, torch.Tensor]:
    """The weights of operations, each once."""
    values = [getattr(operation, field.name) for operation in operations for field in dataclasses.fields(operation)]
    return {_name(_array(value)): value for value in values if isinstance(value, torch.Tensor)}


def kind_of(operation: type[Operation]) -> str:
    """The name of an operation in the page: of `MaxPool` "maxPool"."""
    return operation.__name__[0].lower() + operation.__name__[1:]


def _plain(value: Any, arrays: dict[str, dict[str, Any]]) -> Any:
    if isinstance(value, Operation):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"kind": kind_of(type(value)), **_plain(fields, arrays)}
    if isinstance(value, torch.Tensor | np.ndarray):
        array = _array(value)
        name = _name(array)
        arrays[name] = {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "base64": base64.b64encode(array.tobytes()).decode("ascii"),
        }
        return {"array": name}
    if isinstance(value, dict):
        return {key: _plain(inner, arrays) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, arrays) for inner in value]
    return value


def _array(value: Any) -> np.ndarray:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    if str(array.dtype) not in TYPES:
        raise TypeError(f"an array of {array.dtype} has no type in the page; known: {', '.join(TYPES)}")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).reshape(array.shape)


def _name(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()[:16]
