"""Overview of a model: what the page shows of it before it computes anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import Pipeline

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import code_size, has_code, n_parameters
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.explore.shelf import Entry, Shelf
from isthmus.networks.conv import ConvNetwork
from isthmus.parts import Levelled, Sequence
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
    model, last = entry.model, last_of(entry.model)
    network = getattr(last, "network_", None)
    with_code = has_code(model)
    return table | {
        "kind": _kind(last),
        "estimator": " ".join(repr(last).split()),
        "parameters": n_parameters(model),
        "code": code_size(model, shelf.n_features) if with_code or isinstance(model, DecoderPrior) else None,
        "units": n_units(model) if with_code else None,
        "planes": list(network.code_shape) if isinstance(network, ConvNetwork) else None,
        "switches": getattr(network, "n_switches", 0),
        "search": isinstance(model, DecoderPrior),
        "trained": [
            {"kind": part.kind, "level": getattr(part, part.level), "relative": getattr(part, "relative", False)}
            for part in _trained_with(model)
        ],
    }


def last_of(model: Any) -> Any:
    """The last step of a pipeline; any other model itself."""
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def _kind(model: Any) -> str:
    match model:
        case Autoencoder():
            return f"{model.network_.part.kind} autoencoder"
        case DecoderPrior():
            return "decoder search"
        case PCA():
            return "PCA"
        case MiniBatchDictionaryLearning():
            return "dictionary"
        case _:
            return "identity"


def n_units(model: Any) -> int:
    """Numbers in the code of a model that has one."""
    last = last_of(model)
    return last.network_.code_size if isinstance(last, Autoencoder) else int(np.shape(last.components_)[0])


def _trained_with(model: Any) -> list[Levelled]:
    """The corruptions that an autoencoder was trained under, one after the other."""
    last = last_of(model)
    own = last.autoencoder_ if isinstance(last, DecoderPrior) else last
    part = getattr(own, "corruption", None) if isinstance(own, Autoencoder) else None
    parts = part.parts if isinstance(part, Sequence) else (part,)
    return [one for one in parts if isinstance(one, Levelled)]
