"""Ready callbacks for `set_callbacks`: each epoch's numbers, and pictures, for those who keep experiments elsewhere."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.errors import RequestError, needing, require
from isthmus.estimators.fits.callback_support import AfterEpoch
from isthmus.training.history import Epoch

_MOST = 16  # pictures beside each other


class Log(AfterEpoch):
    """Calls `log` with a dict of each epoch's numbers: epoch, loss, seconds, validation_loss if there is one, terms.

    What Trackio, a logger or a print takes as it is; the classes below are this with a place to write to.

    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dense
    >>> from isthmus.callbacks import Log
    >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    >>> rows = []
    >>> _ = Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0).set_callbacks(Log(rows.append)).fit(X)
    >>> [(row["epoch"], round(row["loss"], 2)) for row in rows]
    [(1, 1.24), (2, 1.24)]
    """

    def __init__(self, log: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__(self.after_epoch)
        self.log = log

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def after_epoch(self, row: Epoch, model: Any) -> None:
        """Called by `fit`."""
        self.log({"epoch": row.epoch, **numbers_of(row)})


class _Tracker(AfterEpoch, abc.ABC):
    """What has a place to write to, which is opened when a fit begins, and closed when it ends, if it was opened."""

    package: str  # the extra has its name

    def __init__(self, images: Any = None) -> None:
        super().__init__(self.after_epoch)
        self.images = None if images is None else _shown(images)
        self.library  # noqa: B018  # that it is missing is to be known before anything is trained

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def library(self) -> Any:
        """The package, which is imported when it is used: a callback travels to other processes."""
        with needing(self.package, type(self).__name__, self.package):
            return importlib.import_module(self.package)

    def setup(self, estimator: Any, context: Any) -> None:
        """Called by `fit`."""
        values = estimator.get_params(deep=False)
        self.begin({name: repr(value) for name, value in values.items() if value is not None})

    def after_epoch(self, row: Epoch, model: Any) -> None:
        """Called by `fit`."""
        self.write(numbers_of(row), row.epoch)
        if self.images is not None:
            self.show(picture_of(model, self.images), row.epoch)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Called by `fit`."""
        self.end()

    @abc.abstractmethod
    def begin(self, parameters: dict[str, str]) -> None: ...

    @abc.abstractmethod
    def write(self, numbers: dict[str, float], step: int) -> None: ...

    @abc.abstractmethod
    def show(self, picture: np.ndarray, step: int) -> None: ...

    @abc.abstractmethod
    def end(self) -> None: ...


class TensorBoard(_Tracker):
    """Writes TensorBoard's files: `tensorboard --logdir FOLDER`. Needs the extra `tensorboard`.

    folder: of the event files, made when a fit begins; each fit adds a file. images: up to 16 samples, which are shown
    above what the model makes of them after each epoch: `Images`, or an array (n, channels, height, width).
    """

    package = "tensorboard"

    def __init__(self, folder: str | Path, *, images: Any = None) -> None:
        super().__init__(images)
        self.folder = Path(folder)
        self.writer: Any = None

    def begin(self, parameters: dict[str, str]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        try:
            self.writer = SummaryWriter(str(self.folder))
        except OSError as error:
            raise RequestError(f"cannot write to {self.folder}: {error.strerror}") from None
        self.writer.add_text("parameters", "\n".join(f"    {name} = {value}" for name, value in parameters.items()))

    def write(self, numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def show(self, picture: np.ndarray, step: int) -> None:
        self.writer.add_image("images", picture, step, dataformats="HWC")

    def end(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class WandB(_Tracker):
    """Sends a run to Weights & Biases, or keeps it here with mode="offline". Needs the extra `wandb`.

    options: of `wandb.init`, such as project, name, mode and dir; config gets the model's parameters. A run that is
    open already is used and left open. images: as of `TensorBoard`.
    """

    package = "wandb"

    def __init__(self, *, images: Any = None, **options: Any) -> None:
        super().__init__(images)
        self.options, self.is_ours = options, False
        self.run: Any = None

    def begin(self, parameters: dict[str, str]) -> None:
        self.is_ours = self.library.run is None
        self.run = self.library.init(**self.options) if self.is_ours else self.library.run
        self.run.config.update(parameters, allow_val_change=True)

    def write(self, numbers: dict[str, float], step: int) -> None:
        self.run.log({"epoch": step, **numbers})

    def show(self, picture: np.ndarray, step: int) -> None:
        self.run.log({"epoch": step, "images": self.library.Image(picture)})

    def end(self) -> None:
        if self.is_ours and self.run is not None:
            self.run.finish()
        self.run = None


class MLflow(_Tracker):
    """Logs a run to MLflow, at its tracking URI. Needs the extra `mlflow`.

    options: of `mlflow.start_run`, such as run_name and experiment_id. A run that is active already is used and left
    open. images: as of `TensorBoard`.
    """

    package = "mlflow"

    def __init__(self, *, images: Any = None, **options: Any) -> None:
        super().__init__(images)
        self.options, self.is_ours = options, False

    def begin(self, parameters: dict[str, str]) -> None:
        if self.library.active_run() is None:
            self.library.start_run(**self.options)
            self.is_ours = True
        self.library.log_params(parameters)

    def write(self, numbers: dict[str, float], step: int) -> None:
        self.library.log_metrics(numbers, step=step)

    def show(self, picture: np.ndarray, step: int) -> None:
        self.library.log_image(picture, key="images", step=step, synchronous=True)  # or the last may be missing

    def end(self) -> None:
        if self.is_ours:
            self.library.end_run()
            self.is_ours = False


def numbers_of(row: Epoch) -> dict[str, float]:
    """An epoch's numbers by name: loss, seconds, validation_loss if there is one, and terms/NAME."""
    validation = {} if row.validation_loss is None else {"validation_loss": row.validation_loss}
    terms = {f"terms/{name}": value for name, value in row.terms.items()}
    return {"loss": row.loss, "seconds": row.seconds, **validation, **terms}


def picture_of(model: Any, images: Any) -> np.ndarray:
    """Images, and below them what a model makes of them: (height, width, 1 or 3) uint8, from black to white.

    images: `Images` or an array (n, channels, height, width), of which the first 16 are taken.
    """
    x = _shown(images)
    x_hat = model.denoise(x) if hasattr(model, "denoise") else model.reconstruct(x)
    low, high = float(x.min()), float(x.max())
    rows = np.concatenate([np.concatenate(list(each), axis=2) for each in (x, np.asarray(x_hat))], axis=1)
    scaled = (rows - low) / (high - low if high > low else 1.0)
    return (scaled.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)


def _shown(images: Any) -> np.ndarray:
    """The first 16 images, (n, 1 or 3, height, width), float32. Raises RequestError for what is no images."""
    x = np.asarray(getattr(images, "pixels", images)[:_MOST])
    rule = "Images or an array (n, 1 or 3, height, width)"
    require(x.ndim == 4 and x.shape[1] in (1, 3) and len(x) > 0, "images", rule, x.shape)
    return x.astype(np.float32) / (255 if hasattr(images, "pixels") and x.dtype == np.uint8 else 1)
