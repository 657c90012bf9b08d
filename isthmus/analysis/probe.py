"""What a fitted model knows, as named arrays, which figures then plot.

Images are (n, c, h, w). A model is an `Autoencoder`, a PCA, the identity, or a pipeline that ends in one of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from isthmus import metrics
from isthmus.data.images import Images
from isthmus.errors import RequestError, one_of, require
from isthmus.estimators.adapters import adapter_of, chunks, encode, reconstruct
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import infer
from isthmus.networks import Code
from isthmus.rng import numpy_generator

SIDES = ("encoder", "decoder")
_MANY = 10  # numbers in a code: of fewer the normal distribution has its mass near the middle too
_STRAIGHT = 1e-3


def reconstructions(models: dict[str, Any], images: Images, x_in: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Images in and out: "original", "input" if x_in is given, and one entry for each model.

    x_in: (n, n_features), what the models are given in place of the images.
    """
    x = images.floats()
    shape = (len(images), *images.shape)
    rows = {"original": x.reshape(shape)}
    if x_in is not None:
        rows["input"] = x_in.reshape(shape)
    given = x if x_in is None else x_in
    return rows | {name: reconstruct(model, given).reshape(shape) for name, model in models.items()}


def code_scatter(model: Any, images: Images) -> dict[str, np.ndarray]:
    """{"code": (n, 2), "labels": (n,)}: the first two numbers of each image's code, and what the image is."""
    code = encode(model, images)
    if code.shape[1] < 2:
        raise RequestError(f"a scatter needs codes of at least 2 numbers, got {code.shape[1]}")
    labels = np.zeros(len(images), np.int64) if images.labels is None else images.labels
    return {"code": code[:, :2], "labels": labels}


def uniform_noise(n: int, shape: tuple[int, int, int], seed: int = 0) -> Images:
    """n images whose pixels are independent and uniform on [0, 1]: nothing that a model was trained on."""
    pixels = numpy_generator(seed, "noise").random((n, *shape), np.float32)
    return Images(pixels, source="uniform noise")


# --- weights as images ---


def filters(model: Any, shape: tuple[int, int, int], side: str = "encoder", channel: int = 0) -> dict[str, np.ndarray]:
    """Weights as images, (n, c, h, w), by the name of their layer.

    Dense: what each unit of the encoder's first layer looks for, or what each unit before the decoder's last layer
    produces, in the data's units; "" is the one layer. A PCA's components are both. Convolutional: the kernels of
    each layer that belong to one channel, (n, 1, k, k): an input channel of a convolution, an output channel of a
    transposed one.
    Raises RequestError for a model without weights, and for a channel that a layer does not have.
    """
    one_of("side", side, SIDES)
    first = adapter_of(model).first  # of a model of another's codes: what sees the image
    if first.components is not None:
        return {"": first.components.reshape(-1, *shape)}
    network = first.network
    if network is None:
        raise RequestError(f"a {type(first.model).__name__} has no filters")
    if kernels := network.kernels(side):
        for name, weight in kernels.items():
            require(
                0 <= channel < weight.shape[1],
                "channel",
                f"at least 0 and below {weight.shape[1]}, what {side} {name} has",
                channel,
            )
        return {name: weight[:, channel, None].detach().cpu().numpy() for name, weight in kernels.items()}
    rows = network.rows(side)
    if rows is None:
        raise RequestError(f"a network of kind {network.part.kind} has no filters")
    return {"": rows.detach().cpu().numpy().reshape(-1, *shape)}


def usage(model: Any, images: Images) -> np.ndarray:
    """The share of the images for which each unit of the code is on, (code_size,): 0 is a dead unit."""
    counts = [metrics.active(model.transform(images.floats(which))).sum(axis=0) for which in chunks(len(images))]
    return np.sum(counts, axis=0) / len(images)


def atoms_by_usage(model: Any, images: Images, n: int = 64) -> dict[str, np.ndarray]:
    """The atoms of the (at most) n units that are on most often: {"atoms": (n, c, h, w), "usage": (n,), "unit": (n,)}.

    Ties go to the unit that is on more strongly. Raises RequestError for a decoder of several layers, which has none.
    """
    if not has_atoms(model):
        raise RequestError("atoms are the rows of a decoder of one linear layer; this decoder has more")
    code = np.abs(encode(model, images))
    on, strength = metrics.active(code).mean(axis=0), code.mean(axis=0)
    order = np.lexsort((-strength, -on))[:n]
    order = order[on[order] > 0] if on.any() else order[:1]  # a dead unit has no effect
    return {"atoms": filters(model, images.shape, "decoder")[""][order], "usage": on[order], "unit": order}


def has_atoms(model: Any) -> bool:
    """Whether the decoder is one linear layer, whose rows are atoms."""
    adapter = adapter_of(model)
    return adapter.components is not None or (adapter.network is not None and adapter.network.is_one_layer("decoder"))


def top_atoms(model: Any, x_in: np.ndarray, shape: tuple[int, int, int], n: int = 5) -> dict[str, np.ndarray]:
    """For each sample, (n_samples, n_features), the n atoms with the largest |code|, largest first.

    {"atoms": (n_samples, n, c, h, w), each times its code; "code": (n_samples, n); "unit": (n_samples, n)}. Raises
    RequestError for a decoder of several layers.
    """
    if not has_atoms(model):
        raise RequestError("atoms are the rows of a decoder of one linear layer; this decoder has more")
    code = np.asarray(model.transform(x_in))
    unit = np.argsort(-np.abs(code), axis=1, kind="stable")[:, :n]
    chosen = np.take_along_axis(code, unit, axis=1)
    atoms = filters(model, shape, "decoder")[""][unit]
    return {"atoms": atoms * chosen[:, :, None, None, None], "code": chosen, "unit": unit}


# --- codes as images ---


def activation_maps(model: Any, images: Images, x_in: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Activations as pictures, (n_images, n_maps, h, w), by layer. x_in: (n, n_features), in place of the images.

    Convolutional: the maps that each layer of the encoder gives. Any other: the code as one picture, as near to a
    square as its size allows, filled up with NaN.
    """
    network = adapter_of(model).network
    if network is not None and network.code_shape is not None:
        return _feature_maps(model, images.floats() if x_in is None else x_in)
    code = encode(model, images) if x_in is None else model.transform(x_in)
    n, size = code.shape
    columns = math.ceil(math.sqrt(size))
    rows = math.ceil(size / columns)
    page = np.full((n, rows * columns), np.nan, np.float32)
    page[:, :size] = code
    return {"": page.reshape(n, 1, rows, columns)}


def _feature_maps(model: Autoencoder, x_in: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        maps = model.network_.maps(torch.tensor(x_in).to(model.device_))
        return {name: values.cpu().numpy() for name, values in maps.items()}


def code_spread(model: Any, images: Images) -> np.ndarray:
    """The standard deviation of each number of the code over images, (code_size,)."""
    return encode(model, images).std(axis=0)


def latent_noise(
    model: Any,
    images: Images,
    levels: tuple[float, ...],
    *,
    relative_to: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Decoded codes with Gaussian noise on them: "original", "reconstruction", then one entry for each level.

    levels: standard deviations, in the code's units; with relative_to, (code_size,), in units of these. The draws are
    the same at each level, times the level. The decoder reads the code alone. Raises RequestError for levels that are
    no standard deviations, and for a spread of another code.
    """
    code = encode(model, images)
    for level in levels:
        require(0 <= level < math.inf, "each of levels", "a finite number of at least 0", level)
    if relative_to is not None:
        rule = f"one number for each of the code's {code.shape[1]}"
        require(np.shape(relative_to) == code.shape[1:], "the shape of relative_to", rule, np.shape(relative_to))
    noise = numpy_generator(seed, "latent").standard_normal(code.shape).astype(code.dtype)
    unit = 1 if relative_to is None else relative_to.astype(code.dtype)
    shape = (len(images), *images.shape)

    def decoded(z: np.ndarray) -> np.ndarray:
        return np.asarray(model.inverse_transform(z)).reshape(shape)

    rows = {"original": images.floats().reshape(shape), "reconstruction": decoded(code)}
    times = "" if relative_to is None else " × spread"
    return rows | {f"code + {level:g}{times}": decoded(code + level * unit * noise) for level in levels}


def unit_nats(model: Any, images: Images) -> np.ndarray | None:
    """KL(code of an image ‖ prior) of each unit in nats, averaged over the images, (k,); None without a prior."""
    code = getattr(getattr(model, "network_", None), "code", None)
    if code is None or type(code).divergence is Code.divergence:
        return None
    sums = np.zeros(model.network_.code_size)
    for which in chunks(len(images)):
        nats = infer(model, images.floats(which), lambda network, x: network.code.divergence(network.encode(x)))
        sums += nats.sum(axis=0)
    return sums / len(images)


def traversals(
    model: Any, image: Images, among: Images, n: int = 8, steps: int = 7, reach: float = 3.0
) -> dict[str, np.ndarray]:
    """What becomes of an image when one unit of its code is moved, by the unit: (steps, c, h, w) each.

    Of codes with a prior these are the n units that tell most of the images `among`, in nats, and they are moved from
    -reach to reach of the prior's standard deviations. Of other codes they are those of the widest spread over these
    images, and are moved by as many of its standard deviations to each side of its mean.
    """
    require(steps >= 2, "steps", "at least 2", steps)
    code, nats, rows = encode(model, image)[:1], unit_nats(model, among), dict[str, np.ndarray]()
    centre, spread = np.zeros(code.shape[1]), np.ones(code.shape[1])
    if nats is None:
        codes = encode(model, among)
        centre, spread = codes.mean(axis=0), codes.std(axis=0)
    for unit in np.argsort(-(spread if nats is None else nats), kind="stable")[:n]:
        moved = np.repeat(code, steps, axis=0)
        moved[:, unit] = centre[unit] + np.linspace(-reach, reach, steps) * spread[unit]
        name = f"unit {unit}" if nats is None else f"unit {unit}, {nats[unit]:.2g} nats"
        rows[name] = np.asarray(model.inverse_transform(moved)).reshape(steps, *image.shape)
    return rows


def interpolation(models: dict[str, Any], images: Images, steps: int = 9) -> dict[str, np.ndarray]:
    """From the first image to the second in equal steps: "pixels" blends the images, each model decodes blended codes.

    Codes of many numbers and a normal prior lie near a sphere, and are blended along it (White 2016): "MODEL (sphere)".
    images: two. Each entry is (steps, c, h, w); the decoder reads the code alone.
    """
    require(len(images) == 2, "the number of images to interpolate between", "2", len(images))
    require(steps >= 1, "steps", "at least 1", steps)
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]

    def blend(pair: np.ndarray) -> np.ndarray:
        return (1 - share) * pair[:1] + share * pair[1:]

    rows = {"pixels": blend(images.floats())}
    for name, model in models.items():
        pair = encode(model, images)
        if len(pair[0]) >= _MANY and unit_nats(model, images) is not None:
            rows[f"{name} (sphere)"] = np.asarray(model.inverse_transform(_along_sphere(pair, share)))
        else:
            rows[name] = np.asarray(model.inverse_transform(blend(pair)))
    return {name: row.reshape(steps, *images.shape) for name, row in rows.items()}


def _along_sphere(pair: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Codes at these shares, (steps, 1), of the angle between two, (2, k)."""
    first, second = pair.astype(np.float64)
    cosine = first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), np.finfo(float).tiny)
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if math.sin(angle) < _STRAIGHT:  # the same direction, or none between opposite ones
        return (1 - share) * pair[:1] + share * pair[1:]
    weights = np.sin((1 - share) * angle), np.sin(share * angle)
    return np.asarray((weights[0] * first + weights[1] * second) / math.sin(angle), pair.dtype)


def nearest(models: dict[str, Any], images: Images, among: Images) -> dict[str, np.ndarray]:
    """For each image the one of `among` that is nearest by Euclidean distance: in pixels, and in each model's code.

    Raises RequestError if they are not of one shape.
    """
    require(among.shape == images.shape, "the images among which to look", f"of shape {images.shape}", among.shape)
    shape = (len(images), *images.shape)
    rows = {"original": images.floats().reshape(shape)}
    coders: dict[str, Any] = {"nearest in pixels": None}
    coders |= {f"nearest for {name}": model for name, model in models.items()}
    for name, model in coders.items():
        neighbours = among.take(_nearest(model, images, among))
        rows[name] = neighbours.floats().reshape(shape)
    return rows


def _nearest(model: Any, images: Images, among: Images) -> np.ndarray:
    """Positions in `among`, (n,). Chunk by chunk: no float copy of the set is made."""

    def code(x: np.ndarray) -> np.ndarray:
        return (x if model is None else np.asarray(model.transform(x))).astype(np.float64)

    wanted = code(images.floats())
    best, where = np.full(len(images), np.inf), np.zeros(len(images), np.int64)
    for which in chunks(len(among)):
        other = code(among.floats(which))
        distances = (other**2).sum(axis=1) - 2 * wanted @ other.T  # |a - b|² without the |a|² that all share
        nearer = distances.min(axis=1) < best
        where[nearer] = which.start + distances.argmin(axis=1)[nearer]
        best = np.minimum(best, distances.min(axis=1))
    return where
