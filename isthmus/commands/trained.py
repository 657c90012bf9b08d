"""One model trained, measured against what costs nothing, saved and drawn: what `isthmus fit` does with images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.collapse import diagnose
from isthmus.commands.evaluate import worse_than_nothing
from isthmus.commands.previews import write_preview
from isthmus.commands.tables import error_table
from isthmus.commands.yardsticks import yardsticks
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.errors import RequestError, counted
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import code_size, reconstruct
from isthmus.files import remove
from isthmus.parts import Augmentation, Corruption, Part, doubt
from isthmus.rng import numpy_generator
from isthmus.studies.fitting import train_with_checkpoints
from isthmus.studies.measure import Measured, measure
from isthmus.training.hardware import using_threads_everywhere

_SHOWN = 12  # held-out images in the preview
_WORTH_IT = 0.9  # a model is worth its training if its error is below this share of a yardstick's


@dataclass(frozen=True)
class Recipe:
    """What to train, and how: parts, arguments of `Autoencoder`, the seed and the threads."""

    network: Part
    training: dict[str, Any]
    seed: int
    threads: int
    corruption: Corruption | None = None
    augmentation: Augmentation | None = None
    penalty: Part | None = None
    loss: Part | str = "mse"

    def estimator(self) -> Autoencoder:
        """The estimator, not fitted."""
        return Autoencoder(
            self.network,
            corruption=self.corruption,
            augmentation=self.augmentation,
            penalty=self.penalty,
            loss=self.loss,
            **self.training,
            random_state=self.seed,
        )


@dataclass(frozen=True)
class Fitted:
    """A model, and what was measured on held-out images: of it, and of the yardsticks beside it.

    warnings: sentences on what went wrong: a collapse, a model that learned no more than costs nothing.
    """

    model: Autoencoder
    n_held_out: int
    measured: dict[str, Measured]
    warnings: list[str] = field(default_factory=list)

    def table(self) -> str:
        """MSE and PSNR on the held-out images, the model first."""
        rows = {name: (one.estimates["mse"], one.estimates["psnr"]) for name, one in self.measured.items()}
        return error_table(f"on {counted(self.n_held_out, 'held-out image')}", rows)


def hold_out(images: Images, share: float, seed: int) -> tuple[Images, Images, str]:
    """(to train on, held out, the sentence that says how): a random share of the images.

    Patches that overlap are the same pixels, so of patches whole images are held out; of few images, the last patches
    of each. Raises RequestError for too few images.
    """
    n = len(images)
    if n == 1:
        raise RequestError(
            f"{images.source}: one image is too few to train on and hold out; give more, or --patches HxW"
        )
    sources = images.photographs
    found = np.unique(sources)
    chance = numpy_generator(seed, "split")
    if len(found) == n:
        held = np.zeros(n, bool)
        held[chance.permutation(n)[: min(n - 1, max(1, round(n * share)))]] = True
        how = f"{counted(n - held.sum(), 'image')} to train on, {held.sum():,} held out"
    elif len(found) >= _SEVERAL:
        away = chance.permutation(found)[: max(1, round(len(found) * share))]
        held = np.isin(sources, away)
        how = f"{_to_train(held)}; {held.sum():,} held out, all those of {counted(len(away), 'image')}"
    else:
        held = np.zeros(n, bool)
        for one in found:
            places = np.flatnonzero(sources == one)
            held[places[len(places) - max(1, round(len(places) * share)) :]] = True
        how = f"{_to_train(held)}; {held.sum():,} held out, the last of each image"
    if (left := n - int(held.sum())) < 2:
        raise RequestError(f"--validation {share:g} leaves {left} of {n} images to train on, and it takes 2; give more")
    return images.take(np.flatnonzero(~held)), images.take(np.flatnonzero(held)), how


def _to_train(held: np.ndarray) -> str:
    return f"{counted(int((~held).sum()), 'patch', 'patches')} to train on"


_ITS_OWN = 0.8  # of the held-out images' loss: images as many as a network needs differ by a few per cent
_SEVERAL = 5  # images of which some can be held out whole


def fit(recipe: Recipe, train: Images, held_out: Images, folder: Path, *, facts: dict[str, Any]) -> Fitted:
    """Train, measure and save into `folder`, whole or not at all; facts: kept in config.json under "extra".

    Raises RunError if another process trains the same model, and as `Autoencoder.fit`.
    """
    model = recipe.estimator()
    if said := doubt(recipe.network, recipe.penalty):
        console.say(f"note: {said}")
    with using_threads_everywhere(recipe.threads):
        _train(model, train, held_out, folder)
        measured = {f"{folder.name}, {code_size(model, train.n_features):,} numbers": _measure(model, held_out)}
        measured |= yardsticks(train, held_out, code_size(model, train.n_features), recipe.corruption)
        own = next(iter(measured.values()))
        summary = {"n": len(held_out), "mse": own.estimates["mse"].value, "psnr": own.estimates["psnr"].value}
        known: dict[str, Any] = {
            "image_shape": list(train.shape),
            "images": train.source,
            "data_sha256": train.fingerprint,
        }
        known |= {"validation": summary, "faults": _faults(model, measured)}
        persistence.save(model, folder, extra={**facts, **known})
        remove(checkpoints_of(folder))
        preview(model, held_out, folder)
    return Fitted(model, len(held_out), measured, list(_warnings(model, measured)))


def checkpoints_of(folder: Path) -> Path:
    """Where an unfinished training of this model is kept."""
    return folder.with_name(folder.name + ".checkpoint")


def _train(model: Autoencoder, train: Images, held_out: Images, folder: Path) -> None:
    assert model.epochs is not None  # it was chosen before the training, and said
    with console.listener() as listener:
        listener.started(folder.name, model.epochs)
        train_with_checkpoints(model, train, held_out, checkpoints_of(folder), folder.name, listener)
        history = model.history_
        best = int(np.nanargmin(history.validation_losses)) + 1
        said = f"{counted(len(history), 'epoch')} in {console.duration(history.seconds)}, the best was {best}"
        listener.finished(folder.name, said)


def _measure(model: Autoencoder, images: Images) -> Measured:
    wanted = ("mse", "psnr", "mean_activation", "l0", "dead_units")
    return measure(model, images, wanted, corruption=model.corruption)


def _collapse(model: Autoencoder, own: Measured) -> str:
    dead = own.estimates.get("dead_units")
    n_dead = None if dead is None else int(dead.value or 0)
    return str(diagnose(model, n_dead, own.variation, own.unexplained) or "")


def _faults(model: Autoencoder, measured: dict[str, Measured]) -> list[str]:
    """What makes a model useless, to be said again whenever it is used: a collapse, images that it makes worse."""
    own, *others = measured.values()
    found = [_collapse(model, own)]
    if model.corruption is not None and not found[0]:
        found.append(worse_than_nothing(others[0].estimates["mse"].value, own.estimates["mse"].value))
    return [fault for fault in found if fault]


def _warnings(model: Autoencoder, measured: dict[str, Measured]) -> Iterator[str]:
    own, *_ = measured.values()
    if collapse := _collapse(model, own):
        yield collapse
        return
    dead = own.estimates.get("dead_units")
    if dead is not None and dead.value:
        yield f"{dead.value:,.0f} of {model.network_.code_size:,} units of the code are zero for every image"
    name, best = min(list(measured.items())[1:], key=lambda item: item[1].estimates["mse"].value or 0)
    ours, theirs = own.estimates["mse"].value, best.estimates["mse"].value
    if ours is not None and theirs is not None and ours > theirs:
        yield f"{name} is better than this model: {_advice(model)}"


def _advice(model: Autoencoder) -> str:
    """What to change of a model that is worse than a PCA: one that knows its own images only needs no more epochs."""
    history = model.history_
    best = int(np.nanargmin(history.validation_losses))
    seen, held_out = history.losses[best], history.validation_losses[best]
    if seen < _ITS_OWN * held_out:
        return (
            f"it reconstructs its training images far better than others (loss {seen:.4f} against {held_out:.4f}), so "
            "give it more images or --augmentation affine, or choose a smaller network"
        )
    return "train longer (--epochs), or give it more numbers or more images"


def preview(model: Autoencoder, images: Images, folder: Path) -> None:
    """Draw a few held-out images and what the model makes of them into `folder`/preview.png."""
    n = min(_SHOWN, len(images))
    positions = tuple(np.linspace(0, len(images) - 1, n).round().astype(int).tolist())
    shown = images.take(np.array(positions))
    rows = {"original": shown.floats()}
    if model.corruption is not None:
        rows[model.corruption.label] = noisy_version(rows["original"], model.corruption, images.shape)
    rows["this model"] = reconstruct(model, list(rows.values())[-1])
    write_preview(folder / persistence.PREVIEW, {name: x.reshape(n, *images.shape) for name, x in rows.items()})
