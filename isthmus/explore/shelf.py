"""The models that the page shows, with what is known of each, and the images to show them."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import Pipeline

from isthmus import persistence
from isthmus.data import sources
from isthmus.data.images import Images
from isthmus.errors import DataError, IsthmusError, RequestError, unknown
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import code_size, has_code, n_parameters
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.explore.folder import Gallery, Run, look
from isthmus.files import is_temporary
from isthmus.networks.conv import ConvNetwork
from isthmus.parts import Levelled, Sequence
from isthmus.studies.results import Row

T = TypeVar("T")
Shape = tuple[int, int, int]  # (channels, height, width)
_SEED = re.compile(r"\.seed-\d+$")  # what `isthmus run --seeds` appends to a model's folder


class Leaving(Exception):  # noqa: N818 - no error: there is nobody left to answer
    """Whoever asked has left."""


@dataclass
class Entry:
    """A model by its name: fitted, or the reason why it cannot be shown. facts: what its run says of it."""

    name: str
    model: Any = None
    fault: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Shelf:
    """Models of one image shape, and the images that they are shown.

    title, question: the study's words, or the model's name. shape: (channels, height, width). entries: in the study's
    order. images: test images, or None where it is not known what the models were trained on. notes: sentences that
    the reader should see. photographs: the images are known not to be drawings. whole: they are patches, and a model
    takes larger pictures patch by patch; files: such pictures. What is derived from the models is computed once, by
    `once`.
    """

    def __init__(
        self,
        title: str,
        entries: list[Entry],
        shape: Shape,
        *,
        images: Images | None = None,
        question: str = "",
        data_title: str = "",
        notes: tuple[str, ...] = (),
        photographs: bool = False,
        whole: bool = False,
        files: tuple[Path, ...] = (),
    ) -> None:
        self.title, self.question, self.data_title, self.notes = title, question, data_title, notes
        self.shape, self.images = shape, images
        self.photographs, self.whole, self.files = photographs, whole, files
        self.entries = {entry.name: entry for entry in entries}
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._locks: dict[tuple[Any, ...], threading.Lock] = {}
        self._lock = threading.Lock()
        self.closing = threading.Event()

    def go_on(self) -> None:
        """Raise Leaving once the shelf is closing; called within what takes long."""
        if self.closing.is_set():
            raise Leaving

    @property
    def n_features(self) -> int:
        """Numbers in one image."""
        return math.prod(self.shape)

    def model(self, name: str) -> Any:
        """The fitted model. Raises RequestError for a name that is not here, or a model that is damaged."""
        entry = self.entries.get(name)
        if entry is None:
            raise RequestError(unknown("model", name[:80], self.entries))
        if entry.model is None:
            raise RequestError(f"{name} cannot be shown: {entry.fault}")
        return entry.model

    def with_code(self, name: str) -> Any:
        """The fitted model, if it has a code that it makes at once. Raises RequestError for one that has none."""
        model = self.model(name)
        if not has_code(model):
            reason = "searches for its code" if isinstance(model, DecoderPrior) else "has no code"
            raise RequestError(f"{name} {reason}; choose an autoencoder, a PCA or a dictionary")
        return model

    def test_images(self) -> Images:
        """The images. Raises RequestError where there are none."""
        if self.images is None:
            raise RequestError("no data set is known for this model; upload a picture, or give its images as DATA")
        return self.images

    def once(self, compute: Callable[[], T], *key: Any) -> T:
        """`compute()`, kept under the key: whoever asks meanwhile waits for it. What fails is not kept."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._kept:
                self._kept[key] = compute()
            return self._kept[key]


def open_shelf(path: Path, data_dir: Path | None = None) -> Shelf:
    """The shelf of a run's folder, or of one model's.

    A damaged model keeps its place, with the reason. Raises what `folder.look` raises, and DataError for a folder in
    which no model is whole.
    """
    return shelve(look(path, data_dir))


def shelve(found: Run | Path, gallery: Gallery | None = None) -> Shelf:
    """The shelf of what `folder.look` found; gallery: the images to show a model by itself.

    Raises RequestError for images of another shape than the model's.
    """
    if isinstance(found, Run):
        return _of_run(found)
    entry = _read(found.name, found)
    if entry.model is None:
        raise DataError(str(entry.fault))
    shape, extra = _shape_of(entry.model), persistence.read_config(found).get("extra", {})
    whole = "patches" in extra.get("preparation", {})
    known = gallery or Gallery()
    if known.images is not None and known.images.shape != shape:
        if math.prod(known.images.shape) != math.prod(shape) or getattr(_last(entry.model), "image_shape_", None):
            theirs, own = ("×".join(map(str, one)) for one in (known.images.shape, shape))
            raise RequestError(f"{known.title} holds images of {theirs}, and {found} takes {own}; give others as DATA")
        shape = known.images.shape  # the model was fitted on rows of numbers, and knows no shape
    return Shelf(
        entry.name,
        [entry],
        shape,
        images=known.images,
        data_title=known.title,
        notes=known.notes,
        photographs=whole or known.photographs,
        whole=whole,
        files=known.files,
    )


def _of_run(place: Run) -> Shelf:
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
    found: dict[str, Entry] = {}
    for folder in folders:
        found[folder.name] = _read(folder.name, folder, known.get(_SEED.sub("", folder.name)))
    for name, row in known.items():
        if name not in found and not (run / "models" / name).exists():
            continue  # of a run with --only
        found.setdefault(name, Entry(name, fault="its folder holds no whole model; run the study again", facts=row))
    for name, entry in found.items():
        _put_together(name, entry, found)
    entries = [entry for name, entry in found.items() if only in (None, name)]
    if not any(entry.model is not None for entry in entries):
        fault = next((entry.fault for entry in entries), "there is no model; run the study again")
        raise DataError(f"{run}: no model can be shown: {fault}")
    unseen = place.unseen or sources.load_unseen(results.data["name"])
    classes = results.data.get("classes")  # runs of an earlier version do not say
    test = unseen.images.only(tuple(classes)) if classes else unseen.images
    notes = unseen.notes
    if not unseen.is_of(results.data):
        notes = (*notes, f"The run was made with other images than those of {results.data['name']} on this machine.")
    return Shelf(
        results.title if only is None else f"{only} of: {results.title}",
        entries,
        test.shape,
        images=test,
        question=results.question,
        data_title=unseen.title,
        notes=notes,
    )


def _read(name: str, folder: Path, facts: dict[str, Any] | None = None) -> Entry:
    try:
        return Entry(name, persistence.load(folder), facts=facts or {})
    except IsthmusError as error:
        return Entry(name, fault=str(error), facts=facts or {})


def _put_together(name: str, entry: Entry, found: dict[str, Entry]) -> None:
    """A model of another model's codes becomes a pipeline of both."""
    of = entry.facts.get("of")
    if entry.model is None or not of or isinstance(entry.model, DecoderPrior | Pipeline):
        return
    seed = _SEED.search(name)
    upstream = found.get(of + (seed.group() if seed else ""))
    if upstream is None or upstream.model is None:
        entry.model, entry.fault = None, f"it works on the codes of {of}, which is damaged or missing"
        return
    _put_together(upstream.name, upstream, found)
    entry.model = Pipeline([(of, upstream.model), (name, entry.model)])


def _shape_of(model: Any) -> Shape:
    """The images' shape, as far as a model knows it; else a square, or one row."""
    last = model.autoencoder_ if isinstance(model, DecoderPrior) else model
    network = getattr(last, "network_", None)
    shape = getattr(last, "image_shape_", None) or getattr(network, "shape", None)
    if shape is not None:
        return shape
    n = getattr(last, "n_features_in_", None)
    if n is None:
        raise RequestError("the identity alone shows nothing; give a run's folder")
    side = math.isqrt(n)
    return (1, side, side) if side * side == n else (1, 1, n)


# --- what the page is told of a model ---


def facts(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """What the page shows of a model before it computes anything; all of it plain."""
    own = entry.facts
    row: Row | None = own.get("test")
    table: dict[str, Any] = {
        "name": entry.name,
        "label": own.get("label", ""),
        "note": own.get("note", ""),
        "fault": entry.fault,
        "collapsed": own.get("collapsed"),
        "mse": None if row is None else row.value,
        "seen": own.get("fitted_on") == "all" if row is None else row.seen,
        "selected": row is not None and bool(row.selected),
    }
    if entry.model is None:
        return table
    model, last = entry.model, _last(entry.model)
    network = getattr(last, "network_", None)
    with_code = has_code(model)
    return table | {
        "kind": _kind(last),
        "estimator": " ".join(repr(last).split()),
        "parameters": n_parameters(model),
        "code": code_size(model, shelf.n_features) if with_code or isinstance(model, DecoderPrior) else None,
        "units": n_units(model) if with_code else None,
        "planes": list(network.code_shape) if isinstance(network, ConvNetwork) else None,
        "switches": getattr(network, "n_switches", 0),
        "search": isinstance(model, DecoderPrior),
        "trained": [
            {"kind": part.kind, "level": getattr(part, part.level), "relative": getattr(part, "relative", False)}
            for part in _trained_with(model)
        ],
    }


def _last(model: Any) -> Any:
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def _kind(model: Any) -> str:
    match model:
        case Autoencoder():
            return f"{model.parts()[0].kind} autoencoder"
        case DecoderPrior():
            return "decoder search"
        case PCA():
            return "PCA"
        case MiniBatchDictionaryLearning():
            return "dictionary"
        case _:
            return "identity"


def n_units(model: Any) -> int:
    """Numbers in the code of a model that has one."""
    last = _last(model)
    return last.network_.code_size if isinstance(last, Autoencoder) else int(np.shape(last.components_)[0])


def _trained_with(model: Any) -> list[Levelled]:
    """The corruptions that an autoencoder was trained under, one after the other."""
    last = _last(model)
    own = last.autoencoder_ if isinstance(last, DecoderPrior) else last
    part = getattr(own, "corruption", None) if isinstance(own, Autoencoder) else None
    parts = part.parts if isinstance(part, Sequence) else (part,)
    return [one for one in parts if isinstance(one, Levelled)]
