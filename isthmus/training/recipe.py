"""What a recipe chooses where a fit says nothing: the network, and its training by the samples. No torch here.

What was measured for a kind of network is that part's to say (`parts.networks`).
"""

from __future__ import annotations

import math
from typing import Any

from isthmus.errors import counted
from isthmus.parts import CodePart, Dense, Loss, NetworkPart, Part, Plain, Training
from isthmus.parts.networks import FEW

_WIDE = 256  # numbers in a denoiser's code, whatever its samples turn out to be
_STEPS = 850  # of 256 samples: after these a deep network is where 12,000 steps at a constant rate bring it
_NOISE = 0.75  # by this power of 256 / batch size a batch of fewer takes more steps
_PENALIZED = 3  # times as many steps: a code becomes sparse slowly
_LEAST, _MOST = 16, 256  # samples in a batch; more of them would cost as much, and it is steps that bring a network on
_BATCHES = 40  # in an epoch, at least, where the samples are enough for that
_SELECTED = 0.2  # of few samples, to see whether the network is better than PCA; with the best weights kept
_WORTH_SELECTING = 20  # samples
_PATIENT = 10  # epochs, at least, without progress beyond PCA


def network_of(
    network: Part | None,
    recipe: str | None,
    *,
    penalty: Part | None = None,
    loss: Part | None = None,
    corruption: Part | None = None,
    code: Any = None,
) -> Any:
    """The network that is meant: the one that is said, and for None `Dense()`, or what a recipe has in its place.

    Where nothing is said of the activation of its code, it is the one that the code needs.

    That is a `denoiser` under a corruption, and else a `Dense()` which the penalty and the loss can be had from, and
    whose code is linear otherwise, so that the training can start at PCA's solution.

    >>> from isthmus.parts import L1
    >>> network_of(None, "fast"), network_of(None, "fast", penalty=L1(1e-3)), network_of(None, None)
    (Dense(code_activation='linear'), Dense(code_activation='relu'), Dense())
    """
    within = getattr(code, "within", lambda network: network)  # of what is no code, `parts` tells
    if network is None:
        network = Dense()
        if recipe is not None:
            activation = within(Dense(code_activation=None)).code_activation or code_activation(penalty)
            network = Dense(code_activation=activation, output=output_for(loss))
            if corruption is not None and penalty is None:
                network = denoiser(loss)
    return within(network)


def denoiser(loss: Part | None, width: int = _WIDE) -> Dense:
    """One wide layer: the noise is what is hard, and what a narrow code leaves out of an image may be more than it.

    On patches of photographs one wide layer had half the error of two narrower ones, and less than a PCA's.
    """
    return Dense((), width, activation="gelu", output=output_for(loss))


def code_activation(penalty: Any) -> str:
    """The activation that a penalty needs; without one no unit should ever die."""
    return penalty.code_activation if penalty else "linear"


def output_for(loss: Any) -> str:
    """The activation at the output: linear, which draws numbers of any size, unless the loss needs a sigmoid."""
    return "sigmoid" if loss and loss.bounded else "linear"


def code_of(code: Any, recipe: str | None, loss: type[Loss] | None) -> Any:
    """The code that is trained: under a recipe, noise is learned where neither the code nor the loss says what it is.

    So the unit of the data has no say in what a code says of them. loss: the kind that a name stands for; None for a
    part, which says.
    """
    if code is None:
        return Plain()
    learning = getattr(code, "learning_noise", None)  # of what is no code, `parts` tells
    return learning() if learning and recipe and loss and loss.is_squared else code


def completed(
    explicit: dict[str, Any],
    network: NetworkPart,
    penalty: Part | None,
    shape: tuple[int, int],
    corruption: Part | None = None,
    code: CodePart | None = None,
) -> Training:
    """The training on samples of this shape, (n, n_features): explicit arguments, and the rest by its recipe."""
    chosen = _fast(explicit, network, penalty, shape, corruption, code) if explicit.get("recipe") == "fast" else {}
    return Training(**{**chosen, **explicit})


def _fast(
    explicit: dict[str, Any],
    network: NetworkPart,
    penalty: Part | None,
    shape: tuple[int, int],
    corruption: Part | None,
    code: CodePart | None,
) -> dict[str, Any]:
    """One cycle of a high rate over few steps, from a start at which every unit can learn.

    One-cycle: Smith and Topin 2018. Fewer samples in a batch make noisier gradients, which takes more steps.
    """
    plain, n = Training(), shape[0]
    batch_size = explicit.get("batch_size") or _batch_size(penalty, n)
    code = Plain() if code is None else code
    times = max(network.recipe_steps, code.recipe_steps, 1 if penalty is None else _PENALIZED)
    n_steps = times * _STEPS * (_MOST / batch_size) ** _NOISE
    cyclic = "schedule" not in explicit or explicit["schedule"] == "one-cycle"
    adaptive = explicit.get("optimizer", plain.optimizer) != "sgd"
    rate = highest_rate(network, penalty, shape, corruption)
    epochs = min(code.recipe_passes, max(1, round(n_steps / math.ceil(n / batch_size))))
    start = fitted_start(network, penalty, corruption, few=n < FEW and code.is_plain)
    chosen = {
        "batch_size": batch_size,
        "epochs": epochs,
        "schedule": "one-cycle",
        "learning_rate": rate if cyclic and adaptive else plain.learning_rate,
        "start": start,
        "standardize": True,
    }
    if explicit.get("start", start) == "pca" and n >= _WORTH_SELECTING:
        passes = explicit.get("epochs") or epochs
        # Few samples teach a network little that is true of others, so some of them say when it is better than PCA. On
        # all data that were tried it became so in the first epochs, or not at all; a denoiser, which does not begin
        # there, when its rate has fallen.
        patience = passes if corruption is not None else min(passes, max(_PATIENT, passes // 4))
        chosen |= {"validation_fraction": _SELECTED, "patience": patience}
    elif held_out := code.recipe_held_out(n):
        chosen |= {"validation_fraction": held_out, "patience": explicit.get("epochs") or epochs}
    return chosen


def highest_rate(network: NetworkPart, penalty: Part | None, shape: tuple[int, int], corruption: Part | None) -> float:
    """The peak of a cycle. Each layer adds to how much a step changes x_hat, so it falls with the root of the depth."""
    return network.recipe_rate(shape, penalty, corruption) * math.sqrt(2 / network.depth)


def fitted_start(network: NetworkPart, penalty: Part | None, corruption: Part | None, *, few: bool) -> str:
    """The start: at PCA's solution where samples are few, and the network can have it.

    few: so few that PCA knows more of them than a network learns from a start as drawn.
    """
    if few and penalty is None and network.n_components(corrupted=corruption is not None):
        return "pca"
    return network.recipe_start(penalty)


def _batch_size(penalty: Any, n: int) -> int:
    if penalty is not None and penalty.per == "batch":  # whose strength is the batch size: not the recipe's to choose
        return Training().batch_size
    return min(_MOST, max(_LEAST, 2 ** round(math.log2(n / _BATCHES))))


# What a start is called behind a training's words.
STARTED = {"data": ", scaled to the data at the start", "pca": ", from PCA's solution", "random": ""}


def described(training: Training) -> str:
    """A training in words, for those who did not choose it."""
    passes, rate = counted(training.epochs, "epoch"), f"{training.schedule} {training.learning_rate:.2g}"
    words = f"{passes} in batches of {training.batch_size}, {rate}"
    return words + STARTED[training.start]
