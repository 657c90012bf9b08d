"""Every parameter of an unfitted estimator, defaults filled in: what decides, with the samples, what it learns."""

from __future__ import annotations

import dataclasses
from typing import Any

from sklearn.base import BaseEstimator

from isthmus.estimators.composed import Composed
from isthmus.parts import ROLES, Part, Training
from isthmus.training.recipe import completed

# a seed, a device and a precision are facts as they turn out to be; the rest computes nothing
_NO_PARAMETERS = ("autoencoder", "random_state", "verbose")
_RESOLVED = ("device", "precision")


def training_of(model: Composed, n: int) -> Training:
    """How a composed estimator is trained on n samples: what it was given, and what its recipe chooses of the rest."""
    return completed(model.given(), model.part("network"), model.part("penalty"), n, model.part("corruption"))


def parameters_of(model: BaseEstimator, n: int) -> dict[str, Any]:
    """The parameters by name, for a fit to n samples, parts as their tables; scikit-learn's estimators' own too.

    >>> from isthmus import Autoencoder
    >>> parameters = parameters_of(Autoencoder(recipe="fast"), 1000)
    >>> parameters["epochs"], parameters["network"]["bottleneck"], parameters["shuffle"]
    (126, 32, True)
    """
    kind = {"estimator": type(model).__name__}
    if isinstance(model, Composed):
        training = training_of(model, n)
        chosen = {f.name: getattr(training, f.name) for f in dataclasses.fields(training) if f.name not in _RESOLVED}
        return {**kind, **{role: table_of(model.part(role)) for role in ROLES}, **chosen}
    own = model.get_params(deep=False)
    return {**kind, **{name: table_of(value) for name, value in own.items() if name not in _NO_PARAMETERS}}


def table_of(value: Any) -> Any:
    """A part's table; any other value as it is."""
    return value.table() if isinstance(value, Part) else value
