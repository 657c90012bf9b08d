"""Load the shelf of a folder: of a run, with all its models and its images, or of one model by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from isthmus import persistence
from isthmus.data.framing import Framing, framing_from
from isthmus.data.identity import from_text
from isthmus.data.sources import registry
from isthmus.errors import DataError, IsthmusError, RequestError
from isthmus.estimators.adapters import adapter_of
from isthmus.explore.folder import Gallery, Run, look
from isthmus.explore.shelf import Entry, PhotographShelf, Shape, Shelf
from isthmus.files import is_temporary
from isthmus.studies.plan.model_states import states_of

_SEED = re.compile(r"\.seed-\d+$")  # what `isthmus run --seeds` appends to a model's folder


def open_shelf(path: Path, data_dir: Path | None = None) -> Shelf | PhotographShelf:
    """The shelf of a run's folder, or of one model's.

    A damaged model keeps its place, with the reason. Raises what `folder.look` raises, and DataError for a folder in
    which no model is whole.
    """
    return shelve(look(path, data_dir))


def shelve(target: Run | Path, gallery: Gallery | None = None, beside: Sequence[Path] = ()) -> Shelf | PhotographShelf:
    """The shelf of what `folder.look` found; gallery: the images to show a model by itself.

    beside: other denoisers, if it is one. Raises RequestError for images of another shape than the model's.
    """
    if beside and isinstance(target, Run):
        raise RequestError(f"{target.folder} is a run, which shows its models; only a denoiser has others beside it")
    if isinstance(target, Run):
        return _of_run(target)
    entry = _read(target.name, target)
    if entry.model is None:
        raise DataError(str(entry.fault))
    known = gallery or Gallery()
    if beside or adapter_of(entry.model).takes_any_size:
        return _of_photographs([target, *beside], known)
    framing, shape = _facts_of(target)[1], _shape_of(entry.model)
    if known.images is not None and known.images.shape != shape:
        knows_its_shape = getattr(adapter_of(entry.model).last.model, "image_shape_", None)
        if knows_its_shape or math.prod(known.images.shape) != math.prod(shape):
            given_size, model_size = ("×".join(map(str, shape_)) for shape_ in (known.images.shape, shape))
            raise RequestError(
                f"{known.title} holds images of {given_size}, and {target} takes {model_size}; give others as DATA"
            )
        shape = known.images.shape  # the model was fitted on rows of numbers, and knows no shape
    return Shelf(
        entry.name,
        [entry],
        shape,
        images=known.images,
        data_title=known.title,
        notes=known.notes,
        photographs=framing.patches is not None or known.photographs,
        framing=framing,
        files=known.files,
    )


def _of_photographs(folders: list[Path], known: Gallery) -> PhotographShelf:
    names = [folder.name for folder in folders]
    entries, framings, marks = list[Entry](), list[Framing](), dict[str, np.ndarray]()
    for folder in folders:
        name = folder.name if names.count(folder.name) == 1 else str(folder)
        entries.append(_read(name, folder))
        if entries[-1].model is None:
            raise DataError(str(entries[-1].fault))
        if not adapter_of(entries[-1].model).takes_any_size:
            raise RequestError(f"{folder} is not a denoiser of whole photographs; open it by itself, without --beside")
        extra, framing = _facts_of(folder)
        framings.append(framing)
        marks[name] = _trained_on(extra)
    if len(marks) < len(folders):
        raise RequestError("--beside: each model is given once")
    framing = replace(framings[0], grey=all(framing.grey for framing in framings))
    if any(framing.value_range != other.value_range for other in framings):
        raise RequestError("these models were fitted with different values of --range; open each by itself")
    title, files = " beside ".join(marks), known.files
    return PhotographShelf(title, entries, data_title=known.title, framing=framing, files=files, marks=marks)


def _trained_on(extra: dict[str, Any]) -> np.ndarray:
    """The identities of the images that a model was trained on, as far as its folder notes them."""
    seen = extra.get("seen")
    marks = from_text(seen.get("trained")) if isinstance(seen, dict) else None
    return np.zeros(0, np.uint64) if marks is None else marks


def _facts_of(folder: Path) -> tuple[dict[str, Any], Framing]:
    """What a model's folder notes of its images, and how they were prepared."""
    extra = persistence.read_config(folder).get("extra", {})
    return extra, framing_from(extra.get("preparation", {}), str(folder / persistence.CONFIG))


def _of_run(place: Run) -> Shelf | PhotographShelf:
    run, results, only = place.folder, place.results, place.only
    clean = ("mse", "test", results.seed, None)
    on_test = {row.model: row for row in results.rows if (row.metric, row.split, row.seed, row.corruption) == clean}
    known = {
        # what a model is of may have seen them too, which a row knows
        row["name"]: row | {"test": on_test.get(row["name"])}
        for row in results.models
    }
    # a run that is still being trained has folders that are just written
    written = (folder for folder in (run / "models").glob("*") if not is_temporary(folder))
    folders = sorted(folder for folder in written if (folder / persistence.CONFIG).is_file())
    order = {name: place for place, name in enumerate(known)}
    folders.sort(key=lambda folder: (order.get(_SEED.sub("", folder.name), len(order)), folder.name))
    entries_by_name: dict[str, Entry] = {}
    for folder in folders:
        entry = _read(folder.name, folder, known.get(_SEED.sub("", folder.name)))
        if entry.model is not None:
            entry.states = states_of(run, folder.name, _facts_of(folder)[0].get("facts"))
        entries_by_name[folder.name] = entry
    for name, row in known.items():
        if name not in entries_by_name and not (run / "models" / name).exists():
            continue  # of a run with --only
        entries_by_name.setdefault(
            name, Entry(name, fault="its folder holds no whole model; run the study again", facts=row)
        )
    for name, entry in entries_by_name.items():
        _put_together(name, entry, entries_by_name)
    entries = [entry for name, entry in entries_by_name.items() if only in (None, name)]
    if not any(entry.model is not None for entry in entries):
        fault = next((entry.fault for entry in entries), "there is no model; run the study again")
        raise DataError(f"{run}: no model can be shown: {fault}")
    title = results.title if only is None else f"{only} of: {results.title}"
    if place.of_photographs:
        return _of_denoisers(title, entries, place)
    unseen = place.unseen or registry.load_unseen(results.data["name"])
    classes = results.data.get("classes")  # runs of an earlier version do not say
    test = unseen.images.only(tuple(classes)) if classes else unseen.images
    notes = unseen.notes
    if not unseen.is_of(results.data):
        notes = (*notes, f"The run was made with other images than those of {results.data['name']} on this machine.")
    return Shelf(
        title,
        entries,
        test.shape,
        images=test,
        question=results.question,
        data_title=unseen.title,
        notes=notes,
    )


def _of_denoisers(title: str, entries: list[Entry], place: Run) -> PhotographShelf:
    """Of a run's models those that take noise out, first those that learned it, with the photographs held out."""
    shown = [entry for entry in entries if entry.model is not None and getattr(entry.model, "method", "") != "nothing"]
    shown.sort(key=lambda entry: adapter_of(entry.model).n_parameters == 0)
    notes = tuple(f"{entry.name} cannot be shown: {entry.fault}" for entry in entries if entry.fault is not None)
    where = "The page shows those held out." if place.files else "They are not on this machine; drop others here."
    data_title = f"{place.results.data['title']}. {where}"
    folders = {entry.name: place.folder / "models" / entry.name for entry in shown if entry.model.n_parameters_}
    return PhotographShelf(
        title,
        shown,
        question=place.results.question,
        data_title=data_title,
        notes=notes,
        files=place.files,
        marks={name: _trained_on(_facts_of(folder)[0]) for name, folder in folders.items()},
    )


def _read(name: str, folder: Path, facts: dict[str, Any] | None = None) -> Entry:
    try:
        return Entry(name, persistence.load(folder), facts=facts or {})
    except IsthmusError as error:
        return Entry(name, fault=str(error), facts=facts or {})


def _put_together(name: str, entry: Entry, entries: dict[str, Entry]) -> None:
    """A model of another model's codes becomes a pipeline of both."""
    of = entry.facts.get("of")
    if entry.model is None or not of:
        return
    adapter = adapter_of(entry.model)
    if (
        adapter.searches or adapter.takes_any_size or adapter.first is not adapter.last
    ):  # of images itself, or put together already
        return
    seed = _SEED.search(name)
    upstream = entries.get(of + (seed.group() if seed else ""))
    if upstream is None or upstream.model is None:
        entry.model, entry.fault = None, f"it works on the codes of {of}, which is damaged or missing"
        return
    _put_together(upstream.name, upstream, entries)
    entry.model = Pipeline([(of, upstream.model), (name, entry.model)])


def _shape_of(model: Any) -> Shape:
    """The images' shape, as far as a model knows it; else a square, or one row."""
    last = adapter_of(model).trained or model
    network = getattr(last, "network_", None)
    shape = getattr(last, "image_shape_", None) or getattr(network, "shape", None)
    if shape is not None:
        return shape
    n = getattr(last, "n_features_in_", None)
    if n is None:
        raise RequestError("the identity alone shows nothing; give a run's folder")
    side = math.isqrt(n)
    return (1, side, side) if side * side == n else (1, 1, n)
