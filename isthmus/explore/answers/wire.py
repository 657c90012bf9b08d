"""Encoding of requests and answers: words and float32 numbers (little endian) in, named arrays as safetensors out.

Every fault of a request is a RequestError.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from isthmus.errors import RequestError, require
from isthmus.explore.shelf import Leaving

Arrays = dict[str, np.ndarray]
Answer = tuple[Arrays, dict[str, str]]  # arrays, and a few words beside them


class Query:
    """The query of a request. gone: set when the client leaves."""

    def __init__(self, words: Mapping[str, str], gone: threading.Event | None = None) -> None:
        self.words, self.gone = words, gone

    def go_on(self) -> None:
        """Raise Leaving if the client has left; called before long computations."""
        if self.gone is not None and self.gone.is_set():
            raise Leaving

    def text(self, name: str, default: str | None = None) -> str:
        value = self.words.get(name, default)
        if value is None:
            raise RequestError(f'the request needs "{name}"')
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        word = self.text(name, None if default is None else str(default))
        try:
            value = float(word)
        except ValueError:
            raise RequestError(f"{name} must be a number, got {word[:40]!r}") from None
        require(low <= value <= high, name, f"from {low:g} to {high:g}", value)
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self.number(name, low, high, default)
        require(value == int(value), name, "a whole number", value)
        return int(value)

    def integers(self, name: str, high: int, most: int) -> list[int]:
        words = self.text(name).split(",")
        require(len(words) <= most, name, f"at most {most} numbers", len(words))
        return [Query({name: word}).integer(name, 0, high) for word in words]


def numbers(body: bytes, n: int, width: int, content: str) -> np.ndarray:
    """The float32 (n, width) of a request's body. `what` they are is for the error."""
    if len(body) != 4 * n * width:
        raise RequestError(f"the request must hold {n}×{width} {content}, {4 * n * width:,} bytes, got {len(body):,}")
    return np.frombuffer(body, "<f4").reshape(n, width).astype(np.float32)


def pixels(body: bytes, n: int, width: int) -> np.ndarray:
    """The n images of a request's body, (n, width): finite, in [0, 1]."""
    x = numbers(body, n, width, "pixels")
    if not (x.min() >= 0 and x.max() <= 1):  # of a NaN neither is true
        raise RequestError("pixels must be numbers from 0 to 1")
    return x


def pack(answer: Answer) -> bytes:
    """Named arrays, and the words beside them."""
    arrays, words = answer
    # safetensors writes the bytes as they lie, whatever the strides say
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors.numpy.save(whole, metadata=words or None)
