"""Run a study: the only loop over models. What is finished and still the same is not done again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import threadpoolctl
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import __version__, persistence
from isthmus.data.images import Dataset, Images, split_dataset
from isthmus.data.sources import load as load_dataset
from isthmus.errors import DataError, RequestError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import code_size, encode, n_parameters
from isthmus.files import atomic_file, lock, prepare_folder, remove, sweep
from isthmus.parts import Dense
from isthmus.studies.draw import figure_arrays
from isthmus.studies.measure import measure, pixel_means
from isthmus.studies.results import RESULTS, Results, Row, environment, judge, over_seeds, read_results, row_of
from isthmus.studies.study import ERROR_METRICS, Measure, Model, Study
from isthmus.training.hardware import resolve_device, resolve_precision
from isthmus.training.history import Epoch, History
from isthmus.training.loop import n_steps

# A model's own files, and room for results and pictures: what must be free before anything is trained.
_ROOM = 64 << 20


@dataclass(frozen=True)
class Request:
    """How a study is to be run: the options of `isthmus run`."""

    out: Path
    data_dir: Path | None = None
    device: str = "auto"
    threads: int = 1
    seeds: int = 1
    only: tuple[str, ...] = ()
    fresh: bool = False
    quick: bool = False
    command: tuple[str, ...] = ()


class Listener(Protocol):
    """What a run tells whoever watches it."""

    def planned(self, results: Results, todo: list[dict[str, Any]]) -> None: ...
    def started(self, name: str, epochs: int) -> None: ...
    def epoch(self, name: str, row: Epoch, epochs: int) -> None: ...
    def finished(self, name: str, sentence: str) -> None: ...
    def note(self, sentence: str) -> None: ...


@dataclass
class Context:
    """A run under way: what was asked, the images, and the fitted models by (name, seed)."""

    study: Study
    request: Request
    dataset: Dataset
    splits: dict[str, Images]
    folder: Path
    device: torch.device
    fitted: dict[tuple[str, int], Any] = field(default_factory=dict)
    timings: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    def fit_split(self, model: Model) -> str:
        """The split that a model is fitted on."""
        return "all" if self.study.pools(model) else "train"

    def seen(self, model: Model, split: str) -> bool:
        """Whether a model was fitted on images of this split."""
        return split in ("train", "all") or (split == "test" and self.study.pools(model))

    @cached_property
    def baseline(self) -> np.ndarray:
        """The training mean of each pixel."""
        return pixel_means(self.splits["train"])

    def key(self, model: Model, seed: int) -> str:
        """What must be the same for a finished model to be used again, as one hash."""
        upstream = self.key(self.study.model(model.of), seed) if model.of else None
        facts = {
            "model": model.table(),
            "data": self.dataset.fingerprint,
            "splits": dataclasses.asdict(self.study.data),
            "split": self.fit_split(model),
            "split_seed": self.study.seed,
            "seed": seed,
            "device": self.device.type,
            "threads": self.request.threads,
            "precision": resolve_precision(model.training.precision, self.device) if model.training else "float32",
            "isthmus": __version__,
            "of": upstream,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def run_study(study: Study, request: Request, listener: Listener) -> Results:
    """Train what is not trained yet, measure everything, and write models, figures' arrays and results.json.

    Raises RequestError before anything is trained if the request cannot be met; RunError if training fails. Whoever
    interrupts it keeps every finished model.
    """
    if request.quick:
        study = study.quick()
    folder = request.out / study.name
    _refuse_to_replace(folder, request)
    models = study.only(request.only)
    device = resolve_device(request.device)
    dataset = load_dataset(study.data.name, request.data_dir)
    splits = _splits(study, dataset, models)
    _check_against_data(study, splits, models)
    prepare_folder(folder, _ROOM)
    with lock(folder), _threads(request.threads):
        sweep(folder)
        context = Context(study, request, dataset, splits, folder, device)
        todo = [_plan_row(context, model, seed) for seed in _seeds(study, request) for model in models]
        results = _empty_results(context, todo)
        listener.planned(results, todo)
        for note in dataset.notes:
            listener.note(note)
        kept = _kept_rows(context, models)
        for seed in _seeds(study, request):
            for model in models:
                _fit_and_measure(context, model, seed, results, listener)
                results.write(folder)  # a run that is stopped has told what it found so far
        results.rows += kept
        results.rows += over_seeds(results.rows)
        results.references = [judge(r, results, _history(context, r.model)) for r in study.references]
        results.figures = _write_figures(context, models, listener)
        results.timings = [timing for timings in context.timings.values() for timing in timings.values()]
        results.complete = len(models) == len(study.models) or _covers(results, study)
        results.write(folder)
    return results


def folder_name(model: str, seed: int, study: Study) -> str:
    """The name of a model's folder: the model's own, and the seed if it is not the study's."""
    return model if seed == study.seed else f"{model}.seed-{seed}"


def _seeds(study: Study, request: Request) -> range:
    return range(study.seed, study.seed + request.seeds)


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Torch and BLAS use n threads inside, and what they used before outside."""
    before = torch.get_num_threads()
    with threadpoolctl.threadpool_limits(n):
        torch.set_num_threads(n)
        try:
            yield
        finally:
            torch.set_num_threads(before)


# --- before anything is trained ---


def _refuse_to_replace(folder: Path, request: Request) -> None:
    """A quick look must not take the place of a study that took an hour."""
    if request.quick and not request.fresh and (folder / RESULTS).is_file():
        with contextlib.suppress(DataError):
            if not read_results(folder).quick:
                raise RequestError(
                    f"{folder} holds a full run, which --quick would replace; choose another --out, or --fresh"
                )


def _splits(study: Study, dataset: Dataset, models: tuple[Model, ...]) -> dict[str, Images]:
    data = study.data
    splits = split_dataset(
        dataset,
        train=data.train,
        validation=data.validation,
        split=data.split,
        classes=data.classes,
        seed=study.seed,
    )
    if data.test is not None:
        splits["test"] = splits["test"].take(slice(0, data.test))
    wanted = {m.split for m in (*study.measures, *study.figures, *study.references)}
    if "all" in wanted or any(study.pools(model) for model in models):
        n_train = len(splits["train"])
        splits["all"] = splits["train"].followed_by(splits["test"])
        # views of one array: the pixels are held once
        splits["train"] = splits["all"].take(slice(0, n_train))
        splits["test"] = splits["all"].take(slice(n_train, None))
    return splits


def _check_against_data(study: Study, splits: dict[str, Images], models: tuple[Model, ...]) -> None:
    """What a study alone cannot know: sizes."""
    for model in models:
        images = splits["all" if study.pools(model) else "train"]
        if model.estimator == "pca":
            of = study.model(model.of) if model.of else None
            n_features = images.n_features if of is None else _code_size(of, images.n_features)
            limit = min(len(images), n_features)
            if model.arguments["n_components"] > limit:
                raise RequestError(
                    f'{study.name}, model "{model.name}": n_components must be at most {limit} '
                    f"({len(images)} samples of {n_features} numbers), got {model.arguments['n_components']}"
                )
    for figure in study.figures:
        n = len(splits[figure.split])
        if figure.kind != "scatter" and max(figure.images) >= n:
            raise RequestError(
                f'{study.name}, figure "{figure.name}": images must be below {n} in split "{figure.split}", '
                f"got {max(figure.images)}"
            )


def _code_size(model: Model, n_features: int) -> int:
    if model.estimator == "pca":
        return model.arguments["n_components"]
    if model.estimator == "identity":
        return n_features
    return model.arguments.get("network", Dense()).bottleneck


def _plan_row(context: Context, model: Model, seed: int) -> dict[str, Any]:
    """What is to be done for one model, with an estimate of the work: 6 operations per weight, sample and epoch."""
    images = context.splits[context.fit_split(model)]
    training = model.training
    epochs = training.epochs if training else None
    network = model.arguments.get("network", Dense())
    weights = sum(
        a * b for widths in network.widths(images.n_features) for a, b in zip(widths, widths[1:], strict=False)
    )
    gflop = 6e-9 * weights * len(images) * epochs if epochs else 2e-9 * images.n_features**2 * len(images)
    return {
        "model": model.name,
        "seed": seed,
        "estimator": model.estimator,
        "samples": len(images),
        "epochs": epochs,
        "steps": n_steps(len(images), training) if training else 0,
        "gflop": round(gflop, 1),
        "threads": context.request.threads,
        "side_by_side": 1,
        "finished": _is_finished(context, model, seed),
    }


def _empty_results(context: Context, plan: list[dict[str, Any]]) -> Results:
    study, request, dataset = context.study, context.request, context.dataset
    return Results(
        study=study.name,
        title=study.title,
        question=study.question,
        seed=study.seed,
        quick=request.quick,
        complete=False,
        environment=environment(str(context.device), request.threads, list(request.command)),
        data={
            "name": dataset.name,
            "title": dataset.title,
            "sha256": dataset.fingerprint,
            "splits": {name: len(images) for name, images in context.splits.items()},
            "image_shape": list(dataset.train.shape),
            "files": dataset.files,
            "notes": list(dataset.notes),
        },
        plan=plan,
        models=[_model_facts(context, model) for model in study.models],
        traps=[dataclasses.asdict(trap) for trap in study.traps],
    )


def _model_facts(context: Context, model: Model) -> dict[str, Any]:
    estimator = _estimator(model, context.study.seed, context.device.type)
    return {
        "name": model.name,
        "label": model.label,
        "note": model.note,
        "of": model.of,
        "fitted_on": context.fit_split(model),
        "code": " ".join(repr(estimator).split()),
    }


# --- one model ---


def _estimator(model: Model, seed: int, device: str) -> Any:
    """The unfitted estimator that a study's model stands for."""
    if model.estimator == "pca":
        # the covariance of 784 pixels costs one product, however many images there are
        return PCA(**model.arguments, svd_solver="covariance_eigh", copy=False)
    if model.estimator == "identity":
        return FunctionTransformer(check_inverse=False)
    return Autoencoder(**{**model.arguments, "device": device, "random_state": seed})


def _model_folder(context: Context, model: Model, seed: int) -> Path:
    return context.folder / "models" / folder_name(model.name, seed, context.study)


def _is_finished(context: Context, model: Model, seed: int) -> bool:
    if context.request.fresh:
        return False
    with contextlib.suppress(DataError):
        return persistence.read_config(_model_folder(context, model, seed))["extra"].get("key") == context.key(
            model, seed
        )
    return False


def _fit_and_measure(context: Context, model: Model, seed: int, results: Results, listener: Listener) -> None:
    own, timing = None, None
    folder = _model_folder(context, model, seed)
    if _is_finished(context, model, seed):
        try:
            own = persistence.load(folder)
            timing = persistence.read_config(folder)["extra"]["timing"]
        except DataError as error:
            listener.note(f"{error}; training it again")
    again = own is not None
    if own is None:
        own, timing = _fit(context, model, seed, listener)
        persistence.save(own, folder, extra={"key": context.key(model, seed), "timing": timing})
    upstream = context.fitted.get((model.of, seed)) if model.of else None
    fitted = own if upstream is None else Pipeline([(str(model.of), upstream), (model.name, own)])
    context.fitted[model.name, seed] = fitted
    context.timings[model.name, seed] = {"fit": timing}
    results.rows += _measure_rows(context, model, seed)
    mse = results.value(model.name, "mse", "test", seed)
    heard = "" if mse is None else f"test MSE {mse:.6f}"
    how = "was finished" if again else f"fitted in {timing['seconds']:.1f} s"  # type: ignore[index]
    listener.finished(folder_name(model.name, seed, context.study), f"{how}, {heard}")


def _fit(context: Context, model: Model, seed: int, listener: Listener) -> tuple[Any, dict[str, Any]]:
    """Fit a model, and time it: training steps only."""
    images = context.splits[context.fit_split(model)]
    estimator = _estimator(model, seed, context.device.type)
    name, training = folder_name(model.name, seed, context.study), model.training
    listener.started(name, training.epochs if training else 0)
    if isinstance(estimator, Autoencoder):
        assert training is not None
        for row in estimator.fit_epochs(images, validation=context.splits.get("validation")):
            listener.epoch(name, row, training.epochs)
        seconds, precision = estimator.history_.seconds, estimator.precision_
    else:
        x = encode(context.fitted[model.of, seed], images) if model.of else images.floats()
        start = time.perf_counter()
        estimator.fit(x)
        seconds, precision = time.perf_counter() - start, "float32"
    return estimator, {
        "model": model.name,
        "seed": seed,
        "phase": "fit",
        "seconds": seconds,
        "samples": len(images),
        "epochs": len(estimator.history_) if training else None,
        "threads": context.request.threads,
        "precision": precision,
        "side_by_side": 1,
    }


def _measure_rows(context: Context, model: Model, seed: int) -> list[Row]:
    """Every row of one model: what is always measured, and what the study asks for, each once."""
    fitted, name = context.fitted[model.name, seed], model.name
    n_features = context.splits["train"].n_features
    counts = {"n_parameters": n_parameters(fitted), "code_size": code_size(fitted, n_features)}
    rows = [Row(name, seed, metric, None, None, False, value, None, None) for metric, value in counts.items()]
    asked = [Measure(metrics=ERROR_METRICS), *(m for m in context.study.measures if _matches(model, m.models))]
    metrics: dict[tuple[str, Any], list[str]] = {}
    for one in asked:
        for corruption in one.corruptions():
            wanted = metrics.setdefault((one.split, corruption), [])
            wanted += [metric for metric in one.metrics if metric not in wanted]
    for (split, corruption), wanted in metrics.items():
        images = context.splits[split]
        measured = measure(fitted, images, tuple(wanted), context.baseline, corruption)
        label = None if corruption is None else corruption.label
        seen = context.seen(model, split)
        rows += [row_of(e, name, seed, metric, split, label, seen) for metric, e in measured.estimates.items()]
        if (split, corruption) == ("test", None):
            fit = context.timings[name, seed]["fit"]
            context.timings[name, seed]["reconstruct"] = {
                **fit, "phase": "reconstruct", "seconds": measured.seconds, "samples": len(images), "epochs": None,
                "precision": "float32",
            }  # fmt: skip
    return rows


def _matches(model: Model, globs: tuple[str, ...]) -> bool:
    import fnmatch

    return any(fnmatch.fnmatchcase(model.name, glob) for glob in globs)


# --- what earlier runs measured ---


def _kept_rows(context: Context, models: tuple[Model, ...]) -> list[Row]:
    """The rows (and timings) of models that this run leaves out, if they are finished and still the same."""
    if context.request.fresh or not (context.folder / RESULTS).is_file():
        return []
    try:
        before = read_results(context.folder)
    except DataError:
        return []
    running = {(model.name, seed) for model in models for seed in _seeds(context.study, context.request)}
    known = {model.name: model for model in context.study.models}
    pairs = {(row.model, row.seed) for row in before.rows if row.seed is not None and row.model in known} - running
    valid = {pair for pair in pairs if _is_finished(context, known[pair[0]], pair[1])}
    for timing in before.timings:
        if (pair := (timing["model"], timing["seed"])) in valid:
            context.timings.setdefault(pair, {})[timing["phase"]] = timing
    return [row for row in before.rows if (row.model, row.seed) in valid]


def _covers(results: Results, study: Study) -> bool:
    return {row.model for row in results.rows if row.seed == study.seed} == {model.name for model in study.models}


def _history(context: Context, name: str) -> History | None:
    """The training history of a model of the study's own seed, from this run or from its folder."""
    model = context.study.model(name)
    if fitted := context.fitted.get((name, context.study.seed)):
        return getattr(fitted, "history_", None)
    if not _is_finished(context, model, context.study.seed):
        return None
    path = _model_folder(context, model, context.study.seed) / persistence.HISTORY
    return History.from_jsonl(path.read_text("utf-8")) if path.is_file() else None


# --- pictures ---


def _write_figures(context: Context, models: tuple[Model, ...], listener: Listener) -> list[dict[str, Any]]:
    """Write each figure's arrays to figures/<name>.npz, and list what there is to draw."""
    folder = context.folder / "figures"
    folder.mkdir(exist_ok=True)
    here = {model.name for model in models}
    listed = []
    for figure in context.study.figures:
        chosen = [m.name for m in context.study.models if _matches(m, figure.models)]
        if not here.issuperset(chosen):
            chosen = [name for name in chosen if _load_finished(context, name)]
        if figure.models and not chosen:
            continue
        fitted = {name: context.fitted[name, context.study.seed] for name in chosen}
        arrays = figure_arrays(figure, fitted, context.splits[figure.split])
        with atomic_file(folder / f"{figure.name}.npz") as file:
            np.savez(file, **arrays)
        facts = {"name": figure.name, "kind": figure.kind, "models": chosen, "split": figure.split}
        corruption = figure.corruptions()[0]
        facts["corruption"] = None if corruption is None else corruption.label
        facts |= {
            "title": figure.title,
            "note": figure.note,
            "rows": [k for k in arrays if k not in ("labels", "positions")],
        }
        listed.append(facts)
    names = {facts["name"] for facts in listed}
    for stale in folder.glob("*"):
        if stale.stem not in names:
            remove(stale)
    return listed


def _load_finished(context: Context, name: str) -> bool:
    """Have the model of the study's seed in memory, if it was finished by an earlier run."""
    seed, model = context.study.seed, context.study.model(name)
    if (name, seed) in context.fitted:
        return True
    if not _is_finished(context, model, seed) or (model.of and not _load_finished(context, model.of)):
        return False
    try:
        own = persistence.load(_model_folder(context, model, seed))
    except DataError:
        return False
    fitted = Pipeline([(model.of, context.fitted[model.of, seed]), (name, own)]) if model.of else own
    context.fitted[name, seed] = fitted
    return True
