"""Figures that are rows of images: originals, what models make of them, and what lies near or between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from isthmus.errors import require
from isthmus.studies.spec.figures.figure import Arrays, Context, Figure


class Reconstructions(Figure):
    """Images, and each model's reconstruction of them."""

    kind: ClassVar[str] = "reconstructions"

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        images = self.images_of(context)
        return self.with_labels(probe.reconstructions(models, images), images)


class Pictures(Reconstructions):
    """The images alone, or as `Reconstructions`."""

    kind: ClassVar[str] = "images"
    needs_models: ClassVar[bool] = False


class Denoising(Figure):
    """The original, then for each level the noisy images and what each model makes of them."""

    kind: ClassVar[str] = "denoising"
    needs_corruption: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        require(not self.source, "the source of a denoising figure", "left out", self.source)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe
        from isthmus.corruption import noisy_version

        images = self.images_of(context)
        shown: Arrays = {}
        for level, part in zip(self.levels or (0,), self.corruptions(), strict=True):
            seen = probe.reconstructions(models, images, noisy_version(images.floats(), part, images.shape))
            shown["original"] = seen.pop("original")
            at = f" at {level:g}" if len(self.levels) > 1 else ""
            shown |= {f"{part.label if name == 'input' else name + at}": row for name, row in seen.items()}
        return self.with_labels(shown, images)


class PhotographCrops(Figure):
    """The middles of photographs at full size: clean, noisy, and what each model makes of the whole noisy one."""

    kind: ClassVar[str] = "photograph-crops"
    any_size: ClassVar[bool] = True
    needs_corruption: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        require(not self.source and len(self.levels) <= 1, "photograph-crops", "of one level, without source", self)

    def check_models(self, models: list[Any], where: str) -> None:
        super().check_models(models, where)
        sized = [model.name for model in models if model.part is None or not model.part.any_size]
        require(not sized, f"{where}: models", "denoisers of images of any size", sized)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        import numpy as np

        from isthmus.data.sizes import cropped
        from isthmus.estimators.denoising.denoiser_adapter import noisy_and_denoised

        positions = np.array(list(dict.fromkeys(self.images)))  # of few photographs some were named twice
        images: Any = context.splits[self.split].take(positions)
        (part,) = self.corruptions()
        side = min(self.n or 128, *(length for array in images.arrays for length in array.shape[1:]))
        shown: dict[str, list[np.ndarray]] = {"original": [], "input": []}
        for i in range(len(images)):
            x = images.floats(i)
            shown["original"].append(cropped(x, (side, side)))
            for name, model in models.items():
                y, x_hat = noisy_and_denoised(model, x, part)
                shown.setdefault(name, []).append(cropped(x_hat, (side, side)))
            shown["input"].append(cropped(y, (side, side)))
        return {name: np.stack(crops) for name, crops in shown.items()} | {"positions": positions}


class Nearest(Figure):
    """Images, and the training images that are nearest in pixels and in each model's code."""

    kind: ClassVar[str] = "nearest"
    needs_code: ClassVar[bool] = True

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        images = self.images_of(context)
        return self.with_labels(probe.nearest(models, images, context.splits["train"]), images)


class LatentNoise(Figure):
    """Decoded codes with noise on them, whose levels are standard deviations."""

    kind: ClassVar[str] = "latent-noise"
    one_model: ClassVar[bool] = True
    needs_code: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        require(len(self.levels) > 0, "the levels of a latent-noise figure", "at least one number", self.levels)
        require(self.corruption is None, "the corruption of a latent-noise figure", "left out", self.corruption)

    def corruptions(self) -> list[Any]:
        return [None]  # the levels are those of the code

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        (model,) = models.values()
        spread = probe.code_spread(model, context.splits[self.split]) if self.relative else None
        images = self.images_of(context)
        return self.with_labels(probe.latent_noise(model, images, self.levels, relative_to=spread), images)


class Interpolation(Figure):
    """From one image to another, in pixels and in each model's code."""

    kind: ClassVar[str] = "interpolation"
    needs_code: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        require(len(self.images) == 2, "the images of an interpolation", "two", self.images)

    def check_data(self, context: Context, models: list[Any]) -> None:
        super().check_data(context, models)
        require(self.n is None or self.n > 1, "n, the steps of an interpolation", "at least 2", self.n)

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        from isthmus.analysis import probe

        return probe.interpolation(models, self.images_of(context), self.n or 9)
