"""What samples say of a network that is trained: its loss, when to stop, and whether it is better than it was."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from isthmus.data.batches import Samples, batches
from isthmus.metrics import mean_of
from isthmus.networks.network import Trainable
from isthmus.objective import Objective
from isthmus.training.setup import Setup

Weights = dict[str, torch.Tensor]
_CHUNK = 1000  # samples at a time


def weights_of(network: Trainable) -> Weights:
    """A copy of all weights."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs without a better validation loss, and keep the best weights. None: do neither.

    best: the least validation loss so far. waited: epochs since then. weights: a copy of the weights at that time.
    """

    patience: int | None
    best: float = math.inf
    waited: int = 0
    weights: Weights | None = None

    def over(self, loss: float | None, network: Trainable) -> bool:
        """Take an epoch's validation loss and the weights that have it; whether this was the last epoch."""
        if self.patience is None or loss is None:
            return False
        if loss < self.best:
            self.best, self.waited, self.weights = loss, 0, weights_of(network)
        else:
            self.waited += 1
        return self.waited >= self.patience


@torch.no_grad()
def mean_loss(network: Trainable, samples: Samples, setup: Setup, chunk: int = _CHUNK) -> float:
    """The loss without the penalty, averaged over samples, in float32 and the data's units."""
    loss = Objective(setup.objective.loss)  # in the data's units
    total = 0.0
    for x_hat, code, x in _outputs(network, samples, setup, chunk):
        total += float(loss(x_hat, code, x)) * len(x)
    return total / len(samples)


@torch.no_grad()
def is_better(network: Trainable, start: Weights, samples: Samples, setup: Setup) -> bool:
    """Whether a network has less loss than with the weights that it started with, by more than chance.

    Sample by sample: of some hundred epochs one is best by chance, and few samples cannot tell.
    """
    trained, best = _sample_losses(network, samples, setup), weights_of(network)
    network.load_state_dict(start)
    difference = mean_of(trained - _sample_losses(network, samples, setup))
    network.load_state_dict(best)
    return difference.ci95 is not None and difference.ci95[1] < 0


def _sample_losses(network: Trainable, samples: Samples, setup: Setup) -> np.ndarray:
    """Each sample's loss, (n,), of which `mean_loss` is the mean."""
    loss, outputs = Objective(setup.objective.loss), _outputs(network, samples, setup, _CHUNK)
    return torch.cat([loss.of_samples(x_hat, x) for x_hat, _, x in outputs]).double().cpu().numpy()


def _outputs(
    network: Trainable, samples: Samples, setup: Setup, chunk: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(x_hat, code, target) of each chunk of samples, corrupted with the same noise each time."""
    network.eval()
    noise = setup.still_noise(samples.device)
    for x in batches(samples, chunk, None):
        x_in, target = setup.pair(x, noise)
        output = network(x_in, logits=setup.objective.takes_logits)
        yield output.x_hat, output.code, target
