"""Callbacks of a fit: what is called after each epoch, with scikit-learn's own interface where it has one."""

from __future__ import annotations

import abc
import contextlib
import copy
import inspect
from collections.abc import Generator
from typing import Any, Self

from isthmus.errors import RequestError
from isthmus.estimators.fits.callback_support import EPOCH, AfterEpoch, CallbackSupportMixin, FitCallback, managed
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.history import Epoch, Trained


class Watched(CallbackSupportMixin, abc.ABC):
    """An estimator that trains in epochs, of which callbacks may be told."""

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Set what is called after each epoch of every `fit`, in place of what was set before; none for nothing.

        callbacks: functions of (row, model), the epoch's row of `history_`, and a model that is fitted as if `fit` had
        stopped there, which may be kept. One that returns True ends the fit after that epoch. Also scikit-learn's own
        (`sklearn.callback.ProgressBar()`, `ScoringMonitor`, from 1.9 on), for which each epoch is a task, and
        `isthmus.callbacks`' for TensorBoard, Weights & Biases and MLflow. They change no bit of what is learned; one
        that raises ends the fit. Of several processes the first calls them.

        Raises ValueError for what can't be called so.

        >>> import numpy as np
        >>> from isthmus import Autoencoder, Dense
        >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
        >>> losses = []
        >>> model = Autoencoder(Dense(bottleneck=2), epochs=20, random_state=0)
        >>> model = model.set_callbacks(lambda row, model: losses.append(row.loss) or row.epoch == 3).fit(X)
        >>> len(losses), len(model.history_)
        (3, 3)
        """
        self.__dict__.pop("_skl_callbacks", None)
        if callbacks:  # where scikit-learn's clone, pipelines and searches look for them
            self._skl_callbacks = [_checked(callback) for callback in callbacks]
        return self

    def fitted_by(self, fitting: Any, checkpoint: Any, X: Any) -> Generator[Epoch, None, None]:
        """Be fitted at the end of a fit's epochs, which it yields. checkpoint: as `fit` is given it; X: for them."""
        checkpoint = checkpoint if fitting.world.is_first else Checkpoints(None)
        checkpoints = checkpoint if isinstance(checkpoint, Checkpoints) else Checkpoints(checkpoint)
        with checkpoints.held(fitting.n_bytes):
            self.adopt((yield from self._watched(fitting, checkpoints, X)))
            self.describe(fitting)
            if checkpoints is not checkpoint:
                checkpoints.remove()

    @abc.abstractmethod
    def adopt(self, fitted: Trained) -> None:
        """Be fitted: with a network that was trained or read, and what is known of its training."""

    def describe(self, fitting: Any) -> None:
        """Note what a reader of the saved model may want to know of what it was fitted to."""

    def _watched(self, fitting: Any, checkpoints: Checkpoints, X: Any) -> Generator[Epoch, None, Trained]:
        world, rows = fitting.world, fitting.epochs(checkpoints)
        if world.size == 1 and not self._has_callbacks:
            return (yield from rows)
        is_watched = world.is_first and self._has_callbacks  # where another process has some, they are not called
        with contextlib.closing(rows), managed(self) if is_watched else contextlib.nullcontext():
            tasks = _Tasks(self, fitting, X) if is_watched else None
            while True:
                if tasks is not None and not fitting.history.is_over:
                    tasks.begin_epoch()
                try:
                    row = next(rows)
                except StopIteration as end:
                    trained: Trained = end.value
                    break
                fitting.history.is_stopped = world.decided(tasks.end_epoch if tasks else bool)
                yield row
            if tasks is not None:
                tasks.end()
            return trained

    @property
    def _has_callbacks(self) -> bool:
        return bool(getattr(self, "_skl_callbacks", None))

    def as_of_now(self, fitting: Any) -> Any:
        """A model that is fitted as if the training ended here, with weights and a history that stay as they are."""
        model = copy.copy(self)
        model.adopt(fitting.trained().copy())
        return model


class _Tasks:
    """A fit and its epochs, as scikit-learn's tasks."""

    def __init__(self, model: Any, fitting: Any, X: Any) -> None:
        # what is to come out is what goes in; without a y a `ScoringMonitor` says nothing
        self.arguments: dict[str, Any] = {"estimator": model, "X": X, "y": X}
        self.now = {**self.arguments, "reconstruction_attributes": lambda: vars(model.as_of_now(fitting))}
        self.fit = model._init_callback_context(max_subtasks=fitting.training.epochs)
        self.fit.call_on_fit_task_begin(**self.arguments)

    def begin_epoch(self) -> None:
        self.epoch = self.fit.subcontext(task_name=EPOCH)
        self.epoch.call_on_fit_task_begin(**self.arguments)

    def end_epoch(self) -> bool:
        """Whether the fit is to end."""
        return bool(self.epoch.call_on_fit_task_end(**self.now))

    def end(self) -> None:
        self.fit.call_on_fit_task_end(**self.now)


def _checked(callback: Any) -> Any:
    if isinstance(callback, FitCallback) and not isinstance(callback, type):
        return callback
    try:
        if isinstance(callback, type):
            raise TypeError
        inspect.signature(callback).bind(None, None)
    except TypeError:
        wanted = "a function of (row, model), or one of scikit-learn's callbacks (from its release 1.9 on)"
        raise RequestError(f"a callback must be {wanted}, got {callback!r}") from None
    return AfterEpoch(callback)
