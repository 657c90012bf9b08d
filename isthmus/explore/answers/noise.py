"""Corruptions of the slider: kinds, levels, and noisy images."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from isthmus.corruption import noisy_version
from isthmus.errors import RequestError, unknown
from isthmus.estimators.adapters import adapter_of
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Shape, Shelf
from isthmus.parts import CORRUPTIONS, Corruption
from isthmus.parts.corruptions import MEAN

MOST_DRAWS = 2**31 - 1


def kinds(shape: tuple[int, int, int], shelf: Shelf | None = None) -> dict[str, dict[str, Any]]:
    """Sliders for images of this shape, by kind of corruption. shelf: whose models say what missing pixels become.

    symbol, unit: of the level. note: what else is done to the image. stops: the levels, from clean (0) to ruined.
    marks: those at which models are compared.
    """
    percent, tenths = [i / 100 for i in range(101)], [i / 10 for i in range(11)]
    side = min(shape[1:])
    sizes = list(range(side + 1))
    peaks = [200, 150, 100, 80, 60, 50, 40, 30, 25, 20, 16, 13, 10, 8, 7, 6, 5, 4, 3, 2.5, 2, 1.5, 1]

    def slider(title: str, symbol: str, unit: str, stops: list[Any], marks: list[Any], **more: str) -> dict[str, Any]:
        return {"title": title, "symbol": symbol, "unit": unit, **more, "stops": stops, "marks": marks}

    def filled(kind: str) -> dict[str, str]:
        value = _value(shelf, kind)
        if not value:  # black, which is what is taken to be missing
            return {}
        return {"note": f"missing pixels are {'the mean of the image' if value == MEAN else f'{value:g}'}"}

    return {
        "gaussian": slider("Gaussian noise", "σ", "", percent, tenths, note="clipped to black and white"),
        "masking": slider("Masking", "share", "", percent, tenths[:-1], **filled("masking")),
        "salt-and-pepper": slider("Salt and pepper", "share", "", percent, tenths[:-1]),
        "occlusion": slider("A square", "side", "px", sizes, sizes[:: max(1, side // 8)][:8], **filled("occlusion")),
        "poisson": slider("Photon noise", "peak", "photons", [0, *peaks], [0, 100, 50, 25, 10, 5, 3, 2, 1]),
    }


def part_of(kind: str, level: float, shelf: Shelf | None = None) -> Corruption | None:
    """The corruption, as of `--corruption KIND:LEVEL` for the shelf's models; None for level 0.

    Raises RequestError for unknown kinds.
    """
    single: dict[str, Any] = {word: cls for word, cls in CORRUPTIONS.items() if not cls.members}
    if kind not in single:
        raise RequestError(unknown("corruption", kind[:80], single))
    if level == 0:
        return None
    part, value = single[kind](level).as_option(()), _value(shelf, kind)
    return part if value is None else dataclasses.replace(part, value=value)


def _value(shelf: Shelf | None, kind: str) -> Any:
    """What missing pixels become for the models that were trained on this kind; None if it is not one thing for all."""
    if shelf is None or not CORRUPTIONS[kind].fills:
        return None
    models = (entry.model for entry in shelf.models if entry.model is not None)
    trained = (getattr(adapter_of(model).last.trained, "corruption", None) for model in models)
    values = {step.value for part in trained if part for step in part.steps if step.kind == kind}
    return values.pop() if len(values) == 1 else None


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
    part = part_of(query.text("kind", "gaussian"), query.number("level", 0, 1e6, 0.0), shelf)
    return apply(part, x, shape or shelf.shape, query.integer("draw", 0, MOST_DRAWS, 0))
