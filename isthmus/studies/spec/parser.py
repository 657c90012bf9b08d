"""From a study's TOML to a `Study`, checked whole: names are unique, and what is referred to exists.

Everything that can be known without the data is checked here, so a wrong study is refused in milliseconds.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from isthmus.errors import RequestError, require, unknown
from isthmus.files import open_regular
from isthmus.parts import (
    CORRUPTIONS,
    IMAGE_NETWORKS,
    ROLES,
    Denoising,
    Part,
    Projection,
    Training,
    contradiction,
)
from isthmus.studies.spec.data_table import Data
from isthmus.studies.spec.figures import FIGURES, Figure
from isthmus.studies.spec.photograph_rules import check_photographs
from isthmus.studies.spec.quantities import COUNTS, PUBLISHED_SSE, REPRESENTATION, TRAINING_METRICS
from isthmus.studies.spec.reference import Reference
from isthmus.studies.spec.schema import read_kind, read_part, read_table
from isthmus.studies.spec.study import (
    ARGUMENTS,
    Compare,
    Measure,
    Model,
    Section,
    Study,
    Trap,
    matches,
)

_MOST_BYTES = 1 << 20  # in a study's file


def catalog() -> dict[str, str]:
    """The shipped studies: name → TOML."""
    folder = resources.files("isthmus.studies") / "catalog"
    files = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): file.read_text("utf-8") for file in sorted(files, key=lambda f: f.name)}


def load_study(name_or_path: str) -> Study:
    """A shipped study by name, or one's own by path: what has a slash or ends in .toml. Raises RequestError."""
    if "/" not in name_or_path and not name_or_path.endswith(".toml"):
        shipped = catalog()
        if name_or_path not in shipped:
            hint = "; a study of your own is given by its path, like ./mine.toml"
            raise RequestError(unknown("study", name_or_path, shipped) + hint)
        return parse_study(shipped[name_or_path], name_or_path, f"{name_or_path}.toml")
    path = Path(name_or_path)
    # results go to a folder of this name, which must be one
    require(bool(path.stem.strip(".")), "a study's file name", "a name and .toml, like mine.toml", path.name)
    try:
        with open_regular(path) as file:
            content = file.read(_MOST_BYTES + 1)
        require(len(content) <= _MOST_BYTES, "a study", f"at most {_MOST_BYTES >> 20} MiB of text", str(path))
        text = content.decode("utf-8-sig").replace("\r\n", "\n")  # some editors begin a file with a byte order mark
    except OSError as error:
        raise RequestError(f"cannot read the study {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not a text file in UTF-8") from None
    return parse_study(text, path.stem, path.name)


def parse_study(text: str, name: str, file: str) -> Study:
    """A study from its TOML. Raises RequestError that names the file, the model and the key."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{file} is not TOML: {error}") from None
    singles = {"title", "question", "seed", "data"}
    classes = {
        "compare": Compare,
        "measure": Measure,
        "reference": Reference,
        "section": Section,
        "trap": Trap,
    }
    lists = {"model": _read_model, "figure": _read_figure} | {key: _reader(cls) for key, cls in classes.items()}
    for key in document:
        if key not in singles | set(lists):
            raise RequestError(f"{file}: {unknown('key', key, singles | set(lists))}")
    items = {}
    for key, reader in lists.items():
        tables = document.get(key, [])
        if not isinstance(tables, list):
            raise RequestError(f"{file}: {key} must be a list of tables, written [[{key}]]")
        # a table is a model's of that name, a reference's of that id, or the third of its kind
        labels = [
            next((f'"{t[k]}"' for k in ("name", "id") if isinstance(t, dict) and k in t), i)
            for i, t in enumerate(tables, 1)
        ]
        places = [f"{file}, {key} {label}" for label in labels]
        items[f"{key}s"] = tuple(reader(table, where) for table, where in zip(tables, places, strict=True))
    if "data" not in document:
        raise RequestError(f'{file}: the table [data] is missing; it needs a name, like name = "digits"')
    head = {key: value for key, value in document.items() if key in ("title", "question", "seed")}
    data = read_table(Data, document["data"], f"{file}, data")
    study = read_table(Study, {"name": name, **head, "data": data, **items}, file)
    _check(study, file)
    return dataclasses.replace(study, text=text)


def _read_figure(table: Any, where: str) -> Figure:
    kind = read_kind("figure", FIGURES, table, where)
    return read_table(FIGURES[kind], {key: value for key, value in table.items() if key != "kind"}, where)


def _reader(cls: type[Any]) -> Callable[[Any, str], Any]:
    return lambda table, where: read_table(cls, table, where)


# What the estimators' arguments are checked against: a part of plain values, and the arguments that take parts.
_ARGUMENTS: dict[str, tuple[type[Part], Mapping[str, Mapping[str, type[Part]]]]] = {
    **{word: (part, {}) for word, part in ARGUMENTS.items()},
    "autoencoder": (Training, ROLES),
    "denoiser": (Denoising, {"network": IMAGE_NETWORKS, "noise": CORRUPTIONS}),
    "pca": (Projection, {"corruption": CORRUPTIONS}),
}


def _read_model(table: Any, where: str) -> Model:
    """A model: its own keys, and its estimator's constructor arguments."""
    if not isinstance(table, dict):
        raise RequestError(f"{where}: must be a table, got {table!r}")
    keys = {f.name for f in dataclasses.fields(Model)} - {"arguments"}
    model = read_table(Model, {key: value for key, value in table.items() if key in keys}, where)
    rest = {key: value for key, value in table.items() if key not in keys}
    values, roles = _ARGUMENTS[model.estimator]
    # no "device": `isthmus run --device` says where all models are trained
    known = [*roles, *(f.name for f in dataclasses.fields(values) if f.name != "device")]
    for key in rest:
        if key not in known:
            raise RequestError(f"{where}: {unknown('key', key, [*known, *keys])}")
    parts = {role: read_part(role, kinds, rest.pop(role), where) for role, kinds in roles.items() if role in rest}
    read_table(values, rest, where)  # checks them; the estimator's own defaults stay its own
    if "precision" in known and model.part is None:  # "auto" depends on the processor, and what a study finds must not
        rest = {"precision": "float32", **rest}
    return dataclasses.replace(model, arguments={**parts, **rest})


def _check(study: Study, file: str) -> None:
    """What one table cannot know: names that are unique, and names that exist."""
    if not study.models:
        raise RequestError(f"{file}: a study needs at least one [[model]]")
    check_photographs(study, file)
    names = [model.name for model in study.models]
    sections = [section.name for section in study.sections]
    others = {
        "figure": [f.name for f in study.figures],
        "reference": [r.id for r in study.references],
        "section": sections,
    }
    for kind, given in {"model": names, **others}.items():
        if twice := next((name for name in given if given.count(name) > 1), None):
            raise RequestError(f'{file}: two {kind}s are named "{twice}"')
    known = set(names)
    for index, model in enumerate(study.models):
        if model.of is not None and model.of not in names[:index]:
            late = f'model "{model.of}" is not above it; a model must come after the one that it is of'
            fault = late if model.of in known else unknown("model", model.of, known)
            raise RequestError(f'{file}, model "{model.name}", of: {fault}')
        upstream = study.model(model.of) if model.of else None
        if model.part and model.part.searches:
            searched = upstream is not None and upstream.part is None and upstream.of is None
            rule = "an autoencoder of images, whose decoder is to be searched"
            require(searched, f'{file}, model "{model.name}": of', rule, model.of)
        elif model.part and model.part.any_size:
            other = upstream.part if upstream and not upstream.of else None
            shared = upstream is None or bool(other and other.of_crops and model.part.of_crops)
            require(shared, f'{file}, model "{model.name}": of', "a denoiser, for another denoiser", model.of)
        elif upstream and upstream.part and upstream.part.searches:
            require(False, f'{file}, model "{model.name}": of', "a model with codes of its own", model.of)
        if model.of and model.arguments.get("n_components") == "best":
            hint = "the best number is chosen by images; give a number"
            raise RequestError(f'{file}, model "{model.name}": n_components = "best" cannot go with of: {hint}')
        where = f'{file}, model "{model.name}"'
        if model.part is None:
            try:
                getattr(model.network, "function", None)  # which is imported here, if that is allowed
            except RequestError as error:
                raise RequestError(f"{where}, network: {error}") from None
            parts = (model.arguments.get(role) for role in ("penalty", "loss", "code", "augmentation"))
            if wrong := contradiction(model.network, *parts):
                raise RequestError(f"{where}: {wrong}")
        training = model.training
        if training and training.patience and not (study.data.validation or training.validation_fraction):
            raise RequestError(f"{where}: patience needs validation images; set validation in [data]")
    _check_references(study, file)
    for where, section in [
        *((f'figure "{f.name}"', f.section) for f in study.figures),
        *((f"trap {i}", trap.section) for i, trap in enumerate(study.traps, 1)),
        *((f"compare {i}", compare.section) for i, compare in enumerate(study.compares, 1)),
    ]:
        if section and section not in sections:
            raise RequestError(f"{file}, {where}: {unknown('section', section, sections)}")
    uses = [(f'figure "{f.name}"', glob) for f in study.figures for glob in f.models]
    uses += [(f'section "{s.name}"', glob) for s in study.sections for glob in s.models]
    uses += [(f"measure {i}", glob) for i, m in enumerate(study.measures, 1) for glob in m.models]
    for where, glob in uses:
        if not any(matches(model, [glob]) for model in study.models):
            raise RequestError(f"{file}, {where}: {unknown('model', glob, known)}")
    for figure in study.figures:
        figure.check_models([m for m in study.models if matches(m, figure.models)], f'{file}, figure "{figure.name}"')
    for model in study.models:
        sums = [(m.split, part) for m in study.measures if PUBLISHED_SSE in m.metrics and matches(model, m.models)
                for part in m.corruptions()]  # fmt: skip
        if len(set(sums)) < len(sums):  # of one row's value there is one
            raise RequestError(f"{file}: {PUBLISHED_SSE} of {model.name} is measured twice; keep one [[measure]]")
    labels: dict[str, Any] = {}
    for part in (part for measure in study.measures for part in measure.corruptions() if part):
        if labels.setdefault(part.label, part) != part:  # rows are told apart by it
            raise RequestError(f"{file}: {part!r} and {labels[part.label]!r} are both named {part.label}; keep one")
    for figure in study.figures:
        for model in (m for m in study.models if matches(m, figure.models)):
            where = f'{file}, figure "{figure.name}"'
            _check_parts(study, model, figure.split, figure.metric, figure.measured(), where)
    for i, compare in enumerate(study.compares, 1):
        for name in compare.models:
            if name not in known:
                raise RequestError(f"{file}, compare {i}: {unknown('model', name, known)}")
            _check_parts(
                study, study.model(name), compare.split, compare.metric, compare.corruptions(), f"{file}, compare {i}"
            )
    splits = {m.split for m in study.measures} | {f.split for f in study.figures} | {r.split for r in study.references}
    if "validation" in splits and not study.data.validation:
        raise RequestError(f"{file}: something is measured on validation images, but [data] has validation = 0")


def _check_references(study: Study, file: str) -> None:
    """That what was published is measured here too."""
    names = [model.name for model in study.models]
    for reference in study.references:
        where = f'{file}, reference "{reference.id}"'
        if reference.model not in names:
            raise RequestError(f"{where}: {unknown('model', reference.model, names)}")
        model = study.model(reference.model)
        if reference.metric in TRAINING_METRICS:
            require(model.training is not None, f"{where}: the model of a loss", "an autoencoder", model.name)
        if reference.images or reference.metric in (*TRAINING_METRICS, *COUNTS):
            continue  # these need no measure
        always = (reference.split, reference.corruption) == ("test", None) and reference.metric not in REPRESENTATION
        if not always and not any(
            matches(model, m.models)
            and (m.split, reference.metric in m.metrics) == (reference.split, True)
            and reference.part() in m.corruptions()
            for m in study.measures
        ):
            under = f" under {reference.part().label}" if reference.corruption else ""
            quantity = f"{reference.metric} of {model.name} on {reference.split} images{under}"
            raise RequestError(f"{where}: no [[measure]] asks for {quantity}")


def _check_parts(study: Study, model: Model, split: str, metric: str, parts: list[Any], where: str) -> None:
    """That a model is measured under each of these corruptions; on clean test images it always is."""
    wanted = (split, True)
    measures = [m for m in study.measures if matches(model, m.models) and (m.split, metric in m.metrics) == wanted]
    measured = [part for m in measures for part in m.corruptions()] + ([None] if split == "test" else [])
    for part in parts:
        if part not in measured:
            under = f" under {part.label}" if part else ""
            rule = f"measured{under} on {split} images by {metric}, in a [[measure]]"
            require(False, f"{where}: {model.name}", rule, "no such measure")
