"""The samples that an estimator is given: checked, held out, held against a range, described."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from isthmus.data.batches import Subset, at_a_time, evenly, fingerprint_of, floats, in_chunks, is_samples
from isthmus.data.collections.arrays import stacked
from isthmus.data.images import Images, is_8_bit
from isthmus.data.layouts import as_channels_first
from isthmus.data.splits import is_cut, split
from isthmus.data.stored.stored_samples import StoredSamples
from isthmus.errors import DataError, DoubtWarning, RequestError, require
from isthmus.metrics import active, l0, mean_activation
from isthmus.networks.standardization import SPREAD
from isthmus.rng import numpy_generator

FLOATS = (np.float32, np.float64)  # anything else becomes float32
_DOUBTED = 4096  # samples whose offset is looked at


def samples_of(estimator: Any, X: Any, *, reset: bool) -> tuple[Any, tuple[int, int, int] | None]:
    """`Images` and `Samples` as they are, arrays as (n, n_features) floats; and the image shape, if X has one.

    Arrays of images are (n, c, h, w), (n, h, w, c) or (n, h, w), as `layouts` tells them apart. reset: they are to be
    fitted, and `estimator` notes their shape and, as scikit-learn does, their features; else they are held against
    those that it was fitted on. Raises ValueError.
    """
    if isinstance(X, str | os.PathLike):
        raise RequestError(f"X must be numbers or Images, got the path {os.fspath(X)!r}; open_images(path) reads it")
    least, X = 2 if reset else 1, stacked(X, "X")
    # of a convolutional network that was fitted on flat samples, the network knows the shape
    holder = None if reset else getattr(estimator, "network_", None)
    expected = None if reset else getattr(estimator, "image_shape_", None) or getattr(holder, "shape", None)
    if expected is not None and isinstance(X, np.ndarray) and X.shape == expected[1:] and expected[1] > 1:
        raise RequestError(f"X is one image of {X.shape}, and several are taken; give X[None]")
    shape: tuple[int, int, int] | None
    if isinstance(X, Images):
        shape, n_features = X.shape, X.n_features
    elif is_samples(X):
        shape, n_features = expected, X.n_features
    elif getattr(X, "ndim", 2) in (3, 4):
        with checked(X):
            X = check_array(X, dtype=FLOATS, allow_nd=True, ensure_min_samples=least, estimator=estimator)
        wanted = getattr(estimator.part("network"), "image_shape", None) if reset else expected
        X = as_channels_first(X, wanted, fitted=not reset)
        shape = X.shape[1:]
        X = X.reshape(len(X), -1)
        n_features = X.shape[1]
    else:
        with checked(X):
            X = validate_data(estimator, X, reset=reset, dtype=FLOATS, ensure_min_samples=least)
        if reset:
            estimator.image_shape_ = None
        return X, None
    if reset:
        require(len(X) >= least, "the number of samples to fit", "at least 2", len(X))
        estimator.n_features_in_, estimator.image_shape_ = n_features, shape
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    if not reset and (n_features != estimator.n_features_in_ or expected not in (None, shape)):
        name = type(estimator).__name__
        wanted = expected or f"{estimator.n_features_in_} features"
        has = f"{n_features} features" if shape is None or is_samples(X) else f"images of shape {shape}"
        raise ValueError(f"X has {has}, but {name} is expecting {wanted}")
    return X, shape


def _scale(samples: Any) -> int:
    return 255 if isinstance(samples, Images) and samples.pixels.dtype == np.uint8 else 1


def extremes(samples: Any) -> tuple[float, float]:
    """The least and the largest number of samples, as a network sees them."""
    if isinstance(samples, StoredSamples) and samples.scale is None:
        return samples.pixels.min(), samples.pixels.max()
    if is_samples(samples):
        # as numbers at once: small tensors, kept between large ones that are freed, would tear holes into the heap
        ends = np.array([[float(end) for end in torch.aminmax(x)] for x in in_chunks(samples)])
        return float(ends[:, 0].min()), float(ends[:, 1].max())
    pixels, scale = samples.pixels if isinstance(samples, Images) else samples, _scale(samples)
    return float(pixels.min()) / scale, float(pixels.max()) / scale


def samples_described(samples: Any, n_features: int) -> dict[str, Any]:
    """What a saved model tells of its training samples: how many, how large, their range as the network saw it."""
    low, high = extremes(samples)
    size = {"n_samples": len(samples), "n_features": n_features}
    return {**size, "minimum": low, "maximum": high, "sha256": fingerprint_of(samples)}


def code_described(code: np.ndarray) -> dict[str, Any]:
    """What a saved model tells of its codes: the mean activation, how many units are on, how many never are."""
    mean = float(mean_activation(code).mean())
    return {
        "n_samples": len(code),
        "mean_activation": mean if math.isfinite(mean) else None,
        "l0": float(l0(code).mean()),
        "dead_units": int((~active(code).any(axis=0)).sum()),
    }


def n_held_out(n: int, fraction: float) -> int:
    """How many of n samples `hold_out` takes away; of patches, about."""
    return max(1, round(n * fraction))


def hold_out(X: Any, fraction: float, seed: int) -> tuple[Any, Any, np.ndarray]:
    """(training samples, validation samples, where in X the former are): a random share, by the stream `split`.

    Of patches, whole photographs or regions are held out, so that no pixel is on both sides; see `data.splits`.
    """
    if isinstance(X, Images) and is_cut(X):
        train, held = split(X, (fraction,), seed)
        return X.take(train), X.take(held), train
    n_held = n_held_out(len(X), fraction)
    require(
        n_held < len(X), "validation_fraction", f"small enough to leave one of {len(X)} samples to train on", fraction
    )
    order = numpy_generator(seed, "split").permutation(len(X))
    held, train = np.sort(order[:n_held]), np.sort(order[n_held:])
    if is_samples(X):
        return Subset(X, train), Subset(X, held), train
    return (X.take(train), X.take(held), train) if isinstance(X, Images) else (X[train], X[held], train)


def joined(X: Any, other: Any) -> Any:
    """Samples, then others: both `Images`, or both arrays."""
    return X.followed_by(other) if isinstance(X, Images) else np.concatenate([X, other])


def in_range(samples: Any, network: Any, *, bounded: bool) -> None:
    """A sigmoid gives numbers in [0, 1], so that is where its targets must lie; `Images` do by construction.

    bounded: the loss needs a sigmoid.
    """
    if network.output != "sigmoid" or samples is None or isinstance(samples, Images):
        return
    low, high = extremes(samples)
    if low < 0 or high > 1:
        extreme = f"a maximum of {high:g}" if high > 1 else f"a minimum of {low:g}"
        scale = "divide by 255" if is_8_bit(low, high) else "scale them to [0, 1]"
        linear = "" if bounded else ' or use output="linear"'
        raise RequestError(f"pixels must lie in [0, 1] for a sigmoid output, got {extreme}; {scale}{linear}")


# Standard deviations: uniform numbers in [0, 1] are 1.7 from 0, photographs about 2, light pages 4 and more.
_FAR = 3.0


def offset_doubt(samples: Any, *, standardized: bool) -> str | None:
    """The sentence for samples that are all the same, or that all lie on one side of 0, far from it as seen from their
    spread, and are not standardized; None for others.

    What they have in common then outweighs in every unit what tells them apart.
    """
    if is_samples(samples):
        some = evenly(samples, at_a_time(_DOUBTED, samples.n_features)).cpu().numpy()
    else:
        array = samples.pixels if isinstance(samples, Images) else samples
        some = array[:: max(1, len(array) // at_a_time(_DOUBTED, math.prod(array.shape[1:])))]
    if len(some) > 1 and (some == some[:1]).all():
        return f"the samples are all the same ({len(some):,} were looked at), so there is nothing to learn from them"
    if standardized:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for training is told there
        mean, deviation = float(some.mean(dtype=np.float64)), float(some.std(dtype=np.float64))
    if not abs(mean) > _FAR * deviation:  # nor where it is not a number
        return None
    scale = _scale(samples)
    return (
        f"the samples' mean is {mean / scale:.3g} and their standard deviation {deviation / scale:.3g}: what they have "
        'in common outweighs what tells them apart; fit with standardize=True, or recipe="fast"'
    )


# Standard deviations of the training samples. What is farther on average is in other numbers, as 255 for white is where
# it was 1; what spans less, and is not all the same, is in fractions of white where it was 255. Two numbers of 8 bits
# that are neighbours are 0.013 apart.
_OTHER, _NOTHING = 20.0, 0.012
_LOOKED_AT = 256  # samples


def unit_doubt(network: Any, samples: Any) -> str | None:
    """The sentence for samples that are in other numbers than those that a network was fitted to; None for others.

    That is known of a network that standardizes: it has the median and the spread of those.
    """
    if network.standardization is None or not len(samples):
        return None
    some = slice(None, None, max(1, len(samples) // _LOOKED_AT))
    x = evenly(samples, _LOOKED_AT) if is_samples(samples) else floats(samples, some)
    offset, scale = network.ends[:2].to(x.device, torch.float64)
    deviations = (x.flatten(1).double() - offset).abs_().div_(SPREAD * scale)
    low, high, middle, spread = float(x.min()), float(x.max()), float(offset.median()), float(SPREAD * scale.median())
    if not (float(deviations.mean()) > _OTHER or 0 < high - low < _NOTHING * spread):
        return None
    return (
        f"the samples' numbers go from {low:.3g} to {high:.3g}, and those of the training lay about {middle:.3g}, with "
        f"a standard deviation of {spread:.2g}: they are in other units"
    )


def samples_for(model: Any, X: Any) -> tuple[Any, Any]:
    """`samples_of` what a fitted model is given; warn of such as are in other numbers than those of the training."""
    check_is_fitted(model)
    X, shape = samples_of(model, X, reset=False)
    if sentence := unit_doubt(model.network_, X):
        warnings.warn(sentence, DoubtWarning, stacklevel=3)  # at the line that calls the model
    return X, shape


_COMPARED = 64  # numbers of each validation sample, which are those that differ most


def known_doubt(samples: Any, validation: Any) -> str | None:
    """The sentence for validation samples most of which are trained on too; None for others."""
    if isinstance(samples, Images) and isinstance(validation, Images):
        samples, validation = samples.pixels, validation.pixels
    if not (isinstance(samples, np.ndarray) and isinstance(validation, np.ndarray)):
        return None
    some = validation[:: math.ceil(len(validation) / _LOOKED_AT)].reshape(-1, math.prod(validation.shape[1:]))
    columns = np.sort(np.argsort(some.std(axis=0, dtype=np.float64), kind="stable")[-_COMPARED:])
    rows = samples.reshape(len(samples), -1)
    known = {row.tobytes() for row in rows[:, columns].astype(some.dtype)}
    n = sum(row.tobytes() in known for row in some[:, columns])
    if 2 * n <= len(some):
        return None
    return (
        f"the validation samples are trained on too ({n:,} of the {len(some):,} that were looked at), so their loss is "
        "too good; give samples that are not in X, or set validation_fraction"
    )


_BEYOND = 1.0  # how far outside of [0, 1] samples are images in other units, and not such as a little noise has moved


def clip_doubt(corruption: Any, samples: Any) -> str | None:
    """The sentence for noise that is cut to [0, 1] on samples that lie far outside; None otherwise.

    What is cut off there is the image itself.
    """
    if corruption is None or isinstance(samples, Images) or not any(step.clips for step in corruption.steps):
        return None
    low, high = extremes(samples)
    if low >= -_BEYOND and high <= 1 + _BEYOND:
        return None
    return (
        f"the noisy samples are clipped to [0, 1], and the samples go from {low:.4g} to {high:.4g}: most is cut off; "
        "use clip=False, or scale them to [0, 1]"
    )


@contextlib.contextmanager
def checked(X: Any) -> Iterator[None]:
    """Where scikit-learn finds a number inside that is not finite, say in which sample it is."""
    try:
        yield
    except ValueError as error:
        spoilt = _spoilt(X) if "NaN" in str(error) or "infinity" in str(error) else None
        if spoilt is None:
            raise
        more = f", as do {spoilt[1] - 1} more" if spoilt[1] > 1 else ""
        raise DataError(f"sample {spoilt[0]} of X contains NaN or infinity{more}; remove or repair it") from error


def _spoilt(X: Any) -> tuple[int, int] | None:
    """The first sample that holds a number that is not finite, and how many do; None for what is no plain array."""
    try:
        array = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    wrong = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)) if array.ndim else array
    return (int(wrong[0]), len(wrong)) if wrong.size else None
