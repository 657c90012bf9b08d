"""Train one model, measure it against baselines, save and plot it: what `isthmus fit` does with images."""

from __future__ import annotations

import argparse
import copy
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus import console, persistence
from isthmus.commands.fitting.baselines import yardsticks
from isthmus.commands.fitting.continuation import Base
from isthmus.commands.fitting.crowd import WatchedProgress
from isthmus.commands.fitting.judgement import Errors, Judgement, before
from isthmus.commands.fitting.training_record import trained_on_selected
from isthmus.commands.fitting.whole_photographs import HeldOut, Uncut
from isthmus.commands.images import leakage
from isthmus.commands.images.holdout import Parts
from isthmus.commands.images.photographs import measure_photographs
from isthmus.commands.images.pictures import Picture, Pictures
from isthmus.commands.screening.unusual import held_out_errors
from isthmus.commands.shared.options import checkpoints_of
from isthmus.commands.shared.part_syntax import words_of
from isthmus.commands.shared.previews import white_of, write_preview
from isthmus.commands.shared.tables import error_facts, error_table
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.errors import RequestError, counted
from isthmus.estimators.adapters import adapter_of, chunks, reconstruct
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.files import remove
from isthmus.fingerprints import CODE
from isthmus.machine import launched
from isthmus.metrics import Estimate, active
from isthmus.parts import Corruption, doubt
from isthmus.studies.results.measure import Measured, measure
from isthmus.studies.run.fitting import train_with_checkpoints
from isthmus.training.checkpoint import OtherTrainingError
from isthmus.training.hardware import using_threads_everywhere

_SHOWN = 12  # images in the preview
_MANY = 100_000  # of each part, of which the units that are never on are counted


@dataclass(frozen=True)
class Fitted:
    """A trained model, with the errors measured for it and for the baselines.

    head: on which images, in words, and whether they are held out or selected on. errors: MSE and PSNR, the model's
    first, then, for a denoiser, those of the corrupted images as they are. warnings: sentences on what went wrong.
    """

    model: Autoencoder
    head: str
    errors: dict[str, Errors]
    warnings: list[str] = field(default_factory=list)

    def table(self) -> str:
        """A line for each of the errors."""
        return error_table(self.head, _rows(self.errors))


def _rows(errors: dict[str, Errors]) -> dict[str, tuple[Estimate, Estimate]]:
    return {name: (each["mse"], each["psnr"]) for name, each in errors.items()}


@dataclass(frozen=True)
class _Held:
    """Images to measure on, the same way for every model: their photographs, if they are patches of some."""

    images: Images
    photographs: HeldOut | None
    corruption: Corruption | None

    def of_each(self, model: Any, *, selected: bool) -> dict[str, Any] | None:
        """The errors of each, without a corruption, for `isthmus score`; None of regions, which are no whole images."""
        if self.photographs is not None:
            held = self.photographs
            pictures, stride = held.pictures, held.stride
            if not held.are_whole:
                return None
        else:
            pixels, stride = self.images.pixels, None
            pictures = Pictures(len(pixels), pixels.dtype, lambda: (Picture("", x, identity=0) for x in pixels))
        return held_out_errors(model, self.images.shape, pictures, stride, selected=selected)

    def errors(self, model: Any, name: str) -> Errors:
        """MSE and PSNR. name: the model's, for the progress."""
        metrics = ("mse", "psnr")
        if self.photographs is None:
            return measure(model, self.images, metrics, corruption=self.corruption).estimates
        shape, pictures, stride = self.images.shape, self.photographs.pictures, self.photographs.stride
        whole = measure_photographs(model, shape, pictures, metrics, self.corruption, stride=stride, name=name)
        return whole.estimates()


@dataclass(frozen=True)
class Job:
    """A fit with everything chosen.

    facts: kept in config.json under "extra"; of "seen" what is true before the fit. force: replace a stopped fit of
    another kind. uncut: of patches, the photographs, on which errors are measured. base: the fit to go on from.
    """

    model: Autoencoder
    parts: Parts
    folder: Path
    threads: int
    facts: dict[str, Any]
    force: bool = False
    uncut: Uncut | None = None
    base: Base | None = None

    def held(self, images: Images) -> _Held:
        """How these images are measured."""
        return _Held(images, None if self.uncut is None else self.uncut.of(images), self.model.corruption)


def fit(job: Job) -> Fitted | None:
    """Train an estimator, measure it and save it into its folder, whole or not at all.

    Of several processes of torchrun the first alone measures and saves; the others return None. Raises RunError if
    another process trains the same model, and as `Autoencoder.fit`.
    """
    model, parts, folder, base = job.model, job.parts, job.folder, job.base
    train, validation = parts.train, parts.validation
    if note := doubt(model.part("network"), model.penalty, model.part("code")):
        console.say(f"note: {note}")
    if targets := model.part("loss").targets(in_nats=model.part("code").in_nats):
        console.say(f"in training, {targets}")
    with using_threads_everywhere(job.threads):
        if base is not None:
            base.hand_to(model)
        _train(job)
        if launched()[0] > 0:
            return None
        model.set_params(warm_start=False)  # a later `fit` of the loaded model begins anew unless asked otherwise
        seen, fitted_on, chosen = job.facts.get("seen"), train, as_chosen(model)
        if is_refitted := chosen is not model:
            seen, fitted_on = seen and trained_on_selected(seen), train.followed_by(validation)
            if copied := leakage.copies(replace(parts, train=validation)):
                console.say(copied.replace("to train on", "to choose by, on which this model is fitted too"))
        size, measured = adapter_of(model).code_size(train.n_features), job.held(parts.measured)
        codes = measure(model, parts.measured, ("mse", "dead_units", "l0"), corruption=model.corruption)
        codes = _with_dead_units_of_all(codes, model, [train, validation, *filter(None, [parts.test])])
        # of a code as wide as the images PCA is exact: it is held against one of as many numbers as are not 0
        n_on = codes.estimates["l0"].value if model.penalty is not None or size >= train.n_features else None
        others = None if parts.test is None else validation  # which chose for the model, and PCA needs not choose
        alone = base is not None and base.knows_others(*filter(None, (train, validation, parts.test)))
        baselines = yardsticks(
            *(train, validation, size, model.corruption, n_on, others, alone, model.part("augmentation")),
            None if job.uncut is None else job.uncut.images(train),
        )
        if model.corruption is None and not any("PCA" in name for name in baselines):
            console.say(f"no PCA is beside it: with {train.n_features:,} numbers, as the images have, it is exact")
        models = {f"{folder.name}, {counted(size, 'number')}": model} | baselines
        if base is not None and not model.history_.kept_start:
            models[before(base)] = base.model  # few images may have chosen an epoch that is worse on others
        errors = {name: measured.errors(estimator, name) for name, estimator in models.items()}
        model_errors = next(iter(errors.values()))
        if parts.test is None:
            on_validation, on_test = model_errors, None
        else:
            on_validation, on_test = job.held(validation).errors(chosen, f"{folder.name}, validation"), model_errors
        n_choosing, given = validation.n_photographs, job.facts.get("fit", {}).get("facts", {})
        judgement = Judgement(
            *(model, train, folder, codes, errors, job.uncut is None, n_choosing),
            *(base, alone, is_refitted, "--learning-rate" in given),
        )
        head = parts.head(None if measured.photographs is None else measured.photographs.where)
        known: dict[str, Any] = {
            "image_shape": list(train.shape),
            "images": train.source,
            "data_sha256": fitted_on.fingerprint,
            "seen": seen,
            "validation": _summary(on_validation),
            "test": None if on_test is None else _summary(on_test),
            # of images that it may have been trained on before there is nothing to compare with
            "held_out_errors": None if parts.doubt else measured.of_each(model, selected=parts.test is None),
            "errors": error_facts(head, _rows(errors), folder.name),
            "faults": judgement.faults,
            "learned_from": _learned_from(model, train.source, base),
            "is_pca": model.history_.kept_start and (base is None or base.is_pca),
            "cycles": [*([] if base is None else base.cycles), len(model.history_)],
        }
        persistence.save(model, folder, extra={**job.facts, **known})
        remove(checkpoints_of(folder))
        preview(model, parts.measured, folder)
    return Fitted(model, head, errors, list(judgement.warnings()))


def print_next_steps(fitted: Fitted, options: argparse.Namespace) -> None:
    """Say what is worth knowing of a fit, and which command comes next."""
    for line in fitted.warnings:
        console.say(line)
    console.say(f"model: {options.out.resolve()}  (look at {options.out / 'preview.png'})")
    model, data = shlex.quote(str(options.out)), shlex.quote(options.data)
    if fitted.model.corruption is not None:
        command = f"isthmus denoise {model} {data} -o denoised --corruption {words_of(fitted.model.corruption)}"
    else:
        command = f"isthmus evaluate {model} {data}"
    allowed = " --allow-imports" if options.allow_imports else ""
    if fitted.model.corruption is None:
        console.say(f"to find what is unusual among other images: isthmus score {model} OTHERS{allowed}")
    console.say(f"next: {command}{' --skip-bad' if options.skip_bad else ''}{allowed}")


def as_chosen(model: Autoencoder) -> Autoencoder:
    """The model as it was when samples chose it: before it was fitted to them too, if it was."""
    if model.fitted_.before_refit is None:
        return model
    chosen = copy.deepcopy(model)
    chosen.network_.load_state_dict(model.fitted_.before_refit)
    return chosen


def _learned_from(model: Autoencoder, source: str, base: Base | None) -> list[str]:
    """The names of the images that the weights come of, in a row of --from; without those that bettered nothing."""
    if base is None or model.fitted_.before_refit is not None:
        return [source]
    if not (before := base.learned_from) or model.history_.kept_start:  # who does not know, never will
        return before
    return list(dict.fromkeys([*before, source]))


def _summary(errors: Errors) -> dict[str, Any]:
    return {"n": errors["mse"].n, **{name: errors[name].value for name in ("mse", "psnr")}}


def train(model: Any, x: Any, held_out: Any, folder: Path, progress: Any, *, force: bool, refit: bool = False) -> None:
    """Train an estimator beside its folder-to-be. Raises RequestError for a stopped fit of another kind there."""
    place = checkpoints_of(folder)
    try:
        train_with_checkpoints(model, x, held_out, place, folder.name, progress, replace=force, refit=refit)
    except OtherTrainingError as error:
        ways = "which its own command continues; choose another -o, or add --force to start over"
        if (folder / persistence.CONFIG).is_file():  # which --force would replace
            ways = (
                f"which its own command continues; to go on from the finished model without it, delete {place}; "
                "--force would train another model in its place"
            )
        if CODE in error.summary:
            ways = f"which that version of isthmus continues; with this {ways.partition('; ')[2]}"
        raise RequestError(f"{error.summary}: an interrupted fit, {ways}") from None


def _with_dead_units_of_all(codes: Measured, model: Autoencoder, collections: list[Images]) -> Measured:
    """What was measured of codes, with the units that are zero for all images: a few may need what most do not."""
    if not (dead := codes.estimates.get("dead_units")) or not dead.value:
        return codes
    is_on, n = np.zeros(model.network_.code_size, bool), 0
    for images in collections:
        some = images.take(np.unique(np.linspace(0, len(images) - 1, min(_MANY, len(images))).round().astype(int)))
        for which in chunks(len(some)):
            x = some.floats(which)
            given = x if model.corruption is None else noisy_version(x, model.corruption, images.shape)
            is_on |= active(np.asarray(model.transform(given))).any(axis=0)
        n += len(some)
    return replace(codes, estimates={**codes.estimates, "dead_units": Estimate(float((~is_on).sum()), None, n)})


def _train(job: Job) -> None:
    model, folder = job.model, job.folder
    assert model.epochs is not None, "chosen before the training"
    with console.training_progress() as progress:
        progress.started(folder.name, model.epochs)
        parts, refit = job.parts, job.parts.test is not None  # what is measured on is never fitted to
        watched = WatchedProgress(progress, torch.get_num_threads())
        train(model, parts.train, parts.validation, folder, watched, force=job.force, refit=refit)
        history = model.history_
        best = f"the best was {(best_epoch := int(np.nanargmin(history.validation_losses)) + 1)}"
        if history.kept_end and best_epoch < len(history):
            best += ", and the last, which is as good, is kept"
        if history.kept_start:
            is_former = model.warm_start and model.fitted_.before_refit is None
            start = "the start, as fitted before" if is_former else "the start, PCA's solution"
            best = "none better than " + ("PCA's filter" if model.corruption and not is_former else start)
        summary = f"{counted(len(history), 'epoch')} in {console.duration(history.seconds)}, {best}"
        progress.finished(folder.name, f"{summary}; next its errors are measured, and PCA's")  # in silence


def preview(model: Autoencoder, images: Images, folder: Path) -> None:
    """Plot a few images and their reconstructions into `folder`/preview.png."""
    n = min(_SHOWN, len(images))
    positions = tuple(np.linspace(0, len(images) - 1, n).round().astype(int).tolist())
    shown = images.take(np.array(positions))
    rows = {"original": shown.floats()}
    if model.corruption is not None:
        rows[model.corruption.label] = noisy_version(rows["original"], model.corruption, images.shape)
    rows["this model"] = reconstruct(model, list(rows.values())[-1])
    shaped = {name: x.reshape(n, *images.shape) for name, x in rows.items()}
    write_preview(folder / persistence.PREVIEW, shaped, white=white_of(rows["original"]))
