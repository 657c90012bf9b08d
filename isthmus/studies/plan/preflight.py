"""Checks of a study against its images before anything is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.data.images import Images
from isthmus.data.sources.registry import load as load_dataset
from isthmus.errors import RequestError, require
from isthmus.parts import Corruption
from isthmus.studies.plan.context import Context, Shape, inputs
from isthmus.studies.spec.quantities import NLL
from isthmus.studies.spec.study import Model, Study, matches


def other_images(study: Study, data_dir: Path | None, note: Callable[[str], None]) -> dict[str, Images]:
    """The test images of the data sets that figures show, by name; `note` says which are left out.

    Raises RequestError for images of another size than the study's.
    """
    others = {}
    for name in sorted({figure.source for figure in study.figures} - {"", "noise"}):
        try:
            dataset = load_dataset(name, data_dir)
        except RequestError as error:
            note(f"figures of {name} are left out: {error}")
            continue
        others[name] = dataclasses.replace(dataset.test, source=". ".join((dataset.title, *dataset.notes)))
    return others


def check_sizes(context: Context) -> None:
    """What a study alone cannot know, before anything is trained.

    Raises RequestError for components and positions that there are too few of, networks deeper than the images allow,
    corruptions that these images cannot have, and other data sets' images of another size.
    """
    study, splits, shape = context.study, context.splits, context.splits["train"].shape
    for model in context.models:
        with _inside(f'{study.name}, model "{model.name}"'):
            _check_model(study, model, splits, shape)
    for number, measure in enumerate(study.measures, 1):
        with _inside(f"{study.name}, measure {number}"):
            for part in filter(None, measure.corruptions()):
                _check_corruption(part, shape)
            measured = [model for model in study.models if matches(model, measure.models)]
            known = measure.n_samples is None or any(model.part is None and model.code.in_nats for model in measured)
            require(known, f"the models of {NLL}", "with code Gaussian() among them", list(measure.models))
            _check_positions(measure.images, splits[measure.split], measure.split)
    for reference in study.references:
        with _inside(f'{study.name}, reference "{reference.id}"'):
            _check_positions(reference.images, splits[reference.split], reference.split)
    for figure in study.figures:
        with _inside(f'{study.name}, figure "{figure.name}"'):
            figure.check_data(context, [model for model in study.models if matches(model, figure.models)])
            for part in filter(None, figure.corruptions()):
                _check_corruption(part, shape)


@contextlib.contextmanager
def _inside(where: str) -> Iterator[None]:
    """Say where an error stands."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None


def _check_model(study: Study, model: Model, splits: dict[str, Images], shape: Shape) -> None:
    images = splits["all" if study.pools(model) else "train"]
    if model.part is not None and model.part.any_size:
        return
    n_features, image_shape = inputs(study, model, shape)
    if model.part is not None:
        model.part.check(len(images), n_features, validated="validation" in splits)
        return
    model.code.multiplications(model.network, n_features, image_shape)  # which raises if the network does not fit
    for role in ("corruption", "augmentation"):
        if part := model.arguments.get(role):
            part.check(n_features, image_shape)


def _check_corruption(part: Corruption, shape: Shape) -> None:
    if shape[1]:
        part.check(math.prod(shape), shape)
        return
    noise = part.for_denoiser()
    is_gaussian = noise is not None and noise == part and not noise.shot_and_read[0]
    require(is_gaussian, "the corruption of photographs", "Gaussian noise that is neither clipped nor relative", part)


def _check_positions(positions: tuple[int, ...], images: Images, split: str) -> None:
    highest = max(positions, default=0)
    require(highest < len(images), "images", f'below {len(images)}, the size of split "{split}"', highest)
