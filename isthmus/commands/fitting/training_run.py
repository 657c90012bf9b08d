"""One model trained, measured against what costs nothing, saved and drawn: what `isthmus fit` does with images."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.analysis.collapse import diagnose, frozen_pixels
from isthmus.commands.fitting.baselines import MEAN_IMAGE, yardsticks
from isthmus.commands.fitting.continuation import Base
from isthmus.commands.fitting.whole_photographs import HeldOut, Uncut
from isthmus.commands.images.holdout import Parts
from isthmus.commands.images.photographs import measure_photographs
from isthmus.commands.shared.options import checkpoints_of
from isthmus.commands.shared.previews import white_of, write_preview
from isthmus.commands.shared.tables import error_table, worse_than_nothing
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.decimals import error_text
from isthmus.errors import RequestError, counted
from isthmus.estimators.adapters import code_size, reconstruct
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.files import remove
from isthmus.metrics import Estimate
from isthmus.parts import Corruption, doubt
from isthmus.studies.results.measure import Measured, measure
from isthmus.studies.run.fitting import train_with_checkpoints
from isthmus.training.checkpoint import OtherTrainingError
from isthmus.training.hardware import using_threads_everywhere

Errors = dict[str, Estimate]  # "mse" and "psnr"
_SHOWN = 12  # images in the preview
_WORTH_CUTTING = 32  # pixels of an image's shorter side from which a denoiser may be better off with pieces of it
_WORTH_IT = 0.9  # a model is worth its training if its error is below this share of a yardstick's


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
        return error_table(self.head, {name: (one["mse"], one["psnr"]) for name, one in self.errors.items()})


_ITS_OWN = 0.8  # of the held-out images' loss: images as many as a network needs differ by a few per cent


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

    facts: kept in config.json under "extra".
    uncut: of patches, the photographs, which errors are measured on. base: the fit to go on from. Raises RunError if
    another process trains the same model, and as `Autoencoder.fit`.
    """
    train, validation = parts.train, parts.validation
    if said := doubt(model.part("network"), model.penalty):
        console.say(f"note: {said}")

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
            models[_before(base)] = base.model  # few images may have chosen an epoch that is worse on others
        errors = {name: measured.errors(one, name) for name, one in models.items()}
        own, codes = next(iter(errors.values())), _measure(model, parts.measured)
        known: dict[str, Any] = {
            "image_shape": list(train.shape),
            "images": train.source,
            "data_sha256": train.fingerprint,
            # of the images that chose the best epoch; and of those that chose nothing
            "validation": _summary(
                own if parts.test is None else held(validation).errors(model, f"{folder.name}, validation")
            ),
            "test": None if parts.test is None else _summary(own),
            "faults": _faults(model, codes, errors),
            "cycles": [*([] if base is None else base.cycles), len(model.history_)],
        }
        persistence.save(model, folder, extra={**facts, **known})
        remove(checkpoints_of(folder))
        preview(model, parts.measured, folder)
    head = parts.head(None if measured.photographs is None else measured.photographs.where)
    more_images = _more_images(model, train, whole=uncut is None)
    return Fitted(model, head, errors, list(_warnings(model, codes, errors, base, folder, more_images)))


def _summary(errors: Errors) -> dict[str, Any]:
    return {"n": errors["mse"].n, **{name: errors[name].value for name in ("mse", "psnr")}}


def _train(model: Autoencoder, train: Images, validation: Images, folder: Path, *, force: bool) -> None:
    assert model.epochs is not None  # it was chosen before the training, and said
    with console.listener() as listener:
        listener.started(folder.name, model.epochs)
        kept = checkpoints_of(folder)
        try:
            train_with_checkpoints(model, train, validation, kept, folder.name, listener, replace=force)
        except OtherTrainingError as error:
            raise RequestError(
                f"{error.found}: a fit that was stopped; its own command goes on with it; choose another -o, "
                "or add --force to begin anew"
            ) from None
        history = model.history_
        best = f"the best was {int(np.nanargmin(history.validation_losses)) + 1}"
        if history.kept_start:
            best = "none better than the start, " + ("as fitted before" if model.warm_start else "PCA's solution")
        said = f"{counted(len(history), 'epoch')} in {console.duration(history.seconds)}, {best}"
        listener.finished(folder.name, said)


def _measure(model: Autoencoder, images: Images) -> Measured:
    return measure(model, images, ("mse", "dead_units"), corruption=model.corruption)


def _collapse(model: Autoencoder, codes: Measured) -> str:
    dead = codes.estimates.get("dead_units")
    n_dead = None if dead is None else int(dead.value or 0)
    seen = (codes.variation, codes.unexplained, codes.frozen)
    return str(diagnose(model, n_dead, *seen, clean=model.corruption is None) or "")


def _faults(model: Autoencoder, codes: Measured, errors: dict[str, Errors]) -> list[str]:
    """What makes a model useless, to be said again whenever it is used: a collapse, images that it makes worse."""
    found = [_collapse(model, codes)]
    if model.corruption is not None and not found[0]:
        own, as_it_is, *_ = errors.values()
        found.append(worse_than_nothing(as_it_is["mse"].value, own["mse"].value))
    return [fault for fault in found if fault]


def _warnings(
    model: Autoencoder, codes: Measured, errors: dict[str, Errors], base: Base | None, folder: Path, more_images: str
) -> Iterator[str]:
    if collapse := _collapse(model, codes):
        yield collapse
        return
    dead = codes.estimates.get("dead_units")
    if dead is not None and dead.value:
        yield f"{dead.value:,.0f} of {model.network_.code_size:,} units of the code are zero for every image"
    if model.history_.kept_start and base is not None:
        way = _way_on(model, base, folder)
        began = f"the weights that it began with, those of {base.folder}"
        yield f"no epoch was better by more than chance than {began}, which are kept: {way}"
    elif model.history_.kept_start:  # the others are then as good, or better by what a rounding makes
        yield f"{_KEPT_START} from {more_images}"
        return
    frozen = frozen_pixels(model, codes.unexplained, codes.frozen)
    if frozen:
        yield frozen
    better = _better({name: one["mse"].value for name, one in errors.items()})
    if not better:
        return
    way = _advice(model, more_images)
    if frozen or model.history_.kept_start:
        way = ""
    elif base is not None and better[0] == _before(base):
        way = _way_on(model, base, folder)
    yield f"this model is worse than {' and than '.join(better)}" + (f": {way}" if way else "")


def _better(errors: dict[str, float | None]) -> list[str]:
    """What has less error than the first: the best of it, and the mean image, which has learned nothing."""
    own = next(iter(errors.values()))
    if own is None:
        return []
    less = sorted((value, name) for name, value in errors.items() if value is not None and value < own)
    return [name for i, (_, name) in enumerate(less) if i == 0 or name == MEAN_IMAGE]


_KEPT_START = (
    "this model is PCA: no epoch was better than PCA's solution, where the training began, by more than chance; a "
    "network learns more than PCA"
)


def _before(base: Base) -> str:
    """The name of the model that a fit went on from, in a table."""
    return f"{base.folder.name}, before"


def _way_on(model: Autoencoder, base: Base, folder: Path) -> str:
    """What to try where the weights of before were no worse."""
    rate = f"{model.training_.learning_rate / 10:.2g}"
    if base.folder == folder:  # more epochs of the same fit, which takes no other rate and no other images
        source = shlex.quote(str(folder))
        return f"try a lower learning rate or more images by --from {source} -o NEW --learning-rate {rate}"
    return f"try a lower --learning-rate, as {rate}, or more images"


def _more_images(model: Autoencoder, images: Images, *, whole: bool) -> str:
    """What gives the network more to learn from, without what the fit has already."""
    ways = ["more images"]
    if model.augmentation is None:
        ways.append("--augmentation affine")
    if whole and model.corruption is not None and min(images.shape[1:]) >= _WORTH_CUTTING:
        ways.append("--patches 16x16")  # noise is local: a piece of a page has what it takes to see it
    return " or ".join(ways)


def _advice(model: Autoencoder, more_images: str) -> str:
    """What to change of a model that is worse than a PCA: one that knows its own images only needs no more epochs."""
    history = model.history_
    best = int(np.nanargmin(history.validation_losses))
    seen, held_out = history.losses[best], history.validation_losses[best]
    if seen < _ITS_OWN * held_out:
        return (
            f"it reconstructs its training images far better than others (loss {error_text(seen)} against "
            f"{error_text(held_out)}), so give it {more_images}, or choose a smaller network"
        )
    return "train longer (--epochs), or give it more numbers or more images"


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
