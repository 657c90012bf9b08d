"""What samples say of a network that is trained: its loss, when to stop, and whether it is better than it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from isthmus.data.batches import Samples, at_a_time, batches
from isthmus.metrics import mean_of
from isthmus.networks.network import Trainable
from isthmus.networks.outputs import NONE, Term
from isthmus.rng import generator
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
        return self.is_over

    @property
    def is_over(self) -> bool:
        """Whether it has waited for long enough."""
        return self.patience is not None and self.waited >= self.patience


@torch.no_grad()
def mean_loss(network: Trainable, samples: Samples, setup: Setup, chunk: int = _CHUNK) -> float:
    """The loss without the penalty, averaged over samples, in float32 and the data's units."""
    loss, total = setup.objective.of_loss, 0.0
    for x_hat, code, x, terms in _outputs(network, samples, setup, at_a_time(chunk, samples.n_features)):
        total += float(loss(x_hat, code, x, terms=terms if loss.in_nats else NONE)) * len(x)
    return total / len(samples)


@torch.no_grad()
def mean_objective(network: Trainable, samples: Samples, setup: Setup) -> float:
    """What the last step lowers, averaged over batches that are augmented and corrupted in the same way each time."""

    def ramp(warmup: float) -> float:
        return min(1.0, setup.training.epochs / warmup) if warmup else 1.0

    change, total = generator(setup.seed, "augment", 0, samples.device), 0.0
    for x_hat, code, x, terms in _outputs(network, samples, setup, setup.training.batch_size, change):
        total += float(setup.objective(x_hat, code, x, ramp, terms)) * len(x)
    return total / len(samples)


@torch.no_grad()
def is_better(network: Trainable, start: Weights, samples: Samples, setup: Setup) -> bool:
    """Whether a network has less loss than the weights that it started with will have, by more than chance.

    Sample by sample: of some hundred epochs one is best by chance, and few samples cannot tell. A denoiser that did not
    start with these weights has no less reason to be taken than they have: then by any difference.
    """
    difference = mean_of(_differences(network, start, samples, setup, 1 - setup.refit_gain))
    if setup.corruption is not None and not setup.is_warm:
        return difference.value is not None and difference.value < 0
    return difference.ci95 is not None and difference.ci95[1] < 0


@torch.no_grad()
def is_as_good(network: Trainable, best: Weights, samples: Samples, setup: Setup) -> bool:
    """Whether a network has a loss within a standard error of that which it has with these weights."""
    difference = _differences(network, best, samples, setup)
    return bool(len(difference) > 1 and difference.mean() <= difference.std(ddof=1) / math.sqrt(len(difference)))


def _differences(network: Trainable, others: Weights, samples: Samples, setup: Setup, share: float = 1.0) -> np.ndarray:
    """Each sample's loss, less a share of that with other weights, (n,)."""
    its_own = weights_of(network)
    each = sample_losses(network, samples, setup)
    network.load_state_dict(others)
    each -= share * sample_losses(network, samples, setup)
    network.load_state_dict(its_own)
    return each


@torch.no_grad()
def sample_losses(network: Trainable, samples: Samples, setup: Setup) -> np.ndarray:
    """Each sample's loss, (n,), of which `mean_loss` is the mean."""
    loss, outputs = setup.objective.of_loss, _outputs(network, samples, setup, at_a_time(_CHUNK, samples.n_features))
    each = [loss.of_samples(x_hat, x, terms if loss.in_nats else NONE) for x_hat, _, x, terms in outputs]
    return torch.cat(each).double().cpu().numpy()


def _outputs(
    network: Trainable, samples: Samples, setup: Setup, chunk: int, change: torch.Generator | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, Mapping[str, Term]]]:
    """(x_hat, code, target, terms) of each chunk of samples, corrupted with the same noise each time.

    In nats a code is drawn as in training, by the same noise each time too. change: augments the samples first, as in
    training.
    """
    network.eval()
    noise = setup.still_noise(samples.device)
    latent = generator(setup.seed, "latent", 0, samples.device) if setup.objective.in_nats else None
    for x in batches(samples, chunk, None):
        if change is None:
            x_in, target = setup.validation_pair(x, noise)
        else:
            x_in, target = setup.pair(setup.augmented(x, change), noise)
        output = network(x_in, logits=setup.objective.takes_logits, generator=latent)
        yield output.x_hat, output.code, target, output.terms
