"""The parameters of an estimator: all of them, as they decide what it learns, and as a saved model keeps them."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from isthmus.errors import RequestError, unknown
from isthmus.estimators.fits.epoch_display import fitted_html
from isthmus.fingerprints import source_fingerprint
from isthmus.objective import Objective
from isthmus.parts import LOSSES, ROLES, Part, Plain, Training, contradiction
from isthmus.training.recipe import code_of, completed, network_of

# a seed, a device and a precision are facts as they turn out to be; the rest computes nothing
_NO_PARAMETERS = ("autoencoder", "random_state", "verbose")
_RESOLVED = ("device", "precision")


class OfParts(BaseEstimator):
    """The parameters of an estimator that is made of parts: read and replaced, down to the fields of each part.

    Parts are never changed in place, so two estimators never share a change.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments; with `deep`, the fields of each part as `<argument>__<field>` too."""
        params = super().get_params(deep=False)
        parts = {name: value for name, value in params.items() if deep and isinstance(value, Part)}
        for name, part in parts.items():
            fields = {f"{name}__{f.name}": getattr(part, f.name) for f in dataclasses.fields(part)}
            tables = [(field, table) for field, table in fields.items() if isinstance(table, dict)]
            params |= fields | {f"{field}__{key}": value for field, table in tables for key, value in table.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set arguments; `<argument>__<field>` replaces the part by one with that field changed."""
        super().set_params(**{name: value for name, value in params.items() if "__" not in name})
        changes: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            role, separator, fieldname = name.partition("__")
            if separator:
                changes.setdefault(role, {})[fieldname] = value
        for role, fields in changes.items():
            value = getattr(self, role, None)
            part = value if isinstance(value, Part) else self.part(role)
            known = [f.name for f in dataclasses.fields(part)] if isinstance(part, Part) else []
            for name in [name for name in fields if "__" in name]:  # an entry of a field that is a table
                table, _, key = name.partition("__")
                if isinstance(former := getattr(part, table, None), dict):
                    fields[table] = {**fields.get(table, former), key: fields.pop(name)}
            if wrong := [name for name in fields if name not in known]:
                raise ValueError(unknown(f"parameter of {role}={part!r}:", wrong[0], known))
            setattr(self, role, dataclasses.replace(part, **fields))
        return self

    def _repr_html_inner(self) -> str:
        """What scikit-learn shows in a notebook, and below it what was learned."""
        return str(super()._repr_html_inner()) + fitted_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = dict(super()._repr_mimebundle_(**kwargs))
        if "text/html" in bundle:
            bundle["text/html"] = self._repr_html_inner()
        return bundle

    def part(self, role: str) -> Any:
        """The part in a role of the constructor's."""
        return getattr(self, role, None)


class Composed(OfParts):
    """The parameters of an autoencoder, checked together when they are used."""

    shards: int

    def part(self, role: str) -> Any:
        """The part in a role of the constructor's: for a name the part that it stands for, for None the default."""
        value = getattr(self, role, None)
        if role == "loss" and isinstance(value, str) and value in LOSSES:
            return LOSSES[value]()
        if role == "network":
            others = {name: self.part(name) for name in ("penalty", "loss", "corruption", "code")}
            return network_of(value, getattr(self, "recipe", None), **others)
        if role == "code":
            named = LOSSES.get(self.loss) if isinstance(self.loss, str) else None
            return code_of(value, getattr(self, "recipe", None), named)
        return value

    def parts(self) -> tuple[Any, Any, Objective, Training]:
        """network, corruption, objective and training, checked; the training as it is without a recipe."""
        parts = {}
        for role, kinds in ROLES.items():
            part = parts[role] = self.part(role)
            if part is None and role not in ("network", "loss"):
                continue
            if not isinstance(part, tuple(kinds.values())):
                known = ", ".join(kind.__name__ for kind in kinds.values())
                raise RequestError(f"{role} must be one of isthmus' parts {known}, got {part!r}")
        training = Training(**self.given())
        if wrong := contradiction(*(parts[role] for role in ("network", "penalty", "loss", "code", "augmentation"))):
            raise RequestError(wrong)
        objective = Objective(parts["loss"], parts["penalty"], in_nats=parts["code"].in_nats)
        return parts["network"], parts["corruption"], objective, training

    def given(self) -> dict[str, Any]:
        """The arguments of the training that are given."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(Training)}
        return {name: value for name, value in values.items() if value is not None}


def training_of(model: Composed, shape: tuple[int, int]) -> Training:
    """How a composed estimator is trained on (n, n_features) samples: as it was told, else as its recipe chooses."""
    parts = {role: model.part(role) for role in ("network", "penalty", "corruption", "code")}
    return completed(model.given(), shape=shape, **parts)


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
        parts = {role: table_of(model.part(role)) for role in ROLES}
        if (function := getattr(model.part("network"), "function", None)) is not None:
            parts["code of the network"] = source_fingerprint(function)
        shards = {} if model.shards == 1 else {"shards": model.shards}
        return {**kind, **parts, **chosen, **shards}
    arguments = model.get_params(deep=False)
    return {**kind, **{name: table_of(value) for name, value in arguments.items() if name not in _NO_PARAMETERS}}


def parameters_kept(model: BaseEstimator) -> dict[str, Any]:
    """The constructor's arguments of a fitted estimator, as config.json has them; what JSON has no word for as None.

    The network and its code are those that were trained, whatever the arguments say by now.
    """
    arguments = {name: _plain(value) for name, value in model.get_params(deep=False).items()}
    trained: Any = getattr(model, "network_", None)
    if trained is None:
        return arguments
    arguments["network"] = table_of(trained.part)
    if "code" in arguments:
        arguments["code"] = None if trained.code_part == Plain() else trained.code_part.table()
    return arguments


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
