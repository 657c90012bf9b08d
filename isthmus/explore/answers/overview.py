"""Overview of a model, and of several those that differ most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from isthmus.estimators.adapters import adapter_of
from isthmus.explore.shelf import Entry, Shelf
from isthmus.parts import Levelled
from isthmus.studies.results.measure import has_prior
from isthmus.studies.results.results_json import Row

MOST_SHOWN, LEAST_SHOWN = 6, 4  # models with which the page opens
# Of families those that come first, because they teach most side by side, and those that come last.
_FIRST = (
    "PCA",
    "deep",
    "sparse dense",
    "conv",
    "denoising dense",
    "gaussian dense",
    "dictionary",
    "denoising dictionary",
    "dense",
)
_LAST = ("decoder search", "identity")
_DEEP = {"dense": "deep"}  # kinds of networks that are another family with hidden layers


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
        "prior": has_prior(model),
        "planes": list(network.code_shape) if network and network.code_shape else None,
        "switches": getattr(network, "n_switches", 0),
        "search": adapter.searches,
        **({"epochs": sorted(entry.states)} if entry.states else {}),
        "trained": [
            {"kind": part.kind, "level": getattr(part, part.level), "relative": getattr(part, "relative", False)}
            for part in _trained_with(model)
        ],
    }


def family(model: Any) -> str:
    """What a model has in common with its like: "PCA", "deep", "conv", "sparse dense", "denoising conv".

    Of an autoencoder the first that holds of: its code's kind, if it is not plain; "sparse", with a penalty;
    "denoising", with a corruption; each with the network's kind. Else this kind alone, or "deep".
    """
    last = adapter_of(model).last
    if last.searches or last.trained is None:
        return last.word
    trained, network = last.trained, last.trained.network_
    kind = str(network.part.kind)
    if not network.code_part.is_plain:
        return f"{network.code_part.kind} {kind}"
    if getattr(trained.penalty, "weight", 0):
        return f"sparse {kind}"
    if trained.corruption is not None:
        return f"denoising {kind}"
    return _DEEP.get(kind, kind) if getattr(network.part, "hidden", ()) else kind


def opening(models: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the four to six models that the page opens with, in the order given: the best of each family.

    models: their `facts`. Of a family it is the one with the least error on the test images; those that collapsed, and
    those whose decoder sees more than the code, come after the others. Where there are fewer than four families: the
    models whose codes differ most in size from those chosen.
    """
    whole = [model for model in models if model["fault"] is None]
    if len(whole) <= MOST_SHOWN:
        return [model["name"] for model in whole]

    def doubt(model: dict[str, Any]) -> tuple[bool, bool, float]:
        return bool(model["collapsed"]), bool(model["switches"]), math.inf if model["mse"] is None else model["mse"]

    best: dict[str, dict[str, Any]] = {}
    for model in sorted(whole, key=doubt):
        best.setdefault(model["family"], model)
    chosen = [best[name] for name in sorted(best, key=_rank) if name not in _LAST][:MOST_SHOWN]
    while len(chosen) < LEAST_SHOWN:
        others = [model for model in whole if model not in chosen]
        others.sort(key=lambda model: (_rank(model["family"]), doubt(model)))
        # the first of those that are farthest: `max` keeps the order of equals
        chosen.append(max(others, key=lambda model: (model["family"] not in _LAST, _apart(model, chosen))))
    names = {model["name"] for model in chosen}
    return [model["name"] for model in whole if model["name"] in names]


def _rank(name: str) -> int:
    """The place of a family among others."""
    if name in _LAST:
        return len(_FIRST) + 1 + _LAST.index(name)
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _apart(model: dict[str, Any], others: Sequence[dict[str, Any]]) -> float:
    """By what factor, as a logarithm, the size of a model's code differs from that of the nearest of the others."""
    sizes = [other["code"] for other in others if other["code"]]
    return min((abs(math.log(model["code"] / size)) for size in sizes), default=0.0) if model["code"] else 0.0


def n_units(model: Any) -> int:
    """Numbers in the code of a model that has one."""
    last = adapter_of(model).last
    return last.trained.network_.code_size if last.trained else len(last.model.components_)


def _trained_with(model: Any) -> list[Levelled]:
    """The corruptions that an autoencoder was trained under, one after the other."""
    part = getattr(adapter_of(model).last.trained, "corruption", None)
    return [step for step in part.steps if isinstance(step, Levelled)] if part else []
