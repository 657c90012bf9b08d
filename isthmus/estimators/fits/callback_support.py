"""scikit-learn's support for callbacks (SLEP023), from its release 1.9 on; else what a fit in epochs needs of it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

from isthmus.training.history import Epoch

__all__ = ["EPOCH", "AfterEpoch", "CallbackSupportMixin", "FitCallback", "managed"]

EPOCH = "epoch"  # the name of an epoch among scikit-learn's tasks


class AfterEpoch:
    """A function of (row, model) as one of scikit-learn's callbacks.

    >>> from isthmus.estimators.fits.callback_support import AfterEpoch
    >>> AfterEpoch(lambda row, model: row.loss < 0.01)
    AfterEpoch(<lambda>)
    """

    def __init__(self, function: Callable[[Epoch, Any], Any]) -> None:
        self.function = function

    def __repr__(self) -> str:
        return f"AfterEpoch({getattr(self.function, '__name__', repr(self.function))})"

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing is to be done before the first epoch."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing is to be done before an epoch."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        """Call the function after an epoch. Whether the fit is to end."""
        if context.task_name != EPOCH:
            return False
        return bool(self.function(fitted_estimator.history_[-1], fitted_estimator))

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing is to be done in the end."""


class Task:
    """A fit, or an epoch of it: what scikit-learn calls a context."""

    def __init__(self, callbacks: list[Any], task_name: str) -> None:
        self.callbacks, self.task_name = callbacks, task_name

    def subcontext(self, task_name: str) -> Task:
        """A part of this task."""
        return Task(self.callbacks, task_name)

    def call_on_fit_task_begin(self, *, estimator: Any, X: Any, y: Any) -> None:
        """Tell the callbacks that it begins."""
        for callback in self.callbacks:
            callback.on_fit_task_begin(estimator, self)

    def call_on_fit_task_end(
        self, *, estimator: Any, X: Any, y: Any, reconstruction_attributes: Callable[[], dict[str, Any]]
    ) -> bool:
        """Tell the callbacks that it ends, with a fitted copy of the estimator. Whether one wants the fit to end."""
        fitted = copy.copy(estimator)
        vars(fitted).update(reconstruction_attributes())
        stops = [callback.on_fit_task_end(estimator, self, fitted_estimator=fitted) for callback in self.callbacks]
        return any(stops)


class _CallbackSupportMixin:
    _skl_callbacks: list[Any]

    def _init_callback_context(self, max_subtasks: int) -> Task:
        task = Task(self._skl_callbacks, "fit")
        for callback in task.callbacks:
            callback.setup(self, task)
        return task


@contextlib.contextmanager
def _managed(estimator: Any) -> Iterator[None]:
    """Tear the callbacks of an estimator down in the end, whatever happens."""
    try:
        yield
    finally:
        for callback in estimator._skl_callbacks:
            callback.teardown(estimator, None)


try:
    from sklearn.callback import CallbackSupportMixin, FitCallback
    from sklearn.callback._callback_support import callback_management_context as managed
except ImportError:
    CallbackSupportMixin, FitCallback, managed = _CallbackSupportMixin, AfterEpoch, _managed
