"""Figures of weights: filters, and the atoms of decoders of one layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from isthmus.errors import require
from isthmus.studies.spec.figures.figure import Arrays, Context, Figure


class Filters(Figure):
    """Weights as images, layer by layer."""

    kind: ClassVar[str] = "filters"
    needs_code: ClassVar[bool] = True

    def check_data(self, context: Context, models: list[Any]) -> None:
        """That the units and the channel are there: of the model that sees the image, as `probe.filters`."""
        super().check_data(context, models)
        shape = context.splits["train"].shape
        for model in models:
            while model.of:
                model = context.study.model(model.of)
            units, channels = [], []  # of each layer
            if model.training:
                network = model.network.dry_run(math.prod(shape), shape)
                kernels, weights = network.kernels(self.side).values(), network.rows(self.side)
                units = [len(weight) for weight in (kernels if weights is None else [weights])]
                channels = [weight.shape[1] for weight in kernels]
                name = f'a figure of filters of "{model.name}", its network'
                require(bool(units), name, "one with filters", model.network)
            elif isinstance(n_components := model.arguments.get("n_components"), int):
                units = [n_components]
            rule, highest = (
                f'below {{}}, what a layer of the {self.side} of "{model.name}" has',
                max(self.units, default=0),
            )
            for n in units:
                require(highest < n, "units", rule.format(n), highest)
            for n in channels:
                require(self.channel < n, "channel", rule.format(n), self.channel)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        shown: Arrays = {}
        for name, model in models.items():
            layers = probe.filters(model, context.splits["train"].shape, self.side, self.channel)
            for layer, filters in layers.items():
                chosen = filters[list(self.units)] if self.units else filters[: self.n]
                shown[", ".join(word for word in (name, layer) if word)] = chosen
        return shown


class Atoms(Figure):
    """What the units that are on most often decode to, and for which share of the images they are on."""

    kind: ClassVar[str] = "atoms"
    one_model: ClassVar[bool] = True
    needs_code: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("usage", "positions")

    def check_models(self, models: list[Any], where: str) -> None:
        super().check_models(models, where)
        for model in models:
            rule = "one with a decoder of one linear layer, whose rows are atoms"
            require(model.training is None or model.network.adds_atoms, f"{where}: the model", rule, model.name)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        ((name, model),) = models.items()
        atoms = probe.atoms_by_usage(model, context.splits[self.split], self.n or 64)
        return {name: atoms["atoms"], "usage": atoms["usage"], "positions": atoms["unit"]}


class TopAtoms(Atoms):
    """Of noisy images: the clean one, the noisy one, the reconstruction, and the atoms with the largest codes."""

    kind: ClassVar[str] = "top-atoms"
    needs_corruption: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("labels", "positions", "atoms", "code")

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe
        from isthmus.corruption import noisy_version

        (model,), (part,) = models.values(), self.corruptions()
        images = self.images_of(context)
        x_in = noisy_version(images.floats(), part, images.shape)
        atoms = probe.top_atoms(model, x_in, images.shape, self.n or 5)
        shown = {part.label if key == "input" else key: row
                 for key, row in probe.reconstructions(models, images, x_in).items()}  # fmt: skip
        return self.with_labels(shown | {"atoms": atoms["atoms"], "code": atoms["code"]}, images)
