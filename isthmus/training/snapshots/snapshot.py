"""A training between two epochs, in memory.

Generators are functions of (seed, purpose, epoch), so the seed is all that is kept of them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import Module

from isthmus.training.history import History
from isthmus.training.loop import Position
from isthmus.training.validation import EarlyStopping

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """A training between two epochs. The last weights and the best are apart, and each set is of one epoch."""

    seed: int
    history: History
    weights: Arrays
    optimizer: Arrays
    best: float
    waited: int
    best_weights: Arrays | None

    @classmethod
    def of(cls, network: Module, position: Position, stopping: EarlyStopping, history: History, seed: int) -> Snapshot:
        """What a training is now. On a CPU it shares the tensors' memory: write it before training goes on."""
        weights, optimizer = arrays_of(network.state_dict()), arrays_of(position.optimizer)
        best = None if stopping.weights is None else arrays_of(stopping.weights)
        return cls(seed, history, weights, optimizer, stopping.best, stopping.waited, best)

    def copy(self, spare: Snapshot | None) -> Snapshot:
        """The same in memory that training does not change: that of `spare`, for new memory costs more than copying."""
        if spare is None:
            spare = replace(self, weights=copy.deepcopy(self.weights), optimizer=copy.deepcopy(self.optimizer))
        for arrays, copies in ((self.weights, spare.weights), (self.optimizer, spare.optimizer)):
            for name, array in arrays.items():
                np.copyto(copies[name], array)
        return replace(self, history=History(self.history), weights=spare.weights, optimizer=spare.optimizer)

    def restore(self, network: Module, stopping: EarlyStopping) -> Position:
        """Bring a network and its early stopping to where they were; the position to go on from."""
        network.load_state_dict(_tensors(self.weights))
        stopping.best, stopping.waited = self.best, self.waited
        if self.best_weights is not None:
            device = next(network.parameters()).device
            stopping.weights = {name: tensor.to(device) for name, tensor in _tensors(self.best_weights).items()}
        return Position(len(self.history), _tensors(self.optimizer))


def arrays_of(tensors: dict[str, torch.Tensor]) -> Arrays:
    """Tensors as arrays, which share their memory on a CPU."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
