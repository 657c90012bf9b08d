"""Figures of codes: as points, as maps, and how often each unit is on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from isthmus.errors import require
from isthmus.studies.spec.figures.figure import Arrays, Context, Figure


class Scatter(Figure):
    """The first two numbers of each code as a point, coloured by label."""

    kind: ClassVar[str] = "scatter"
    one_model: ClassVar[bool] = True
    shows_images: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ()

    def check_data(self, context: Context, models: list[Any]) -> None:
        width = context.code_width(models[0])
        require(width >= 2, f'a scatter of "{models[0].name}", its codes', "of at least 2 numbers", width)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        (model,) = models.values()
        return probe.code_scatter(model, context.splits[self.split].take(slice(0, self.n or 2000)))


class Usage(Figure):
    """For which share of the images each unit is on."""

    kind: ClassVar[str] = "usage"
    needs_code: ClassVar[bool] = True

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        return {name: probe.usage(model, context.splits[self.split]) for name, model in models.items()}


class Activations(Figure):
    """Images, and the codes or feature maps that each model makes of them."""

    kind: ClassVar[str] = "activations"
    needs_code: ClassVar[bool] = True

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        images = self.images_of(context)
        shown: Arrays = {"original": images.floats().reshape(-1, 1, *images.shape)}
        for name, model in models.items():
            for layer, maps in probe.activation_maps(model, images).items():
                shown[", ".join(word for word in (name, layer) if word)] = maps
        return self.with_labels(shown, images)
