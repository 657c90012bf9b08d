"""From a study and a request to a run that can begin: its images are loaded and checked against what it asks."""

from __future__ import annotations

import dataclasses

from isthmus.data.collections import image_parts
from isthmus.data.photographs import photograph_set
from isthmus.data.sources.registry import load as load_dataset
from isthmus.studies.plan.context import Context, Request, split_for
from isthmus.studies.plan.preflight import check_sizes, other_images
from isthmus.studies.spec.data_table import QUICK_SIDE
from isthmus.studies.spec.study import Study
from isthmus.training.hardware import resolve_device


def prepare(study: Study, request: Request) -> tuple[Context, list[str]]:
    """The run's context, and what is to be said of the images. Raises RequestError if the request cannot be met."""
    device = resolve_device(request.device)
    if study.data.is_photographs:
        side = min(study.data.side, QUICK_SIDE) if request.quick else study.data.side
        dataset = photograph_set.load(study.data.path, request.data_dir, side)
        few = min(study.data.validation, max(1, len(dataset.train) // 10))
        study = dataclasses.replace(study, data=dataclasses.replace(study.data, validation=few))
        if not dataset.is_published or study.data.test is not None:  # of all test photographs
            study = dataclasses.replace(study, references=())
    elif study.data.is_images:
        dataset = image_parts.load(study.data.path, request.data_dir)
    else:
        dataset = load_dataset(study.data.name, request.data_dir)
    if request.quick:
        study = study.quick(len(dataset.train))
    splits = split_for(study, dataset, study.only(request.only))
    if request.quick or study.data.is_photographs:
        study = study.within({name: len(images) for name, images in splits.items()})
    notes = [*dataset.notes]
    context = Context(study, request, dataset, splits, device, other_images(study, request.data_dir, notes.append))
    check_sizes(context)
    return context, notes
