"""What is trained when little is said: a network and a training that suit the number and the size of the images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from isthmus.parts import BCE, KL, L1, NETWORKS, Conv, Dense, Dictionary, Part, Training

Shape = tuple[int, int, int]

_LARGE = 4096  # numbers in an image from which on convolutions learn faster than dense layers, whose size is its square
_STEPS = 10_000  # updates of the weights after which small networks have mostly learned what they will
_PATIENT = 500  # updates without progress at the beginning, where a network that is deep may seem to stand still


@dataclass(frozen=True)
class Choice:
    """A network, and arguments of `Autoencoder`; why: the sentence that says what was chosen, and why."""

    network: Part
    training: dict[str, Any]
    why: str


def choose(
    shape: Shape,
    n: int,
    *,
    kind: str | None = None,
    fields: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    corruption: Part | None = None,
    penalty: Part | None = None,
    loss: Part | None = None,
) -> Choice:
    """Fill in what was not said for n images of `shape`. kind, fields: of the network; training: what was said.

    A denoiser's code is wide, for the noise is what it has to get past; a plain autoencoder's is narrow. Raises
    RequestError for fields that no network can have.
    """
    fields, said = fields or {}, training or {}
    d = math.prod(shape)
    kind_chosen = kind or ("conv" if d > _LARGE else "dense")
    network, reason = _NETWORK[kind_chosen](shape, corruption, penalty, loss)
    network = dataclasses.replace(network, **fields)
    batch_size = said.get("batch_size") or (128 if n >= 10_000 else 64 if n >= 2000 else 32 if n >= 500 else 16)
    steps = math.ceil(n / batch_size)  # of an epoch
    epochs = said.get("epochs") or min(600, max(5, round(_STEPS / steps)))
    patience = max(5, epochs // 10, min(epochs // 3, round(_PATIENT / steps)))
    chosen = {
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": said.get("patience") or patience,
        # few images are few steps, which have to be larger
        "learning_rate": said.get("learning_rate") or (Training().learning_rate if n >= 2000 else 3e-3),
    }
    told = []
    if not (kind and set(fields) >= {"hidden", "bottleneck"}):
        told.append(f"{network!r}{'' if fields else f', {reason}'}")
    free = [name for name in chosen if not said.get(name)]
    words = {
        "batch_size": f"batches of {batch_size}",
        "epochs": f"at most {epochs} epochs",
        "patience": f"stopping {chosen['patience']} epochs after the best",
        "learning_rate": f"a learning rate of {chosen['learning_rate']:g}",
    }
    if free:
        told.append(", ".join(words[name] for name in free))
    images = f"{n:,} images of {'×'.join(map(str, shape))}"
    return Choice(network, said | chosen, f"chosen for {images}: {'; '.join(told)}" if told else "")


def _dense(shape: Shape, corruption: Part | None, penalty: Part | None, loss: Part | None) -> tuple[Part, str]:
    d = math.prod(shape)
    if isinstance(penalty, L1 | KL):  # a sparse code is a wide one of which little is on
        return Dense(
            (), min(1024, 2 * d), code_activation=_code(penalty), output="sigmoid"
        ), "a wide code for the penalty to make sparse"
    if corruption is not None:
        # on patches of photographs one wide layer had half the error of two narrower ones, and less than a PCA's
        wide = 2 ** math.ceil(math.log2(min(1024, max(64, d))))
        output = "sigmoid" if isinstance(loss, BCE) else "linear"
        return Dense((), wide, activation="gelu", output=output), "one wide layer, for it is the noise that is hard"
    wide = 2 ** round(math.log2(min(512, max(64, d))))
    size = min(64, max(4, round(math.sqrt(d))))
    return Dense(
        (wide, wide // 2), size, code_activation="linear", output="sigmoid"
    ), "a code of about the root of the pixels"


def _conv(shape: Shape, corruption: Part | None, penalty: Part | None, loss: Part | None) -> tuple[Part, str]:
    depth = max(1, min(3, int(math.log2(min(shape[1:]))) - 1))  # to a map of two pixels or more, at most by 8
    channels = (32, 64, 64)[:depth] if corruption is not None else (16, 32, 8)[-depth:]
    reason = f"{depth} convolution{'s' * (depth > 1)}, each of which halves the image"
    return Conv(channels, code_activation=_code(penalty), output="sigmoid"), reason


def _dictionary(shape: Shape, corruption: Part | None, penalty: Part | None, loss: Part | None) -> tuple[Part, str]:
    d = math.prod(shape)
    return Dictionary((min(1024, 2 * d),), min(1024, 2 * d)), "twice as many atoms as pixels, at most 1,024"


_NETWORK = {"dense": _dense, "conv": _conv, "dictionary": _dictionary}
assert set(_NETWORK) == set(NETWORKS)


def _code(penalty: Part | None) -> str:
    """L1 needs codes that can be exactly zero, KL codes between 0 and 1; without either no unit should ever die."""
    return "sigmoid" if isinstance(penalty, KL) else "relu" if isinstance(penalty, L1) else "linear"
