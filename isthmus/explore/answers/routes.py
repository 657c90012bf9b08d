"""Routes of the page: for each question a function (shelf, query, body) → named arrays, encoded by `wire`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.data.formats.image_file import bytes_of
from isthmus.errors import RequestError
from isthmus.explore.answers import codes, drawings, noise, reconstructions
from isthmus.explore.answers.overview import facts, opening
from isthmus.explore.answers.upload_decoder import decode
from isthmus.explore.answers.wire import Answer, Query
from isthmus.explore.shelf import Models, Shelf

MOST_IMAGES = 256  # in one answer
MOST_NAME = 120  # letters of a file's name, in what is said of it
DRAWING = 256  # rows and columns of a drawing


def about(shelf: Shelf) -> dict[str, Any]:
    """The page's first answer, as JSON."""
    images, models = shelf.images, [facts(shelf, entry) for entry in shelf.entries.values()]
    return {
        "title": shelf.title,
        "question": shelf.question,
        "notes": list(shelf.notes),
        "shape": list(shelf.shape),
        "models": models,
        "opening": opening(models),
        "noise": noise.kinds(shelf.shape, shelf),
        "data": None
        if images is None
        else {
            "title": shelf.data_title,
            "n": len(images),
            "labels": None if images.labels is None else images.labels.tolist(),
            "label_names": list(images.label_names),
            "measured": (n := min(reconstructions.N_MEASURED, len(images))),
            "photographs": len(np.unique(images.photographs[:n])),
            "student": metrics.student_t(n) if n > 1 else None,
        },
        "plain": manner_of_shelf(shelf).plain,
        "whole": shelf.whole,
        "files": [name_of(file) for file in shelf.files],
        "drawing": DRAWING,
        "most_ahead": reconstructions.MOST_AHEAD,
        "uploads": True,
    }


def images(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"pixels": (n, c, h, w)}: test images at `positions`, as they were read: uint8, or float32 in [0, 1]."""
    known = shelf.test_images()
    which = query.integers("positions", len(known) - 1, MOST_IMAGES)
    return {"pixels": np.ascontiguousarray(known.pixels[which])}, {}


def manner_of_shelf(shelf: Shelf) -> drawings.Manner:
    manner = shelf.once(lambda: drawings.manner_of(shelf.images, shelf.shape), "manner")
    return replace(manner, plain=False) if shelf.whole or (shelf.photographs and shelf.images is None) else manner


def drawing(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w)}: a drawing, DRAWING×DRAWING uint8, bright on dark, scaled and centred like the data."""
    if len(body) != DRAWING**2:
        raise RequestError(f"a drawing must hold {DRAWING}×{DRAWING} bytes, got {len(body):,}")
    strokes = np.frombuffer(body, np.uint8).reshape(DRAWING, DRAWING).astype(np.float32) / 255
    return {"x": drawings.place(strokes, shelf.shape, manner_of_shelf(shelf))}, {}


def name_of(file: Path) -> str:
    """A file's name as valid UTF-8."""
    return os.fsencode(file.name).decode("utf-8", "backslashreplace")


def uploaded(shelf: Models, query: Query, body: bytes) -> tuple[bytes, str, Callable[[], None]]:
    """The bytes of the file in question and its name; and what raises where the answer is no longer wanted."""

    def go_on() -> None:
        query.go_on()
        shelf.go_on()

    if "file" in query.words:
        file = shelf.files[query.integer("file", 0, len(shelf.files) - 1)]
        return bytes_of(file), name_of(file), go_on
    return body, query.text("name", "the picture")[:MOST_NAME], go_on


def picture(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w)} of an uploaded file, as the commands read it, and what was done to it, in words.

    For models of patches it is the whole picture. `file`: one of the data's own, by its place. `name`: of another, for
    what is said of it.
    """

    body, name, go_on = uploaded(shelf, query, body)
    manner = manner_of_shelf(shelf)
    x, words = decode(body, shelf.shape, manner, whole=shelf.whole, framing=shelf.framing, name=name, go_on=go_on)
    return {"x": x}, {"said": words}


QUICK: dict[str, Callable[[Shelf, Query, bytes], Answer]] = {
    "code": codes.code,
    "decode": codes.decoded,
    "drawing": drawing,
    "images": images,
    "interpolate": codes.between,
    "reconstruct": reconstructions.reconstructed,
    "unit": codes.one_unit,
}
SLOW: dict[str, Callable[[Shelf, Query, bytes], Answer]] = {
    "code-noise": codes.code_noise,
    "errors": reconstructions.errors,
    "hardest": reconstructions.hardest,
    "map": codes.code_map,
    "stops": reconstructions.at_every_stop,
    "sample": codes.sampled,
    "units": codes.all_units,
}
UPLOADS: dict[str, Callable[[Shelf, Query, bytes], Answer]] = {"picture": picture}
