"""The parameters of an estimator: all of them, as they decide what it learns, and as a saved model keeps them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from isthmus.estimators.composed import Composed
from isthmus.parts import ROLES, Part, Training
from isthmus.training.recipe import completed

# a seed, a device and a precision are facts as they turn out to be; the rest computes nothing
_NO_PARAMETERS = ("autoencoder", "random_state", "verbose")
_RESOLVED = ("device", "precision")


def training_of(model: Composed, shape: tuple[int, int]) -> Training:
    """How a composed estimator is trained on (n, n_features) samples: as it was told, else as its recipe chooses."""
    return completed(model.given(), model.part("network"), model.part("penalty"), shape, model.part("corruption"))


def parameters_of(model: BaseEstimator, shape: tuple[int, int]) -> dict[str, Any]:
    """The parameters by name, for a fit to (n, n_features) samples, parts as tables; scikit-learn's estimators' too.

    >>> from isthmus import Autoencoder
    >>> parameters = parameters_of(Autoencoder(recipe="fast"), (1000, 784))
    >>> parameters["epochs"], parameters["network"]["bottleneck"], parameters["shuffle"]
    (126, 32, True)
    """
    kind = {"estimator": type(model).__name__}
    if isinstance(model, Composed):
        training = training_of(model, shape)
        chosen = {f.name: getattr(training, f.name) for f in dataclasses.fields(training) if f.name not in _RESOLVED}
        return {**kind, **{role: table_of(model.part(role)) for role in ROLES}, **chosen}
    own = model.get_params(deep=False)
    return {**kind, **{name: table_of(value) for name, value in own.items() if name not in _NO_PARAMETERS}}


def parameters_kept(model: BaseEstimator) -> dict[str, Any]:
    """The constructor's arguments of a fitted estimator, as config.json has them; what JSON has no word for as None.

    The network is the one that was trained, whatever the argument says by now.
    """
    kept = {name: _plain(value) for name, value in model.get_params(deep=False).items()}
    trained: Any = getattr(model, "network_", None)
    return kept if trained is None else {**kept, "network": table_of(trained.part)}


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.table()
    if isinstance(value, np.generic):
        value = value.item()
    # a RandomState cannot be written down; the seed that came of it is kept elsewhere
    return value if isinstance(value, str | int | float | bool | None) else None


def table_of(value: Any) -> Any:
    """A part's table; any other value as it is."""
    return value.table() if isinstance(value, Part) else value
