"""Routes of the page of photographs: what denoisers of images of any size make of one, whole, and its noisy version.

Pixels are answered in 8 bits, as they are shown; errors are those of the numbers before, as the commands have them.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.corruption import noisy_version
from isthmus.data.formats.image_file import bytes_of
from isthmus.data.formats.page import bands
from isthmus.data.sizes import resized
from isthmus.errors import require
from isthmus.estimators.adapters import adapter_of
from isthmus.estimators.denoising.denoiser_adapter import AtLevel
from isthmus.explore.answers.drawings import unit
from isthmus.explore.answers.noise import MOST_DRAWS
from isthmus.explore.answers.routes import name_of, uploaded
from isthmus.explore.answers.upload_decoder import decode_photograph
from isthmus.explore.answers.uploads import read_photograph
from isthmus.explore.answers.wire import Answer, Query
from isthmus.explore.shelf import PhotographShelf
from isthmus.parts import GaussianNoise

LEVELS = [i / 100 for i in range(51)]  # stops of the slider: standard deviations, of black to white
THUMBNAIL = 96  # pixels of its longer side
MOST_BYTES = 64 << 20  # of a file: a PNG of a phone has 30 MB
_MOST_TASK = 40  # letters


def about(shelf: PhotographShelf) -> dict[str, Any]:
    """The page's first answer, as JSON."""
    return {
        "title": shelf.title,
        "question": shelf.question,
        "notes": [note for note in (shelf.data_title, *shelf.notes) if note],
        "models": [_facts(entry.name, entry.model) for entry in shelf.models],
        "levels": LEVELS,
        "files": [name_of(file) for file in shelf.files],
        "most_bytes": MOST_BYTES,
    }


def _facts(name: str, model: Any) -> dict[str, Any]:
    facts = {"name": name, "estimator": " ".join(repr(model).split()), "parameters": model.n_parameters_}
    return facts | {"trained": list(model.noise.level_range), "blind": getattr(model, "blind", False)}


def picture(shelf: PhotographShelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w) uint8} of an uploaded file, and words: its key for other questions, and what was done to it.

    `file`: one of the data's own, by its place. `name`: of another, for what is said of it.
    """
    body, name, go_on = uploaded(shelf, query, body)
    x, words, identity = decode_photograph(body, shelf.framing, name=name, go_on=go_on)
    if len(x) < shelf.channels:
        x = np.repeat(x, shelf.channels, axis=0)
    key = hashlib.sha256(body).hexdigest()[:32]
    shelf.open(key, x)
    seen_by = [name for name, marks in shelf.marks.items() if np.isin(np.uint64(identity), marks)]
    seen = f"{' and '.join(seen_by)} {'was' if len(seen_by) == 1 else 'were'} trained on this photograph: expect larger"
    return {"x": _shown(x)}, {"key": key, "said": words, "seen": f"{seen} errors on new ones." if seen_by else ""}


def thumbnail(shelf: PhotographShelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w) uint8} of one of the data's own photographs, `file`, small."""
    place = query.integer("file", 0, len(shelf.files) - 1)

    def compute() -> np.ndarray:
        file = shelf.files[place]
        x, _, _ = read_photograph(bytes_of(file), shelf.framing, name=name_of(file))
        share = min(1.0, THUMBNAIL / max(x.shape[1:]))
        return _shown(resized(x, (max(1, round(share * x.shape[1])), max(1, round(share * x.shape[2])))))

    return {"x": shelf.once(compute, "thumbnail", place)}, {}


def noisy(shelf: PhotographShelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w) uint8, "psnr": (1,)} of the photograph `key` with noise of `level` added; `draw`: which."""
    x, level = _photograph_and_level(shelf, query)
    y = _noisy(x, level, query)
    return {"x": _shown(y), "psnr": _psnr(x, y)}, {}


def denoised(shelf: PhotographShelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w) uint8, "sigma": (1,), "psnr": (1,)}: the same photograph, denoised by `model`.

    sigma: the level of the noise that it was told; with `blind`, or where no noise was added, the one that it
    estimated. `task`: a word by which `progress` knows this question.
    """
    x, level = _photograph_and_level(shelf, query)
    blind = level == 0 or query.integer("blind", 0, 1, 0) == 1
    # a denoiser notes what it estimated: a copy, which shares its network, for each question
    at_level = AtLevel(copy.copy(shelf.model(query.text("model"))), None if blind else level)

    adapter: Any = adapter_of(at_level)

    task = query.text("task", "")
    require(len(task) <= _MOST_TASK, "task", f"of at most {_MOST_TASK} letters", task[:_MOST_TASK])

    def go_on(done: int, of: int) -> None:
        query.go_on()
        shelf.go_on()
        shelf.tiles[task] = done, of

    try:
        y = _noisy(x, level, query)
        x_hat = adapter.reconstruct_image(y, go_on, rounded=y.dtype == np.uint8)
    finally:
        shelf.tiles.pop(task, None)
    return {"x": _shown(x_hat), "sigma": np.array(at_level.sigmas), "psnr": _psnr(x, x_hat)}, {}


def progress(shelf: PhotographShelf, query: Query, body: bytes) -> Answer:
    """{"tiles": (2,)}: how many tiles of the question `task` are done, and of how many; 0 of 0 where none is known."""
    return {"tiles": np.array(shelf.tiles.get(query.text("task"), (0, 0)), np.int32)}, {}


def _photograph_and_level(shelf: PhotographShelf, query: Query) -> tuple[np.ndarray, float]:
    """The photograph of a question, uint8 or float32, and the level of the noise to add."""
    level = query.number("level", 0, 10, 0.0)
    require(np.isfinite(level), "level", "a number", level)
    return shelf.photograph(query.text("key")), level


def _noisy(x: np.ndarray, level: float, query: Query) -> np.ndarray:
    """As `isthmus denoise --corruption` makes it: not clipped."""
    draw = query.integer("draw", 0, MOST_DRAWS, 0)
    if not level:
        return x
    return noisy_version(_floats(x).reshape(1, -1), GaussianNoise(level), x.shape, seed=draw).reshape(x.shape)


def _psnr(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Infinite for the photograph itself. In bands: no large one is whole in float64."""
    error = np.zeros(1)
    for rows in bands(x.shape):
        part = metrics.squared_error(_floats(x[:, rows])[None], _floats(x_hat[:, rows])[None])
        error += part * (rows.stop - rows.start) / x.shape[1]
    with np.errstate(divide="ignore"):
        return metrics.psnr(error)


def _floats(x: np.ndarray) -> np.ndarray:
    """uint8 or float32 as float32; noisy ones are not in [0, 1]."""
    return unit(x) if x.dtype == np.uint8 else x


def _shown(x: np.ndarray) -> np.ndarray:
    return x if x.dtype == np.uint8 else np.rint(255 * x.clip(0, 1)).astype(np.uint8)


Question = Callable[[PhotographShelf, Query, bytes], Answer]
QUICK: dict[str, Question] = {"noisy": noisy, "progress": progress}
SLOW: dict[str, Question] = {"denoised": denoised, "thumbnail": thumbnail}
UPLOADS: dict[str, Question] = {"picture": picture}
