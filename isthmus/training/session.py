"""One training from its start, or a checkpoint, to its end: epochs, validation losses, early stopping, checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Generator
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import Pixels
from isthmus.errors import DivergedError
from isthmus.metrics import mean_of
from isthmus.networks import Network
from isthmus.objective import Objective
from isthmus.parts import Augmentation, Part, Training
from isthmus.training.checkpoint import Checkpoints, Snapshot
from isthmus.training.hardware import memory_told, using_threads
from isthmus.training.history import Epoch, History
from isthmus.training.loop import Position, mean_loss, sample_losses, train
from isthmus.training.stopping import EarlyStopping


def session(
    network: Network,
    pixels: Pixels,
    held_out: Pixels | None,
    objective: Objective,
    training: Training,
    checkpoints: Checkpoints,
    former: Snapshot | None,
    history: History,
    *,
    augmentation: Augmentation | None,
    corruption: Part | None,
    precision: str,
    seed: int,
    image_shape: tuple[int, int, int] | None,
    ids: np.ndarray | None,
    threads: int,
    warm: bool = False,
) -> Generator[Epoch, None, None]:
    """Train `network`; yield a row after each epoch, added to `history`. In the end its weights are those to keep.

    held_out: samples for the validation loss, never augmented. former: where to go on from, of which `history` gets the
    rows first. threads: of steps and of validation, whose bits would be others with more. warm: the weights were fitted
    before. With patience such weights are kept, like those of a start at PCA's solution, unless the validation samples
    say that an epoch is better by more than chance. The other arguments are `train`'s.
    Raises DivergedError too if the validation loss is not finite.
    """
    stopping, position = EarlyStopping(training.patience), Position()
    given: dict[str, Any] = {"corruption": corruption, "seed": seed, "image_shape": image_shape}
    start = None
    if held_out is not None and training.patience and (warm or training.start == "pca"):
        start = _weights(network)
        if warm:
            stopping.over(_validation_loss(network, held_out, objective, training, threads, given), network)
    if former is not None:
        history.epochs[:] = former.history.epochs
        position = former.restore(network, stopping)
    own = {"augmentation": augmentation, "precision": precision, "position": position, "ids": ids, "threads": threads}
    rows = train(network, pixels, objective, training, **own, **given)  # type: ignore[arg-type]
    with contextlib.closing(rows):
        for row in rows:
            if held_out is not None:
                row = _validated(row, _validation_loss(network, held_out, objective, training, threads, given))
            history.epochs.append(row)
            over = stopping.over(row.validation_loss, network) or row.epoch == training.epochs
            if not over and checkpoints.due(history):
                checkpoints.write(Snapshot.of(network, position, stopping, history, seed))
            yield row
            if over:
                break
    if stopping.weights is not None:
        network.load_state_dict(stopping.weights)
    if start is not None and held_out is not None:
        with using_threads(threads):
            history.kept_start = not _better(network, start, held_out, Objective(objective.loss), **given)
        if history.kept_start:
            network.load_state_dict(start)


def _validation_loss(
    network: Network, held_out: Pixels, objective: Objective, training: Training, threads: int, given: dict[str, Any]
) -> float:
    """The loss without the penalty."""
    with memory_told(training.batch_size), using_threads(threads):
        return mean_loss(network, held_out, Objective(objective.loss), **given)


def _weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _better(
    network: Network, start: dict[str, torch.Tensor], held_out: Pixels, objective: Objective, **given: Any
) -> bool:
    """Whether a network has less loss than with the weights that it started with, by more than chance.

    Sample by sample: of some hundred epochs one is best by chance, and few held-out samples cannot tell.
    """
    trained = sample_losses(network, held_out, objective, **given)
    best = _weights(network)
    network.load_state_dict(start)
    difference = mean_of(trained - sample_losses(network, held_out, objective, **given))
    network.load_state_dict(best)
    return difference.ci95 is not None and difference.ci95[1] < 0


def _validated(row: Epoch, loss: float) -> Epoch:
    if not math.isfinite(loss):
        raise DivergedError(
            f"diverged: the validation loss was {loss} after epoch {row.epoch}; lower the learning rate, or look for "
            "extreme values in the validation samples",
            epoch=row.epoch,
        )
    return dataclasses.replace(row, validation_loss=loss)
