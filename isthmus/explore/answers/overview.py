"""Overview of a model: what the page shows of it before it computes anything."""

from __future__ import annotations

from typing import Any

from isthmus.estimators.adapters import adapter_of
from isthmus.explore.shelf import Entry, Shelf
from isthmus.parts import Levelled
from isthmus.studies.results.results_json import Row


def facts(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """What the page shows of a model before it computes anything; all of it plain."""
    own = entry.facts
    row: Row | None = own.get("test")
    table: dict[str, Any] = {
        "name": entry.name,
        "label": own.get("label", ""),
        "note": own.get("note", ""),
        "fault": entry.fault,
        "collapsed": own.get("collapsed"),
        "mse": None if row is None else row.value,
        "seen": own.get("fitted_on") == "all" if row is None else row.seen,
        "selected": row is not None and bool(row.selected),
    }
    if entry.model is None:
        return table
    model, asked = entry.model, adapter_of(entry.model)
    last = asked.last.model
    network = getattr(last, "network_", None)
    with_code = asked.has_code
    return table | {
        "kind": asked.last.word,
        "estimator": " ".join(repr(last).split()),
        "parameters": asked.n_parameters,
        "code": asked.code_size(shelf.n_features) if with_code or asked.searches else None,
        "units": n_units(model) if with_code else None,
        "planes": list(network.code_shape) if network and network.code_shape else None,
        "switches": getattr(network, "n_switches", 0),
        "search": asked.searches,
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
    return [one for one in part.steps if isinstance(one, Levelled)] if part else []
