"""The models that the page shows, and the images to show them with."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from isthmus.data.framing import Framing
from isthmus.data.images import Images
from isthmus.errors import RequestError, unknown
from isthmus.estimators.adapters import adapter_of

T = TypeVar("T")
Shape = tuple[int, int, int]  # (channels, height, width)


class Leaving(Exception):  # noqa: N818 - no error: nobody waits for the answer
    """The client has left."""


@dataclass
class Entry:
    """A model by its name: fitted, or the reason why it cannot be shown. facts: its row in the run's results."""

    name: str
    model: Any = None
    fault: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Shelf:
    """Models of one image shape, and images to show them with.

    title, question: the study's words, or the model's name. models: in the study's order. shape: (channels, height,
    width). images: test images, or None if they are not known. notes: sentences for the reader. photographs: whether
    the images are known not to be drawings. framing: how they were prepared; if it cuts patches, a model takes larger
    pictures patch by patch. files: such pictures.
    """

    title: str
    models: list[Entry]
    shape: Shape
    images: Images | None = None
    question: str = ""
    data_title: str = ""
    notes: tuple[str, ...] = ()
    photographs: bool = False
    framing: Framing = field(default_factory=Framing)
    files: tuple[Path, ...] = ()
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.entries = {entry.name: entry for entry in self.models}
        self._cache: dict[tuple[Any, ...], Any] = {}
        self._locks: dict[tuple[Any, ...], threading.Lock] = {}
        self._lock = threading.Lock()

    def as_images(self, rows: np.ndarray) -> np.ndarray:
        """Rows of numbers as images, (n, c, h, w) float32."""
        return np.ascontiguousarray(rows, np.float32).reshape(len(rows), *self.shape)

    def go_on(self) -> None:
        """Raise Leaving if the server is closing; called during long computations."""
        if self.closing.is_set():
            raise Leaving

    @property
    def whole(self) -> bool:
        """Whether models take larger pictures too, patch by patch."""
        return self.framing.patches is not None

    @property
    def n_features(self) -> int:
        """Numbers in one image."""
        return math.prod(self.shape)

    def model(self, name: str) -> Any:
        """The fitted model. Raises RequestError for an unknown name or a damaged model."""
        entry = self.entries.get(name)
        if entry is None:
            raise RequestError(unknown("model", name[:80], self.entries))
        if entry.model is None:
            raise RequestError(f"{name} cannot be shown: {entry.fault}")
        return entry.model

    def with_code(self, name: str) -> Any:
        """The fitted model, if it has an encoder. Raises RequestError for others."""
        model = self.model(name)
        if not adapter_of(model).has_code:
            reason = "searches for its code" if adapter_of(model).searches else "has no code"
            raise RequestError(f"{name} {reason}; choose an autoencoder, a PCA or a dictionary")
        return model

    def test_images(self) -> Images:
        """The images. Raises RequestError where there are none."""
        if self.images is None:
            raise RequestError("no data set is known for this model; upload a picture, or give its images as DATA")
        return self.images

    def once(self, compute: Callable[[], T], *key: Any) -> T:
        """`compute()`, cached under the key; other callers wait meanwhile. Failures are not cached."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._cache:
                self._cache[key] = compute()
            return self._cache[key]
