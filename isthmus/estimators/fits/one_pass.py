"""One pass over samples that come in parts: the training of `partial_fit`."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from isthmus.data.batches import Samples
from isthmus.decimals import error_text
from isthmus.errors import PoorFitWarning, require
from isthmus.estimators.fits.doubts import Judged
from isthmus.estimators.fits.one_fit import OneFit
from isthmus.estimators.fits.warm_start import WarmStart
from isthmus.estimators.parameters import Composed, training_of
from isthmus.parts import Training
from isthmus.rng import content_seeds
from isthmus.training.hardware import memory_told, using_threads
from isthmus.training.history import History, Trained
from isthmus.training.loop import Position, train
from isthmus.training.setup import Setup
from isthmus.training.validation import mean_objective, weights_of

# A pass that is taken back halves the rate, and each one after it that is kept raises it a little again (Battiti 1989),
# which a thousandth of it is not too small for.
_SLOWER, _FASTER, _SLOWEST = 0.5, 1.2, 1e-3
_LEAST_JUDGED, _LARGE_RATE = 20, 0.01  # samples of a pass; 1 / steps


def _rate_of_fit(training: Training, rate: float | None) -> float | None:
    """The rate that is a parameter, if it is that of the fit before and was not said for passes since; else None.

    Of what was saved after passes, nobody knows what was said.
    """
    was_pass = (training.epochs, training.schedule) == (1, "constant")
    return rate if was_pass or rate == training.learning_rate else None


class OnePass(OneFit):
    """A fit of one epoch at a constant rate, which goes on where the one before it ended.

    A rate that was not said for passes may be too high for what is there: at PCA's solution of few wide samples, or at
    the end of a cycle, any step of Adam's usual size is a step back. So such a pass is taken back if it leaves its own
    samples worse than they were, and the next ones are slower.
    """

    def __init__(self, model: Any, X: Any, warm_start: WarmStart | None) -> None:
        require(model.shards == 1, "shards", "1 for partial_fit, which trains in one process", model.shards)
        # no clone: of one of a RandomState the model's own would never move on
        single = copy.copy(model).set_params(schedule="constant", epochs=1, validation_fraction=None, patience=None)
        former = None if warm_start is None else warm_start.fitted
        if former and not former.moments:  # a whole fit, or loading
            vars(model)["_fit_rate"] = _rate_of_fit(former.training, model.learning_rate)
        self.has_rate = model.learning_rate not in (None, vars(model).get("_fit_rate"))
        if not self.has_rate:
            single.set_params(learning_rate=None)
        self.known_doubts: set[str] = vars(model).setdefault("_known_doubts", set())
        super().__init__(single, X, None, warm_start)
        if not self.has_rate and model.learning_rate is not None:
            lower = min(self.training.learning_rate, model.learning_rate)
            self.training = replace(self.training, learning_rate=lower)
        self.peak = self.training.learning_rate
        if former and former.moments and not self.has_rate:
            rate = former.training.learning_rate * (_SLOWER if former.history.kept_start else _FASTER)
            rate = min(self.peak, max(_SLOWEST * self.peak, rate))
            self.training = replace(self.training, learning_rate=rate)
        self.history = History() if former is None else History(former.history)
        optimizer, tensors = (former and former.moments) or ("", {})
        self.position = Position(len(self.history), tensors if optimizer == self.training.optimizer else {})

    def _is_news(self, kind: str) -> bool:
        """Once for a model: each part of a stream has other numbers, and would say the same with them."""
        is_news = kind not in self.known_doubts
        self.known_doubts.add(kind)
        return is_news

    @staticmethod
    def training_of(model: Composed, shape: tuple[int, int]) -> Training:
        """As a recipe chooses, but for what belongs to whole fits."""
        return replace(training_of(model, shape), validation_fraction=None, patience=None)

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
            samples = self.read(self.X)
        setup = self.begin(samples)
        # counted on, so that a penalty's warm-up goes on too
        counted = replace(self.training, epochs=self.position.epoch + 1)
        setup = replace(setup, training=counted)
        before = None if self.has_rate else (weights_of(self.network), self._objective(samples, setup))
        passes = train(self.network, samples, setup, self.position)
        with contextlib.closing(passes):
            row = next(passes)
            moments = counted.optimizer, self.position.optimizer  # of a training that takes no further step
        self.history.epochs.append(row)
        line = f"pass {row.epoch}: loss {error_text(row.loss)} ({row.seconds:.1f} s)"
        if before is not None and not self._objective(samples, setup) <= before[1]:
            self.network.load_state_dict(before[0])
            self.history.kept_start = True
            line += ", taken back"
        self.display.say(line)
        if self._is_judged:
            with memory_told(self.training.batch_size), using_threads(self.threads):
                sentence = Judged(self.network, setup, self.history, samples, None, is_pass=True).worse_than_mean()
            if sentence:
                warnings.warn(sentence, PoorFitWarning, stacklevel=3)  # at the line that calls `partial_fit`
        return self.trained(moments)

    @property
    def _is_judged(self) -> bool:
        """Whether the pass is one of those after which the model is held against the mean.

        A step of Adam's moves a weight by about the rate, so until the steps so far, a hundred at the least, add up to
        1 a bias may not be at the mean yet, and that is no fault. From there on it is looked at each time that they
        have doubled: so a stream of any length is told a few times, and hardly a pass takes longer for it. Of a handful
        of samples the mean may be near to all by chance.
        """
        if len(self.X) < _LEAST_JUDGED:
            return False
        n_steps = [sum(len(row.step_losses) for row in rows) for rows in (self.history.epochs[:-1], self.history)]
        before, after = (math.frexp(min(self.peak, _LARGE_RATE) * n)[1] for n in n_steps)
        return after > max(before, 0)

    def _objective(self, samples: Samples, setup: Setup) -> float:
        """What the pass lowers, with the weights of a warm-up as they are at its end."""
        with memory_told(self.training.batch_size), using_threads(self.threads):
            return mean_objective(self.network, samples, setup)
