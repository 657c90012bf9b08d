"""What a recipe chooses of a fit that is not said: the network, and its training by the samples. No torch here.

The constants were found with MNIST's training and validation images, on networks of two to seven layers.
"""

from __future__ import annotations

import math
from typing import Any

from isthmus.errors import counted
from isthmus.parts import L1, Conv, Dense, NetworkPart, Part, Training

_STEPS = 850  # of 256 samples: after these a deep network is where 12,000 steps at a constant rate bring it
_NOISE = 0.75  # by this power of 256 / batch size a batch of fewer takes more steps
_RATE = 0.01  # the peak of a cycle of Adam for two layers
_WIDE = 784  # numbers in a sample, up to which that rate is right
_RATE_OF_CONVOLUTIONS = 0.025  # whose weights are few and each the mean of many places: a step changes x_hat less
_PENALIZED = 3  # times as many steps: a code becomes sparse slowly
_CONVOLVED = 2  # times as many steps for convolutions, which no rate made up for
_LEAST, _MOST = 16, 256  # samples in a batch; more of them would cost as much, and it is steps that bring a network on
_BATCHES = 40  # in an epoch, at least, where the samples are enough for that
_PASSES = 200  # over few samples, at most: after more, what is learned is theirs alone
FEW = 2000  # samples up to which PCA knows more of them than a network learns from a start as drawn
_SLOWEST = 0.25  # of the rate, for few samples
_SELECTED = 0.2  # of few samples, to see whether the network is better than PCA; with the best weights kept
_WORTH_SELECTING = 20  # samples
_PATIENT = 10  # epochs, at least, without progress beyond PCA
# (g(z) - g(-z)) / z, of the activations for which that is a constant: two units with opposite weights are a linear one
PAIRS = {"gelu": 1.0, "leakyrelu": 1.01, "linear": 2.0, "relu": 1.0, "silu": 1.0}


def network_of(
    network: Part | None, recipe: str | None, *, penalty: Part | None = None, loss: Part | None = None
) -> Any:
    """The network that is meant: the one that is said, and for None `Dense()`, or what a recipe has in its place.

    That is a `Dense()` which the penalty and the loss can be had from, and whose code is linear otherwise, so that the
    training can start at PCA's solution.

    >>> network_of(None, "fast"), network_of(None, "fast", penalty=L1(1e-3)), network_of(None, None)
    (Dense(code_activation='linear'), Dense(code_activation='relu'), Dense())
    """
    if network is not None or recipe is None:
        return Dense() if network is None else network
    return Dense(code_activation=code_activation(penalty), output=output_for(loss))


def code_activation(penalty: Any) -> str:
    """The activation that a penalty needs; without one no unit should ever die."""
    return penalty.code_activation if penalty else "linear"


def output_for(loss: Any) -> str:
    """The activation at the output: linear, which draws numbers of any size, unless the loss needs a sigmoid."""
    return "sigmoid" if loss and loss.bounded else "linear"


def completed(
    said: dict[str, Any],
    network: NetworkPart,
    penalty: Part | None,
    shape: tuple[int, int],
    corruption: Part | None = None,
) -> Training:
    """The training on samples of this shape, (n, n_features): what was said, and the rest as its recipe has it."""
    chosen = _fast(said, network, penalty, shape, corruption) if said.get("recipe") == "fast" else {}
    return Training(**{**chosen, **said})


def _fast(
    said: dict[str, Any], network: NetworkPart, penalty: Part | None, shape: tuple[int, int], corruption: Part | None
) -> dict[str, Any]:
    """One cycle of a high rate over few steps, from a start at which every unit can learn.

    One-cycle: Smith and Topin 2018. Fewer samples in a batch make noisier gradients, which takes more steps. Each layer
    adds to how much one step changes x_hat, so the rate falls with the root of the depth. So does each number that goes
    into a dense layer: a step of Adam moves all weights alike, and weights of samples that are wider are smaller. A
    denoiser learns few samples, which come often, by heart before a high rate has fallen: of 160 faces, digits
    or MNIST it had 5 to 12 % less error at a quarter of it. For few wide ones the lower of the two rates was best, not
    their product.
    """
    plain, (n, n_features) = Training(), shape
    batch_size = said.get("batch_size") or _batch_size(penalty, n)
    convolved = isinstance(network, Conv)
    times = max(_CONVOLVED if convolved else 1, 1 if penalty is None else _PENALIZED)
    n_steps = times * _STEPS * (_MOST / batch_size) ** _NOISE
    cyclic = "schedule" not in said or said["schedule"] == "one-cycle"
    adaptive = said.get("optimizer", plain.optimizer) != "sgd"
    denoises = isinstance(network, Dense) and penalty is None and corruption is not None
    few = max(_SLOWEST, math.sqrt(n / FEW)) if denoises else 1.0
    rate = _RATE_OF_CONVOLUTIONS if convolved else _RATE * min(1.0, math.sqrt(_WIDE / n_features), few)
    rate *= math.sqrt(2 / network.depth)
    epochs = min(_PASSES, max(1, round(n_steps / math.ceil(n / batch_size))))
    start = fitted_start(network, penalty, corruption, few=n < FEW)
    chosen = {
        "batch_size": batch_size,
        "epochs": epochs,
        "schedule": "one-cycle",
        "learning_rate": rate if cyclic and adaptive else plain.learning_rate,
        "start": start,
        "standardize": True,
    }
    if said.get("start", start) == "pca" and n >= _WORTH_SELECTING:
        passes = said.get("epochs") or epochs
        # Few samples teach a network little that is true of others, so some of them say when it is better than PCA. On
        # all data that were tried it became so in the first epochs, or not at all.
        chosen |= {"validation_fraction": _SELECTED, "patience": min(passes, max(_PATIENT, passes // 4))}
    return chosen


def fitted_start(network: Part, penalty: Part | None, corruption: Part | None, *, few: bool) -> str:
    """The start: at PCA's solution where samples are few, and the network can have it.

    A denoiser's is the data's: PCA's has as many components as units, the least of which are nearly all noise, and at
    the recipe's rate it does not learn from there.
    """
    free = penalty is None and corruption is None
    if few and free and isinstance(network, Dense) and n_components(network, corrupted=False):
        return "pca"
    return data_start(network, penalty)


def n_components(network: Dense, *, corrupted: bool) -> int:
    """How many components a network can start with at PCA's solution; 0 where it cannot.

    A code of pairs holds half as many components as numbers. So it is as good a start as PCA only under a corruption,
    where not the code's width but the noise limits PCA.
    """
    if network.code_output == "linear":
        k = network.bottleneck
    else:
        k = network.bottleneck // 2 if corrupted and network.code_output in PAIRS else 0
    down, up = network.widths(1)
    inner = (*down[1:-1], *up[1:-1])
    fits = not inner or (network.activation in PAIRS and min(inner) >= 2 * k)
    return k if fits and network.output == "linear" else 0


def data_start(network: Part, penalty: Part | None) -> str:
    """The start, "data" or "random".

    From weights as drawn, half of the units of a deep or convolutional ReLU code die, and with L1 up to all. Not of a
    wide code, which has units to spare: there L1 would have to undo what the data's start spreads over all.
    """
    if isinstance(network, Dense):
        narrow = network.bottleneck < min(network.hidden, default=0)
        return "data" if narrow or not isinstance(penalty, L1) else "random"
    return "data" if isinstance(network, Conv) else "random"


def _batch_size(penalty: Part | None, n: int) -> int:
    if getattr(penalty, "per", None) == "batch":  # whose strength is the batch size: not the recipe's to choose
        return Training().batch_size
    return min(_MOST, max(_LEAST, 2 ** round(math.log2(n / _BATCHES))))


# What a start is called behind a training's words.
STARTED = {"data": ", scaled to the data at the start", "pca": ", from PCA's solution", "random": ""}


def described(training: Training) -> str:
    """A training in words, for those who did not choose it."""
    passes, rate = counted(training.epochs, "epoch"), f"{training.schedule} {training.learning_rate:.2g}"
    words = f"{passes} in batches of {training.batch_size}, {rate}"
    return words + STARTED[training.start]
