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
from isthmus.studies.plan.context import Shape, code_width, inputs
from isthmus.studies.spec.figure import Figure
from isthmus.studies.spec.study import Model, Study, matches


def other_images(study: Study, data_dir: Path | None, tell: Callable[[str], None]) -> dict[str, Images]:
    """The test images of the data sets that figures show, by name; those that cannot be had are told, and left out.

    Raises RequestError for images of another size than the study's.
    """
    others = {}
    for name in sorted({figure.source for figure in study.figures} - {"", "noise"}):
        try:
            dataset = load_dataset(name, data_dir)
        except RequestError as error:
            tell(f"figures of {name} are left out: {error}")
            continue
        others[name] = dataclasses.replace(dataset.test, source=". ".join((dataset.title, *dataset.notes)))
    return others


def check_sizes(study: Study, splits: dict[str, Images], others: dict[str, Images], models: tuple[Model, ...]) -> None:
    """What a study alone cannot know, before anything is trained.

    Raises RequestError for components and positions that there are too few of, networks deeper than the images allow,
    corruptions that these images cannot have, and other data sets' images of another size.
    """
    shape = splits["train"].shape
    for model in models:
        with _inside(f'{study.name}, model "{model.name}"'):
            _check_model(study, model, splits, shape)
    for number, measure in enumerate(study.measures, 1):
        with _inside(f"{study.name}, measure {number}"):
            for part in filter(None, measure.corruptions()):
                part.check(math.prod(shape), shape)
            _check_positions(measure.images, splits[measure.split], measure.split)
    for reference in study.references:
        with _inside(f'{study.name}, reference "{reference.id}"'):
            _check_positions(reference.images, splits[reference.split], reference.split)
    for figure in study.figures:
        with _inside(f'{study.name}, figure "{figure.name}"'):
            _check_figure(study, figure, splits, others)


@contextlib.contextmanager
def _inside(where: str) -> Iterator[None]:
    """Say where an error stands."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None


def _check_model(study: Study, model: Model, splits: dict[str, Images], shape: Shape) -> None:
    images = splits["all" if study.pools(model) else "train"]
    n_features, image_shape = inputs(study, model, shape)
    if model.part is not None:
        model.part.check(len(images), n_features, validated="validation" in splits)
        return
    model.network.multiplications(n_features, image_shape)  # which raises if the network does not fit
    for role in ("corruption", "augmentation"):
        if part := model.arguments.get(role):
            part.check(n_features, image_shape)


def _check_positions(positions: tuple[int, ...], images: Images, what: str) -> None:
    highest = max(positions, default=0)
    require(highest < len(images), "images", f'below {len(images)}, the size of split "{what}"', highest)


def _check_figure(study: Study, figure: Figure, splits: dict[str, Images], others: dict[str, Images]) -> None:
    shape = splits["train"].shape
    models = [model for model in study.models if matches(model, figure.models)]
    if figure.kind == "scatter":
        width = code_width(study, models[0], shape)
        require(width >= 2, f'a scatter of "{models[0].name}", its codes', "of at least 2 numbers", width)
    elif figure.source in others:
        other = others[figure.source]
        rule = f"of {figure.source} as large as the study's, {shape}"
        require(other.shape == shape, "images", rule, other.shape)
        _check_positions(figure.images, other, "test")
    elif not figure.source:
        _check_positions(figure.images, splits[figure.split], figure.split)
    for part in filter(None, figure.corruptions()):
        part.check(math.prod(shape), shape)
    if figure.kind == "filters":
        for model in models:
            _check_filters(study, figure, model, shape)
    if figure.kind == "interpolation":
        require(figure.n is None or figure.n > 1, "n, the steps of an interpolation", "at least 2", figure.n)


def _check_filters(study: Study, figure: Figure, model: Model, shape: Shape) -> None:
    """That the units and the channel of a figure are there: of the model that sees the image, as `probe.filters`."""
    while model.of:
        model = study.model(model.of)
    units, channels = [], []  # of each layer
    if model.training:
        network = model.network.dry_run(math.prod(shape), shape)
        kernels, rows = network.kernels(figure.side).values(), network.rows(figure.side)
        units = [len(weight) for weight in (kernels if rows is None else [rows])]
        channels = [weight.shape[1] for weight in kernels]
        require(bool(units), f'a figure of filters of "{model.name}", its network', "one that has some", model.network)
    elif isinstance(n_components := model.arguments.get("n_components"), int):
        units = [n_components]
    rule, highest = f'below {{}}, what a layer of the {figure.side} of "{model.name}" has', max(figure.units, default=0)
    for n in units:
        require(highest < n, "units", rule.format(n), highest)
    for n in channels:
        require(figure.channel < n, "channel", rule.format(n), figure.channel)
