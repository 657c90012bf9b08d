"""What a field of a part may be: each check raises RequestError with the name, the rule and the value."""

from __future__ import annotations

import math
from typing import Any

from isthmus.errors import require


def python(value: Any) -> Any:
    """NumPy's scalars as Python's, without importing NumPy; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def count(name: str, value: Any, least: int = 1) -> None:
    holds = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(holds, name, f"an integer of at least {least}", value)


def widths(part: Any, name: str) -> None:
    """Check a list of layer widths, and keep it as a tuple: parts are hashable and never change."""
    value = getattr(part, name)
    require(isinstance(value, list | tuple), name, "a list of layer widths", value)
    numbers = tuple(python(width) for width in value)
    for width in numbers:
        count(f"each width in {name}", width)
    object.__setattr__(part, name, numbers)


def image_shape(part: Any) -> None:
    """Check a shape of images, and keep it as a tuple."""
    value = part.image_shape
    require(isinstance(value, list | tuple) and len(value) == 3, "image_shape", "(channels, height, width)", value)
    shape = tuple(python(length) for length in value)
    for length in shape:
        count("each number in image_shape", length)
    object.__setattr__(part, "image_shape", shape)


def images(shape: tuple[int, int, int] | None, n_features: int) -> None:
    """Check that images of this shape, if it is known, have as many numbers as the samples."""
    fits = shape is None or math.prod(shape) == n_features
    require(fits, "image_shape", f"of {n_features} numbers, as the samples are", shape)


def flag(name: str, value: Any) -> None:
    require(isinstance(value, bool), name, "true or false", value)


def positive(name: str, value: Any) -> None:
    require(is_number(value) and 0 < value < math.inf, name, "a positive number", value)


def not_negative(name: str, value: Any) -> None:
    require(is_number(value) and value < math.inf, name, "a finite number of at least 0", value)
    require(value >= 0, name, "at least 0", value)


def share(name: str, value: Any) -> None:
    require(is_number(value) and 0 <= value <= 1, name, "a number from 0 to 1", value)


def level_range(part: Any, name: str) -> None:
    """Check a range of levels, (low, high), and keep it as a tuple."""
    value = getattr(part, name)
    two = len(value) == 2 and all(is_finite(python(level)) and python(level) >= 0 for level in value)
    require(two and value[0] <= value[1], name, "a number of at least 0, or a range (low, high) of them", value)
    object.__setattr__(part, name, tuple(python(level) for level in value))


def plain(name: str, value: Any) -> Any:
    """Check a value that JSON has a word for; a list as a tuple, so that it is the same after it was read again."""
    value = python(value)
    if isinstance(value, list | tuple):
        return tuple(plain(f"{name}[{i}]", item) for i, item in enumerate(value))
    if isinstance(value, dict):
        return {str(key): plain(f"{name}[{key!r}]", item) for key, item in value.items()}
    holds = value is None or isinstance(value, str | bool) or is_finite(value)
    require(holds, name, "a number, text, true, false, None, or a list or a table of these", value)
    return value
