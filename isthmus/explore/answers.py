"""What the page may ask: for each question a function (shelf, query, body) → named arrays.

Every function is a few library calls that a user could write; `wire` has how they travel.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from isthmus import metrics, probe
from isthmus.data.images import Images
from isthmus.errors import RequestError, require
from isthmus.estimators.common import encode, reconstruct, reconstruct_each
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.explore import noise, pictures, units, wire
from isthmus.explore.decode import decode
from isthmus.explore.shelf import Leaving, Shape, Shelf, facts, n_units
from isthmus.explore.wire import Answer, Arrays, Query
from isthmus.patchwork import patchwork

MOST_IMAGES = 256  # in one answer
MOST_CODES = 64  # in one question
MOST_AHEAD = 1 << 23  # numbers in the pictures of all of a slider's stops: 32 MB
N_MEASURED = 500  # test images that models are compared on
N_MAP = {"pca": 3000, "tsne": 1000}  # test images on a map
DRAWING = 256  # rows and columns of a drawing


def _noisy(shelf: Shelf, query: Query, x: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    part = noise.part_of(query.text("kind", "gaussian"), query.number("level", 0, 1e6, 0.0))
    return noise.noisy(part, x, shape or shelf.shape, query.integer("draw", 0, noise.MOST_DRAWS, 0))


def _shape(shelf: Shelf, query: Query) -> Shape:
    """The shape of the image of a question: of models of patches, `rows` and `columns` may say that it is larger."""
    c, h, w = shelf.shape
    if not shelf.whole:
        return shelf.shape
    rows, columns = query.integer("rows", h, 1 << 16, h), query.integer("columns", w, 1 << 16, w)
    most = 2 * pictures.MOST_WHOLE
    require(rows * columns <= most, "rows × columns", f"at most {most:,}", rows * columns)
    return c, rows, columns


def _page(shelf: Shelf, rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows, np.float32).reshape(len(rows), *shelf.shape)


# --- what is there ---


def about(shelf: Shelf) -> dict[str, Any]:
    """What the page is told first, as JSON."""
    images = shelf.images
    return {
        "title": shelf.title,
        "question": shelf.question,
        "notes": list(shelf.notes),
        "shape": list(shelf.shape),
        "models": [facts(shelf, entry) for entry in shelf.entries.values()],
        "noise": noise.kinds(shelf.shape),
        "data": None
        if images is None
        else {
            "title": shelf.data_title,
            "n": len(images),
            "labels": None if images.labels is None else images.labels.tolist(),
            "label_names": list(images.label_names),
            "measured": (n := min(N_MEASURED, len(images))),
            "student": metrics.student_t(n) if n > 1 else None,
        },
        "plain": _manner(shelf).plain,
        "whole": shelf.whole,
        "files": [os.fsencode(one.name).decode("utf-8", "backslashreplace") for one in shelf.files],
        "drawing": DRAWING,
        "most_ahead": MOST_AHEAD,
    }


def images(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"pixels": (n, c, h, w)}: test images at `positions`, as they were read: uint8, or float32 in [0, 1]."""
    known = shelf.test_images()
    which = query.integers("positions", len(known) - 1, MOST_IMAGES)
    return {"pixels": np.ascontiguousarray(known.pixels[which])}, {}


# --- one image, several models ---


def reconstructed(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"noisy": (c, h, w), "noisy_mse": (1,), "x_hat": (n, c, h, w), "mse": (n,), "psnr": (n,)} for n `models`.

    Each model is given the very same noisy image; errors are against the clean one. Models of patches reconstruct an
    image of more `rows` and `columns` patch by patch.
    """
    shape = _shape(shelf, query)
    x = wire.pixels(body, 1, math.prod(shape))
    x_in, models = _noisy(shelf, query, x, shape), _models(shelf, query)
    if shape == shelf.shape:
        x_hat = reconstruct_each(models, x_in)
    else:
        x_hat = np.empty((len(models), *x_in.shape), np.float32)
        for model, rows in zip(models, x_hat, strict=True):
            query.go_on()
            rows[:] = patchwork(partial(reconstruct, model), x_in.reshape(shape), shelf.shape[1:]).reshape(1, -1)
    error = _errors(x, x_hat)
    return {
        "noisy": x_in.reshape(shape),
        "noisy_mse": metrics.squared_error(x, x_in),
        "x_hat": x_hat.reshape(len(models), *shape),
        "mse": error[:, 0],
        "psnr": metrics.psnr(error[:, 0]),
    }, {}


def at_every_stop(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """What `reconstructed` answers, for all the stops of the slider of `kind` at once: the page asks while it rests.

    {"level": (l,), "noisy": (l, c, h, w), "noisy_mse": (l,), "x_hat": (n, l, c, h, w), "mse", "psnr": (n, l)}. For a
    network all stops are one batch, which costs little more than a few of them one after the other.
    """
    x, kind = wire.pixels(body, 1, shelf.n_features), query.text("kind", "gaussian")
    noise.part_of(kind, 0)
    stops, models = noise.kinds(shelf.shape)[kind]["stops"], _models(shelf, query)
    if len(stops) * (1 + len(models)) * shelf.n_features > MOST_AHEAD:
        raise RequestError("these are too many pixels for all stops at once; ask for one level after the other")
    draw = query.integer("draw", 0, noise.MOST_DRAWS, 0)
    x_in = np.concatenate([noise.noisy(noise.part_of(kind, level), x, shelf.shape, draw) for level in stops])
    x_hat = np.empty((len(models), *x_in.shape), np.float32)
    for model, rows in zip(models, x_hat, strict=True):
        query.go_on()
        rows[:] = reconstruct_each([model], x_in)[0]
    error = _errors(x, x_hat)
    return {
        "level": np.array(stops, np.float64),
        "noisy": _page(shelf, x_in),
        "noisy_mse": metrics.squared_error(np.broadcast_to(x, x_in.shape), x_in),
        "x_hat": x_hat.reshape(len(models), len(stops), *shelf.shape),
        "mse": error,
        "psnr": metrics.psnr(error),
    }, {}


def _models(shelf: Shelf, query: Query) -> list[Any]:
    words = query.text("models", "")
    names = words.split(",") if words else []
    if len(set(names)) < len(names):
        raise RequestError("models must be named once each")
    return [shelf.model(name) for name in names]


def _errors(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """The errors, (n_models, l), of x_hat, (n_models, l, n_features), that were drawn of l noisy images of one x."""
    target = np.broadcast_to(x, x_hat.shape[1:])
    return np.array([metrics.squared_error(target, rows) for rows in x_hat]).reshape(x_hat.shape[:2])


def searched(shelf: Shelf, query: Query, body: bytes, tell: Callable[[Answer], None], gone: threading.Event) -> Answer:
    """A decoder's search for one image: `tell` hears of each step, and the answer is where it ended.

    {"x_hat": (c, h, w), "mse": (1,), "psnr": (1,), "objective": (1,), "step": (1,)}. Raises Leaving once `gone` is set.
    """
    name, x = query.text("model"), wire.pixels(body, 1, shelf.n_features)
    model = shelf.model(name)
    if not isinstance(model, DecoderPrior):
        raise RequestError(f"{name} does not search; choose a decoder prior")
    x_in = _noisy(shelf, query, x)

    def shown(rows: np.ndarray, objective: float, step: int) -> Arrays:
        rows = rows.reshape(1, -1)
        error = metrics.squared_error(x, rows)
        return {
            "x_hat": _page(shelf, rows)[0],
            "mse": error,
            "psnr": metrics.psnr(error),
            "objective": np.array([objective]),
            "step": np.array([step], np.int32),
        }

    steps = 0

    def on_step(code: np.ndarray, objective: np.ndarray) -> None:
        nonlocal steps
        shelf.go_on()
        if gone.is_set():
            raise Leaving
        steps += 1
        if steps % max(1, steps // 32) == 0:  # ever fewer of a search of thousands of steps
            tell((shown(model.inverse_transform(code), float(objective[0]), steps), {}))

    found = model.search(x_in, on_step=on_step)
    last = shown(model.drawn(found), float(found.objective[0]), int(found.n_iter[0]))
    return last, {"reason": str(found.reason[0])}


# --- inside one model ---


def code(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"noisy": (c, h, w), "code": (k,)} of `model`, and of a convolutional one its maps, "layer 1", ...: (n, h, w)."""
    model = shelf.with_code(query.text("model"))
    x = wire.pixels(body, 1, shelf.n_features)
    x_in = _noisy(shelf, query, x)
    found = np.asarray(model.transform(x_in), np.float32)
    arrays = {"noisy": _page(shelf, x_in)[0], "code": found[0]}
    layers = probe.activation_maps(model, Images(_page(shelf, x)), x_in)
    return arrays | {name: maps[0] for name, maps in layers.items() if name}, {}


def decoded(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x_hat": (n, c, h, w)}: what `model` draws from `n` codes of float32."""
    model = shelf.with_code(query.text("model"))
    codes = wire.numbers(body, query.integer("n", 1, MOST_CODES, 1), n_units(model), "numbers of a code")
    if not np.isfinite(codes).all() or np.abs(codes).max() > 1e6:
        raise RequestError("a code's numbers must be finite, and at most a million")
    return {"x_hat": _page(shelf, model.inverse_transform(codes))}, {}


def _units(shelf: Shelf, name: str) -> units.Units:
    model = shelf.with_code(name)
    known = shelf.test_images()
    return shelf.once(lambda: units.survey(model, known, go_on=shelf.go_on), "units", name)


def all_units(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"usage", "low", "high", "spread"}, each (k,): the units of `model` over the test images."""
    found = _units(shelf, query.text("model"))
    arrays = {name: getattr(found, name).astype(np.float32) for name in ("usage", "low", "high", "spread")}
    return arrays, {"n": str(found.n)}


def one_unit(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"filter", "atom"} of one `unit`, where weights say it, {"top", "top_code": (m,), "pixels": (m, c, h, w)}."""
    name = query.text("model")
    model = shelf.with_code(name)
    size = n_units(model)
    unit = query.integer("unit", 0, size - 1)
    arrays = units.pictures(model, unit, size, shelf.shape)
    arrays = {key: np.ascontiguousarray(value, np.float32) for key, value in arrays.items()}
    if shelf.images is not None:
        found = _units(shelf, name)
        arrays["top"], arrays["top_code"] = found.top[unit], found.top_code[unit]
        arrays["pixels"] = np.ascontiguousarray(shelf.images.pixels[found.top[unit]])
    return arrays, {}


# --- the space of codes ---


def _codes(shelf: Shelf, name: str, n: int) -> np.ndarray:
    known = shelf.test_images()
    return encode(shelf.with_code(name), known.take(slice(0, n)))


def code_map(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"points": (n, 2)} for the first n test images by `method`; of a "pca" its "centre", "axes" and "share" too."""
    name, method = query.text("model"), query.text("method", "pca")
    if method not in N_MAP:
        raise RequestError(f'method must be "pca" or "tsne", got {method[:40]!r}')
    compute = units.plane if method == "pca" else units.neighbours
    n = N_MAP[method]
    return shelf.once(lambda: compute(_codes(shelf, name, n)), "map", name, method), {}


def between(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"pixels", "x_hat"}, each (steps, c, h, w): from one image of the body to the other, blended, and by `model`."""
    name, steps = query.text("model"), query.integer("steps", 2, 33, 9)
    pair = Images(_page(shelf, wire.pixels(body, 2, shelf.n_features)))
    rows = probe.interpolation({"model": shelf.with_code(name)}, pair, steps)
    return {"pixels": _page(shelf, rows["pixels"]), "x_hat": _page(shelf, rows["model"])}, {}


def code_noise(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """Gaussian noise of one `level` σ on the image, and σ × its spread on each number of `model`'s code.

    {"noisy", "from_noisy", "from_code"}, each (c, h, w), {"mse": (2,)} of the last two.
    """
    name, level = query.text("model"), query.number("level", 0, 10, 0.0)
    draw = query.integer("draw", 0, noise.MOST_DRAWS, 0)
    model, x = shelf.with_code(name), wire.pixels(body, 1, shelf.n_features)
    x_in = noise.noisy(noise.part_of("gaussian", level), x, shelf.shape, draw)
    spread = _units(shelf, name).spread
    rows = probe.latent_noise(model, Images(_page(shelf, x)), (level,), relative_to=spread, seed=draw)
    *_, from_code = rows.values()
    from_noisy = reconstruct(model, x_in)
    error = metrics.squared_error(np.repeat(x, 2, axis=0), np.concatenate([from_noisy, from_code.reshape(1, -1)]))
    return {
        "noisy": _page(shelf, x_in)[0],
        "from_noisy": _page(shelf, from_noisy)[0],
        "from_code": _page(shelf, from_code)[0],
        "mse": error,
    }, {}


# --- many images, one model ---


def _noisy_tests(shelf: Shelf, kind: str, level: float, x: np.ndarray) -> np.ndarray:
    """The noisy version of the test images x, which all models are given: drawn once, if they are not too large."""
    draw = partial(noise.noisy, noise.part_of(kind, level), x, shelf.shape, 0)
    small = x.size * len(noise.kinds(shelf.shape)[kind]["marks"]) <= MOST_AHEAD
    return shelf.once(draw, "noisy", kind, level) if small else draw()


def errors(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"level", "mse", "low", "high"}, each (l,): the error of `model` on test images at the marked levels of `kind`.

    low, high: the 95 % interval. "each", (l, n): every image's own error, for models are compared image by image. The
    noise is the studies' own test noise.
    """
    name, kind = query.text("model"), query.text("kind", "gaussian")
    model, known = shelf.model(name), shelf.test_images().take(slice(0, N_MEASURED))
    noise.part_of(kind, 0)

    def compute() -> Arrays:
        x, levels, rows, each = known.floats(), noise.kinds(shelf.shape)[kind]["marks"], [], []
        for level in levels:
            shelf.go_on()
            error = metrics.squared_error(x, reconstruct(model, _noisy_tests(shelf, kind, level, x)))
            estimate = metrics.mean_of(error, known.photographs)
            rows.append((level, estimate.value, *(estimate.ci95 or (estimate.value, estimate.value))))
            each.append(error.astype(np.float32))
        columns = zip(("level", "mse", "low", "high"), np.array(rows, np.float64).T.copy(), strict=True)
        return {**dict(columns), "each": np.array(each)}

    return shelf.once(compute, "errors", name, kind), {}


# --- pictures of one's own ---


def _manner(shelf: Shelf) -> pictures.Manner:
    found = shelf.once(lambda: pictures.manner_of(shelf.images, shelf.shape), "manner")
    return replace(found, plain=False) if shelf.whole or (shelf.photographs and shelf.images is None) else found


def drawing(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w)}: a drawing, DRAWING×DRAWING uint8, bright on dark, scaled and centred like the data."""
    if len(body) != DRAWING**2:
        raise RequestError(f"a drawing must hold {DRAWING}×{DRAWING} bytes, got {len(body):,}")
    strokes = np.frombuffer(body, np.uint8).reshape(DRAWING, DRAWING).astype(np.float32) / 255
    return {"x": pictures.place(strokes, shelf.shape, _manner(shelf))}, {}


def picture(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x": (c, h, w)} of an uploaded file, made like the data, and what was done to it, in words.

    For models of patches it is the whole picture, as large as it is. `file`: one of the data's own, by its place.
    """

    def go_on() -> None:
        query.go_on()
        shelf.go_on()

    if "file" in query.words:
        place = query.integer("file", 0, len(shelf.files) - 1)
        try:
            body = shelf.files[place].read_bytes()
        except OSError as error:
            raise RequestError(f"cannot read {shelf.files[place].name}: {error.strerror}") from None
    x, said = decode(body, shelf.shape, _manner(shelf), whole=shelf.whole, go_on=go_on)
    return {"x": x}, {"said": said}


QUICK: dict[str, Callable[[Shelf, Query, bytes], Answer]] = {
    "code": code,
    "decode": decoded,
    "drawing": drawing,
    "images": images,
    "interpolate": between,
    "reconstruct": reconstructed,
    "unit": one_unit,
}
SLOW: dict[str, Callable[[Shelf, Query, bytes], Answer]] = {
    "code-noise": code_noise,
    "errors": errors,
    "map": code_map,
    "stops": at_every_stop,
    "units": all_units,
}
UPLOADS: dict[str, Callable[[Shelf, Query, bytes], Answer]] = {"picture": picture}
