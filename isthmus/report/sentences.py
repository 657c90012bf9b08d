"""What the numbers say, in words that are made from them, so that no sentence can contradict a table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from isthmus.report.numbers import find, number
from isthmus.studies.results import Results, Row


def found(results: Results) -> list[str]:
    """What a reader should know first of the whole study."""
    if results.quick:
        return ["This was a quick run, of one epoch on few images: it shows that everything works, and no more."]
    said = []
    judged = [reference for reference in results.references if reference["agrees"] is not None]
    if judged:
        agreeing = sum(reference["agrees"] for reference in judged)
        said.append(f"{agreeing} of {len(judged)} published results are reproduced within their tolerance.")
    collapsed = [facts["name"] for facts in results.models if facts["collapsed"]]
    if collapsed:
        verb = "has" if len(collapsed) == 1 else "have"
        said.append(f"{_listed(collapsed)} {verb} collapsed: what that means, why, and what to change stands below.")
    for part in results.sections:
        names = part["models"]
        # where models were trained on noise, that is what they are there for
        noisy = any(_facts(results, name)["corruption"] for name in _sound(results, names))
        told = _under_noise(results, names, ends=(-1,)) if noisy else _best_and_worst(results, names)
        said += [f"{part['title']}: {one[0].lower()}{one[1:]}" for one in told]
    if not results.sections:
        said += _by_code_size(results) + _under_noise(results, [facts["name"] for facts in results.models])
    return said


def section(results: Results, names: list[str]) -> list[str]:
    """What the models of one section show; nothing for a quick run, whose numbers mean nothing."""
    if results.quick:
        return []
    said = _best_and_worst(results, names)
    said += [_collapse(results, name) for name in names if _facts(results, name)["collapsed"]]
    said += [one for name in _sound(results, names) for one in _switches(results, name)]
    said += _sparsity(results, names)
    return said + _under_noise(results, names)


def _sound(results: Results, names: list[str]) -> list[str]:
    """Those that have not collapsed."""
    return [name for name in names if not _facts(results, name)["collapsed"]]


def _facts(results: Results, name: str) -> dict[str, Any]:
    return next(facts for facts in results.models if facts["name"] == name)


def _test_errors(results: Results, names: Iterable[str]) -> dict[str, Row]:
    """The MSE on clean test images of the models that have not seen them, and are not perfect by doing nothing."""
    rows = {name: find(results, name, "mse", "test") for name in names}
    return {name: row for name, row in rows.items() if row is not None and row.value and not row.seen}


def _apart(a: Row, b: Row) -> bool:
    """Whether two intervals do not overlap."""
    return not (a.ci95 and b.ci95) or a.ci95[1] < b.ci95[0] or b.ci95[1] < a.ci95[0]


def _best_and_worst(results: Results, names: list[str]) -> list[str]:
    """The best and the worst on clean images, of those that do anything and have not collapsed."""
    sound = _sound(results, names)
    errors = sorted(_test_errors(results, sound).items(), key=lambda item: item[1].value or 0)
    if len(errors) < 2:
        return []
    (best, least), (worst, most) = errors[0], errors[-1]
    assert least.value is not None
    assert most.value is not None
    clean = "clean " if any(_facts(results, name)["corruption"] for name in names) else ""
    of_whom = "Of these" if len(sound) == len(names) else "Of those that have not collapsed"
    if any(_does_nothing(results, name) for name in sound):
        of_whom += ", doing nothing apart"
    said = (
        f"{of_whom}, {best} reconstructs {clean}unseen test images best, with an MSE of {number(least.value)}, and "
        f"{worst} worst, with {number(most.value)}."
    )
    return [said + _overlap(best, least, *errors[1])]


def _overlap(best: str, least: Row, second: str, row: Row) -> str:
    """What has to be said of the best two, if anything. Intervals say less than a comparison image by image would."""
    if _apart(least, row):
        return ""
    return f" The intervals of {best} and {second} overlap: they alone do not tell which is better."


def _collapse(results: Results, name: str) -> str:
    """Why a model is as it is. Its sentences were made when it was measured."""
    told = _facts(results, name)["collapsed"]
    return f"{name} has collapsed: {told['what']}. Likely, {told['cause']}. To change: {told['instead']}."


def _switches(results: Results, name: str) -> list[str]:
    with_switches, alone = find(results, name, "mse", "test"), find(results, name, "mse_code_only", "test")
    if with_switches is None or alone is None:
        return []
    return [
        f"The decoder of {name} also sees where the encoder's maxima were: with these switches its MSE is "
        f"{number(with_switches.value)}, from the code alone {number(alone.value)}."
    ]


def _sparsity(results: Results, names: list[str]) -> list[str]:
    """How many units are on, of the models that were to be sparse: where not all are."""
    said = []
    for name in names:
        on, dead = find(results, name, "l0", "test"), find(results, name, "dead_units", "test")
        if on is None or dead is None or on.value is None or dead.value is None or _facts(results, name)["collapsed"]:
            continue
        n_units = _facts(results, name)["units"]
        if n_units and n_units > 100 and on.value < 0.5 * n_units:
            share = on.value / n_units
            said.append(
                f"{name} has {on.value:.1f} of its {n_units:,.0f} units on for an image, {share:.1%}, on average; "
                f"{dead.value:,.0f} are off for all test images."
            )
    return said


def _does_nothing(results: Results, name: str) -> bool:
    """Whether a model is the identity, which alone has no code."""
    return _facts(results, name)["units"] is None


def _n_units(results: Results, name: str) -> float | None:
    row = find(results, name, "code_size", None)
    return None if row is None else row.value


def _under_noise(results: Results, names: list[str], ends: tuple[int, ...] = (0, -1)) -> list[str]:
    """Who is best at the first and at the last level of each kind of noise, and what was trained for it.

    One that has collapsed may be. ends: of the levels, the first, the last, or both.
    """
    rows = [r for r in results.rows if (r.seed, r.metric, r.split) == (results.seed, "mse", "test")]
    labels = list(dict.fromkeys(row.corruption for row in rows if row.corruption and row.model in names))
    kinds: dict[str, list[str]] = {}
    for label in labels:
        kinds.setdefault(re.sub(r"\([^,)]*", "(", label), []).append(label)  # without the levels
    said = []
    for label in [one for there in kinds.values() for one in dict.fromkeys(there[i] for i in ends)]:
        there = [r for r in rows if r.corruption == label and r.model in names and r.value is not None and not r.seen]
        if len(there) < 2:
            continue
        least, second, *_ = sorted(there, key=lambda row: row.value or 0)
        trained = _facts(results, least.model)["corruption"]
        how = f"trained on {trained}" if trained else "trained on clean images"
        how = "does nothing" if _does_nothing(results, least.model) else f"was {how}"
        how = "has collapsed" if _facts(results, least.model)["collapsed"] else how
        said.append(
            f"Under {label}, {least.model}, which {how}, comes closest to the clean image: MSE {number(least.value)}."
            + _overlap(least.model, least, second.model, second)
        )
    return said


def _by_code_size(results: Results) -> list[str]:
    """The best and the worst of those that keep equally few numbers."""
    n_pixels = int(np.prod(results.data["image_shape"]))
    by_size: dict[float, dict[str, Row]] = {}
    for name, row in _test_errors(results, [facts["name"] for facts in results.models]).items():
        size = _n_units(results, name)
        if size and size < n_pixels:
            by_size.setdefault(size, {})[name] = row
    said = []
    for size, group in sorted(by_size.items()):
        if len(group) < 2:
            continue
        ordered = sorted((row.value or 0.0, name) for name, row in group.items())
        (low, best), (high, worst) = ordered[0], ordered[-1]
        said.append(
            f"With {size:.0f} numbers for {n_pixels} pixels, {best} reconstructs unseen test images best: MSE "
            f"{number(low)}, {high / low:.1f} times less than {worst} ({number(high)})."
        )
    return said


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
