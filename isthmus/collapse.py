"""Collapse: a model that draws one image whatever it is shown, or whose code is always zero. Named, with a cause."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.data.images import Images
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import chunks, last_step, reconstruct
from isthmus.estimators.layouts import as_channels_first
from isthmus.metrics import Variation
from isthmus.parts import L1

# A reconstruction that varies less than this, as a share of how much the images vary, is one image for all. The first
# principal component alone has a tenth on handwritten digits; a collapsed network has rounding errors.
LEAST_VARIATION = 0.01
# An error this many times that of the mean image is of a model that is still on its way there: what a penalty or dead
# units made of it cannot be seen yet. One that has arrived has 1, with some pixels of a ReLU output dead a little more.
NOT_YET_THE_MEAN = 2.0


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

    Of a pipeline its last step is judged. A model that is none, like a PCA, has no code that could collapse: None.

    >>> import numpy as np
    >>> from isthmus import L1, Autoencoder, Dense
    >>> X = np.random.default_rng(0).random((256, 6), np.float32)
    >>> model = Autoencoder(Dense(bottleneck=3), penalty=L1(10.0), epochs=30, learning_rate=0.01, random_state=0).fit(X)
    >>> collapse(model, X).what
    'all 3 units of its code are zero for every image'
    """
    if not isinstance(last_step(model), Autoencoder):
        return None
    if len(X) == 0:
        return None  # nothing was seen of it
    variation, own, squares = Variation(), Variation(), 0.0
    on = np.zeros(last_step(model).network_.code_size, bool)
    rows: Any = getattr(X, "iloc", X)  # of a data frame, whose columns' names the model asks for
    for which in chunks(len(X)):
        x = X.floats(which) if isinstance(X, Images) else rows[which]
        flat, x_hat = _flat(x, last_step(model)), reconstruct(model, x)
        variation.add(flat)
        own.add(x_hat)
        squares += float(metrics.squared_error(flat, x_hat).sum()) * flat.shape[1]
        on |= metrics.active(model.transform(x)).any(axis=0)
    if not variation.value:
        return diagnose(model, int((~on).sum()), None)
    return diagnose(model, int((~on).sum()), own.value / variation.value, squares / variation.n / variation.value)


def _flat(x: Any, model: Autoencoder) -> np.ndarray:
    """Samples as rows, in the order of the model's reconstructions."""
    array = np.asarray(x)
    images = as_channels_first(array, model.image_shape_) if array.ndim in (3, 4) else array
    return images.reshape(len(array), -1)


def diagnose(
    model: Any, dead_units: int | None, share: float | None, unexplained: float | None = None
) -> Collapse | None:
    """What `collapse` says, from what was measured.

    dead_units: units that are zero for every image. share: the variation of the reconstructions over the images'.
    unexplained: the mean squared error over that of the images' mean, for a likelier cause.
    """
    model = last_step(model)
    if not isinstance(model, Autoencoder):
        return None
    n_units = model.network_.code_size
    if n_units and dead_units == n_units:
        many = f"all {n_units} units of its code are" if n_units > 1 else "the one unit of its code is"
        return Collapse(f"{many} zero for every image", *_cause(model, dead_units))
    if share is not None and share < LEAST_VARIATION:
        cause = _not_yet(model, unexplained) or _cause(model, dead_units)
        return Collapse("its reconstruction is the same for every image", *cause)
    return None


def _not_yet(model: Autoencoder, unexplained: float | None) -> tuple[str, str] | None:
    """The cause of a model that has not come as far as the mean image; None if it has.

    A ReLU output whose pixels are dead has such errors too, and does not get better by training.
    """
    if unexplained is None or unexplained < NOT_YET_THE_MEAN or model.parts()[0].output == "relu":
        return None
    return (
        f"training has not come as far as the mean image: its error is {unexplained:.1f} times that one's",
        "train longer, in smaller batches, or with a larger learning rate",
    )


def _cause(model: Autoencoder, dead_units: int | None) -> tuple[str, str]:
    penalty: Any = model.penalty
    network: Any = model.parts()[0]
    if isinstance(penalty, L1) and penalty.weight > 0 and penalty.per == "batch":
        as_sample = penalty.weight * model.training_.batch_size
        return (
            f"its penalty is summed over the batch, so that a weight of {penalty.weight:g} at a batch size of "
            f"{model.training_.batch_size} is {as_sample:g} for each sample, and a code of zeros costs least",
            'sum it over a sample, per="sample", or lower its weight, or let it grow with warmup',
        )
    if penalty is not None and penalty.weight > 0:
        return (
            f"its penalty of weight {penalty.weight:g} costs more than a better image gains",
            "lower its weight, or let it grow with warmup",
        )
    dead_code = dead_units is not None and 2 * dead_units >= model.network_.code_size
    if network.output == "relu" or (dead_code and "relu" in (network.activation, network.code_activation)):
        return (
            "a ReLU unit that is zero for every image gets no gradient, and never comes back",
            'take another activation there ("linear" for the code, "sigmoid" for the output, "leakyrelu"), more units, '
            "a smaller learning rate, or another seed",
        )
    return "training has not got away from the mean image", "train longer, or with another learning rate or seed"
