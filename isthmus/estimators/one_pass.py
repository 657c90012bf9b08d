"""One pass over samples that come in parts: the training of `partial_fit`."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import Pixels
from isthmus.decimals import error_text
from isthmus.estimators.one_fit import OneFit
from isthmus.estimators.warm_start import WarmStart
from isthmus.rng import content_seeds
from isthmus.training.hardware import memory_told
from isthmus.training.history import History
from isthmus.training.loop import Position, train

Moments = tuple[str, dict[str, torch.Tensor]]


class OnePass(OneFit):
    """A fit of one epoch at a constant rate, which goes on where the one before it ended.

    history: that of the model with one row more. moments: the optimizer's name, and its tensors after the last step.
    """

    moments: Moments

    def __init__(
        self,
        model: Any,
        X: Any,
        image_shape: tuple[int, int, int] | None,
        say: Callable[[str], None],
        warm_start: WarmStart | None,
    ) -> None:
        # no clone: of one of a RandomState the model's own would never move on
        asked = copy.copy(model).set_params(schedule="constant", epochs=1, validation_fraction=None, patience=None)
        super().__init__(asked, X, None, image_shape, say, warm_start)
        # a recipe may have chosen these two
        self.training = dataclasses.replace(self.training, validation_fraction=None, patience=None)
        if warm_start is not None:
            self.history = History(model.history_)
        optimizer, tensors = getattr(model, "_moments", ("", {}))
        self.position = Position(len(self.history), tensors if optimizer == self.training.optimizer else {})

    def stream(self) -> int:
        """The seed of order, augmentation and noise, which are functions of it and of the number of the pass.

        Told apart by what the row before lost, not by the weights: a hash of them takes as long as a step. So passes
        after one fit are others than those after another, and the same once more after loading.
        """
        if self.warm_start is None or not len(self.history):
            return super().stream()
        return next(content_seeds(self.seed, "cycle", np.array([[self.history[-1].loss]])))

    def run(self) -> None:
        """Train `network`, and note the pass."""
        self.count_threads()
        # counted on, so that a penalty's warm-up goes on too
        training = dataclasses.replace(self.training, epochs=self.position.epoch + 1)
        with memory_told(training.batch_size):
            pixels = Pixels(self.X, self.device)
        self.begin(pixels)
        passes = train(
            self.network,
            pixels,
            self.scaled_objective(),
            training,
            augmentation=self.augmentation,
            precision=self.precision,
            position=self.position,
            threads=self.threads,
            **self.given(),
        )
        with contextlib.closing(passes):
            row = next(passes)
            self.moments = training.optimizer, self.position.optimizer  # of a training that takes no further step
        self.network.eval()
        self.history.epochs.append(row)
        self.say(f"pass {row.epoch}: loss {error_text(row.loss)} ({row.seconds:.1f} s)")
