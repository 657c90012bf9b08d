"""A model as it was during its training: its weights after an epoch."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sklearn.pipeline import Pipeline

from isthmus.errors import DataError, one_line
from isthmus.estimators.adapters import adapter_of
from isthmus.training.snapshots.states import read_state


def model_at(model: Any, state: Path) -> Any:
    """A fitted model with the weights of a state. A model that it works on the codes of stays as it is.

    Raises DataError for a state that is damaged, or is of another network.
    """
    adapter = adapter_of(model)
    earlier = copy.copy(adapter.last.model)
    network = copy.deepcopy(earlier.network_)
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in read_state(state).items()})
    except RuntimeError as error:
        raise DataError(f"the state {state} does not fit its model: {one_line(error)}") from None
    earlier.adopt(replace(earlier.fitted_, network=network.eval()))
    if adapter.first is adapter.last:
        return earlier
    return Pipeline([*model.steps[:-1], (model.steps[-1][0], earlier)])
