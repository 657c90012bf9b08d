"""Answers on codes: of one image, of each unit, and of the space of codes."""

from __future__ import annotations

import numpy as np

from isthmus import metrics
from isthmus.analysis import probe
from isthmus.data.images import Images
from isthmus.errors import RequestError
from isthmus.estimators.adapters import encode, reconstruct
from isthmus.explore.answers import noise, units, wire
from isthmus.explore.answers.overview import n_units
from isthmus.explore.answers.wire import Answer, Query
from isthmus.explore.shelf import Shelf
from isthmus.studies.results.measure import has_prior

MOST_CODES = 64  # in one question
N_MAP = {"pca": 3000, "tsne": 1000}  # test images on a map


def code(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"noisy": (c, h, w), "code": (k,)} of `model`, and of a convolutional one its maps, "layer 1", ...: (n, h, w)."""
    model = shelf.with_code(query.text("model"))
    x = wire.pixels(body, 1, shelf.n_features)
    x_in = noise.of_query(shelf, query, x)
    code_of_x = np.asarray(model.transform(x_in), np.float32)
    arrays = {"noisy": shelf.as_images(x_in)[0], "code": code_of_x[0]}
    layers = probe.activation_maps(model, Images(shelf.as_images(x)), x_in)
    return arrays | {name: maps[0] for name, maps in layers.items() if name}, {}


def decoded(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x_hat": (n, c, h, w)}: `n` codes of float32, decoded by `model`."""
    model = shelf.with_code(query.text("model"))
    codes = wire.numbers(body, query.integer("n", 1, MOST_CODES, 1), n_units(model), "numbers of a code")
    if not np.isfinite(codes).all() or np.abs(codes).max() > 1e6:
        raise RequestError("a code's numbers must be finite, and at most a million")
    return {"x_hat": shelf.as_images(model.inverse_transform(codes))}, {}


def surveyed_units(shelf: Shelf, name: str) -> units.Units:
    """The statistics of a model's units over the test images, computed once."""
    model = shelf.with_code(name)
    known = shelf.test_images()
    return shelf.once(lambda: units.survey(model, known, go_on=shelf.go_on), "units", name)


def all_units(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"usage", "low", "high", "spread"}, each (k,): the units of `model` over the test images.

    "nats" too, of a code with a prior: what each unit tells of an image, on average.
    """
    name = query.text("model")
    surveyed, model = surveyed_units(shelf, name), shelf.model(name)
    arrays = {name: getattr(surveyed, name).astype(np.float32) for name in ("usage", "low", "high", "spread")}
    nats = shelf.once(lambda: probe.unit_nats(model, shelf.test_images()), "nats", name)
    return arrays | ({} if nats is None else {"nats": nats}), {"n": str(surveyed.n)}


def sampled(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"x_hat": (n, c, h, w)}: `n` codes of the prior, decoded by `model`; the same for the same `draw`."""
    name, n = query.text("model"), query.integer("n", 1, MOST_CODES, 1)
    draw = query.integer("draw", 0, noise.MOST_DRAWS, 0)
    model = shelf.with_code(name)
    if not has_prior(model):
        raise RequestError(f"{name} has no prior to sample from; choose a model with a Gaussian code")
    return {"x_hat": shelf.as_images(model.sample(n, random_state=draw))}, {}


def one_unit(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"filter", "atom"} of one `unit`, where weights say it, {"top", "top_code": (m,), "pixels": (m, c, h, w)}."""
    name = query.text("model")
    model = shelf.with_code(name)
    size = n_units(model)
    unit = query.integer("unit", 0, size - 1)
    arrays = units.pictures(model, unit, size, shelf.shape)
    arrays = {key: np.ascontiguousarray(value, np.float32) for key, value in arrays.items()}
    if shelf.images is not None:
        surveyed = surveyed_units(shelf, name)
        arrays["top"], arrays["top_code"] = surveyed.top[unit], surveyed.top_code[unit]
        arrays["pixels"] = np.ascontiguousarray(shelf.images.pixels[surveyed.top[unit]])
    return arrays, {}


def _codes(shelf: Shelf, name: str, n: int) -> np.ndarray:
    known = shelf.test_images()
    return encode(shelf.with_code(name), known.take(slice(0, n)))


def code_map(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"points": (n, 2)} for the first n test images by `method`; of a "pca" its "centre", "axes" and "share" too."""
    name, method = query.text("model"), query.text("method", "pca")
    if method not in N_MAP:
        raise RequestError(f'method must be "pca" or "tsne", got {method[:40]!r}')
    n = N_MAP[method]

    def compute() -> wire.Arrays:
        codes = _codes(shelf, name, n)
        if method == "tsne":
            return units.neighbours(codes)
        plane = units.plane(codes)
        # of another epoch: turned so that the map moves no more than the codes do
        return plane if shelf.latest is shelf else units.turned(plane, code_map(shelf.latest, query, body)[0]["points"])

    return shelf.once(compute, "map", name, method), {}


def between(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """{"pixels", "x_hat"}, each (steps, c, h, w): from one image of the body to the other, blended, and by `model`."""
    name, steps = query.text("model"), query.integer("steps", 2, 33, 9)
    pair = Images(shelf.as_images(wire.pixels(body, 2, shelf.n_features)))
    # named by what they are: of a long code with a prior it is "model (sphere)"
    pixels, x_hat = probe.interpolation({"model": shelf.with_code(name)}, pair, steps).values()
    return {"pixels": shelf.as_images(pixels), "x_hat": shelf.as_images(x_hat)}, {}


def code_noise(shelf: Shelf, query: Query, body: bytes) -> Answer:
    """Gaussian noise of one `level` σ on the image, and σ × its spread on each number of `model`'s code.

    {"noisy", "from_noisy", "from_code"}, each (c, h, w), {"mse": (2,)} of the last two.
    """
    name, level = query.text("model"), query.number("level", 0, 10, 0.0)
    draw = query.integer("draw", 0, noise.MOST_DRAWS, 0)
    model, x = shelf.with_code(name), wire.pixels(body, 1, shelf.n_features)
    x_in = noise.apply(noise.part_of("gaussian", level), x, shelf.shape, draw)
    spread = surveyed_units(shelf, name).spread
    rows = probe.latent_noise(model, Images(shelf.as_images(x)), (level,), relative_to=spread, seed=draw)
    *_, from_code = rows.values()
    from_noisy = reconstruct(model, x_in)
    error = metrics.squared_error(np.repeat(x, 2, axis=0), np.concatenate([from_noisy, from_code.reshape(1, -1)]))
    return {
        "noisy": shelf.as_images(x_in)[0],
        "from_noisy": shelf.as_images(from_noisy)[0],
        "from_code": shelf.as_images(from_code)[0],
        "mse": error,
    }, {}
