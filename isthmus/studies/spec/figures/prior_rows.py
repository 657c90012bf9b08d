"""Figures of codes with a prior: what is sampled from it, what each unit tells, and what it does when it is moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from isthmus.errors import require
from isthmus.studies.spec.figures.figure import Arrays, Context, Figure


class OfPrior(Figure):
    """A figure of models whose codes have a prior."""

    needs_code: ClassVar[bool] = True
    shows_images: ClassVar[bool] = False

    def check_models(self, models: list[Any], where: str) -> None:
        super().check_models(models, where)
        without = [model.name for model in models if not model.code.in_nats]
        require(not without, f"{where}: models", "models whose code has a prior, such as gaussian", without)


class Samples(OfPrior):
    """What each model's decoder makes of n codes of its prior, the same draws for codes of the same size."""

    kind: ClassVar[str] = "samples"

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        shape = context.splits[self.split].shape
        return {
            name: model.sample(self.n or 10, random_state=context.study.seed).reshape(-1, *shape)
            for name, model in models.items()
        }


class Nats(OfPrior):
    """The KL of each unit to its prior in nats, averaged over the split's images, the largest first."""

    kind: ClassVar[str] = "nats"

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        import numpy as np

        from isthmus.analysis import probe

        nats = {name: probe.unit_nats(model, context.splits[self.split]) for name, model in models.items()}
        return {name: -np.sort(-values) for name, values in nats.items() if values is not None}


class Traversals(Figure):
    """The first of `images`, with one unit of the code at a time moved from one end to the other: n units."""

    kind: ClassVar[str] = "traversals"
    one_model: ClassVar[bool] = True
    needs_code: ClassVar[bool] = True

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        (model,), images = models.values(), self.images_of(context)
        return probe.traversals(model, images.take(slice(0, 1)), context.splits[self.split], self.n or 8)
