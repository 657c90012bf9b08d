"""One training from its start, or a checkpoint, to its end: epochs, validation losses, early stopping, checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Generator

from isthmus.data.batches import Samples
from isthmus.errors import DivergedError
from isthmus.networks.network import Trainable
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.hardware import memory_told, using_threads
from isthmus.training.history import Epoch, History
from isthmus.training.loop import Position, train
from isthmus.training.setup import Setup
from isthmus.training.snapshots.snapshot import Snapshot
from isthmus.training.validation import EarlyStopping, is_as_good, is_better, mean_loss

_AT_THE_END = 0.1  # of the time from one checkpoint to the next: what comes after the last epoch takes time too


def session(
    network: Trainable,
    samples: Samples,
    held_out: Samples | None,
    setup: Setup,
    checkpoints: Checkpoints,
    former: Snapshot | None,
    history: History,
) -> Generator[Epoch, None, None]:
    """Train `network`; yield a row after each epoch, added to `history`. In the end its weights are those to keep.

    held_out: samples for the validation loss, never augmented. former: where to go on from, of which `history` gets the
    rows first; it ends after a row after which `is_stopped` is set there. In the end the setup's fallback is kept,
    unless the validation samples say that an epoch is better by more than chance. With patience the best epoch's
    weights are; in nats, those of a cycle's end if they are as good.
    Raises DivergedError too if the validation loss is not finite.
    """
    training, position = setup.training, Position()
    stopping, fallback = EarlyStopping(training.patience), setup.fallback
    if held_out is not None and fallback is not None and setup.is_warm:
        stopping.over(_validation_loss(network, held_out, setup), network)
    if former is not None:
        history.epochs[:] = former.history.epochs
        position = former.restore(network, stopping)
    states = checkpoints.states
    states.begin(network, training.epochs, position.epoch)
    now = functools.partial(Snapshot.of, network, position, stopping, history, setup.seed)
    with contextlib.closing(train(network, samples, setup, position)) as rows:
        for row in () if stopping.is_over else rows:
            if held_out is not None:
                row = _validated(row, _validation_loss(network, held_out, setup))
            history.epochs.append(row)
            over = stopping.over(row.validation_loss, network) or row.epoch == training.epochs
            states.keep(network, row.epoch, is_last=over)  # first: what goes on from the checkpoint has it
            checkpoints.keep(now, _AT_THE_END if over else 1.0)
            history.is_over = over
            yield row
            if over or history.is_stopped:
                break
    history.is_over = True
    history.kept_end = stopping.weights is not None and _ends_as_well(network, stopping, held_out, setup)
    if stopping.weights is not None and not history.kept_end:
        network.load_state_dict(stopping.weights)
    if fallback is not None and held_out is not None:
        with using_threads(setup.threads):
            history.kept_start = not setup.world.decided(lambda: is_better(network, fallback, held_out, setup))
        if history.kept_start:
            network.load_state_dict(fallback)


def _ends_as_well(network: Trainable, stopping: EarlyStopping, held_out: Samples | None, setup: Setup) -> bool:
    """Whether the weights that a whole training ended with are as good as the best epoch's, of a loss in nats.

    Within a standard error (Breiman et al. 1984), sample by sample: of hundreds of epochs one is best by chance, and a
    rate that is still high has left its weights less settled, as no mean over samples tells.
    """
    if held_out is None or not setup.objective.in_nats or stopping.is_over:
        return False
    assert stopping.weights is not None
    best = stopping.weights
    with using_threads(setup.threads):
        return bool(setup.world.decided(lambda: is_as_good(network, best, held_out, setup)))


def _validation_loss(network: Trainable, held_out: Samples, setup: Setup) -> float:
    def loss() -> float:
        with memory_told(setup.training.batch_size), using_threads(setup.threads):
            return mean_loss(network, held_out, setup)

    return float(setup.world.decided(loss))


def _validated(row: Epoch, loss: float) -> Epoch:
    if not math.isfinite(loss):
        raise DivergedError(
            f"diverged: the validation loss was {loss} after epoch {row.epoch}; lower the learning rate, or look for "
            "extreme values in the validation samples",
            epoch=row.epoch,
        )
    return dataclasses.replace(row, validation_loss=loss)
