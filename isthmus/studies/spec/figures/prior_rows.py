"""Figures of models whose code has a prior: images that are sampled from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from isthmus.errors import require
from isthmus.studies.spec.figures.figure import Arrays, Context, Figure


class Samples(Figure):
    """What each model's decoder makes of n codes of its prior, the same draws for codes of the same size."""

    kind: ClassVar[str] = "samples"
    needs_code: ClassVar[bool] = True
    shows_images: ClassVar[bool] = False

    def check_models(self, models: list[Any], where: str) -> None:
        super().check_models(models, where)
        without = [model.name for model in models if not model.code.in_nats]
        require(not without, f"{where}: models", "models whose code has a prior, such as gaussian", without)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        shape = context.splits[self.split].shape
        return {
            name: model.sample(self.n or 10, random_state=context.study.seed).reshape(-1, *shape)
            for name, model in models.items()
        }
