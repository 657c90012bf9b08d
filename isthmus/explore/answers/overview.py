"""Overview of a model."""

from __future__ import annotations

from typing import Any

from isthmus.estimators.adapters import adapter_of
from isthmus.explore.shelf import Entry, Shelf
from isthmus.parts import Levelled
from isthmus.studies.results.measure import has_likelihood
from isthmus.studies.results.results_json import Row


def facts(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """What the page shows of a model before it computes anything, as JSON values."""
    recorded = entry.facts
    row: Row | None = recorded.get("test")
    table: dict[str, Any] = {
        "name": entry.name,
        "label": recorded.get("label", ""),
        "note": recorded.get("note", ""),
        "fault": entry.fault,
        "collapsed": recorded.get("collapsed"),
        "mse": None if row is None else row.value,
        "seen": recorded.get("fitted_on") == "all" if row is None else row.seen,
        "selected": row is not None and bool(row.selected),
    }
    if entry.model is None:
        return table
    model, adapter = entry.model, adapter_of(entry.model)
    last = adapter.last.model
    network = getattr(last, "network_", None)
    with_code = adapter.has_code
    return table | {
        "kind": adapter.last.word,
        "estimator": " ".join(repr(last).split()),
        "parameters": adapter.n_parameters,
        "code": adapter.code_size(shelf.n_features) if with_code or adapter.searches else None,
        "units": n_units(model) if with_code else None,
        "prior": has_likelihood(model),
        "planes": list(network.code_shape) if network and network.code_shape else None,
        "switches": getattr(network, "n_switches", 0),
        "search": adapter.searches,
        "trained": [
            {"kind": part.kind, "level": getattr(part, part.level), "relative": getattr(part, "relative", False)}
            for part in _trained_with(model)
        ],
    }


def n_units(model: Any) -> int:
    """Numbers in the code of a model that has one."""
    last = adapter_of(model).last
    return last.trained.network_.code_size if last.trained else len(last.model.components_)


def _trained_with(model: Any) -> list[Levelled]:
    """The corruptions that an autoencoder was trained under, one after the other."""
    part = getattr(adapter_of(model).last.trained, "corruption", None)
    return [step for step in part.steps if isinstance(step, Levelled)] if part else []
