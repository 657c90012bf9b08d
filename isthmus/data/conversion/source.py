"""What is converted: images in pieces, from any position on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from isthmus.data.collections.loading import dark_words
from isthmus.data.formats.page import DARK
from isthmus.data.framing import Framing

Label = int | str | None
OUTSIDE = "float pixels must lie in [0, 1], got {held}; say what is black and white with --range LOW:HIGH"


@dataclass(frozen=True)
class Converted:
    """Some images of a source, one after the other. position: where the source goes on after them.

    pixels: (k, c, h, w), uint8, or float32 in [0, 1]; labels: numbers, or words; identities as in `data.identity`.
    kinds: of the notes on them; left_out: files that cannot be used, by name, and why: then there are no pixels.
    """

    position: int
    pixels: np.ndarray
    names: Sequence[str] = ()
    labels: Sequence[Label] = ()
    identities: Sequence[int] = ()
    kinds: Sequence[str] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def without(cls, position: int, name: str, fault: str) -> Converted:
        """One that is left out."""
        return cls(position, np.empty((0, 0, 0, 0), np.uint8), left_out={name: fault})


class OfFiles:
    """What sources of image files have in common. framing: how their images are prepared."""

    framing: Framing
    notes: tuple[str, ...] = ()

    def dark_note(self, brightest: float) -> str:
        """A note on images of more than 8 bits whose brightest number is that share of white; "" for most."""
        return dark_words(brightest) if self.framing.value_range is None and brightest <= DARK else ""


class Source(Protocol):
    """Images that can be gone through from any position on, the same each time.

    words: where they are. n: positions, or None where that is not known before the end. label_names: what numbers as
    labels stand for. facts: what changes with the source, as JSON values. notes: on what is left out of it.
    """

    @property
    def words(self) -> str: ...

    @property
    def n(self) -> int | None: ...

    @property
    def label_names(self) -> tuple[str, ...]: ...

    @property
    def facts(self) -> Any: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def dark_note(self, brightest: float) -> str:
        """A note on images of more than 8 bits whose brightest number is that share of white; "" for most."""

    def form(self) -> tuple[int, bool]:
        """The channels of its images, and whether their numbers are of more than 8 bits, by some from all over."""

    def pieces(self, position: int) -> Iterator[Converted]:
        """From a position on, of which 0 is the first. Raises DataError for images that cannot be used."""
