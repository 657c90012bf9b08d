"""The models that the page shows, and the images to show them with."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from isthmus.data.framing import Framing
from isthmus.data.images import Images
from isthmus.errors import RequestError, unknown
from isthmus.estimators.adapters import adapter_of
from isthmus.explore.earlier import model_at

T = TypeVar("T")
Shape = tuple[int, int, int]  # (channels, height, width)
MOST_OPENED, MOST_BYTES = 6, 400 << 20  # photographs, and of all but the last: one of 16 million pixels has 50 MB
MOST_EPOCHS = 6  # of which models and what was computed of them stay in memory


class Leaving(Exception):  # noqa: N818 - no error: nobody waits for the answer
    """The client has left."""


@dataclass
class Entry:
    """A model by its name: fitted, or the reason why it cannot be shown. facts: its row in the run's results.

    states: files of its weights after some epochs; {} where the run did not keep any.
    """

    name: str
    model: Any = None
    fault: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    states: dict[int, Path] = field(default_factory=dict)


@dataclass(eq=False)
class Models:
    """Models by their names, and what the page says of them.

    title, question: the study's words, or the model's name. models: in the study's order. notes: sentences for the
    reader. framing: how the images were prepared. files: pictures to show.
    """

    title: str
    models: list[Entry]
    _: KW_ONLY
    question: str = ""
    data_title: str = ""
    notes: tuple[str, ...] = ()
    framing: Framing = field(default_factory=Framing)
    files: tuple[Path, ...] = ()
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.entries = {entry.name: entry for entry in self.models}
        self._cache: dict[tuple[Any, ...], Any] = {}
        self._locks: dict[tuple[Any, ...], threading.Lock] = {}
        self._lock = threading.Lock()

    def go_on(self) -> None:
        """Raise Leaving if the server is closing; called during long computations."""
        if self.closing.is_set():
            raise Leaving

    def model(self, name: str) -> Any:
        """The fitted model. Raises RequestError for an unknown name or a damaged model."""
        entry = self.entries.get(name)
        if entry is None:
            raise RequestError(unknown("model", name[:80], self.entries))
        if entry.model is None:
            raise RequestError(f"{name} cannot be shown: {entry.fault}")
        return entry.model

    def once(self, compute: Callable[[], T], *key: Any) -> T:
        """`compute()`, cached under the key; other callers wait meanwhile. Failures are not cached."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._cache:
                self._cache[key] = compute()
            return self._cache[key]


@dataclass(eq=False)
class Shelf(Models):
    """Models of one image shape, and images to show them with.

    shape: (channels, height, width). images: test images, or None if they are not known. photographs: whether the
    images are known not to be drawings. If `framing` cuts patches, a model takes larger pictures patch by patch.
    """

    shape: Shape
    _: KW_ONLY
    images: Images | None = None
    photographs: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epochs: OrderedDict[int, ShelfAtEpoch] = OrderedDict()

    @property
    def latest(self) -> Shelf:
        """The shelf with the models as they are."""
        return self

    def at(self, epoch: int) -> Shelf:
        """The same shelf, on which each model that has states is as it was after this epoch, or the nearest."""
        with self._lock:
            if epoch not in self._epochs:
                self._epochs[epoch] = ShelfAtEpoch(self, epoch)
            self._epochs.move_to_end(epoch)
            while len(self._epochs) > MOST_EPOCHS:
                self._epochs.popitem(last=False)
            return self._epochs[epoch]

    def as_images(self, rows: np.ndarray) -> np.ndarray:
        """Rows of numbers as images, (n, c, h, w) float32."""
        return np.ascontiguousarray(rows, np.float32).reshape(len(rows), *self.shape)

    @property
    def whole(self) -> bool:
        """Whether models take larger pictures too, patch by patch."""
        return self.framing.patches is not None

    @property
    def n_features(self) -> int:
        """Numbers in one image."""
        return math.prod(self.shape)

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


class ShelfAtEpoch(Shelf):
    """A shelf as it was during training. Each model is read when it is first asked for."""

    def __init__(self, shelf: Shelf, epoch: int) -> None:
        super().__init__(**{f.name: getattr(shelf, f.name) for f in fields(shelf) if f.init})
        self.epoch, self._latest = epoch, shelf

    @property
    def latest(self) -> Shelf:
        return self._latest

    def model(self, name: str) -> Any:
        model, states = super().model(name), self.entries[name].states
        # the page has the same rule
        nearest = min(states, key=lambda epoch: (abs(epoch - self.epoch), epoch), default=None)
        if nearest is None or nearest == max(states):  # at the end it is what the training left
            return model
        return self.once(lambda: model_at(model, states[nearest]), "model", name)


@dataclass(eq=False)
class PhotographShelf(Models):
    """Denoisers of images of any size, and the photographs that were opened last.

    marks: by model, of the images that it was trained on (`data.identity`).
    """

    _: KW_ONLY
    marks: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._opened: OrderedDict[str, np.ndarray] = OrderedDict()
        self.tiles: dict[str, tuple[int, int]] = {}  # of answers that are computed, by the page's word for each

    @property
    def channels(self) -> int:
        """The most that a model takes; one of fewer takes them one by one."""
        return max(entry.model.n_channels_ for entry in self.models)

    def open(self, key: str, x: np.ndarray) -> None:
        """Have a photograph ready for questions, in the place of the one that was used longest ago."""
        with self._lock:
            self._opened[key] = x
            self._opened.move_to_end(key)
            while len(self._opened) > MOST_OPENED or (len(self._opened) > 1 and self._bytes() > MOST_BYTES):
                self._opened.popitem(last=False)

    def _bytes(self) -> int:
        return sum(x.nbytes for x in self._opened.values())

    def photograph(self, key: str) -> np.ndarray:
        """An opened photograph, (c, h, w), uint8 or float32. Raises RequestError for one that no longer is."""
        with self._lock:
            if key not in self._opened:
                raise RequestError("this photograph is not open any more; choose it again")
            self._opened.move_to_end(key)
            return self._opened[key]
