"""Measure photographs of any size with a model of patches: errors of photographs, codes of patches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus import metrics
from isthmus.analysis.code_figures import CodeFigures
from isthmus.analysis.patchwork import patches_of, patchwork
from isthmus.commands.images.model_folder import Shape
from isthmus.commands.images.passage import Result, through
from isthmus.commands.images.pictures import Pictures
from isthmus.data.sizes import Size
from isthmus.estimators.adapters import adapter_of, reconstruct_code_only
from isthmus.metrics import Estimate
from isthmus.parts import Corruption
from isthmus.studies.spec.quantities import CODE_METRICS, METRICS


@dataclass
class Photographs:
    """What was measured of whole photographs: a value for each and each metric, and which units were on for any patch.

    figures: those that the model's kind of code brings. wanted: the metrics that are measured. "before" among the
    values is the error of what the model was given: of the corrupted photograph, or of none. sha256: of the pixels.
    """

    wanted: tuple[str, ...]
    values: dict[str, list[float]] = field(default_factory=dict)
    figures: CodeFigures | None = None
    units_on: np.ndarray | None = None
    n_patches: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """Of the shapes and float32 pixels of all photographs, in their order."""
        return str(self.digest.hexdigest())

    def estimates(self) -> dict[str, Estimate]:
        """Over photographs, by metric, as far as they are defined."""
        arrays = {name: np.array(values) for name, values in self.values.items()}
        estimates = {name: metrics.mean_of(values) for name, values in arrays.items()}
        estimates["psnr"] = metrics.mean_psnr(arrays["mse"])
        if self.units_on is not None:
            estimates["dead_units"] = Estimate(float((~self.units_on).sum()), None, estimates["mse"].n)
        wanted = {name: estimates[name] for name in self.wanted if name in estimates}
        figures = {} if self.figures is None else self.figures.values(METRICS)
        return wanted | {name: Estimate(value, None, estimates["mse"].n) for name, value in figures.items()}

    @property
    def before(self) -> dict[str, Estimate]:
        """MSE and PSNR of what the model was given."""
        errors = np.array(self.values["before"])
        return {"mse": metrics.mean_of(errors), "psnr": metrics.mean_psnr(errors)}

    def add(self, model: Any, result: Result, size: Size | None, stride: Size | None) -> None:
        """Measure one photograph, and the codes of the patches that were put together. size: of a patch, if of some."""
        x, x_in, x_hat = result.picture.x, result.x_in, result.x_hat
        self.digest.update(f"{x.shape}".encode() + np.ascontiguousarray(x).data)
        measured = {
            "mse": metrics.squared_error(x[None], x_hat[None])[0],
            "before": metrics.squared_error(x[None], x_in[None])[0],
        }
        if "ssim" in self.wanted and (similarity := metrics.ssim_of_one(x, x_hat)) is not None:
            measured["ssim"] = similarity
        codes: dict[str, list[np.ndarray]] = {"mean_activation": [], "l0": []}
        for patches in () if size is None else patches_of(x_in, size, stride):
            self.n_patches += len(patches)
            if not adapter_of(model).has_code or set(CODE_METRICS).isdisjoint(self.wanted):
                continue
            code = np.asarray(model.transform(patches)).reshape(len(patches), -1)
            codes["mean_activation"].append(metrics.mean_activation(code))
            codes["l0"].append(metrics.l0(code))
            self.figures = self.figures or CodeFigures(model)
            self.figures.add(patches)
            on = np.any(metrics.active(code), axis=0, keepdims=False)
            self.units_on = on if self.units_on is None else np.logical_or(self.units_on, on)
        measured |= {name: np.concatenate(values).mean() for name, values in codes.items() if values}
        if "mse_code_only" in self.wanted and size is not None and adapter_of(model).n_switches:
            from_code = patchwork(lambda part: _code_only(model, part), x_in, size, stride=stride)
            measured["mse_code_only"] = metrics.squared_error(x[None], from_code[None])[0]
        for name, value in measured.items():
            self.values.setdefault(name, []).append(float(value))


def _code_only(model: Any, patches: np.ndarray) -> np.ndarray:
    x_hat = reconstruct_code_only(model, patches)
    assert x_hat is not None
    return x_hat


def measure_photographs(
    model: Any,
    shape: Shape | None,
    pictures: Pictures,
    wanted: tuple[str, ...],
    corruption: Corruption | None = None,
    *,
    stride: Size | None,
    name: str,
) -> Photographs:
    """Whole photographs, corrupted whole, each put together of what the model makes of its patches: as `denoise` does.

    shape, stride: of a patch; None for a model of images of any size, and for half a patch. Patches of one photograph
    are not independent, so statistics of codes are means over its patches first. name: what is measured, for the
    progress.
    """
    measured = Photographs(wanted)
    task, size = f"measuring {name}", None if shape is None else shape[1:]
    for result in through(model, shape, pictures, stride=stride, corruption=corruption, task=task):
        measured.add(model, result, size, stride)
    return measured
