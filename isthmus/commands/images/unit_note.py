"""A note on images in other numbers than those that a denoiser was trained on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from isthmus import console
from isthmus.errors import OtherNumbersWarning, counted


@contextlib.contextmanager
def other_numbers_noted() -> Iterator[None]:
    """Print one note for all images that a denoiser warns of meanwhile, in place of a warning for each."""
    doubts: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", OtherNumbersWarning)
        show = warnings.showwarning

        def keep(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, OtherNumbersWarning):
                doubts.append(message)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = keep
        yield
    if doubts:
        low, high = (f"{extreme(doubt.span for doubt in doubts):.2g}" for extreme in (min, max))
        spans = low if low == high else f"{low} to {high}"
        console.say(
            f"{counted(len(doubts), 'image')} in other numbers than those of the training: from dark to bright "
            f"{spans} of black to white, there {doubts[0].scale:.2g}; say what is black and white with --range LOW:HIGH"
        )
