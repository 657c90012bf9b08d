"""A few test images and what every model makes of them, as they are and with noise: what a report begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.files import atomic_file, remove
from isthmus.studies.results.results_json import Results
from isthmus.studies.spec.figures import FIGURES, Figure

if TYPE_CHECKING:
    from isthmus.studies.plan.context import Context

FOLDER, CLEAN, NOISY = "examples", "clean.npz", "noisy.npz"
_N, _N_PHOTOGRAPHS, _SIDE = 3, 2, 96  # images; photographs, of which a square of so many pixels is shown


def main_corruption(results: Results) -> str | None:
    """The label of the corruption that a run is about: what most models were trained to undo, if it was measured.

    Without such models it is the middle one of those of the first kind that test images were measured under; None where
    they were measured as they are alone.
    """
    labels = list(dict.fromkeys(row.corruption for row in results.rows
                                if row.corruption and (row.metric, row.split) == ("mse", "test")))  # fmt: skip
    trained = Counter(facts["corruption"] for facts in results.models if facts["corruption"] in labels)
    if trained:
        return str(trained.most_common(1)[0][0])
    same_kind = [label for label in labels if label.partition("(")[0] == labels[0].partition("(")[0]]
    return same_kind[(len(same_kind) - 1) // 2] if same_kind else None


def write_examples(context: Context, results: Results) -> None:
    """Write examples/clean.npz and, of a study with noise, examples/noisy.npz, with an array for each model."""
    from isthmus.studies.plan.fitted import available  # torch, without which a report is written

    folder = context.folder / FOLDER
    folder.mkdir(exist_ok=True)
    names = [model.name for model in context.study.models if available(context, model.name)]
    fitted = {name: context.fitted[name, context.study.seed] for name in names}
    wanted = dict(_figures(context, tuple(names), main_corruption(results))) if names else {}
    for name in (CLEAN, NOISY):
        if name not in wanted:
            remove(folder / name)
            continue
        with atomic_file(folder / name) as file:
            arrays: dict[str, Any] = wanted[name].arrays(fitted, context, [])
            np.savez(file, **arrays)


def _figures(context: Context, names: tuple[str, ...], label: str | None) -> Iterator[tuple[str, Figure]]:
    """The figures whose arrays are written, by the name of the file."""
    of_photographs = context.study.data.is_photographs
    most = _N_PHOTOGRAPHS if of_photographs else _N
    shared: dict[str, Any] = {"models": names, "images": tuple(range(min(most, len(context.splits["test"]))))}
    if not of_photographs:
        yield CLEAN, FIGURES["reconstructions"](name="clean", **shared)
    for measure in context.study.measures:
        for level, part in zip(measure.levels or (None,), measure.corruptions(), strict=True):
            if part is not None and part.label == label and measure.split == "test":
                kind = FIGURES["photograph-crops" if of_photographs else "denoising"]
                levels = () if level is None else (level,)
                options: dict[str, Any] = {"n": _SIDE} if of_photographs else {}
                yield NOISY, kind(name="noisy", corruption=measure.corruption, levels=levels, **options, **shared)
                return
