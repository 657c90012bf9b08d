"""A task of a run: fit one model, or load it if it is finished, and measure it."""

from __future__ import annotations

import contextlib
import dataclasses

import torch

from isthmus import persistence
from isthmus.analysis.collapse import Collapse
from isthmus.decimals import error_text
from isthmus.errors import DataError
from isthmus.files import remove
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.facts import facts_of
from isthmus.studies.plan.fitted import available, take
from isthmus.studies.plan.workload import Pair
from isthmus.studies.results.cache import cached, store
from isthmus.studies.results.outcome import Outcome
from isthmus.studies.results.results_json import Row
from isthmus.studies.results.rows import measure_model
from isthmus.studies.run.fitting import fit
from isthmus.studies.run.progress import Listener
from isthmus.studies.spec.study import Model
from isthmus.training.hardware import using_threads


@dataclasses.dataclass(frozen=True)
class Task:
    """One model that is to be fitted and measured, and the run that it is of."""

    context: Context
    pair: Pair


def finish(context: Context, model: Model, seed: int, listener: Listener, *, again: bool) -> Outcome:
    """Have the model fitted, from its folder or, with `again`, by training it, and measured.

    What an earlier run measured of it, and would be measured again, is used again. Raises RunError if training fails.
    """
    if model.of:
        available(context, model.of, seed)
    label, folder = context.label(model.name, seed), context.model_folder(model, seed)
    own = None
    if not again:
        try:
            own = persistence.load(folder)
            timing = persistence.read_config(folder)["extra"]["timing"]
        except DataError as error:
            listener.note(f"{label}: {error}; training it again")
            again = True
    how = "finished before"
    if own is None:
        with using_threads(context.threads_each):
            own, timing = fit(context, model, seed, listener)
        persistence.save(own, folder, extra={"facts": facts_of(context, model, seed), "timing": timing})
        how = f"fitted in {timing['seconds']:.1f} s"
    remove(context.checkpoint_folder(model, seed))  # the model is safe
    with contextlib.suppress(OSError):
        (context.folder / "checkpoints").rmdir()  # unless others are in it
    take(context, model, seed, own)
    if (before := None if again else cached(context, model, seed)) is not None:
        if before.collapsed:
            listener.note(f"{label} {Collapse(**before.collapsed)}")
        return dataclasses.replace(before, how=_said(how, before.rows))
    found = measure_model(context, model, seed)
    collapsed = None
    if found.collapse and not context.request.quick:  # one epoch leaves many a network at the mean image
        listener.note(f"{label} {found.collapse}")
        collapsed = found.collapse.table()
    reconstruct = {
        "phase": "reconstruct",
        "seconds": found.seconds,
        "samples": len(context.splits["test"]),
        "epochs": None,
        "precision": "float32",
        "threads": torch.get_num_threads(),  # of this process, which may be one of several
    }
    compared = {name for one in context.study.compares for name in one.models}
    errors = {key: values for key, values in context.errors.items() if key[0] == model.name and key[0] in compared}
    timings = [timing, {**timing, **reconstruct}]
    how = _said(how, found.rows)
    done = Outcome(model.name, seed, how, found.rows, timings, found.searches, collapsed, errors)
    store(context, model, done)
    return done


def _said(how: str, rows: list[Row]) -> str:
    mse = next((row.value for row in rows if (row.metric, row.split, row.corruption) == ("mse", "test", None)), None)
    return how if mse is None else f"{how}, test MSE {error_text(mse)}"
