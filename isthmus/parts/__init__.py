"""Every value object: what networks, codes, corruptions, augmentations, penalties, losses and trainings are made of.

A part is a frozen dataclass: fields, their checks and a repr that is the code which builds it. What a part
*computes* is elsewhere (`networks/`, `codes/`, `corruption.py`, `objective/`, …), so nothing here imports torch or
scikit-learn and a study can be checked in milliseconds. A table of a study's TOML is one of these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from isthmus.errors import one_of
from isthmus.kinds import KINDS, word_of
from isthmus.parts.arguments import (
    CLASSICAL,
    Classical,
    CodeSearch,
    Denoising,
    DictionaryLearning,
    EstimatorPart,
    Identity,
    Projection,
)
from isthmus.parts.augmentations import Affine, Augmentation
from isthmus.parts.code import CodePart, Gaussian, Plain, Quantized
from isthmus.parts.convolutions import DECODERS, Conv, ConvLayer
from isthmus.parts.corruptions import (
    GaussianNoise,
    Masking,
    Occlusion,
    Poisson,
    SaltAndPepper,
    Sequence,
)
from isthmus.parts.image_networks import ImageNetworkPart, Residual, UNet
from isthmus.parts.losses import BCE, MSE, Loss
from isthmus.parts.networks import ACTIVATIONS, Dense, Dictionary, Module, NetworkPart
from isthmus.parts.part import Corruption, Levelled, Part
from isthmus.parts.penalties import KL, L1, PER, Penalty, contradiction, doubt
from isthmus.parts.training import DEVICES, OPTIMIZERS, PRECISIONS, RECIPES, SCHEDULES, STARTS, Training

__all__ = [
    "ACTIVATIONS",
    "AUGMENTATIONS",
    "BCE",
    "CLASSICAL",
    "CODES",
    "CORRUPTIONS",
    "DECODERS",
    "DEVICES",
    "IMAGE_NETWORKS",
    "KL",
    "L1",
    "LOSSES",
    "MSE",
    "NETWORKS",
    "OPTIMIZERS",
    "PENALTIES",
    "PER",
    "PRECISIONS",
    "RECIPES",
    "ROLES",
    "SCHEDULES",
    "STARTS",
    "Affine",
    "Augmentation",
    "Classical",
    "CodePart",
    "CodeSearch",
    "Conv",
    "ConvLayer",
    "Corruption",
    "Denoising",
    "Dense",
    "Dictionary",
    "DictionaryLearning",
    "EstimatorPart",
    "Gaussian",
    "GaussianNoise",
    "Identity",
    "ImageNetworkPart",
    "Levelled",
    "Loss",
    "Masking",
    "Module",
    "NetworkPart",
    "Occlusion",
    "Part",
    "Penalty",
    "Plain",
    "Poisson",
    "Projection",
    "Quantized",
    "Residual",
    "SaltAndPepper",
    "Sequence",
    "Training",
    "UNet",
    "contradiction",
    "doubt",
    "from_table",
]

# The arguments of an `Autoencoder` that take a part, with the kinds that each takes: these, and registered ones.
ROLES: dict[str, dict[str, type[Any]]] = {
    role: KINDS[role] for role in KINDS if role not in ("estimator", "figure", "image-network")
}
for _role, _kinds in {
    "network": (Dense, Conv, Dictionary, Module),
    "code": (Plain, Gaussian, Quantized),
    "augmentation": (Affine,),
    "corruption": (GaussianNoise, SaltAndPepper, Masking, Occlusion, Poisson, Sequence),
    "penalty": (L1, KL),
    "loss": (MSE, BCE),
}.items():
    ROLES[_role] |= {word_of(_role, kind): kind for kind in _kinds}
NETWORKS, CODES, AUGMENTATIONS, CORRUPTIONS, PENALTIES, LOSSES = ROLES.values()
IMAGE_NETWORKS = KINDS["image-network"]  # of a `Denoiser`
IMAGE_NETWORKS |= {kind.kind: kind for kind in (Residual, UNet)}


def from_table(kinds: Mapping[str, type[Part]], table: Mapping[str, Any]) -> Any:
    """The part that `Part.table` wrote down, one of `kinds`.

    Raises RequestError with the nearest known word for an unknown kind or field; KeyError, TypeError or ValueError for
    other tables.

    >>> from_table(PENALTIES, L1(0.1).table())
    L1(weight=0.1)
    """
    fields = dict(table)
    one_of("kind", fields.get("kind"), kinds)
    kind = kinds[fields.pop("kind")]
    for name in fields:
        one_of(f"field of {kind.kind}", name, [field.name for field in dataclasses.fields(kind)])
    for name in kind.members:
        fields[name] = [from_table(kinds, member) for member in fields[name]]
    return kind(**fields)
