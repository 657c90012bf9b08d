"""How unusual images are: their errors, and those of the images that were held out of the fit beside them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isthmus.analysis.screening import SIDE, conformal_p_values, error_map, largest_local_error, threshold
from isthmus.commands.images.leakage import Memory
from isthmus.commands.images.model_folder import Opened, Shape
from isthmus.commands.images.passage import Result, through
from isthmus.commands.images.pictures import Pictures
from isthmus.commands.screening.scores import Score, Scores
from isthmus.commands.shared.options import printable
from isthmus.data.sizes import Size
from isthmus.decimals import error_text
from isthmus.errors import counted
from isthmus.metrics import squared_error

KINDS = {"mse": "MSE", "spot": f"MSE of the worst {SIDE}x{SIDE} pixels"}  # what images are ranked by, in words
P = 0.05
_SMALL = 0.5  # of the least error of those held out
_ROUNDING = 2e-6  # of an error, by which it may differ where it is computed again
_MOST = 2000  # held-out errors that config.json has of each kind, in 11 kB
_DTYPE = "<f4"


def score_of(result: Result, memory: Memory) -> Score:
    """The errors of a picture that went through a model."""
    picture, x_hat = result.picture, result.x_hat
    x, known = picture.x, memory.of(picture.name, picture.identity)
    errors = error_map(x, x_hat)
    return Score(
        *(printable(picture.name), picture.label, known.trained_on, known.selected_on, _mse(x, x_hat)),
        *(largest_local_error(x, x_hat), float(errors.max()), float(np.quantile(errors, 0.999))),
    )


def _mse(x: np.ndarray, x_hat: np.ndarray) -> float:
    return float(squared_error(x[None], x_hat[None])[0])


# --- the images that were held out of the fit ---


def held_out_errors(model: Any, shape: Shape, pictures: Pictures, stride: Size | None, *, selected: bool) -> Any:
    """What config.json keeps of held-out images: their errors of both kinds. selected: they chose the epoch."""
    errors: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for result in through(model, shape, pictures, stride=stride, task="errors of images held out"):
        errors["mse"].append(_mse(result.picture.x, result.x_hat))
        errors["spot"].append(largest_local_error(result.picture.x, result.x_hat))
    texts = {kind: base64.b64encode(_evenly(values).tobytes()).decode("ascii") for kind, values in errors.items()}
    return {"selected": selected, **texts}


def _evenly(values: list[float]) -> np.ndarray:
    """Sorted, and of too many evenly spaced ones."""
    ordered = np.sort(np.array(values, _DTYPE))
    return ordered if len(ordered) <= _MOST else ordered[np.linspace(0, len(ordered) - 1, _MOST).round().astype(int)]


@dataclass(frozen=True)
class HeldOut:
    """The errors of one kind of the images that were held out of a fit. selected: they chose the epoch."""

    kind: str
    errors: np.ndarray
    selected: bool

    @classmethod
    def of(cls, opened: Opened, kind: str) -> HeldOut | None:
        """As the model's folder has them; None where it has none, or images are now prepared in another way."""
        table = opened.extra.get("held_out_errors")
        if not isinstance(table, dict) or not opened.is_prepared_as_trained:  # the file may have been edited
            return None
        try:
            errors = np.frombuffer(base64.b64decode(table.get(kind, ""), validate=True), _DTYPE)
        except (TypeError, ValueError):
            return None
        return cls(kind, errors, bool(table.get("selected"))) if len(errors) and np.isfinite(errors).all() else None

    def place(self, scores: Scores) -> Scores:
        """The scores, each with its p; of an image that is one of those held out, its place among the others."""
        values, n = conformal_p_values(self._values(scores), self.errors), 1 + len(self.errors)
        values = np.where(self._are_held_out(scores), (values * n - 1) / max(1, n - 1), values)
        return replace(scores, p=values)

    def _values(self, scores: Scores) -> np.ndarray:
        return scores.column(self.kind).astype(_DTYPE)

    def _are_held_out(self, scores: Scores) -> np.ndarray:
        """(n,): which are, by their very errors, of the images that p is computed from."""
        ordered, values = np.sort(self.errors), self._values(scores)
        near = np.searchsorted(ordered, values)[:, None] + [-1, 0]
        return np.isclose(ordered[near.clip(0, len(ordered) - 1)], values[:, None], rtol=_ROUNDING, atol=0).any(axis=1)

    def sentences(self, scores: Scores) -> list[str]:
        """What p is, and how many images lie beyond the threshold; of those that the model has not learned from."""
        images = f"{counted(len(self.errors), 'image')} held out of the fit{', which chose its epoch' * self.selected}"
        meaning = f"p: the share of {images}, and of this one, with as large an {KINDS[self.kind]}"
        limit = threshold(self.errors, P)
        if limit is None:
            return [f"{meaning}; for a p of {P:g} it takes {round(1 / P) - 1}, and `fit --test` holds out more"]
        new = scores.are_new & ~self._are_held_out(scores)
        n = int(new.sum())
        above = f"p is at most {P:g} above {error_text(limit)}"
        if not n and scores.are_new.any():
            return [meaning, f"{above}; none of these images is new: they are those of the fit"]
        if not n:
            return [f"{meaning}; it means nothing here, for the model knows all of these images"]
        beyond = 0 if scores.p is None else int((scores.p[new] <= P).sum())
        have = "1 new image has" if beyond == 1 else f"{beyond:,} new images have"
        n_small = int((scores.column(self.kind)[new] < _SMALL * float(self.errors.min())).sum())
        small = (
            f"{counted(n_small, 'new image')} with less than half of the least error of those held out: what is blank "
            "or smudged leaves little to reconstruct, and is unusual too; look at the last ones"
        )
        return [
            meaning,
            f"{above}: {have} that, of {n:,}; if all were normal, about {P * n:.2g} would",
            *([small] if n_small else []),
        ]
