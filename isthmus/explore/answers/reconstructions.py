"""Reconstructions and their errors: of one image by several models, and of many by one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.analysis.patchwork import of_patches, patchwork
from isthmus.errors import RequestError, require
from isthmus.estimators.adapters import adapter_of, reconstruct, reconstruct_each
from isthmus.explore.answers import noise, uploads, wire
from isthmus.explore.answers.wire import Answer, Arrays, Query
from isthmus.explore.shelf import Leaving, Shape, Shelf

MOST_AHEAD = 1 << 23  # numbers in the pictures of all of a slider's stops: 32 MB
N_MEASURED = 500  # test images that models are compared on
MOST_HARDEST = 64  # of them in one answer


def reconstructed(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"noisy": (c, h, w), "noisy_mse": (1,), "x_hat": (n, c, h, w), "mse": (n,), "psnr": (n,)} for n `models`.

    Each model is given the very same noisy image; errors are against the clean one. Models of patches reconstruct an
    image of more `rows` and `columns` patch by patch.
    """
    shape = _shape(shelf, query)
    x = wire.pixels(body, 1, math.prod(shape))
    x_in, models = noise.of_query(shelf, query, x, shape), _models(shelf, query)
    if shape == shelf.shape:
        x_hat = reconstruct_each(models, x_in)
    else:
        x_hat, (c, *size), stride = np.empty((len(models), *x_in.shape), np.float32), shelf.shape, shelf.framing.stride
        for model, rows in zip(models, x_hat, strict=True):
            query.go_on()
            whole = patchwork(of_patches(model, c), x_in.reshape(shape), (size[0], size[1]), stride=stride)
            rows[:] = whole.reshape(1, -1)
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
    x_in = np.concatenate([noise.apply(noise.part_of(kind, level, shelf), x, shelf.shape, draw) for level in stops])
    x_hat = np.empty((len(models), *x_in.shape), np.float32)
    for model, rows in zip(models, x_hat, strict=True):
        query.go_on()
        rows[:] = reconstruct_each([model], x_in)[0]
    error = _errors(x, x_hat)
    return {
        "level": np.array(stops, np.float64),
        "noisy": shelf.as_images(x_in),
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
    """The errors, (n_models, l), of x_hat, (n_models, l, n_features), against one x."""
    target = np.broadcast_to(x, x_hat.shape[1:])
    return np.array([metrics.squared_error(target, rows) for rows in x_hat]).reshape(x_hat.shape[:2])


def searched(shelf: Shelf, query: Query, body: bytes, send: Callable[[Answer], None], gone: threading.Event) -> Answer:
    """A decoder's search for one image: `tell` hears of each step, and the answer is where it ended.

    {"x_hat": (c, h, w), "mse": (1,), "psnr": (1,), "objective": (1,), "step": (1,)}. Raises Leaving once `gone` is set.
    """
    name, x = query.text("model"), wire.pixels(body, 1, shelf.n_features)
    model = shelf.model(name)
    if not adapter_of(model).searches:
        raise RequestError(f"{name} does not search; choose a decoder prior")
    x_in = noise.of_query(shelf, query, x)

    def shown(rows: np.ndarray, objective: float, step: int) -> Arrays:
        rows = rows.reshape(1, -1)
        error = metrics.squared_error(x, rows)
        return {
            "x_hat": shelf.as_images(rows)[0],
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
            send((shown(model.inverse_transform(code), float(objective[0]), steps), {}))

    result = model.search(x_in, on_step=on_step)
    last = shown(model.decoded(result), float(result.objective[0]), int(result.n_iter[0]))
    return last, {"reason": str(result.reason[0])}


def _noisy_tests(shelf: Shelf, kind: str, level: float, x: np.ndarray) -> np.ndarray:
    """The noisy version of the test images x, for all models: computed once, if they are not too large."""
    draw = partial(noise.apply, noise.part_of(kind, level, shelf), x, shelf.shape, 0)
    small = x.size * len(noise.kinds(shelf.shape)[kind]["marks"]) <= MOST_AHEAD
    return shelf.once(draw, "noisy", kind, level) if small else draw()


def errors(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"level", "mse", "low", "high"}, each (l,): the error of `model` on test images at the marked levels of `kind`.

    low, high: the 95 % interval. "each", (l, n): every image's error, to compare models image by image. The noise is
    the test noise of studies.
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
            rows.append((level, estimate.value, *(metrics.possible(estimate.ci95) or (estimate.value, estimate.value))))
            each.append(error.astype(np.float32))
        columns = zip(("level", "mse", "low", "high"), np.array(rows, np.float64).T.copy(), strict=True)
        return {**dict(columns), "each": np.array(each)}

    return shelf.once(compute, "errors", name, kind), {}


def hardest(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"which", "mse": (n,), "noisy", "x_hat": (n, c, h, w)}: the `n` test images with the most error by `model`.

    The largest error first; which: their positions, among the images that `errors` measures, with the noise of the
    query's kind, level and draw.
    """
    model, known = shelf.model(query.text("model")), shelf.test_images().take(slice(0, N_MEASURED))
    n = min(query.integer("n", 1, MOST_HARDEST, 12), len(known))
    x = known.floats()
    x_in = noise.of_query(shelf, query, x)
    query.go_on()
    x_hat = reconstruct(model, x_in)
    error = metrics.squared_error(x, x_hat)
    which = np.argsort(-error, kind="stable")[:n]
    return {
        "which": which.astype(np.int32),
        "mse": error[which],
        "noisy": shelf.as_images(x_in[which]),
        "x_hat": shelf.as_images(x_hat[which]),
    }, {}


def _shape(shelf: Shelf, query: Query) -> Shape:
    """The shape of the image of a question: of models of patches, `rows` and `columns` may say that it is larger."""
    c, h, w = shelf.shape
    if not shelf.whole:
        return shelf.shape
    rows, columns = query.integer("rows", h, 1 << 16, h), query.integer("columns", w, 1 << 16, w)
    most = 2 * uploads.MOST_WHOLE
    require(rows * columns <= most, "rows × columns", f"at most {most:,}", rows * columns)
    return c, rows, columns
