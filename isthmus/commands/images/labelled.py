"""What a command's labels say of a model's codes, beside the pixels themselves as codes, which learn nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus import console
from isthmus.analysis.representation import Representation, representation
from isthmus.commands.images.inputs import is_named
from isthmus.commands.images.leakage import Status
from isthmus.commands.images.model_folder import Opened
from isthmus.data.framing import table_of
from isthmus.data.images import Images
from isthmus.data.sources import registry
from isthmus.errors import counted
from isthmus.estimators.adapters import adapter_of
from isthmus.report.numbers import number

_FEW = 10  # fewer images that a model was not trained on say nothing
_MANY_PIXELS = 20_000  # a classifier of more takes minutes


@dataclass(frozen=True)
class Labelled:
    """The measurements of both kinds of codes; pixels None where there are too many of them. how: in words."""

    codes: Representation
    pixels: Representation | None
    how: str

    @property
    def columns(self) -> dict[str, Representation]:
        """Both, by what they are of."""
        return {"codes": self.codes} | ({"pixels": self.pixels} if self.pixels else {})

    @property
    def sentences(self) -> Iterator[str]:
        """How it was measured, what was not, and where codes lose what the pixels have."""
        if not {"linear_probe", "knn"}.isdisjoint(self.codes.estimates):
            yield self.how
        for reason in dict.fromkeys(self.codes.omitted.values()):
            metrics = [metric for metric, why in self.codes.omitted.items() if why == reason]
            yield f"not measured: {', '.join(metrics)}: {reason}"
        yield from self.codes.remarks
        pixels = self.pixels.estimates if self.pixels else {}
        for metric, words in (("linear_probe", "a linear probe"), ("knn", "10 nearest neighbours")):
            code, pixel = self.codes.estimates.get(metric), pixels.get(metric)
            if code and pixel and (code.value or 0) < (pixel.value or 0):
                apart = code.ci95 and pixel.ci95 and code.ci95[1] < pixel.ci95[0]
                yield (
                    f"{words} of the pixels alone is better than of the codes: {number(pixel.value, metric)}, not "
                    f"{number(code.value, metric)}" + ("" if apart else "; their intervals overlap")
                )

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = [
            {"of": name, "metric": metric, **vars(estimate)}
            for name, result in self.columns.items()
            for metric, estimate in result.estimates.items()
        ]
        return {
            "n_fitted": self.codes.n_fitted,
            "n_folds": self.codes.n_folds,
            "rows": rows,
            "omitted": {name: result.omitted for name, result in self.columns.items()},
            "remarks": list(self.codes.remarks),
        }


def labelled(opened: Opened, options: argparse.Namespace, images: Images, known: Sequence[Status]) -> Labelled | None:
    """Measure the codes of images that have labels; None without labels, or for a model that makes no code at once.

    Classifiers are fitted on the training part of a data set, else on those of the images that the model was trained
    on, if that is most of them, and score the others; else they are fitted on other folds of the same images.
    """
    if images.labels is None or not adapter_of(opened.model).has_code:
        return None
    fitted, scored, how = _parts(opened, options, images, known)
    given = (fitted,) if scored is None else (fitted, None, scored)
    with console.progress("measuring the codes") as on_progress:
        codes = representation(opened.model, *given)
        on_progress(1, 2)
        pixels = representation(None, *given) if images.n_features <= _MANY_PIXELS else None
        on_progress(2, 2)
    if scored is None:
        of = counted(codes.n_fitted, "image")
        how = f"classifiers are fitted on some of {of} and score others, in {codes.n_folds} folds"
    return Labelled(codes, pixels, how.format(n=f"{codes.n_fitted:,}"))


def _parts(
    opened: Opened, options: argparse.Namespace, images: Images, known: Sequence[Status]
) -> tuple[Images, Images | None, str]:
    """The images to fit classifiers on, and others to score, with a sentence; None where they are the same."""
    if is_named(options.data) and options.split == "test" and not table_of(opened.framing):
        train = registry.load(options.data, options.data_dir).train
        return train, images, f"classifiers are fitted on {{n}} training images of {options.data}"
    of = np.unique(images.photographs, return_inverse=True)[1]
    trained_on = np.array([status.trained_on is True for status in known])[of]
    others = int((~trained_on).sum())
    if len(images) / 2 <= trained_on.sum() and others >= _FEW:
        which = f"{{n}} images that {opened.folder} was trained on, and score the {others:,} others"
        return images.take(trained_on), images.take(~trained_on), f"classifiers are fitted on {which}"
    return images, None, ""
