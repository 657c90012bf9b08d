"""One model of a run: fitted, or loaded if it is finished, and measured."""

from __future__ import annotations

import contextlib
import dataclasses

import torch

from isthmus import persistence
from isthmus.analysis.collapse import Collapse
from isthmus.data.identity import marks_of, to_text
from isthmus.decimals import error_text
from isthmus.errors import DataError
from isthmus.files import remove
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.facts import facts_of
from isthmus.studies.plan.fitted import add_fitted, available
from isthmus.studies.results.cache import cached, store
from isthmus.studies.results.outcome import Outcome
from isthmus.studies.results.results_json import Row
from isthmus.studies.results.rows import measure_model
from isthmus.studies.run.fitting import fit
from isthmus.studies.run.progress import Progress
from isthmus.studies.spec.study import Model
from isthmus.training.hardware import using_threads


def run_model(context: Context, model: Model, seed: int, progress: Progress, *, again: bool) -> Outcome:
    """Load a finished model or, with `again`, fit it, and measure it; rows that still hold are taken from the cache.

    Raises RunError if training fails.
    """
    if model.of:
        available(context, model.of, seed)
    label, folder = context.label(model.name, seed), context.model_folder(model, seed)
    fitted = None
    if not again:
        try:
            fitted = persistence.load(folder)
            timing = persistence.read_config(folder)["extra"]["timing"]
        except DataError as error:
            progress.note(f"{label}: {error}; training it again")
            again = True
    how = "finished before"
    if fitted is None:
        with using_threads(context.threads_each):
            fitted, timing = fit(context, model, seed, progress)
        extra = {"facts": facts_of(context, model, seed), "timing": timing}
        if context.dataset.place:  # so that commands and pages know them again
            fitted_on = context.splits[context.fit_split(model)]
            marks = fitted_on.marks if context.study.data.is_photographs else marks_of(fitted_on)
            extra["seen"] = {"trained": to_text(marks), "selected": to_text([])}
        persistence.save(fitted, folder, extra=extra)
        how = f"fitted in {timing['seconds']:.1f} s"
    remove(context.checkpoint_folder(model, seed))  # the model is safe
    with contextlib.suppress(OSError):
        (context.folder / "checkpoints").rmdir()  # unless others are in it
    add_fitted(context, model, seed, fitted)
    if (before := None if again else cached(context, model, seed)) is not None:
        if before.collapsed:
            progress.note(f"{label} {Collapse(**before.collapsed)}")
        return dataclasses.replace(before, how=how + _test_error(before.rows))
    measured = measure_model(context, model, seed)
    collapsed = None
    if measured.collapse and not context.request.quick:  # one epoch leaves many a network at the mean image
        progress.note(f"{label} {measured.collapse}")
        collapsed = measured.collapse.table()
    reconstruct = {
        "phase": "reconstruct",
        "seconds": measured.seconds,
        "samples": len(context.splits["test"]),
        "epochs": None,
        "precision": "float32",
        "threads": torch.get_num_threads(),  # of this process, which may be one of several
    }
    compared = {name for compare in context.study.compares for name in compare.models}
    errors = {key: values for key, values in context.errors.items() if key[0] == model.name and key[0] in compared}
    timings = [timing, {**timing, **reconstruct}]
    how += _test_error(measured.rows)
    outcome = Outcome(model.name, seed, how, measured.rows, timings, measured.searches, collapsed, errors)
    store(context, model, outcome)
    return outcome


def _test_error(rows: list[Row]) -> str:
    mse = next((row.value for row in rows if (row.metric, row.split, row.corruption) == ("mse", "test", None)), None)
    return "" if mse is None else f", test MSE {error_text(mse)}"
