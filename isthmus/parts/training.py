"""How a network is trained: optimizer, schedule, epochs, batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isthmus.errors import one_of, require
from isthmus.parts import checks
from isthmus.parts.part import Part

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "one-cycle")
PRECISIONS = ("auto", "bfloat16", "float32")
DEVICES = ("auto", "cpu", "cuda", "mps")
STARTS = ("data", "pca", "random")
RECIPES = ("fast",)


@dataclass(frozen=True, repr=False)
class Training(Part):
    """How the one loop runs: the arguments that `Autoencoder` passes on to it, checked in one place.

    shuffle: True draws a new order each epoch, "once" one order for all epochs, False keeps the order of the data.
    patience: stop after so many epochs without a better validation loss, and keep the best weights.
    start: "random" weights as they were drawn, or scaled to the first "data", see `training.start`; "pca" for a dense
        network that begins at PCA's solution, or is held against it, see there too, and is that unless validation is
        better.
    standardize: the network sees each channel minus its median, in units of its spread, and draws in the data's units.
    recipe: what chooses the arguments that are not given, see `training.recipe`; None for the defaults here.
    """

    kind: ClassVar[str] = "training"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    epochs: int = 20
    batch_size: int = 128
    shuffle: bool | str = True
    validation_fraction: float | None = None
    patience: int | None = None
    precision: str = "auto"
    device: str = "auto"
    start: str = "random"
    standardize: bool = False
    recipe: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.positive("learning_rate", self.learning_rate)
        one_of("schedule", self.schedule, SCHEDULES)
        checks.count("epochs", self.epochs)
        checks.count("batch_size", self.batch_size)
        require(
            isinstance(self.shuffle, bool) or self.shuffle == "once", "shuffle", 'true, false or "once"', self.shuffle
        )
        if self.validation_fraction is not None:
            fraction = self.validation_fraction
            require(checks.is_number(fraction) and 0 < fraction < 1, "validation_fraction", "between 0 and 1", fraction)
        if self.patience is not None:
            checks.count("patience", self.patience)
        one_of("precision", self.precision, PRECISIONS)
        one_of("device", self.device, DEVICES)
        one_of("start", self.start, STARTS)
        checks.flag("standardize", self.standardize)
        if self.recipe is not None:
            one_of("recipe", self.recipe, RECIPES)
