"""When a training has gone on for long enough, and the best weights that it had."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from isthmus.networks import Network


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs without a better validation loss, and keep the best weights. None: do neither.

    best: the least validation loss so far. waited: epochs since then. weights: a copy of the weights at that time.
    """

    patience: int | None
    best: float = math.inf
    waited: int = 0
    weights: dict[str, torch.Tensor] | None = None

    def over(self, loss: float | None, network: Network) -> bool:
        """Take an epoch's validation loss and the weights that have it; whether this was the last epoch."""
        if self.patience is None or loss is None:
            return False
        if loss < self.best:
            self.best, self.waited = loss, 0
            self.weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        else:
            self.waited += 1
        return self.waited >= self.patience
