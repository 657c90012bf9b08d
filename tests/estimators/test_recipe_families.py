"""The recipe on one model of each family, on scikit-learn's digits: it never collapses, and is worth its choice."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits

from isthmus import KL, L1, Affine, Autoencoder, Conv, Dense, Dictionary, GaussianNoise
from isthmus.analysis.collapse import collapse
from isthmus.errors import DoubtWarning

RELU = {"output": "sigmoid"}
CONV = {"channels": (8, 8), **RELU}
FAMILIES = {
    "dense": {"network": Dense((64, 32), 8, **RELU)},
    "one-layer": {"network": Dense((), 16, **RELU)},
    "linear": {"network": Dense((), 8, activation="linear")},
    "relu-output": {"network": Dense((64,), 16, output="relu")},
    "bce": {"network": Dense((64,), 16, **RELU), "loss": "bce"},
    "l1": {"network": Dense((), 128, **RELU), "penalty": L1(5e-4)},
    "kl": {"network": Dense((), 64, code_activation="sigmoid", output="sigmoid"), "penalty": KL(2e-3, 0.1)},
    "denoising": {"network": Dense((), 64, **RELU), "corruption": GaussianNoise(0.3)},
    "augmented": {"network": Dense((64,), 16, **RELU), "augmentation": Affine(shift=0.3)},
    "dictionary": {"network": Dictionary((64,), 96), "penalty": L1(2e-4)},
    "denoising-dictionary": {
        "network": Dictionary((), 96),
        "penalty": L1(2e-4),
        "corruption": GaussianNoise(0.3),
    },
    "deconv": {"network": Conv(**CONV)},
    "unpool": {"network": Conv(**CONV, decoder="unpool")},
    "deconv-unpool": {"network": Conv(**CONV, decoder="deconv-unpool")},
    "wide-l1": {"network": Dense((64,), 128, **RELU), "penalty": L1(5e-4)},
    "deep-l1": {"network": Dense((64, 32), 16, **RELU), "penalty": L1(1e-3)},
    "sparse-deconv": {"network": Conv(**CONV), "penalty": L1(1e-3)},
}


@pytest.fixture(scope="module")
def digits():
    """(images to train on, others), (n, 1, 8, 8) in [0, 1]."""
    images = (load_digits().images[:, None] / 16).astype(np.float32)
    images = images[np.random.default_rng(0).permutation(len(images))]
    return images[:300], images[300:600]


def held_out_error(digits, family, recipe):
    train, others = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtWarning)
        model = Autoencoder(**FAMILIES[family], recipe=recipe, epochs=25, batch_size=16, random_state=0, device="cpu")
        return model.fit(train), -model.score(others)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_collapses_and_none_is_better_off_with_a_constant_rate(family, digits):
    (fast, error), (_, plain) = (held_out_error(digits, family, recipe) for recipe in ("fast", None))
    assert collapse(fast, digits[1]) is None
    assert error < 1.1 * plain
    assert error < 0.7 * digits[1].var(axis=0).mean()
