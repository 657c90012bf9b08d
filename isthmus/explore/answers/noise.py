"""Corruptions of the slider: kinds, levels, and noisy images."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.corruption import noisy_version
from isthmus.errors import RequestError, unknown
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Shape, Shelf
from isthmus.parts import CORRUPTIONS, Corruption

MOST_DRAWS = 2**31 - 1


def kinds(shape: tuple[int, int, int]) -> dict[str, dict[str, Any]]:
    """Sliders for images of this shape, by kind of corruption.

    symbol, unit: of the level. note: what else is done to the image. stops: the levels, from clean (0) to ruined.
    marks: those at which models are compared.
    """
    percent, tenths = [i / 100 for i in range(101)], [i / 10 for i in range(11)]
    side = min(shape[1:])
    sizes = list(range(side + 1))
    peaks = [200, 150, 100, 80, 60, 50, 40, 30, 25, 20, 16, 13, 10, 8, 7, 6, 5, 4, 3, 2.5, 2, 1.5, 1]

    def slider(title: str, symbol: str, unit: str, stops: list[Any], marks: list[Any], **more: str) -> dict[str, Any]:
        return {"title": title, "symbol": symbol, "unit": unit, **more, "stops": stops, "marks": marks}

    return {
        "gaussian": slider("Gaussian noise", "σ", "", percent, tenths, note="clipped to black and white"),
        "masking": slider("Masking", "share", "", percent, tenths[:-1]),
        "salt-and-pepper": slider("Salt and pepper", "share", "", percent, tenths[:-1]),
        "occlusion": slider("A square", "side", "px", sizes, sizes[:: max(1, side // 8)][:8]),
        "poisson": slider("Photon noise", "peak", "photons", [0, *peaks], [0, 100, 50, 25, 10, 5, 3, 2, 1]),
    }


def part_of(kind: str, level: float) -> Corruption | None:
    """The corruption, as of `--corruption KIND:LEVEL`; None for level 0. Raises RequestError for unknown kinds."""
    single: dict[str, Any] = {word: cls for word, cls in CORRUPTIONS.items() if not cls.members}
    if kind not in single:
        raise RequestError(unknown("corruption", kind[:80], single))
    return None if level == 0 else single[kind](level).as_option(())


def apply(part: Corruption | None, x: np.ndarray, shape: tuple[int, int, int], draw: int) -> np.ndarray:
    """The `noisy_version` of x, (n, n_features), with the seed `draw`: 0 is that of studies and commands.

    Gaussian noise of two levels differs only by its scale, so a slider scales one picture of noise.
    """
    if part is None:
        return x
    x_noisy = noisy_version(x, part, shape, seed=draw)
    if not np.isfinite(x_noisy).all():
        raise RequestError(f"{part!r} leaves no numbers; choose a level nearer to those of the slider")
    return x_noisy


def of_query(shelf: Shelf, query: Query, x: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """x, (n, n_features), with the noise of a request's kind, level and draw."""
    part = part_of(query.text("kind", "gaussian"), query.number("level", 0, 1e6, 0.0))
    return apply(part, x, shape or shelf.shape, query.integer("draw", 0, MOST_DRAWS, 0))
