"""Run a study: the only loop over models. What is finished and still the same is not trained again."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import threadpoolctl
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import persistence
from isthmus.data.sources import load as load_dataset
from isthmus.errors import DataError, RequestError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import code_size, encode, n_parameters
from isthmus.files import atomic_file, lock, prepare_folder, remove, sweep
from isthmus.studies.context import Context, Request, check_sizes, split_for
from isthmus.studies.measure import measure
from isthmus.studies.pictures import figure_arrays
from isthmus.studies.results import RESULTS, Results, Row, environment, judge, over_seeds, read_results, row_of
from isthmus.studies.study import ERROR_METRICS, Measure, Model, Study, matches
from isthmus.training.hardware import resolve_device, using_threads
from isthmus.training.history import Epoch, History

# Results, pictures and the report; a model's weights come on top: what must be free before anything is trained.
_ROOM = 64 << 20


class Listener(Protocol):
    """What a run tells whoever watches it."""

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None: ...
    def started(self, name: str, epochs: int) -> None: ...
    def epoch(self, name: str, row: Epoch, epochs: int) -> None: ...
    def finished(self, name: str, sentence: str) -> None: ...
    def note(self, sentence: str) -> None: ...


def run_study(study: Study, request: Request, listener: Listener) -> Results:
    """Train what is not trained yet, measure everything, and write models, figures' arrays and results.json.

    Raises RequestError before anything is trained if the request cannot be met; RunError if training fails. Whoever
    interrupts it keeps every finished model.
    """
    device = resolve_device(request.device)
    dataset = load_dataset(study.data.name, request.data_dir)
    if request.quick:
        study = study.quick(len(dataset.train))
    models = study.only(request.only)
    splits = split_for(study, dataset, models)
    check_sizes(study, splits, models)
    context = Context(study, request, dataset, splits, device)
    prepare_folder(context.folder, _ROOM)
    with lock(context.folder), _threads(request.threads):
        sweep(context.folder)
        results = _results_so_far(context, listener)
        finished = {
            (model.name, seed)
            for seed in context.seeds
            for model in models
            if not request.fresh and context.finished(model, seed)
        }
        listener.planned(results, finished)
        for note in dataset.notes:
            listener.note(note)
        results.write(context.folder)
        for seed in context.seeds:
            for model in models:
                _fit_and_measure(context, model, seed, results, listener, again=(model.name, seed) not in finished)
                results.write(context.folder)  # a run that is stopped has told what it found so far
        results.rows += over_seeds(results.rows)
        results.references = [judge(r, results, _history(context, r.model)) for r in study.references]
        results.figures = _write_figures(context)
        measured = {row.model for row in results.rows if row.seed == study.seed}
        results.complete = measured == {model.name for model in study.models}
        results.write(context.folder)
    return results


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Torch and BLAS use n threads inside, and what they used before outside."""
    with threadpoolctl.threadpool_limits(n), using_threads(n):
        yield


# --- the results, before anything is trained ---


def _results_so_far(context: Context, listener: Listener) -> Results:
    """What is known before this run: the plan, and what earlier runs measured on models that are still the same."""
    study, request, dataset = context.study, context.request, context.dataset
    results = Results(
        study=study.name,
        title=study.title,
        question=study.question,
        seed=study.seed,
        quick=request.quick,
        complete=False,
        environment=environment(str(context.device), request.threads, request.command),
        data={
            "name": dataset.name,
            "title": dataset.title,
            "sha256": dataset.fingerprint,
            "splits": {name: len(images) for name, images in context.splits.items()},
            "image_shape": list(dataset.train.shape),
            "files": dataset.files,
            "notes": list(dataset.notes),
        },
        plan=[context.plan_row(model, seed) for seed in context.seeds for model in context.models],
        models=[_facts(context, model) for model in study.models],
        traps=[dataclasses.asdict(trap) for trap in study.traps],
    )
    try:
        before = read_results(context.folder)
    except DataError:  # there are none, or another version's
        return results
    if request.quick and not before.quick and not request.fresh:
        raise RequestError(
            f"{context.folder} holds a full run, which --quick would replace; choose another --out, or add --fresh"
        )
    known = {model.name: model for model in study.models}
    pairs = {(row.model, row.seed) for row in before.rows if row.seed is not None and row.model in known}
    same = {(name, seed) for name, seed in pairs if context.finished(known[name], seed)}
    running = {(model.name, seed) for model in context.models for seed in context.seeds}
    if lost := sorted({name for name, _ in pairs - same - running}):
        listener.note(f"left out, for the study or its options have changed since they were trained: {', '.join(lost)}")
    results.rows = [row for row in before.rows if (row.model, row.seed) in same]
    results.timings = [timing for timing in before.timings if (timing["model"], timing["seed"]) in same]
    return results


def _facts(context: Context, model: Model) -> dict[str, Any]:
    """What the report says of a model, whether it is trained or not."""
    return {
        "name": model.name,
        "label": model.label,
        "note": model.note,
        "of": model.of,
        "fitted_on": context.fit_split(model),
        "code": " ".join(repr(_estimator(context, model, context.study.seed)).split()),
    }


# --- one model ---


def _estimator(context: Context, model: Model, seed: int) -> Any:
    """The unfitted estimator that a study's model stands for."""
    match model.estimator:
        case "pca":
            # the covariance of 784 pixels costs one product, however many images there are
            return PCA(**model.arguments, svd_solver="covariance_eigh", copy=False)
        case "identity":
            return FunctionTransformer(check_inverse=False)
        case _:
            return Autoencoder(**{**model.arguments, "device": context.device.type, "random_state": seed})


def _fit_and_measure(
    context: Context, model: Model, seed: int, results: Results, listener: Listener, *, again: bool
) -> None:
    """Have the model fitted, from its folder or by training it, and replace its rows and timings."""
    label, folder = context.label(model.name, seed), context.model_folder(model, seed)
    own = None
    if not again:
        try:
            own = persistence.load(folder)
            timing = persistence.read_config(folder)["extra"]["timing"]
        except DataError as error:
            listener.note(f"{error}; training it again")
    how = "finished before"
    if own is None:
        own, timing = _fit(context, model, seed, listener)
        persistence.save(own, folder, extra={"key": context.key(model, seed), "timing": timing})
        how = f"fitted in {timing['seconds']:.1f} s"
    _keep(context, model, seed, own)
    results.rows = [row for row in results.rows if (row.model, row.seed) != (model.name, seed)]
    results.timings = [t for t in results.timings if (t["model"], t["seed"]) != (model.name, seed)]
    rows, seconds = _measure_rows(context, model, seed)
    results.rows += rows
    reconstruct = {"phase": "reconstruct", "seconds": seconds, "samples": len(context.splits["test"])}
    alone = {"epochs": None, "precision": "float32", "threads": context.request.threads}
    results.timings += [timing, {**timing, **reconstruct, **alone}]
    mse = results.value(model.name, "mse", "test", seed)
    listener.finished(label, f"{how}, test MSE {mse:.6f}" if mse is not None else how)


def _keep(context: Context, model: Model, seed: int, own: Any) -> None:
    """A model of another model's codes is a pipeline of both."""
    upstream = context.fitted[model.of, seed] if model.of else None
    context.fitted[model.name, seed] = Pipeline([(str(model.of), upstream), (model.name, own)]) if upstream else own


def _fit(context: Context, model: Model, seed: int, listener: Listener) -> tuple[Any, dict[str, Any]]:
    """Fit a model, and time it: training steps only."""
    images = context.splits[context.fit_split(model)]
    estimator, training = _estimator(context, model, seed), model.training
    given: list[Any]
    label = context.label(model.name, seed)
    listener.started(label, training.epochs if training else 0)
    if isinstance(estimator, Autoencoder):
        assert training is not None
        given = [images, context.splits.get("validation")]
        if model.of:
            given = [encode(context.fitted[model.of, seed], one) if one else None for one in given]
        x, held_out = given
        for row in estimator.fit_epochs(x, validation=held_out):
            listener.epoch(label, row, training.epochs)
        seconds = estimator.history_.seconds
    else:
        x = encode(context.fitted[model.of, seed], images) if model.of else images.floats()
        start = time.perf_counter()
        estimator.fit(x)
        seconds = time.perf_counter() - start
    return estimator, {
        "model": model.name,
        "seed": seed,
        "phase": "fit",
        "seconds": seconds,
        "samples": len(images),
        "epochs": len(estimator.history_) if training else None,
        "threads": context.threads(model),
        "precision": context.precision(model),
        "side_by_side": 1,
    }


def _measure_rows(context: Context, model: Model, seed: int) -> tuple[list[Row], float]:
    """Every row of one model, each once: what is always measured, and what the study asks for.

    And the seconds that it took to reconstruct the clean test images.
    """
    fitted, name = context.fitted[model.name, seed], model.name
    counts = {
        "n_parameters": n_parameters(fitted),
        "code_size": code_size(fitted, context.splits["train"].n_features),
    }
    rows = [Row(name, seed, metric, None, None, False, value, None, None) for metric, value in counts.items()]
    asked = [Measure(metrics=ERROR_METRICS), *(m for m in context.study.measures if matches(model, m.models))]
    wanted: dict[tuple[str, Any], list[str]] = {}
    for one in asked:
        for corruption in one.corruptions():
            metrics = wanted.setdefault((one.split, corruption), [])
            metrics += [metric for metric in one.metrics if metric not in metrics]
    seconds = 0.0
    for (split, corruption), metrics in wanted.items():
        measured = measure(fitted, context.splits[split], tuple(metrics), context.baseline, corruption)
        label, seen = corruption.label if corruption else None, context.seen(model, split)
        rows += [row_of(e, name, seed, metric, split, label, seen) for metric, e in measured.estimates.items()]
        if (split, corruption) == ("test", None):
            seconds = measured.seconds
    return rows, seconds


# --- what is left when all models are measured ---


def _available(context: Context, name: str) -> bool:
    """Have a model of the study's own seed in memory, if this run or an earlier one finished it."""
    seed, model = context.study.seed, context.study.model(name)
    if (name, seed) in context.fitted:
        return True
    if not context.finished(model, seed) or (model.of and not _available(context, model.of)):
        return False
    try:
        _keep(context, model, seed, persistence.load(context.model_folder(model, seed)))
    except DataError:
        return False
    return True


def _history(context: Context, name: str) -> History | None:
    """The training history of a model of the study's own seed."""
    if not _available(context, name):
        return None
    fitted = context.fitted[name, context.study.seed]
    return getattr(fitted[-1] if isinstance(fitted, Pipeline) else fitted, "history_", None)


def _write_figures(context: Context) -> list[dict[str, Any]]:
    """Write each figure's arrays to figures/<name>.npz, and list what there is to draw."""
    folder = context.folder / "figures"
    folder.mkdir(exist_ok=True)
    listed = []
    for figure in context.study.figures:
        chosen = [m.name for m in context.study.models if matches(m, figure.models) and _available(context, m.name)]
        if figure.models and not chosen:
            continue
        fitted = {name: context.fitted[name, context.study.seed] for name in chosen}
        arrays: dict[str, Any] = dict(figure_arrays(figure, fitted, context.splits[figure.split]))
        with atomic_file(folder / f"{figure.name}.npz") as file:
            np.savez(file, **arrays)
        corruption = figure.corruptions()[0]
        listed.append(
            {
                "name": figure.name,
                "kind": figure.kind,
                "title": figure.title,
                "note": figure.note,
                "models": chosen,
                "split": figure.split,
                "corruption": corruption.label if corruption else None,
                "first_epoch": figure.first_epoch,
                "rows": [name for name in arrays if name not in ("labels", "positions")],
            }
        )
    names = {facts["name"] for facts in listed}
    for stale in folder.glob("*"):
        if stale.stem not in names:
            remove(stale)
    return listed


__all__ = ["RESULTS", "Listener", "Request", "run_study"]
