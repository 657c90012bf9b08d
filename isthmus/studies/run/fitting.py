"""A study's model fitted: the estimator that it stands for, its training, and the time that it took."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from isthmus.corruption import noisy_version
from isthmus.data.collections.stack import memory_limit
from isthmus.data.images import Images
from isthmus.data.photographs.image_list import ImageList
from isthmus.data.sizes import cropped
from isthmus.errors import DoubtWarning, RunError, counted
from isthmus.estimators.adapters import adapter_of, chunks, encode
from isthmus.estimators.borrowed import keep_best_components
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.samples import offset_doubt
from isthmus.parts import Corruption
from isthmus.rng import numpy_generator
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.model_states import states_to_keep
from isthmus.studies.run.progress import Progress
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.study import Model
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.snapshots.states import States

_SIDE = 512  # pixels of a photograph that is in memory as floats


def fit(context: Context, model: Model, seed: int, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """Fit a model, and time it: training steps only."""
    images = context.splits[context.fit_split(model)]
    unfitted, training = estimator(model, seed + model.seed_offset, context.device.type), context.training(model)
    samples: list[Any]
    label = context.label(model.name, seed)
    progress.started(label, training.epochs if training else 0)
    if training is not None:
        samples = [images, context.splits.get("validation")]
        if model.arguments.get("target") == "noisy":
            samples[0] = with_fixed_noise(images, unfitted.noise)
        if model.of:
            samples = [encode(context.fitted[model.of, seed], given) if given else None for given in samples]
        x, held_out = samples
        if model.part is None and (doubt := offset_doubt(x, standardized=training.standardize)):
            progress.note(f"{label}: {doubt}")
        states = states_to_keep(context, model, seed, lambda sentence: progress.note(f"{label}: {sentence}"))
        place = context.checkpoint_folder(model, seed)
        # a run that was killed, or cut off from the machine of a worker, may have left one there that still trains
        train_with_checkpoints(unfitted, x, held_out, place, label, progress, states=states, wait=True)
        seconds = unfitted.history_.seconds
    elif adapter_of(unfitted).searches or isinstance(unfitted, Denoiser):
        unfitted.of(context.fitted[str(model.of), seed])  # which is trained already
        seconds = 0.0
    else:
        images = images.take(slice(0, context.n_fitted(model)))
        of_any_size = adapter_of(unfitted).takes_any_size
        if not of_any_size:
            _check_memory(label, images)
        x = images if of_any_size else encode(context.fitted[model.of, seed], images) if model.of else images.floats()
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            unfitted.fit(x)
        if model.arguments.get("n_components") == "best":
            _keep_the_best(unfitted, context, model, seed)
        seconds = time.perf_counter() - start
        if not model.arguments.get("center", True):
            unfitted.mean_ = np.zeros_like(unfitted.mean_)  # from here on images are projected as they are
    return unfitted, {
        "model": model.name,
        "seed": seed,
        "phase": "fit",
        "seconds": seconds,
        "samples": len(images),
        "epochs": len(unfitted.history_) if training else None,
        "threads": context.threads(model),
        "precision": context.precision(model),
        "side_by_side": context.n_parallel,
    }


def with_fixed_noise(images: ImageList, noise: Corruption) -> ImageList:
    """Noisy photographs as they might have been taken: each once, with a level of its own from the range, not clipped.

    Of large ones the middle, for they are in memory.
    """
    low, high = noise.sigma_range
    noisy = []
    for i, sigma in enumerate(numpy_generator(0, "noise").uniform(low, high, len(images))):
        array = images.arrays[i]
        cut = cropped(array, (min(_SIDE, array.shape[1]), min(_SIDE, array.shape[2])))
        x = np.ascontiguousarray(np.multiply(cut, np.float32(images.unit), dtype=np.float32))
        noisy.append(noisy_version(x.reshape(1, -1), noise.at(sigma), x.shape).reshape(x.shape))
    return ImageList(tuple(noisy))


def train_with_checkpoints(
    unfitted: Any,
    x: Any,
    held_out: Any,
    folder: Path,
    label: str,
    progress: Progress,
    *,
    replace: bool = True,
    refit: bool = False,
    states: States | None = None,
    wait: bool = False,
) -> None:
    """Train an estimator that has `fit_epochs`, from where an earlier run was stopped if it was.

    The caller must remove `folder`.

    replace: whether another training's checkpoints there are written over, as in a study; else that is a RequestError.
    refit: as for `Autoencoder.fit_epochs`. states: to be kept, if any. wait: as for `Checkpoints`.
    """

    def say(sentence: str) -> None:
        progress.note(f"{label}: {sentence}")

    # which the run removes when the model is written
    checkpoints = Checkpoints(folder, say=say, replace=replace, states=states, wait=wait)
    validation = {} if held_out is None else {"validation": held_out}
    if refit:
        validation["refit"] = True
    rows = unfitted.fit_epochs(x, **validation, checkpoint=checkpoints)
    first = True
    try:
        with warnings.catch_warnings(), contextlib.closing(rows):
            warnings.simplefilter("ignore", DoubtWarning)  # the caller says it, in its own way
            for row in rows:
                if first and row.epoch > 1:
                    say(f"continues after epoch {row.epoch - 1}, where it was stopped")
                first = False
                progress.epoch(label, row, unfitted.training_.epochs)
        if first:
            say("goes on after its last epoch, where it was stopped")
    except RunError as error:
        raise RunError(f"{label}: {error}") from error


def _check_memory(label: str, images: Images) -> None:
    """Raise RunError for more images than scikit-learn can have in memory, which a training reads from the disk."""
    if (needed := 4 * len(images) * images.n_features) > memory_limit():
        raise RunError(
            f"{label}: {counted(len(images), 'image')} take {needed / 1e9:,.1f} GB as floats, more than half of this "
            "machine's memory; give the study fewer, with train = N, or leave this model out"
        )


def _keep_the_best(pca: PCA, context: Context, model: Model, seed: int) -> None:
    """Leave a PCA of all components those that reconstruct validation images best, under the model's corruption."""
    images = context.splits["validation"]
    part = model.arguments.get("corruption")

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for which in chunks(len(images)):
            x = images.floats(which)
            yield x, x if part is None else noisy_version(x, part, images.shape)

    keep_best_components(pca, pairs())
