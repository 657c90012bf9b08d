"""What a training leaves behind: a network, and one row per epoch, with the losses of its steps."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from isthmus.decimals import error_text
from isthmus.errors import counted
from isthmus.notebook.markup import curves, line
from isthmus.parts import Training

Moments = tuple[str, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 1.

    loss: the training objective, penalty included, averaged over samples. step_losses: the same for each step's batch.
    validation_loss: the loss without penalty on the validation samples, corrupted like the training's, with noise that
        is drawn once. seconds: training steps only.
    terms: the averages of those that the network and its code add to the objective, by name, without their weights.
    """

    epoch: int
    loss: float
    seconds: float
    step_losses: tuple[float, ...] = ()
    validation_loss: float | None = None
    terms: dict[str, float] = field(default_factory=dict)

    def line(self, epochs: int) -> str:
        """What is printed of it, of so many epochs.

        >>> Epoch(2, 0.25, 0.11, validation_loss=0.5).line(20)
        'epoch 2/20: loss 0.250000, validation 0.500000 (0.1 s)'
        """
        validated = "" if self.validation_loss is None else f", validation {error_text(self.validation_loss)}"
        return f"epoch {self.epoch}/{epochs}: loss {error_text(self.loss)}{validated} ({self.seconds:.1f} s)"


class History:
    """The epochs of one training, in order.

    kept_start: whether the weights of the start were kept: no epoch was better by more than chance than PCA's solution
        or, after a warm start, than the weights that had been fitted before; or the last pass was taken back.
    is_over, is_stopped: whether the last row was the last; whether a callback wants it to be.
    kept_end: whether those of the last epoch were, of a loss in nats: they are as good as the best one's.
    """

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        self.epochs = list(epochs)
        self.kept_start = self.kept_end = self.is_over = self.is_stopped = False

    def __copy__(self) -> History:
        other = History()
        vars(other).update(vars(self), epochs=list(self.epochs))
        return other

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, i: int) -> Epoch:
        return self.epochs[i]

    def __repr__(self) -> str:
        last = f", loss {self.epochs[-1].loss:.6g}" if self.epochs else ""
        return f"<History of {len(self)} epochs{last}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the losses as curves, and the last ones as numbers."""
        if not self.epochs:
            return line("no epochs")
        last, checked = self.epochs[-1], self.validation_losses
        best = f"best validation {error_text(float(np.nanmin(checked)))} (dashed)" if np.isfinite(checked).any() else ""
        start = "the weights of the start are kept" if self.kept_start else ""
        numbers = (counted(len(self), "epoch"), f"{self.seconds:.1f} s", f"loss {error_text(last.loss)}", best, start)
        return line(*numbers) + curves([self.losses.tolist(), checked.tolist()], "loss by epoch")

    @property
    def losses(self) -> np.ndarray:
        """(n_epochs,): the training objective, mean over samples."""
        return np.array([row.loss for row in self.epochs])

    @property
    def validation_losses(self) -> np.ndarray:
        """(n_epochs,): NaN where there was no validation."""
        rows = [row.validation_loss for row in self.epochs]
        return np.array([np.nan if loss is None else loss for loss in rows])

    @property
    def seconds(self) -> float:
        """Training steps only, summed over the epochs."""
        return sum(row.seconds for row in self.epochs)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row per epoch: loss, validation_loss, seconds, and each term by its name.

        Raises ImportError without pandas.

        >>> from isthmus.training.history import Epoch, History
        >>> History([Epoch(1, 0.5, 0.1, validation_loss=0.6), Epoch(2, 0.25, 0.1)]).to_pandas()["loss"].tolist()
        [0.5, 0.25]
        """
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        rows: dict[str, Any] = {"loss": self.losses, "validation_loss": self.validation_losses}
        rows["seconds"] = [row.seconds for row in self.epochs]
        names = dict.fromkeys(name for row in self.epochs for name in row.terms)
        rows |= {name: [row.terms.get(name, np.nan) for row in self.epochs] for name in names}
        return pd.DataFrame(rows, index=pd.Index([row.epoch for row in self.epochs], name="epoch"))

    def to_jsonl(self) -> str:
        """One JSON object per line and epoch."""
        rows = ({name: value for name, value in vars(row).items() if name != "terms" or value} for row in self.epochs)
        return "".join(json.dumps(row) + "\n" for row in rows)

    @classmethod
    def from_jsonl(cls, text: str) -> History:
        """Read what `to_jsonl` wrote."""
        rows = (json.loads(line) for line in text.splitlines())
        return cls(Epoch(**{**row, "step_losses": tuple(row["step_losses"])}) for row in rows)


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, and what is known of its training.

    image_shape: (channels, height, width) of samples that are images. seed: that of the fit. moments: the optimizer's
    name, and its tensors after the last step, if more steps may follow. pca_of_all: its weights are PCA's solution of
    all samples, those too that were held out while it was trained. pca_samples: the `hashes_of` those; None in a folder
    of an earlier version. before_refit: the weights of PCA's solution of those that were trained on alone, if it was
    asked for to be that of given validation samples too in the end. scale: the unit of a denoiser's network. is_shot:
    whether it is told the level of each pixel, as of shot noise, and not one of each image. images: the fingerprint of
    those that it was fitted on.
    """

    network: Any
    training: Training
    history: History
    image_shape: tuple[int, int, int] | None
    seed: int
    precision: str
    moments: Moments | None = None
    pca_of_all: bool = False
    pca_samples: np.ndarray | None = None
    before_refit: dict[str, torch.Tensor] | None = None
    scale: float = 1.0
    is_shot: bool = False
    images: str | None = None

    def copy(self) -> Trained:
        """The same with weights and a history that stay as they are when the training goes on."""
        return dataclasses.replace(self, network=copy.deepcopy(self.network), history=copy.copy(self.history))
