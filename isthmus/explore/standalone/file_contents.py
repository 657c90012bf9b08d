"""What a page in one file holds: models as operations, pictures, and answers that take too long in a browser."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from isthmus.data.images import Images
from isthmus.errors import IsthmusError, RequestError, counted
from isthmus.estimators.adapters import adapter_of
from isthmus.explore.answers import codes, noise, reconstructions, routes, units
from isthmus.explore.answers.overview import n_units, opening
from isthmus.explore.answers.wire import Answer, Query
from isthmus.explore.shelf import Entry, PhotographShelf, Shelf
from isthmus.explore.standalone.array_table import as_json, weights_in
from isthmus.interchange.operations import Operation
from isthmus.rng import numpy_generator

MOST_BYTES = 10_000_000  # of the file: what an e-mail takes
MOST_IMAGES = reconstructions.N_MEASURED  # so that the comparison of models is the server's
MOST_PICTURES = 2_000_000  # bytes of their pixels
FEWEST_IMAGES = 24  # as many as the page shows at once
MOST_MULTIPLICATIONS = 20_000_000  # of all models for one image: some 30 ms in a browser
_FOR_NOTES = 20_000  # bytes, of sentences and tags
N_DRAWS = 16  # of the noise on codes, which comes from a generator that the page does not have
_BASE64 = 4 / 3  # letters of a byte
FUNCTIONS = ("encode", "decode", "reconstruct")
STORED = ("units", "map", "errors")  # questions whose answers are computed here
OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class FileContents:
    """JSON texts. models: in the order of those in `about`. left_out: a sentence for each model that is not there."""

    about: str
    pictures: str
    models: tuple[str, ...]
    left_out: tuple[str, ...]


def contents_of(shelf: Shelf | PhotographShelf, n_bytes: int, on_progress: OnProgress) -> FileContents:
    """What of a shelf goes into a file beside the page, which has n_bytes.

    The smallest models come first; those that no room is left for are left out, and said. Raises RequestError for
    models of whole photographs, where there are no images, and if no model can be in a file.
    """
    if isinstance(shelf, PhotographShelf):
        raise RequestError("denoisers of whole photographs are not exported: a browser takes minutes for one")
    images, note = _few(shelf)
    small = replace(shelf, images=images, files=())
    pictures = as_json(_pictures(small))
    left_out: dict[str, str] = {}
    texts: dict[str, str] = {}
    about = routes.about(small)
    room = MOST_BYTES - n_bytes - len(pictures.encode()) - len(json.dumps(about)) - _FOR_NOTES
    multiplications = MOST_MULTIPLICATIONS
    candidates, n_errors = list(_candidates(small, left_out)), _count_errors(small)
    for done, (entry, table, n_weights) in enumerate(sorted(candidates, key=lambda each: each[2])):
        on_progress(done, len(candidates), f": {entry.name}")
        size, network = round(4 * (n_weights + n_errors) * _BASE64), adapter_of(entry.model).network
        needed = 0 if network is None else network.multiplications
        if size <= room and needed <= multiplications:
            text = as_json(table | _answers(small, entry))
            size = len(text.encode())
            if size <= room:
                texts[entry.name], room, multiplications = text, room - size, multiplications - needed
                continue
        reason = f"its {needed:,} multiplications for an image are too many for a browser"
        if size > room:
            reason = f"it takes {size / 1e6:,.1f} MB, and the file has at most {MOST_BYTES / 1e6:.0f} MB for all"
        left_out[entry.name] = reason
    missing = [name for name in shelf.entries if name in left_out]
    sentences = tuple(f"{name} is left out of this file: {left_out[name]}." for name in missing)
    if not any(adapter_of(shelf.model(name)).n_parameters for name in texts):  # the identity alone shows nothing
        raise RequestError(f"no model can be in a file: {' '.join(sentences)}")
    notes = (*note, *sentences, "This page is one file: it computes everything here, and sends nothing.")
    models = [facts for facts in about["models"] if facts["name"] in texts]
    about |= {
        "models": models,
        "opening": opening(models),
        "notes": [*about["notes"], *notes],
        "files": [],
        "uploads": False,
        "most_ahead": 0,  # an answer is there before the slider's next step
        "stored": list(STORED),
    }
    in_order = tuple(texts[facts["name"]] for facts in models)
    return FileContents(json.dumps(about, allow_nan=False), pictures, in_order, sentences)


def _few(shelf: Shelf) -> tuple[Images, list[str]]:
    """The first test images, as many as a file has room for, and a sentence if these are not all."""
    if shelf.images is None:
        raise RequestError("a page in a file needs images; give them: isthmus explore MODEL DATA --export FILE")
    n_bytes = shelf.images.pixels[:1].nbytes
    n = min(len(shelf.images), MOST_IMAGES, MOST_PICTURES // n_bytes)
    if n < min(FEWEST_IMAGES, len(shelf.images)):
        size = "×".join(map(str, shelf.shape))
        raise RequestError(f"images of {size} are too large for a page in a file; show them with isthmus explore")
    if n == len(shelf.images):
        return shelf.images, []
    return shelf.images.take(slice(0, n)), [
        f"This file has the first {n:,} of {counted(len(shelf.images), 'test image')}."
    ]


def _candidates(shelf: Shelf, left_out: dict[str, str]) -> Iterator[tuple[Entry, dict[str, Any], int]]:
    """Models that can be described, what the page has to know of each, and how many weights that is."""
    for name, entry in shelf.entries.items():
        if entry.model is None:
            left_out[name] = f"it cannot be shown, {entry.fault}"
            continue
        adapter = adapter_of(entry.model)
        try:
            lists = {each: adapter.operations(each) for each in FUNCTIONS}
        except RequestError as error:
            left_out[name] = str(error)
            continue
        operations: list[Operation] = [operation for each in lists.values() for operation in each]
        yield entry, lists | _looks(shelf, entry), sum(each.numel() for each in weights_in(operations).values())


def _count_errors(shelf: Shelf) -> int:
    """Errors of single images, which are most of a model's answers."""
    return sum(len(slider["marks"]) for slider in noise.kinds(shelf.shape).values()) * len(shelf.test_images())


def _looks(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """What of a model's inside can be shown: maps of its layers, and a unit's weights."""
    adapter = adapter_of(entry.model)
    if not adapter.has_code:
        return {"layers": False, "filter": False, "atom": False}
    weights = units.pictures(entry.model, 0, n_units(entry.model), shelf.shape)
    has_maps = adapter.network is not None and adapter.network.code_shape is not None
    return {"layers": has_maps, "filter": "filter" in weights, "atom": "atom" in weights}


def _pictures(shelf: Shelf) -> dict[str, Any]:
    """The test images; noise on codes, as `probe.latent_noise` draws it; and how corruptions and drawings are made."""
    coded = [entry.model for entry in shelf.models if entry.model is not None and adapter_of(entry.model).has_code]
    most = max((n_units(model) for model in coded), default=1)
    draws = [numpy_generator(draw, "latent").standard_normal(most).astype(np.float32) for draw in range(N_DRAWS)]
    sliders = noise.kinds(shelf.shape, shelf)
    parts = {kind: noise.part_of(kind, slider["stops"][1], shelf) for kind, slider in sliders.items()}
    return {
        "pixels": shelf.test_images().pixels[:],
        "code_noise": np.stack(draws),
        "corruptions": {kind: asdict(part) for kind, part in parts.items() if part is not None},
        "manner": asdict(routes.manner_of_shelf(shelf)),
    }


def _answers(shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """Answers to the questions that take long, by the question and its words; and `Units.top` with its code."""
    answers: dict[str, Any] = {}
    tops: dict[str, Any] = {}
    if adapter_of(entry.model).has_code:
        answers["units"] = _answer(shelf, codes.all_units, {"model": entry.name})
        for method in codes.N_MAP:
            answers[f"map {method}"] = _answer(shelf, codes.code_map, {"model": entry.name, "method": method})
        surveyed = codes.surveyed_units(shelf, entry.name)
        tops = {"top": surveyed.top, "top_code": surveyed.top_code}
    for kind in noise.kinds(shelf.shape):
        answers[f"errors {kind}"] = _answer(shelf, reconstructions.errors, {"model": entry.name, "kind": kind})
    return {"answers": answers, "tops": tops}


def _answer(shelf: Shelf, route: Callable[[Shelf, Query, bytes], Answer], words: dict[str, str]) -> dict[str, Any]:
    """What a route answers, or why it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Orthogonal matching pursuit ended")  # as while the page is served
            arrays, beside = route(shelf, Query(words), b"")
    except (IsthmusError, ValueError) as error:
        return {"refused": str(error)}
    return {**arrays, "words": beside}
