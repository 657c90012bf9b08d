"""How unusual images are, one by one, and of a million together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Score:
    """The errors of an image. mse: averaged over pixels. spot: over those 5x5 in which it is largest. largest: of any
    pixel. bright: the 99.9 % quantile of its map. p: as `conformal_p_values` has it; None if unknown.

    seen: whether the model was trained on it; selected: whether it chose the best epoch instead; None if unknown.
    """

    name: str
    label: str
    seen: bool | None
    selected: bool | None
    mse: float
    spot: float
    largest: float
    bright: float
    p: float | None = None


_ERRORS = ("mse", "spot", "largest", "bright")
_KNOWN = {None: -1, False: 0, True: 1}
_WORDS = {number: known for known, number in _KNOWN.items()}


@dataclass(frozen=True, eq=False)
class Scores(Sequence[Score]):
    """Scores in columns, of which each takes 50 bytes and its name: as objects they would take a kilobyte.

    errors: (n, 4) float64, as `_ERRORS` names them. known: (n, 2) int8, seen and selected, -1 for None. p: (n,), or
    None where it is unknown.
    """

    names: list[str]
    labels: list[str]
    known: np.ndarray
    errors: np.ndarray
    p: np.ndarray | None = None

    @classmethod
    def of(cls, scores: Iterable[Score]) -> Scores:
        """Those of an iterator, in its order; `p` is not kept."""
        names, labels, known, errors = list[str](), list[str](), array("b"), array("d")
        distinct: dict[str, str] = {}
        for score in scores:
            names.append(score.name)
            labels.append(distinct.setdefault(score.label, score.label))
            known.extend((_KNOWN[score.seen], _KNOWN[score.selected]))
            errors.extend(getattr(score, kind) for kind in _ERRORS)
        return cls(names, labels, np.array(known, np.int8).reshape(-1, 2), np.array(errors).reshape(-1, len(_ERRORS)))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: Any, /) -> Any:
        """The i-th score, or by a slice some `Scores`."""
        if isinstance(i, slice):
            return self.part(np.arange(len(self))[i])
        seen, selected = (_WORDS[number] for number in self.known[i].tolist())
        p = None if self.p is None else float(self.p[i])
        mse, spot, largest, bright = self.errors[i].tolist()
        return Score(self.names[i], self.labels[i], seen, selected, mse, spot, largest, bright, p)

    def part(self, which: np.ndarray) -> Scores:
        """Those at these positions."""
        names, labels = ([column[i] for i in which.tolist()] for column in (self.names, self.labels))
        return Scores(names, labels, self.known[which], self.errors[which], None if self.p is None else self.p[which])

    def ranked(self, kind: str) -> Scores:
        """The same, those with the largest errors of a kind first."""
        return self.part(np.argsort(-self.column(kind), kind="stable"))

    def column(self, kind: str) -> np.ndarray:
        """The errors of a kind, (n,)."""
        return self.errors[:, _ERRORS.index(kind)]

    @property
    def are_new(self) -> np.ndarray:
        """(n,): of which the model is not known to have learned anything."""
        return np.asarray((self.known < 1).all(axis=1))

    def are_of(self, label: str) -> np.ndarray:
        """(n,): which have this label."""
        return np.fromiter((each == label for each in self.labels), bool, len(self))
