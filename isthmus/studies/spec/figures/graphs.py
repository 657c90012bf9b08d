"""Figures of numbers: losses against epochs, errors against levels of a corruption."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from isthmus.errors import require
from isthmus.parts import GaussianNoise, Levelled
from isthmus.studies.spec.figures.figure import THEORY, Arrays, Context, Figure
from isthmus.studies.spec.levels import members, varied

if TYPE_CHECKING:
    from isthmus.data.images import Images

Measured = dict[tuple[str, str | None], Any]  # rows, by model and corruption


class Curves(Figure):
    """The loss of each epoch or step; by epochs also the validation loss, where there is one, as "… (validation)".

    By time, (n, 2): seconds of training, and the PSNR of the validation loss in dB.
    """

    kind: ClassVar[str] = "curves"
    any_size: ClassVar[bool] = True

    def check_models(self, models: list[Any], where: str) -> None:
        super().check_models(models, where)
        trained = any(model.training for model in models)
        require(trained, f"{where}: models", "trained networks, which have curves", [model.name for model in models])

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        import numpy as np

        from isthmus.estimators.adapters import adapter_of
        from isthmus.metrics import psnr

        shown: Arrays = {}
        for name, model in models.items():
            history = getattr(adapter_of(model).last.model, "history_", None)
            if history is None:
                continue
            if self.per == "step":
                shown[name] = np.concatenate([row.step_losses for row in history])
                continue
            if self.per == "time":
                if not context.study.model(name).of and np.isfinite(history.validation_losses).all():
                    seconds = np.cumsum([row.seconds for row in history])
                    shown[name] = np.stack([seconds, psnr(history.validation_losses)], axis=1)
                continue
            shown[name] = history.losses
            if np.isfinite(history.validation_losses).all():
                shown[f"{name} (validation)"] = history.validation_losses
        return shown


class Levels(Figure):
    """For each model (n_levels, 4): level, value and its interval; "trained" is where it was trained, or NaN."""

    kind: ClassVar[str] = "levels"
    any_size: ClassVar[bool] = True
    needs_corruption: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = ("trained",)

    def check(self) -> None:
        require(len(self.levels) > 1, "the levels of a levels figure", "at least two", self.levels)
        if self.theory:
            known = all(isinstance(part, GaussianNoise) and not part.clip for part in self.corruptions())
            require(known, "theory", THEORY, self.corruption)

    def measured(self) -> list[Any]:
        return self.corruptions()

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        import numpy as np

        from isthmus.metrics import possible

        split_rows = [row for row in rows if (row.split, row.metric) == (self.split, self.metric)]
        measured: Measured = {(row.model, row.corruption): row for row in split_rows}
        at: list[tuple[float, Any]] = list(zip(self.levels, self.corruptions(), strict=True))
        # of a photograph that a denoiser leaves as it is the PSNR is far above all others, or not defined
        if getattr(at[0][1], "clean_level", None) == 0 and not context.study.data.is_photographs:
            at.insert(0, (0.0, None))  # the images as they are
        x_of = self._axis(context, measured)
        shown: Arrays = {}
        trained = []
        for name in models:
            lines = []
            for level, part in at:
                row = measured.get((name, part.label if part else None))
                if row is not None and row.value is not None:
                    interval = possible(row.ci95, row.metric) or (row.value, row.value)
                    lines.append((x_of(level, part), row.value, *interval))
            shown[name] = np.array(lines, float).reshape(-1, 4)
            corruption = context.study.model(name).arguments.get("corruption")
            level = trained_at(corruption, self.corruptions())
            trained.append(level if math.isnan(level) else x_of(level, corruption))
        if self.theory:
            shown |= self._theory(models, context, shown)
            trained += [math.nan] * (len(shown) - len(trained))
        return shown | {"trained": np.array(trained)}

    def _axis(self, context: Context, measured: Measured) -> Callable[[float, Any], float]:
        """From a level and its corruption to a place on the axis."""
        if self.axis != "noise":
            return lambda level, _: level**2 if self.axis == "square" else level
        identity = next(model.name for model in context.study.models if model.part and not model.part.learns)

        def noise(_: float, part: Any) -> float:
            row = measured.get((identity, part.label if part else None))
            return math.nan if row is None or row.value is None else row.value

        return noise

    def _theory(self, models: dict[str, Any], context: Context, shown: Arrays) -> Arrays:
        """Heckel, Huang, Hand, Voroninski's lines for each search: its error at level 0, and k/n of the noise on top.

        The first is the representation error: what k numbers cannot reconstruct at all. Noise that is relative to the
        image's norm has the power σ²‖x‖²/n; what k numbers can reconstruct keeps k/n of it.
        """
        import numpy as np

        from isthmus.estimators.adapters import adapter_of

        split = context.splits[self.split]
        lines: Arrays = {}
        for name, model in models.items():
            if not adapter_of(model).searches or not len(shown[name]) or shown[name][0, 0] != 0:
                continue
            power = np.array([0.0, *(_noise_power(split, part) for part in self.corruptions())])
            share = model.autoencoder_.network_.code_size / split.n_features
            x, left = shown[name][-len(power) :, 0], shown[name][0, 1]
            for line, values in (("representation error", np.full(len(power), left)), ("theory", left + share * power)):
                lines[f"{name}: {line}"] = np.stack([x, values, values, values], axis=1)
        return lines


def _noise_power(images: Images, part: Any) -> float:
    """The mean square of Gaussian noise that is not clipped, by its formula."""
    import numpy as np

    from isthmus.estimators.adapters import chunks

    if not getattr(part, "relative", False):
        return float(part.sigma**2)
    total = sum(float((images.floats(which).astype(np.float64) ** 2).sum()) for which in chunks(len(images)))
    return float(part.sigma**2) * total / len(images) / images.n_features


def trained_at(corruption: Any, parts: list[Any]) -> float:
    """The level at which a model was trained on this corruption; NaN if it was trained on another, or on none."""
    trained, shown, i = members(corruption), members(parts[0]), varied(parts)
    if [type(part) for part in trained] != [type(part) for part in shown] or not isinstance(shown[i], Levelled):
        return math.nan
    level = {shown[i].level: getattr(trained[i], shown[i].level)}
    same = (*shown[:i], dataclasses.replace(shown[i], **level), *shown[i + 1 :]) == trained
    return float(level[shown[i].level]) if same else math.nan
