"""Compositions of parts: a few of each kind, and rows in which any two that go together meet at least once."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import nn

from isthmus import (
    BCE,
    KL,
    L1,
    MSE,
    Affine,
    Autoencoder,
    Conv,
    Dense,
    Dictionary,
    Gaussian,
    GaussianNoise,
    Masking,
    Module,
    Occlusion,
    Plain,
    Poisson,
    Quantized,
    SaltAndPepper,
    Sequence,
)
from isthmus.codes import build
from isthmus.errors import RequestError

SHAPE = (1, 8, 8)


def own(shape, encoded):
    """Modules of one's own, as wide as a code asks for."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4 * encoded)), nn.Linear(4, 64)


VARIANTS = {
    "network": {
        "dense": Dense((12,), 5, output="sigmoid"),
        "one layer": Dense((), 4),
        "dictionary": Dictionary(n_atoms=7, code_activation="linear"),
        "conv": Conv((3, 4), output="sigmoid"),
        "unpool": Conv((3, 4), decoder="unpool"),
        "module": Module(own, output="sigmoid"),
    },
    "code": {
        "plain": Plain(),
        "sigmoid": Plain("sigmoid"),
        "gaussian": Gaussian(0.1, warmup=2),
        "free bits": Gaussian(free_bits=0.1),
        "draws": Gaussian(samples=3),
        "learned noise": Gaussian(noise="learned"),
        "quantized": Quantized(6),
    },
    "penalty": {"none": None, "l1": L1(0.01), "kl": KL(0.1)},
    "loss": {"mse": MSE(), "mse 2": MSE(2.0), "bce": BCE(), "fixed": BCE(binary="fixed")},
    "corruption": {
        "none": None,
        "gaussian": GaussianNoise(0.1),
        "salt": SaltAndPepper(0.1),
        "masking": Masking(0.2, value="mean"),
        "occlusion": Occlusion(3),
        "poisson": Poisson(20.0),
        "sequence": Sequence((GaussianNoise(0.1), Masking(0.1))),
    },
    "augmentation": {"none": None, "affine": Affine()},
}
NETWORKS, CODES = VARIANTS["network"], VARIANTS["code"]


def network_of(name, code):
    """A network, as wide as its code asks for."""
    part = NETWORKS[name]
    return replace(part, params={"encoded": code.encoded}) if name == "module" else part


def composed(row, **changes):
    """An autoencoder of a row, {role: name}."""
    parts = {role: VARIANTS[role][name] for role, name in row.items()}
    parts["network"] = network_of(row["network"], parts["code"])
    given = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "random_state": 0}
    return Autoencoder(**parts, **{**given, **changes})


@cache
def refusal_of_two(network, code):
    """The sentence that refuses to build a network with a code; None if they go together."""
    part, code = network_of(network, CODES[code]), CODES[code]
    try:
        build(part, code, 64, torch.Generator(), SHAPE)
    except RequestError as error:
        return str(error)
    return None


@cache
def refusal_of(network, code, penalty, loss, augmentation):
    """The sentence that refuses a composition, before anything is trained; None for one that is trained.

    Corruptions go with all.
    """
    names = (network, code, penalty, loss, "none", augmentation)
    model = composed(dict(zip(VARIANTS, names, strict=True)))
    try:
        model.parts()
    except RequestError as error:
        return str(error)
    return refusal_of_two(network, code)


def refusal(row):
    return refusal_of(*(row[role] for role in VARIANTS if role != "corruption"))


def pairs_of(row):
    return set(itertools.combinations(row.items(), 2))


def every_pair():
    """All pairs of variants of two roles: those that some composition has, and those that none can have."""
    roles = [[(role, name) for name in names] for role, names in VARIANTS.items()]
    known = set()
    for names in itertools.product(*(VARIANTS[role] for role in VARIANTS if role != "corruption")):
        if refusal_of(*names) is None:
            network, code, penalty, loss, augmentation = names
            for corruption in VARIANTS["corruption"]:
                row = dict(zip(VARIANTS, (network, code, penalty, loss, corruption, augmentation), strict=True))
                known |= pairs_of(row)
    every = {pair for two in itertools.combinations(roles, 2) for pair in itertools.product(*two)}
    return known, every - known


def covering():
    """Rows of which each pair that can be had is in one, found greedily from a fixed seed."""
    left, rows, stream = every_pair()[0], [], random.Random(0)
    while left:
        first = dict(min(left))
        tried = []
        while len(tried) < 40:
            row = {role: first.get(role) or stream.choice(list(names)) for role, names in VARIANTS.items()}
            if refusal(row) is None:
                tried.append(row)
        rows.append(max(tried, key=lambda row: len(pairs_of(row) & left)))
        left -= pairs_of(rows[-1])
    return {", ".join(row.values()): row for row in rows}


COMPOSITIONS = covering()


def samples():
    rng = np.random.default_rng(0)
    return (rng.random((48, 3)) @ rng.random((3, 64)) / 3).astype(np.float32).reshape(-1, *SHAPE)
