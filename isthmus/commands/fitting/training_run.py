"""One model trained, measured against what costs nothing, saved and drawn: what `isthmus fit` does with images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.commands.fitting.baselines import yardsticks
from isthmus.commands.fitting.continuation import Base
from isthmus.commands.fitting.judgement import Errors, Judgement, before
from isthmus.commands.fitting.whole_photographs import HeldOut, Uncut
from isthmus.commands.images.holdout import Parts
from isthmus.commands.images.photographs import measure_photographs
from isthmus.commands.shared.options import checkpoints_of
from isthmus.commands.shared.previews import white_of, write_preview
from isthmus.commands.shared.tables import error_table
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.errors import RequestError, counted
from isthmus.estimators.adapters import code_size, reconstruct
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.files import remove
from isthmus.parts import Corruption, doubt
from isthmus.studies.results.measure import measure
from isthmus.studies.run.fitting import train_with_checkpoints
from isthmus.training.checkpoint import OtherTrainingError
from isthmus.training.hardware import using_threads_everywhere

_SHOWN = 12  # images in the preview


@dataclass(frozen=True)
class Fitted:
    """A model, and what was measured on images: of it, and of the yardsticks beside it.

    head: of which images, in words, and whether they are held out or selected on. errors: MSE and PSNR, the model's
    first, then, of a denoiser, those of the corrupted images as they are.
    warnings: sentences on what went wrong: a collapse, a model that learned no more than costs nothing.
    """

    model: Autoencoder
    head: str
    errors: dict[str, Errors]
    warnings: list[str] = field(default_factory=list)

    def table(self) -> str:
        """A line for each of the errors."""
        return error_table(self.head, {name: (errors["mse"], errors["psnr"]) for name, errors in self.errors.items()})


@dataclass(frozen=True)
class _Held:
    """Images to measure on, the same way whatever model it is: their photographs, if they are patches of some."""

    images: Images
    photographs: HeldOut | None
    corruption: Corruption | None

    def errors(self, model: Any, name: str) -> Errors:
        """MSE and PSNR. name: the model's, for the progress."""
        wanted = ("mse", "psnr")
        if self.photographs is None:
            return measure(model, self.images, wanted, corruption=self.corruption).estimates
        pictures = self.photographs.pictures
        return measure_photographs(model, self.images.shape, pictures, wanted, self.corruption, name=name).estimates()


def fit(
    model: Autoencoder,
    parts: Parts,
    folder: Path,
    *,
    threads: int,
    facts: dict[str, Any],
    force: bool = False,
    uncut: Uncut | None = None,
    base: Base | None = None,
) -> Fitted:
    """Train an estimator, measure it and save it into `folder`, whole or not at all.

    facts: kept in config.json under "extra". uncut: of patches, the photographs, which errors are measured on. base:
    the fit to go on from. Raises RunError if another process trains the same model, and as `Autoencoder.fit`.
    """
    train, validation = parts.train, parts.validation
    if note := doubt(model.part("network"), model.penalty):
        console.say(f"note: {note}")

    def held(images: Images) -> _Held:
        return _Held(images, None if uncut is None else uncut.of(images), model.corruption)

    with using_threads_everywhere(threads):
        if base is not None:
            base.hand_to(model)
        _train(model, train, validation, folder, force=force)
        model.set_params(warm_start=False)  # whoever loads it and calls `fit` begins anew unless that is said
        size, measured = code_size(model, train.n_features), held(parts.measured)
        others = yardsticks(train, validation, size, model.corruption)
        models = {f"{folder.name}, {size:,} numbers": model, **others}
        if base is not None and not model.history_.kept_start:
            models[before(base)] = base.model  # few images may have chosen an epoch that is worse on others
        errors = {name: measured.errors(estimator, name) for name, estimator in models.items()}
        model_errors = next(iter(errors.values()))
        codes = measure(model, parts.measured, ("mse", "dead_units"), corruption=model.corruption)
        judgement = Judgement(model, train, folder, codes, errors, uncut is None, base)
        known: dict[str, Any] = {
            "image_shape": list(train.shape),
            "images": train.source,
            "data_sha256": train.fingerprint,
            # of the images that chose the best epoch; and of those that chose nothing
            "validation": _summary(
                model_errors if parts.test is None else held(validation).errors(model, f"{folder.name}, validation")
            ),
            "test": None if parts.test is None else _summary(model_errors),
            "faults": judgement.faults,
            "cycles": [*([] if base is None else base.cycles), len(model.history_)],
        }
        persistence.save(model, folder, extra={**facts, **known})
        remove(checkpoints_of(folder))
        preview(model, parts.measured, folder)
    head = parts.head(None if measured.photographs is None else measured.photographs.where)
    return Fitted(model, head, errors, list(judgement.warnings()))


def _summary(errors: Errors) -> dict[str, Any]:
    return {"n": errors["mse"].n, **{name: errors[name].value for name in ("mse", "psnr")}}


def _train(model: Autoencoder, train: Images, validation: Images, folder: Path, *, force: bool) -> None:
    assert model.epochs is not None  # it was chosen before the training, and said
    with console.listener() as listener:
        listener.started(folder.name, model.epochs)
        checkpoints = checkpoints_of(folder)
        try:
            train_with_checkpoints(model, train, validation, checkpoints, folder.name, listener, replace=force)
        except OtherTrainingError as error:
            raise RequestError(
                f"{error.found}: a fit that was stopped; its own command goes on with it; choose another -o, "
                "or add --force to begin anew"
            ) from None
        history = model.history_
        best = f"the best was {int(np.nanargmin(history.validation_losses)) + 1}"
        if history.kept_start:
            best = "none better than the start, " + ("as fitted before" if model.warm_start else "PCA's solution")
        summary = f"{counted(len(history), 'epoch')} in {console.duration(history.seconds)}, {best}"
        listener.finished(folder.name, summary)


def preview(model: Autoencoder, images: Images, folder: Path) -> None:
    """Draw a few images and what the model makes of them into `folder`/preview.png."""
    n = min(_SHOWN, len(images))
    positions = tuple(np.linspace(0, len(images) - 1, n).round().astype(int).tolist())
    shown = images.take(np.array(positions))
    rows = {"original": shown.floats()}
    if model.corruption is not None:
        rows[model.corruption.label] = noisy_version(rows["original"], model.corruption, images.shape)
    rows["this model"] = reconstruct(model, list(rows.values())[-1])
    shaped = {name: x.reshape(n, *images.shape) for name, x in rows.items()}
    write_preview(folder / persistence.PREVIEW, shaped, white=white_of(rows["original"]))
