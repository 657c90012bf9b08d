"""Collapse: a constant reconstruction, or a mostly dead code or image; with its likely cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.codes.gaussian import cause_of
from isthmus.data.images import Images
from isthmus.data.layouts import as_channels_first
from isthmus.decimals import error_text
from isthmus.estimators.adapters import adapter_of, chunks, reconstruct
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.metrics import Variation

# A reconstruction that varies less than this, as a share of how much the images vary, is one image for all. The first
# principal component alone has a tenth on handwritten digits; a collapsed network has rounding errors.
LEAST_VARIATION = 0.01
# An error this many times that of the mean image is of a model that is still on its way there: what a penalty or dead
# units made of it cannot be seen yet. One that has arrived has 1, with some pixels of a ReLU output dead a little more.
NOT_YET_THE_MEAN = 2.0
# Pixels that never change cost what they vary, for ever. The 18 at the edge of digits, which hardly do, have 0.004 of
# the variance; a ReLU output's dead ones had 0.03 to 0.15 on digits, where 0.3 to 0.9 was unexplained; 8 principal
# components leave 0.32. On MNIST they had 0.03 to 0.05 in networks that had learned all else, and left 0.06 to 0.19:
# worth a better output, no collapse.
MOST_FROZEN, MUCH_UNEXPLAINED = 0.05, 0.4
# No collapse, but what keeps such a model from getting better: a share of its error, and one of the images' variance
# above that of pixels which hardly vary.
FROZEN_OF_THE_ERROR, LEAST_FROZEN = 0.25, 0.01
# Sparse codes have units that no image needs, and healthy ones explain 0.6 and more with a half of them (digits, L1 of
# 0.001 to 0.01). Where a half is dead and a half unexplained, they died before they were used; but for narrow codes,
# which may leave that much for being narrow: 16 components explain 0.83 of digits, and 11 a half of MNIST.
# Where no penalty asks for zeros, a dead unit is a loss. Brightness alone is half of what faces differ in, so there one
# living unit of 32 left 0.47 of their variance, and all codes that were half dead 0.2 or more, where as many components
# leave 0.06. On digits those that left less had units to spare: with 31 of 128 alive, 0.06.
MOST_DEAD, MOST_UNEXPLAINED, UNEXPLAINED_WITHOUT_PENALTY, WIDE = 0.5, 0.5, 0.2, 32
# The mean of k images is off by 1/k of their variance on average, and where they differ in one way alone, by more than
# four times as much once in 20 draws.
OFF_THE_MEAN = 4
# Times the error of held-out images: of images of another kind a model leaves far more. One of the digit 0 left 9 to 14
# times as much of each other digit.
UNLIKE = 3.0
_DEAD_RELU = "a ReLU unit that is zero for every image gets no gradient, and never comes back"


@dataclass(frozen=True)
class Collapse:
    """what: what was seen. cause: why it is likely so. instead: what to change."""

    what: str
    cause: str
    instead: str

    def table(self) -> dict[str, str]:
        """As results.json has it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"collapsed: {self.what}; {self.cause}; {self.instead}"


def collapse(model: Any, X: Images | np.ndarray) -> Collapse | None:
    """How a fitted autoencoder has collapsed, judged on samples X, (n, n_features) or `Images`; None if it has not.

    Of a pipeline the last step is judged. Models other than autoencoders (such as PCA) cannot collapse: None.

    >>> import numpy as np
    >>> from isthmus import L1, Autoencoder, Dense
    >>> X = np.random.default_rng(0).random((256, 6), np.float32)
    >>> model = Autoencoder(Dense(bottleneck=3), penalty=L1(100), epochs=100, learning_rate=0.01, random_state=0)
    >>> collapse(model.fit(X), X).what
    'all 3 units of its code are zero for every image'
    """
    judged = judged_of(model)
    if judged is None:
        return None
    if len(X) == 0:
        return None  # nothing was seen of it
    variation, varied, squares = Variation(), Variation(), 0.0
    on = np.zeros(judged.network_.code_size, bool)
    for x, flat in in_chunks(X, judged):
        x_hat = reconstruct(model, x)
        variation.add(flat)
        varied.add(x_hat)
        squares += float(metrics.squared_error(flat, x_hat).sum()) * flat.shape[1]
        on |= metrics.active(model.transform(x)).any(axis=0)
    n_dead = int((~on).sum())
    if not variation.value:
        return diagnose(model, n_dead, None)
    unexplained = squares / variation.n / variation.value
    return diagnose(model, n_dead, varied.value / variation.value, unexplained, variation.frozen(varied))


def worse_than_mean(model: Any, X: Images | np.ndarray, held_out: float | None = None) -> str | None:
    """A sentence if a fitted model reconstructs X worse than X's mean image, by more than chance; None if not.

    It need not have collapsed. X: clean samples, as for `collapse`, of any model that reconstructs. The mean image is
    allowed what the mean of other images costs: of as many as the model was fitted on, or as there are, if fewer.
    held_out: the MSE of images that were held out of the fit, if known: images of which it is far more are unlike them.
    """
    judged, total = judged_of(model), Variation()
    for _, flat in in_chunks(X, judged):
        total.add(flat)
    if not total.value:
        return None
    groups = X.photographs if isinstance(X, Images) else np.arange(total.n)
    n, n_fitted = len(np.unique(groups)), getattr(judged, "input_", {}).get("n_samples", total.n)
    if n < 2:
        return None
    errors = [
        (metrics.squared_error(flat, reconstruct(model, x)), metrics.squared_error(flat, total.sum / total.n))
        for x, flat in in_chunks(X, judged)
    ]
    of_model, of_mean = (np.concatenate(parts) for parts in zip(*errors, strict=True))
    allowed = n / (n - 1) * (1 + OFF_THE_MEAN / min(n - 1, n_fitted))
    excess = metrics.mean_of(of_model - allowed * of_mean, groups)
    if excess.ci95 is None or not excess.ci95[0] > 0:
        return None
    times = of_model.mean() / of_mean.mean()
    return (
        f"worse than the mean image: its error is {times:.2f} times that of the mean of these images; "
        + _what_is_unlike(model, X, of_model.mean(), of_mean.mean(), held_out)
    )


def _what_is_unlike(model: Any, X: Any, of_model: float, of_mean: float, held_out: float | None) -> str:
    """Why images may be worse than their mean: they, or the model. of_model, of_mean: the errors."""
    judged = judged_of(model)
    ends = [(flat.min(), flat.max()) for _, flat in in_chunks(X, judged)]
    extent = (float(min(low for low, _ in ends)), float(max(high for _, high in ends)))
    known = getattr(model, "input_", {})  # not of what is in a pipeline, whose numbers are others
    low, high = (float(known.get(name, end)) for name, end in zip(("minimum", "maximum"), extent, strict=True))
    black_and_white = (low + high + sum(extent)) / 2  # exact also where neither has all of the range
    n, inverted = 0, 0.0
    for x, flat in in_chunks(X, judged):
        x_hat = reconstruct(model, np.subtract(black_and_white, x))
        inverted += float(metrics.squared_error(black_and_white - flat, x_hat).sum())
        n += len(flat)
    if inverted / n < of_mean:
        errors = f"the error is {error_text(inverted / n)} in place of {error_text(of_model)}"
        return f"they look inverted: as {black_and_white:.3g} - x {errors}; invert them, or fit a model on such images"
    range_words = f"in the range of those that it was fitted on: they lie in {extent[0]:.3g} to {extent[1]:.3g}"
    if known:
        range_words = f"{range_words}, those in {low:.3g} to {high:.3g}"
    if held_out is not None and of_model > UNLIKE * held_out:
        same_range = max(abs(extent[0] - low), abs(extent[1] - high)) <= 0.1 * (high - low)
        way = "fit a model on images like them" if same_range else f"look whether they are {range_words}"
        left = f"of which it left {error_text(held_out)} of some that were held out"
        return f"they are unlike those that it was fitted on, {left}; {way}"
    longer = "" if judged is None else "train longer or with another learning rate, and "
    return f"{longer}look whether they are {range_words}"


def in_chunks(X: Any, model: Autoencoder | None) -> Iterator[tuple[Any, np.ndarray]]:
    """Chunks of samples: as a model takes them, and as rows."""
    rows: Any = getattr(X, "iloc", X)  # of a data frame, whose columns' names the model asks for
    for which in chunks(len(X)):
        x = X.floats(which) if isinstance(X, Images) else rows[which]
        yield x, _flat(x, model)


def judged_of(model: Any) -> Autoencoder | None:
    """The autoencoder that makes a model's code, if one does."""
    last = adapter_of(model).last
    return last.trained if last.has_code else None


def _flat(x: Any, model: Autoencoder | None) -> np.ndarray:
    """Samples as rows, in the order of the model's reconstructions."""
    array = np.asarray(x)
    images = as_channels_first(array, getattr(model, "image_shape_", None)) if array.ndim in (3, 4) else array
    return images.reshape(len(array), -1)


def diagnose(
    model: Any,
    dead_units: int | None,
    share: float | None,
    unexplained: float | None = None,
    frozen: float = 0.0,
    *,
    clean: bool = True,
) -> Collapse | None:
    """What `collapse` says, from what was measured.

    dead_units: units that are zero for every image. share: the variation of the reconstructions over the images'.
    unexplained: the mean squared error over that of the images' mean. frozen: the share of the images' variation in
    pixels that are reconstructed the same for every image. clean: whether the images were shown as they are: of noisy
    ones the best model may leave much unexplained.
    """
    model = judged_of(model)
    if model is None:
        return None
    if symptoms := model.network_.code.collapse():
        return Collapse(*symptoms)
    n_units = model.network_.code_size
    if n_units and dead_units == n_units:
        many = f"all {n_units} units of its code are" if n_units > 1 else "the one unit of its code is"
        return Collapse(f"{many} zero for every image", *_cause(model, dead_units))
    if share is not None and share < LEAST_VARIATION:
        cause = _not_yet(model, unexplained) or _cause(model, dead_units)
        return Collapse("its reconstruction is the same for every image", *cause)
    lost = 0.0 if unexplained is None else unexplained
    if frozen >= MOST_FROZEN and lost >= MUCH_UNEXPLAINED:
        symptom = f"pixels with {frozen:.0%} of the images' variance are the same in every reconstruction"
        return Collapse(symptom, *_cause_of_frozen(model, dead_units))
    dead = dead_units is not None and n_units >= WIDE and dead_units >= MOST_DEAD * n_units
    if clean and dead and lost >= (MOST_UNEXPLAINED if _is_penalized(model) else UNEXPLAINED_WITHOUT_PENALTY):
        symptom = f"{dead_units} of {n_units} units of its code are zero for every image, and {lost:.0%} of the "
        return Collapse(f"{symptom}images' variance is unexplained", *_cause(model, dead_units))
    return None


def frozen_pixels(model: Autoencoder, unexplained: float | None, frozen: float) -> str | None:
    """The sentence for pixels that stay the same in every reconstruction and make much of the error; None if none do.

    unexplained, frozen: as for `diagnose`. Training on changes nothing about them.
    """
    if unexplained is None or frozen < max(LEAST_FROZEN, FROZEN_OF_THE_ERROR * unexplained):
        return None
    cause, instead = _cause_of_frozen(model, None)
    symptom = f"pixels with {frozen:.0%} of the images' variance are the same in every reconstruction"
    return f"{symptom}, {min(frozen / unexplained, 1):.0%} of the error: {cause}; {instead}"


def _cause_of_frozen(model: Autoencoder, dead_units: int | None) -> tuple[str, str]:
    output = model.network_.part.output
    if output == "relu":
        return _DEAD_RELU, 'take another output, "linear" or "sigmoid"'
    if output in ("sigmoid", "tanh"):
        return (
            f"a {output} that is saturated for every image has no gradient",
            'begin with start="data", or with a smaller learning rate, or take the output "linear"',
        )
    return _cause(model, dead_units)


def _not_yet(model: Autoencoder, unexplained: float | None) -> tuple[str, str] | None:
    """The cause of a model that has not come as far as the mean image; None if it has.

    A ReLU output whose pixels are dead has such errors too, and does not get better by training.
    """
    if unexplained is None or unexplained < NOT_YET_THE_MEAN or model.network_.part.output == "relu":
        return None
    return (
        f"training has not come as far as the mean image: its error is {unexplained:.1f} times that one's",
        "train longer, in smaller batches, or with a larger learning rate",
    )


def _is_penalized(model: Autoencoder) -> bool:
    penalty: Any = model.penalty
    return penalty is not None and penalty.weight > 0


def _cause(model: Autoencoder, dead_units: int | None) -> tuple[str, str]:
    penalty: Any = model.penalty
    network: Any = model.network_.part
    if model.network_.code_part.in_nats:
        return cause_of(model.network_.code)
    if _is_penalized(model) and penalty.per == "batch":
        as_sample = penalty.weight * model.training_.batch_size
        return (
            f"its penalty is summed over the batch, so that a weight of {penalty.weight:g} at a batch size of "
            f"{model.training_.batch_size} is {as_sample:g} for each sample, and a code of zeros costs least",
            'sum it over a sample, per="sample", or lower its weight',
        )
    if _is_penalized(model):
        return (
            f"its penalty of weight {penalty.weight:g} costs more than a better image gains",
            "lower its weight; a warmup helps only where it is not far too large",
        )
    dead_code = dead_units is not None and 2 * dead_units >= model.network_.code_size
    inner, code = getattr(network, "activation", None), model.network_.code_part.output(network)
    if network.output == "relu" or (dead_code and "relu" in (inner, code)):
        ways = ['"linear" for the code' if dead_code else '"linear" for the output', '"leakyrelu"']
        low, high = (getattr(model, "input_", {}).get(name, other) for name, other in (("minimum", 0), ("maximum", 1)))
        if network.output == "relu" and low >= 0 and high <= 1:
            ways.insert(1, '"sigmoid" for the output')
        # where some units are left, they may still learn
        longer = ", longer training" if dead_units is not None and dead_units < model.network_.code_size else ""
        return (
            _DEAD_RELU,
            f"take another activation there ({', '.join(ways)}), more units{longer}, a smaller learning rate, "
            "or another seed",
        )
    return "training has not got away from the mean image", "train longer, or with another learning rate or seed"
