"""A study as it is asked for: parsed, checked whole, and nothing imported that takes time.

Everything that can be known without the data is checked here, so a wrong study is refused in milliseconds.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from isthmus.errors import RequestError, one_of, require, unknown
from isthmus.parts import BCE, CORRUPTIONS, ROLES, Dense, Part, Projection, Training
from isthmus.studies.schema import read_part, read_table

SPLITS = ("train", "validation", "test", "all")
ERROR_METRICS = ("mse", "psnr", "ssim", "explained_variance")
COUNTS = ("n_parameters", "code_size")
DATA = ("digits", "fashion-mnist", "kmnist", "mnist")  # what `data.sources` knows, which costs numpy to import
ESTIMATORS = ("autoencoder", "identity", "pca")
FIGURES = ("curves", "denoising", "filters", "images", "reconstructions", "scatter")
QUICK_IMAGES = 2000


@dataclass(frozen=True)
class Data:
    """Which images, and how they are split. pool_test: models are fitted on train + test, scored as split "all"."""

    name: str
    train: int | None = None
    validation: int = 0
    split: str = "random"
    pool_test: bool = False
    classes: tuple[int, ...] | None = None
    test: int | None = None

    def __post_init__(self) -> None:
        one_of("data set", self.name, DATA)
        one_of("split", self.split, ("random", "file"))
        for name, value in (("train", self.train), ("test", self.test)):
            require(value is None or value >= 1, name, "at least 1", value)
        require(self.validation >= 0, "validation", "at least 0", self.validation)
        require(self.classes is None or len(self.classes) > 0, "classes", "a list of at least one label", self.classes)


@dataclass(frozen=True)
class Model:
    """One model of a study. arguments: its estimator's constructor arguments, with parts as objects.

    pool_test: overrides the study's, so that a model as published and one done right stand side by side.
    """

    name: str
    estimator: str
    label: str = ""
    note: str = ""
    of: str | None = None
    pool_test: bool | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name):
            rule = "small letters, digits, dots and hyphens, beginning with a letter or digit"
            raise RequestError(f"a model's name must be {rule}, got {self.name!r}")
        one_of("estimator", self.estimator, ESTIMATORS)

    @property
    def training(self) -> Training | None:
        """How it is trained, if it is trained by the loop."""
        if self.estimator != "autoencoder":
            return None
        names = {f.name for f in dataclasses.fields(Training)}
        return Training(**{k: v for k, v in self.arguments.items() if k in names})

    def table(self) -> dict[str, Any]:
        """What decides the trained weights, as plain values."""
        arguments = {k: v.table() if isinstance(v, Part) else v for k, v in self.arguments.items()}
        return {"name": self.name, "estimator": self.estimator, "of": self.of, "arguments": arguments}


@dataclass(frozen=True)
class Measure:
    """Which models are measured by which metrics, on which split, under which corruption at which levels."""

    models: tuple[str, ...] = ("*",)
    metrics: tuple[str, ...] = ("mse", "psnr")
    split: str = "test"
    corruption: dict[str, Any] | None = None
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        for metric in self.metrics:
            one_of("metric", metric, ERROR_METRICS)
        self.corruptions()

    def corruptions(self) -> list[Any]:
        """The corruption at each of its levels; [None] for the images as they are."""
        return _corruptions(self.corruption, self.levels)


@dataclass(frozen=True)
class Figure:
    """A picture. images: positions in the split; n: the first n images (scatter); first_epoch: of the curves."""

    kind: str
    name: str
    models: tuple[str, ...] = ()
    split: str = "test"
    images: tuple[int, ...] = tuple(range(10))
    n: int = 2000
    first_epoch: int = 1
    corruption: dict[str, Any] | None = None
    levels: tuple[float, ...] = ()
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        one_of("figure kind", self.kind, FIGURES)
        one_of("split", self.split, SPLITS)
        good = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name)
        require(bool(good), "a figure's name", "small letters, digits, dots and hyphens", self.name)
        require(len(self.images) > 0 and min(self.images) >= 0, "images", "positions of at least 0", self.images)
        for name, value in (("n", self.n), ("first_epoch", self.first_epoch)):
            require(value >= 1, name, "at least 1", value)
        require(self.kind == "images" or len(self.models) > 0, "models", "a list of at least one model", self.models)
        require(self.kind != "scatter" or len(self.models) == 1, "a scatter's models", "one model", self.models)
        if self.kind == "denoising":
            require(len(self.corruptions()) == 1, "a denoising figure's levels", "one level", self.levels)
            require(self.corruption is not None, "a denoising figure's corruption", "a table", None)

    def corruptions(self) -> list[Any]:
        """As `Measure.corruptions`."""
        return _corruptions(self.corruption, self.levels)


@dataclass(frozen=True)
class Reference:
    """A published number. metric "loss": the training loss at `epochs` (all, if empty); then `value` is a list."""

    id: str
    model: str
    metric: str
    value: float | tuple[float, ...]
    split: str = "test"
    rtol: float | None = None
    atol: float | None = None
    epochs: tuple[int, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        one_of("metric", self.metric, (*ERROR_METRICS, *COUNTS, "loss"))
        one_of("split", self.split, SPLITS)
        if (self.rtol is None) == (self.atol is None):
            raise RequestError("one of rtol and atol must be given")
        tolerance = self.atol if self.rtol is None else self.rtol
        require(tolerance is not None and 0 <= tolerance < math.inf, "a tolerance", "at least 0", tolerance)
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        require(len(values) > 0 and all(map(math.isfinite, values)), "value", "finite numbers", self.value)
        require(all(epoch >= 1 for epoch in self.epochs), "epochs", "at least 1", self.epochs)
        require(
            (self.metric == "loss") == isinstance(self.value, tuple),
            "value",
            "a list for loss, else a number",
            self.value,
        )
        if self.epochs and isinstance(self.value, tuple):
            require(len(self.epochs) == len(self.value), "epochs", "as many as values", self.epochs)


@dataclass(frozen=True)
class Trap:
    """Something that the published study did wrong, and what is done instead."""

    what: str
    instead: str


@dataclass(frozen=True)
class Study:
    """A whole study, checked: names are unique, and everything that is referred to exists."""

    name: str
    title: str
    data: Data
    models: tuple[Model, ...]
    question: str = ""
    seed: int = 0
    measures: tuple[Measure, ...] = ()
    figures: tuple[Figure, ...] = ()
    references: tuple[Reference, ...] = ()
    traps: tuple[Trap, ...] = ()

    def model(self, name: str) -> Model:
        """The model of this name."""
        return next(model for model in self.models if model.name == name)

    def pools(self, model: Model) -> bool:
        """Whether a model is fitted on train + test."""
        return self.data.pool_test if model.pool_test is None else model.pool_test

    def only(self, globs: Iterable[str]) -> tuple[Model, ...]:
        """The models that match one of the patterns, and those that they depend on. All, for no pattern."""
        globs = tuple(globs)
        if not globs:
            return self.models
        for glob in globs:
            if not any(matches(model, [glob]) for model in self.models):
                raise RequestError(f"{self.name}: {unknown('model', glob, [m.name for m in self.models])}")
        wanted = {model.name for model in self.models if matches(model, globs)}
        for model in reversed(self.models):  # what a model is of comes before it
            if model.name in wanted and model.of:
                wanted.add(model.of)
        return tuple(model for model in self.models if model.name in wanted)

    def quick(self, available: int) -> Study:
        """The same study in one epoch on few of the `available` training images, to see whether it runs."""
        train = available - self.data.validation if self.data.train is None else self.data.train
        data = dataclasses.replace(
            self.data,
            train=min(max(train, 1), QUICK_IMAGES),
            validation=min(self.data.validation, QUICK_IMAGES),
            test=min(self.data.test or QUICK_IMAGES, QUICK_IMAGES),
        )
        models = tuple(
            dataclasses.replace(model, arguments={**model.arguments, "epochs": 1}) if model.training else model
            for model in self.models
        )
        return dataclasses.replace(self, data=data, models=models)


def matches(model: Model, globs: Iterable[str]) -> bool:
    """Whether a model's name matches one of the patterns."""
    return any(fnmatch.fnmatchcase(model.name, glob) for glob in globs)


def _corruptions(table: dict[str, Any] | None, levels: tuple[float, ...]) -> list[Any]:
    if table is None:
        if levels:
            raise RequestError("levels need a corruption")
        return [None]
    if not levels:
        raise RequestError("a corruption needs levels, like levels = [0.3, 0.5]")
    kind = CORRUPTIONS.get(str(table.get("kind")))
    name = getattr(kind, "level", "sigma")
    return [read_part("corruption", CORRUPTIONS, {**table, name: level}, "at one level") for level in levels]


# --- reading ---


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
        text = path.read_text("utf-8")
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
    classes = {"measure": Measure, "figure": Figure, "reference": Reference, "trap": Trap}
    lists = {"model": _read_model} | {key: _reader(cls) for key, cls in classes.items()}
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
    return study


def _reader(cls: type[Any]) -> Callable[[Any, str], Any]:
    return lambda table, where: read_table(cls, table, where)


def _read_model(table: Any, where: str) -> Model:
    """A model: its own keys, and its estimator's constructor arguments."""
    if not isinstance(table, dict):
        raise RequestError(f"{where}: must be a table, got {table!r}")
    own = {f.name for f in dataclasses.fields(Model)} - {"arguments"}
    model = read_table(Model, {key: value for key, value in table.items() if key in own}, where)
    rest = {key: value for key, value in table.items() if key not in own}
    values = {"autoencoder": Training, "pca": Projection, "identity": None}[model.estimator]
    roles = ROLES if model.estimator == "autoencoder" else {}
    # no "device": `isthmus run --device` says where all models are trained
    known = [*roles, *(f.name for f in dataclasses.fields(values) if f.name != "device")] if values else []
    for key in rest:
        if key not in known:
            raise RequestError(f"{where}: {unknown('key', key, [*known, *own])}")
    parts = {role: read_part(role, kinds, rest.pop(role), where) for role, kinds in roles.items() if role in rest}
    if values:
        read_table(values, rest, where)  # checks them; the estimator's own defaults stay its own
    return dataclasses.replace(model, arguments={**parts, **rest})


def _check(study: Study, file: str) -> None:
    """What one table cannot know: names that are unique, and names that exist."""
    if not study.models:
        raise RequestError(f"{file}: a study needs at least one [[model]]")
    names = [model.name for model in study.models]
    others = {"figure": [f.name for f in study.figures], "reference": [r.id for r in study.references]}
    for what, given in {"model": names, **others}.items():
        if twice := next((name for name in given if given.count(name) > 1), None):
            raise RequestError(f'{file}: two {what}s are named "{twice}"')
    known = set(names)
    for index, model in enumerate(study.models):
        if model.of is not None and model.of not in names[:index]:
            hint = "; a model comes after the one it is of" if model.of in known else ""
            raise RequestError(f'{file}, model "{model.name}", of: {unknown("model", model.of, known)}{hint}')
        if training := model.training:
            where, network = f'{file}, model "{model.name}"', model.arguments.get("network", Dense())
            if isinstance(model.arguments.get("loss"), BCE) and network.output != "sigmoid":
                raise RequestError(f'{where}: loss "bce" needs output = "sigmoid", got {network.output!r}')
            if training.patience and not (study.data.validation or training.validation_fraction):
                raise RequestError(f"{where}: patience needs validation images; set validation in [data]")
    uses = [(f'figure "{f.name}"', glob) for f in study.figures for glob in f.models]
    uses += [(f"measure {i}", glob) for i, m in enumerate(study.measures, 1) for glob in m.models]
    for what, glob in uses:
        if not any(matches(model, [glob]) for model in study.models):
            raise RequestError(f"{file}, {what}: {unknown('model', glob, known)}")
    for reference in study.references:
        if reference.model not in known:
            raise RequestError(f'{file}, reference "{reference.id}": {unknown("model", reference.model, known)}')
    for figure in study.figures:
        _check_models(figure, [m for m in study.models if matches(m, figure.models)], f'{file}, figure "{figure.name}"')
    labels: dict[str, Any] = {}
    for part in (part for measure in study.measures for part in measure.corruptions() if part):
        if labels.setdefault(part.label, part) != part:  # rows are told apart by it
            raise RequestError(f"{file}: {part!r} and {labels[part.label]!r} are both named {part.label}; keep one")
    splits = {m.split for m in study.measures} | {f.split for f in study.figures} | {r.split for r in study.references}
    if "validation" in splits and not study.data.validation:
        raise RequestError(f"{file}: something is measured on validation images, and [data] has validation = 0")


def _check_models(figure: Figure, models: list[Model], where: str) -> None:
    """That there is something to draw of the models that a figure's patterns stand for."""
    names = [model.name for model in models]
    if figure.kind == "scatter":
        require(len(models) == 1, f"{where}: a scatter's models", "one model", names)
    if figure.kind == "curves":
        require(any(m.training for m in models), f"{where}: models", "autoencoders, which have curves", names)
    if figure.kind == "filters":
        without = [model.name for model in models if model.estimator == "identity"]
        require(not without, f"{where}: models", "other than identity, which has no filters", without)
