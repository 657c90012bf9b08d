"""The models that the page shows, with what is known of each, and the images to show them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from isthmus.data.framing import Framing
from isthmus.data.images import Images
from isthmus.errors import RequestError, unknown
from isthmus.estimators.adapters import adapter_of

T = TypeVar("T")
Shape = tuple[int, int, int]  # (channels, height, width)


class Leaving(Exception):  # noqa: N818 - no error: there is nobody left to answer
    """Whoever asked has left."""


@dataclass
class Entry:
    """A model by its name: fitted, or the reason why it cannot be shown. facts: what its run says of it."""

    name: str
    model: Any = None
    fault: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Shelf:
    """Models of one image shape, and the images that they are shown.

    title, question: the study's words, or the model's name. shape: (channels, height, width). entries: in the study's
    order. images: test images, or None where it is not known what the models were trained on. notes: sentences that
    the reader should see. photographs: the images are known not to be drawings. framing: how they were prepared; where
    it cuts patches, a model takes larger pictures patch by patch. files: such pictures. What is derived from the models
    is computed once, by `once`.
    """

    def __init__(
        self,
        title: str,
        entries: list[Entry],
        shape: Shape,
        *,
        images: Images | None = None,
        question: str = "",
        data_title: str = "",
        notes: tuple[str, ...] = (),
        photographs: bool = False,
        framing: Framing | None = None,
        files: tuple[Path, ...] = (),
    ) -> None:
        self.title, self.question, self.data_title, self.notes = title, question, data_title, notes
        self.shape, self.images = shape, images
        self.photographs, self.framing, self.files = photographs, framing or Framing(), files
        self.entries = {entry.name: entry for entry in entries}
        self._cache: dict[tuple[Any, ...], Any] = {}
        self._locks: dict[tuple[Any, ...], threading.Lock] = {}
        self._lock = threading.Lock()
        self.closing = threading.Event()

    def go_on(self) -> None:
        """Raise Leaving once the shelf is closing; called within what takes long."""
        if self.closing.is_set():
            raise Leaving

    @property
    def whole(self) -> bool:
        """Whether larger pictures are taken too, patch by patch."""
        return self.framing.patches is not None

    @property
    def n_features(self) -> int:
        """Numbers in one image."""
        return math.prod(self.shape)

    def model(self, name: str) -> Any:
        """The fitted model. Raises RequestError for a name that is not here, or a model that is damaged."""
        entry = self.entries.get(name)
        if entry is None:
            raise RequestError(unknown("model", name[:80], self.entries))
        if entry.model is None:
            raise RequestError(f"{name} cannot be shown: {entry.fault}")
        return entry.model

    def with_code(self, name: str) -> Any:
        """The fitted model, if it has a code that it makes at once. Raises RequestError for one that has none."""
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
        """`compute()`, kept under the key: whoever asks meanwhile waits for it. What fails is not kept."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._cache:
                self._cache[key] = compute()
            return self._cache[key]
