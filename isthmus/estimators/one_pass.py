"""One pass over samples that come in parts: the training of `partial_fit`."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from isthmus.data.batches import samples_on
from isthmus.decimals import error_text
from isthmus.estimators.one_fit import OneFit
from isthmus.estimators.warm_start import WarmStart
from isthmus.rng import content_seeds
from isthmus.training.hardware import memory_told
from isthmus.training.history import History, Trained
from isthmus.training.loop import Position, train


class OnePass(OneFit):
    """A fit of one epoch at a constant rate, which goes on where the one before it ended."""

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
        former = None if warm_start is None else warm_start.fitted
        self.history = History() if former is None else History(former.history)
        optimizer, tensors = (former and former.moments) or ("", {})
        self.position = Position(len(self.history), tensors if optimizer == self.training.optimizer else {})

    @cached_property
    def stream(self) -> int:
        """The seed of order, augmentation and noise, which are functions of it and of the number of the pass.

        Told apart by what the row before lost, not by the weights: a hash of them takes as long as a step. So passes
        after one fit are others than those after another, and the same once more after loading.
        """
        if self.warm_start is None or not len(self.history):
            return super().stream
        return next(content_seeds(self.seed, "cycle", np.array([[self.history[-1].loss]])))

    def run(self) -> Trained:
        """Train, and note the pass."""
        with memory_told(self.training.batch_size):
            samples = samples_on(self.X, self.device, shuffle=self.training.shuffle, seed=self.stream)
        setup = self.begin(samples)
        # counted on, so that a penalty's warm-up goes on too
        counted = dataclasses.replace(self.training, epochs=self.position.epoch + 1)
        passes = train(self.network, samples, dataclasses.replace(setup, training=counted), self.position)
        with contextlib.closing(passes):
            row = next(passes)
            moments = counted.optimizer, self.position.optimizer  # of a training that takes no further step
        self.history.epochs.append(row)
        self.say(f"pass {row.epoch}: loss {error_text(row.loss)} ({row.seconds:.1f} s)")
        return self.trained(moments)
