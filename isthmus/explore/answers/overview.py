"""Overview of a model, and of several those that differ most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from isthmus.estimators.adapters import adapter_of
from isthmus.explore.shelf import Entry, Shelf
from isthmus.parts import Levelled
from isthmus.studies.results.measure import has_likelihood
from isthmus.studies.results.results_json import Row

MOST_SHOWN, LEAST_SHOWN = 6, 4  # models with which the page opens
# Of families those that come first, because they teach most side by side, and those that come last.
_FIRST = ("PCA", "deep", "sparse", "conv", "denoising", "gaussian", "dictionary", "dense")
_LAST = ("decoder search", "identity")


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
        "family": family(model),
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


def family(model: Any) -> str:
    """What a model has in common with its like: "PCA", "deep", "sparse", "denoising conv".

    Of an autoencoder the first that holds of: its code's kind, if it is not plain; "sparse", with a penalty;
    "denoising", with a corruption; "deep" or "dense". Networks of other kinds than dense add theirs.
    """
    last = adapter_of(model).last
    if last.searches or last.trained is None:
        return last.word
    trained, network = last.trained, last.trained.network_
    kind = network.part.kind
    if not network.code_part.is_plain:
        name = network.code_part.kind
    elif getattr(trained.penalty, "weight", 0):
        name = "sparse"
    elif trained.corruption is not None and kind != "dictionary":
        name = "denoising"
    elif kind != "dense":
        return str(kind)
    else:
        return "deep" if network.part.hidden else "dense"
    return str(name) if kind == "dense" else f"{name} {kind}"


def opening(models: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the four to six models that the page opens with, in the order given: the best of each family.

    models: their `facts`. Of a family it is the one with the least error on the test images; those that collapsed, and
    those whose decoder sees more than the code, come after the others. Where there are fewer than four families: the
    models whose codes differ most in size from those chosen.
    """
    whole = [one for one in models if one["fault"] is None]
    if len(whole) <= MOST_SHOWN:
        return [one["name"] for one in whole]

    def doubt(one: dict[str, Any]) -> tuple[bool, bool, float]:
        return bool(one["collapsed"]), bool(one["switches"]), math.inf if one["mse"] is None else one["mse"]

    def rank(name: str) -> int:
        if name in _LAST:
            return len(_FIRST) + 1 + _LAST.index(name)
        return _FIRST.index(name) if name in _FIRST else len(_FIRST)

    best: dict[str, dict[str, Any]] = {}
    for one in sorted(whole, key=doubt):
        best.setdefault(one["family"], one)
    chosen = [best[name] for name in sorted(best, key=rank) if name not in _LAST][:MOST_SHOWN]
    while len(chosen) < LEAST_SHOWN:
        others = sorted((one for one in whole if one not in chosen), key=lambda one: (rank(one["family"]), doubt(one)))
        # the first of those that are farthest: `max` keeps the order of equals
        chosen.append(max(others, key=lambda one: (one["family"] not in _LAST, _apart(one, chosen))))
    names = {one["name"] for one in chosen}
    return [one["name"] for one in whole if one["name"] in names]


def _apart(one: dict[str, Any], others: Sequence[dict[str, Any]]) -> float:
    """By what factor, as a logarithm, the size of a model's code differs from that of the nearest of the others."""
    sizes = [other["code"] for other in others if other["code"]]
    return min((abs(math.log(one["code"] / size)) for size in sizes), default=0.0) if one["code"] else 0.0


def n_units(model: Any) -> int:
    """Numbers in the code of a model that has one."""
    last = adapter_of(model).last
    return last.trained.network_.code_size if last.trained else len(last.model.components_)


def _trained_with(model: Any) -> list[Levelled]:
    """The corruptions that an autoencoder was trained under, one after the other."""
    part = getattr(adapter_of(model).last.trained, "corruption", None)
    return [step for step in part.steps if isinstance(step, Levelled)] if part else []
