"""How good codes are as a representation: what classifiers, neighbours and classes make of them, and how many
dimensions they use.

Labels are used here alone, after the fit of a model. Samples are drawn and ordered by their own numbers and a seed, so
that no result depends on their order, and models of the same samples are measured on the same ones.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus.data.images import Images
from isthmus.data.splits import together
from isthmus.errors import RequestError, counted, one_of, require
from isthmus.estimators.adapters import encode
from isthmus.metrics import Estimate, jackknifed, share_of
from isthmus.notebook.markup import table
from isthmus.rng import content_seeds

METRICS = ("linear_probe", "knn", "silhouette", "trustworthiness", "effective_rank")
N_FITTED, N_SCORED = 5_000, 10_000  # at most, of small samples: a probe of MNIST's pixels takes seconds
N_RANK, N_PAIRS = 2_000, 1_000  # at most, of what grows faster than the samples
N_NEIGHBOURS, N_CLOSEST = 10, 5  # of the classifier; of trustworthiness, scikit-learn's default
N_FOLDS = 5
_STEPS = 1_000  # of the probe's solver, at most; standardised codes take fewer than a hundred
_NUMBERS = 20_000_000  # in the samples that fit a probe; of wide samples fewer are drawn, but 1,000


@dataclass(frozen=True)
class Representation:
    """Measurements of codes: `result["knn"]` is an `Estimate` of value, ci95 and n, the samples that were scored.

    omitted: why a metric is not measured. remarks: what to know of those that are. n_fitted: the samples that the
    classifiers were fitted on; n_folds: 0 where these were others than the scored ones, else into how many parts they
    were cut, of which each was scored by what was fitted on the rest.
    """

    estimates: dict[str, Estimate]
    omitted: dict[str, str]
    remarks: tuple[str, ...]
    n_fitted: int
    n_folds: int

    def __getitem__(self, metric: str) -> Estimate:
        one_of("metric", metric, METRICS)
        if metric not in self.estimates:
            raise RequestError(f"{metric} was not measured: {self.omitted.get(metric, 'it is not among `metrics`')}")
        return self.estimates[metric]

    def _repr_html_(self) -> str:
        rows = [(name.replace("_", " "), *_cells(estimate)) for name, estimate in self.estimates.items()]
        rows += [(name.replace("_", " "), "–", why, "") for name, why in self.omitted.items()]
        return table(("measured", "value", "95 % interval", "samples"), rows)


def _cells(estimate: Estimate) -> tuple[str, str, str]:
    value = "–" if estimate.value is None else f"{estimate.value:.3f}"
    return value, "" if estimate.ci95 is None else "{:.3f} to {:.3f}".format(*estimate.ci95), f"{estimate.n:,}"


@dataclass(frozen=True)
class _Coded:
    """Samples x, (n, n_features), and their codes. labels: () where there are none.

    groups: equal where samples are not independent; alike: equal where they may show nearly the same.
    """

    x: np.ndarray
    code: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    alike: np.ndarray

    def __len__(self) -> int:
        return len(self.code)


def representation(
    model: Any,
    X: Any,
    y: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    *,
    metrics: tuple[str, ...] = METRICS,
    seed: int = 0,
) -> Representation:
    """Measure the codes that a fitted transformer gives, isthmus' own or scikit-learn's; see README for definitions.

    model: None for the samples themselves as codes, as the baseline that learns nothing. X, y: samples and labels that
    classifiers are fitted on, `Images` (which have labels) or arrays. X_test, y_test: those that everything is scored
    on, of which no label is seen before. Without them everything is scored on X, by classifiers fitted on other folds.

    At most 5,000 samples fit a classifier and 10,000 are scored, drawn by `seed`; silhouette and trustworthiness are of
    1,000, the effective rank is of 2,000. Raises RequestError for labels that do not fit the samples. What cannot be
    measured is in `omitted`, with the reason.

    >>> import numpy as np
    >>> X, y = np.repeat(np.eye(3), 20, axis=0), np.repeat([0, 1, 2], 20)
    >>> result = representation(None, X, y)
    >>> result["knn"].value, result["knn"].n, round(result["effective_rank"].value, 6)
    (1.0, 60, 2.0)
    """
    for metric in metrics:
        one_of("metric", metric, METRICS)
    require(X_test is not None or y_test is None, "X_test", "given with y_test", None)
    width = X.n_features if isinstance(X, Images) else math.prod(np.shape(X)[1:])
    most = max(1_000, min(N_FITTED, _NUMBERS // max(width, 1)))
    fitted = _coded(model, X, y, seed, most)
    scored = fitted if X_test is None else _coded(model, X_test, y_test, seed, most * N_SCORED // N_FITTED)
    if scored.code.shape[1] != fitted.code.shape[1]:
        sizes = f"{scored.code.shape[1]:,} numbers, and those of X {fitted.code.shape[1]:,}"
        raise RequestError(f"the codes of X_test have {sizes}; give samples of one size")
    return _measured(fitted, scored, metrics)


def _coded(model: Any, X: Any, y: Any, seed: int, most: int) -> _Coded:
    """Samples drawn by their numbers and the seed, in the order of the draw, and their codes."""
    if isinstance(X, Images):
        labels, rows, names = (X.labels, X.pixels, X.label_names) if y is None else (y, X.pixels, ())
    else:
        labels, rows, names = y, np.asarray(X), ()
        require(rows.ndim > 1 and rows.dtype.kind in "biuf", "X", "`Images`, or an array of rows or images", X)
    if labels is None:
        labels = np.zeros(0)
    else:
        labels = np.asarray(labels)
        require(labels.shape == (len(rows),), "y", f"one label for each of {len(rows):,} samples", labels.shape)
        whole = labels.dtype.kind in "biuUS" or (labels.dtype.kind == "f" and bool(np.all(labels == np.rint(labels))))
        require(whole, "y", "whole numbers or text", labels.dtype)
    if isinstance(rows, np.ndarray):
        keys = np.fromiter(content_seeds(seed, "probe", np.ascontiguousarray(rows).reshape(len(rows), -1)), np.int64)
    else:  # on the disk
        keys = rows.content_seeds(seed, "probe")
    order = np.unique(names, return_inverse=True)[1][labels] if names and len(labels) else labels
    chosen = np.lexsort((order, keys) if len(labels) else (keys,))[:most]
    if len(labels):  # names of these alone: of all they would take as much as small images
        labels = np.array(names)[labels[chosen]] if names else labels[chosen]
    if isinstance(X, Images):
        drawn = X.take(chosen)
        x, groups, alike = drawn.floats(), drawn.photographs, together(drawn)
        code = x if model is None else encode(model, drawn)
    else:
        x, groups = rows[chosen].reshape(len(chosen), -1), np.arange(len(chosen))
        alike, code = groups, x if model is None else model.transform(rows[chosen])
    code = code.toarray() if hasattr(code, "toarray") else np.asarray(code)
    return _Coded(x, code.reshape(len(chosen), -1), labels, groups, alike)


def _measured(fitted: _Coded, scored: _Coded, metrics: tuple[str, ...]) -> Representation:
    is_identity = scored.code.shape == scored.x.shape and np.array_equal(scored.code, scored.x)
    fitted, scored, fault = _scaled(fitted, scored)
    if fault:
        return Representation({}, dict.fromkeys(metrics, fault), (), len(fitted), 0)
    estimates, omitted, remarks = {}, {}, list[str]()
    folds, fault = _folds(fitted, scored)
    for metric in metrics:
        n_least = min((len(train) for train, _ in folds), default=0)
        few = _first(scored, N_RANK if metric == "effective_rank" else N_PAIRS)
        reason = ""
        if metric in ("linear_probe", "knn"):
            if not (reason := fault) and metric == "knn" and n_least < N_NEIGHBOURS:
                reason = f"fewer than {N_NEIGHBOURS} samples to find the neighbours among"
            if not reason:
                estimates[metric], has_converged = _accuracy(metric, fitted, scored, folds)
                if not has_converged:
                    remarks.append(f"the linear probe's solver stopped after {_STEPS:,} steps, before it had converged")
        elif metric == "silhouette":
            if not (reason := _fault_of_labels(few.labels)):
                estimates[metric] = jackknifed(partial(_silhouette, few), few.groups)
        elif metric == "trustworthiness":
            if is_identity:
                reason = "the codes are the samples themselves"
            elif len(few) <= 2 * N_CLOSEST:
                reason = f"fewer than {2 * N_CLOSEST + 1} samples"
            else:
                estimates[metric] = jackknifed(partial(_trust, few), few.groups)
        else:  # of fewer samples it is another number: no interval
            estimates[metric] = Estimate(_effective_rank(few.code), None, len(few))
        if reason:
            omitted[metric] = reason
    if not fault:
        remarks = _remarks(fitted, scored, "knn" in estimates) + remarks
    return Representation(estimates, omitted, tuple(remarks), len(fitted), len(folds) if scored is fitted else 0)


def _first(samples: _Coded, most: int) -> _Coded:
    """The first of the draw, which are a draw themselves."""
    return _Coded(**{name: values[:most] for name, values in vars(samples).items()})


def _scaled(fitted: _Coded, scored: _Coded) -> tuple[_Coded, _Coded, str]:
    """Codes about their mean, the largest 1, in float64: no metric depends on either. Or why there is no measuring.

    A number of the code that varies by rounding errors alone is constant: standardized, it would be noise.
    """
    samples = [fitted] if scored is fitted else [fitted, scored]
    code = np.concatenate([part.code for part in samples])
    if min(code.shape) == 0:
        return fitted, scored, "there are no codes"
    if n := int((~np.isfinite(code)).any(axis=1).sum()):
        return fitted, scored, f"{n:,} of {counted(len(code), 'code')} {'is' if n == 1 else 'are'} NaN or infinite"
    rounding = 8 * np.finfo(code.dtype if code.dtype.kind == "f" else float).eps
    code = code / (float(np.abs(code).max()) or 1.0)
    still = np.ptp(code, axis=0) <= rounding * np.abs(code).max(axis=0)
    code = np.where(still, 0.0, code - code.mean(axis=0, dtype=np.float64))
    parts = np.split(code, [len(fitted)])
    if not all(np.ptp(part, axis=0).any() for part in parts[: len(samples)]):
        return fitted, scored, "all codes are the same"
    fitted = replace(fitted, code=parts[0])
    return fitted, (fitted if len(samples) == 1 else replace(scored, code=parts[1])), ""


def _fault_of_labels(labels: np.ndarray) -> str:
    n = len(np.unique(labels))
    faults = {len(labels): "each is of another class", 1: "all are of one class", 0: "there are no labels"}
    return faults.get(n, "")


def _folds(fitted: _Coded, scored: _Coded) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """Positions to fit on and to score, or why there are none. What shows the same is in one fold."""
    if fault := _fault_of_labels(fitted.labels) or ("" if len(scored.labels) else _fault_of_labels(scored.labels)):
        return [], fault
    if scored is not fitted:
        return [(np.arange(len(fitted)), np.arange(len(scored)))], ""
    pairs = np.unique(np.stack([np.unique(fitted.labels, return_inverse=True)[1], fitted.alike]), axis=1)
    classes, counts = np.unique(fitted.labels), np.bincount(pairs[0])
    if counts.min() < 2:
        return [], f"class {classes[counts.argmin()]} has one sample, too few to fit on some and score others"
    folds = StratifiedGroupKFold(min(N_FOLDS, int(counts.min())))
    return list(folds.split(fitted.code, fitted.labels, fitted.alike)), ""


def _accuracy(
    metric: str, fitted: _Coded, scored: _Coded, folds: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[Estimate, bool]:
    """The share of scored samples whose label is predicted; and whether the classifiers' solver has converged."""
    hits, has_converged = np.zeros(len(scored), bool), True
    for train, test in folds:
        if len(np.unique(fitted.labels[train])) == 1:  # of few groups: there is nothing to learn
            predicted = fitted.labels[train[:1]]
        elif metric == "knn":
            classifier: Any = KNeighborsClassifier(N_NEIGHBOURS)
            predicted = classifier.fit(fitted.code[train], fitted.labels[train]).predict(scored.code[test])
        else:
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_STEPS))
            with warnings.catch_warnings(record=True, category=ConvergenceWarning, action="always") as caught:
                predicted = classifier.fit(fitted.code[train], fitted.labels[train]).predict(scored.code[test])
            has_converged &= not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        hits[test] = predicted == scored.labels[test]
    return share_of(hits, scored.groups), has_converged


def _remarks(fitted: _Coded, scored: _Coded, has_neighbours: bool) -> list[str]:
    """What to know of the classes."""
    classes, counts = np.unique(fitted.labels, return_counts=True)
    unknown = sorted(set(np.unique(scored.labels).tolist()) - set(classes.tolist()))
    rare = classes[counts < N_NEIGHBOURS].tolist()
    remarks = [f"not among the samples to fit on, so always wrong: {_listed(unknown)}"] if unknown else []
    if rare and has_neighbours:
        remarks.append(f"with fewer samples to fit on than the {N_NEIGHBOURS} neighbours that vote: {_listed(rare)}")
    return remarks


def _listed(classes: list[Any]) -> str:
    more = f" and {len(classes) - 5:,} more" if len(classes) > 5 else ""
    return f"{'class' if len(classes) == 1 else 'classes'} {', '.join(map(str, classes[:5]))}{more}"


def _silhouette(samples: _Coded, which: np.ndarray) -> float:
    labels = samples.labels[which]
    return math.nan if _fault_of_labels(labels) else float(silhouette_score(samples.code[which], labels))


def _trust(samples: _Coded, which: np.ndarray) -> float:
    return float(trustworthiness(samples.x[which].astype(np.float64), samples.code[which], n_neighbors=N_CLOSEST))


def _effective_rank(code: np.ndarray) -> float:
    """exp(-Σ p log p) of p_i = σ_i / Σ σ, the singular values of the centred codes (Roy and Vetterli 2007)."""
    centred = code - code.mean(axis=0)
    tall = len(centred) >= centred.shape[1]
    squares = np.linalg.eigvalsh(centred.T @ centred if tall else centred @ centred.T)
    values = np.sqrt(np.maximum(squares, 0))
    p = values[values > 0] / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))
