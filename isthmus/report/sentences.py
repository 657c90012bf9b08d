"""What the numbers say, in words that are made from them, so that no sentence can contradict a table."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from isthmus.errors import counted
from isthmus.report.numbers import number
from isthmus.report.ranking import (
    Group,
    Terms,
    apart,
    does_nothing,
    errors,
    groups,
    overfitted,
    pixels_as_codes,
    trained_for,
    untouched,
)
from isthmus.studies.results.results_json import Results


def findings(results: Results) -> list[str]:
    """The main findings of the whole study, a sentence each."""
    if results.quick:
        return ["This was a quick run, of one epoch on few images: it only shows that everything works."]
    sentences = reproduced(results) + collapsed(results)
    names = [facts["name"] for facts in results.models]
    rankings = _ranked(results, names) + _undone(results, names)
    if not any(_trained_for(results, name) for name in names):
        rankings += _under_noise(results, names, ends=(-1,))
    sentences += rankings or [
        "No two models are ranked here: that takes two with codes of the same size that were trained and scored alike."
    ]
    return sentences + _overfitting(results, names) + _pixels_win(results, names)


def section(results: Results, names: list[str]) -> list[str]:
    """What the models of one section show, ranked among their like in the whole study; nothing for a quick run."""
    if results.quick:
        return []
    sentences = _ranked(results, names)
    sentences += [_collapse(results, name) for name in names if _facts(results, name)["collapsed"]]
    sentences += _overfitting(results, names)
    sentences += [
        sentence for name in names if not _facts(results, name)["collapsed"] for sentence in _switches(results, name)
    ]
    sentences += _sparsity(results, names) + _pixels_win(results, names)
    sentences += _undone(results, names)
    return sentences + (_under_noise(results, names) if _about_noise(results, names) else [])


def _facts(results: Results, name: str) -> dict[str, Any]:
    return next(facts for facts in results.models if facts["name"] == name)


def _trained_for(results: Results, name: str) -> str | None:
    return trained_for({facts["name"]: facts for facts in results.models}, name)


def collapsed(results: Results) -> list[str]:
    """Which models have collapsed."""
    names = [facts["name"] for facts in results.models if facts["collapsed"]]
    verb = "has" if len(names) == 1 else "have"
    state = f"{verb} collapsed: see below for what that means, why, and what to change."
    return [f"{_listed(names)} {state}"] if names else []


def reproduced(results: Results) -> list[str]:
    """How many published numbers agree, and by which rule."""
    judged = [reference for reference in results.references if reference["agrees"] is not None]
    if not judged:
        return []
    over_seeds = [reference for reference in judged if "over_seeds" in reference]
    summary = f"{sum(reference['agrees'] for reference in judged)} of {len(judged)} published results are reproduced"
    if not over_seeds:
        return [f"{summary} within their tolerance."]
    by_tolerance = [reference for reference in judged if reference not in over_seeds]
    rules = {
        "within their tolerance": by_tolerance,
        "within the 95 % interval of one more seed, which their table has": over_seeds,
    }
    how = [
        f"{sum(reference['agrees'] for reference in references)} of {len(references)} {rule}"
        for rule, references in rules.items()
        if references
    ]
    return [f"{summary}: {', and '.join(how)}."]


# --- who is best, of those that can be compared ---


def _ranked(results: Results, names: list[str]) -> list[str]:
    """The best and the worst of each group on images as they are, of groups that two of these models are in."""
    return [
        f"With {_for_pixels(results, group.terms)}, {_best(group, f' on {_images(group.terms)}')}"
        for group in _of(groups(results), names)
    ]


def _of(ranked: list[Group], names: list[str]) -> list[Group]:
    """The groups that at least two of these models are in."""
    return [group for group in ranked if len(group.names & set(names)) > 1]


def _best(group: Group, on: str = "") -> str:
    """The rest of a sentence: who is best and who worst, what the intervals do not tell, and who has collapsed."""
    best, second, worst = group.rows[0], group.rows[1], group.rows[-1]
    low, high, n = best.value or 0.0, worst.value or 0.0, len(group.rows)
    if number(low) == number(high):
        sentence = f"{_listed([row.model for row in group.rows])} are level{on}: MSE {number(low)}."
    else:
        place = f"the best of {n}" if n > 2 else "the better of two"
        place += " that have not collapsed" if group.collapsed else ""
        last = f"the worst, {worst.model}," if n > 2 else worst.model
        times = f", {high / low:.1f} times as much" if low and high >= 1.05 * low else ""
        sentence = f"{best.model} is {place}{on}: MSE {number(low)}; {last} has {number(high)}{times}."
        if not apart(best, second):
            sentence += (
                f" The intervals of {best.model} and {second.model} overlap: they alone do not show which is better."
            )
    dead = group.collapsed[0] if group.collapsed else None
    if dead and (dead.value or 0.0) < low:
        sentence += f" {dead.model}, which has collapsed, has less: {number(dead.value)}."
    return sentence


def _numbers(size: float) -> str:
    return f"{size:,.0f} number{'' if size == 1 else 's'}"


def _for_pixels(results: Results, terms: Terms) -> str:
    return f"{_numbers(terms.size)} for {int(np.prod(results.data['image_shape'])):,} pixels"


def _images(terms: Terms) -> str:
    if terms.seen:
        return "test images that they were fitted on"
    return "test images that they were selected on" if terms.selected else "unseen test images"


# --- noise ---


def _undone(results: Results, names: list[str]) -> list[str]:
    """Of each corruption that some of these models were trained to undo, how far they do, judged under it alone."""
    sentences = []
    for label in dict.fromkeys(filter(None, (_trained_for(results, name) for name in names))):
        rows = errors(results, label)
        trained = [row for name, row in rows.items() if name in names and _trained_for(results, name) == label]
        if not trained:
            continue
        each = [f"{number(row.value)} of {row.model}{_sized(results, row.model)}" for row in trained]
        subject = "it was" if len(trained) == 1 else "they were"
        sentence = f"Under {label}, which {subject} trained for, the MSE to the clean image is {_listed(each)}"
        nothing = untouched(results, label)
        sentences.append(sentence + (f"; doing nothing leaves {number(nothing.value)}." if nothing else "."))
        ranked = [group for group in _of(groups(results, label), names) if group.terms.trained_for]
        sentences += [f"Of these, with {_for_pixels(results, group.terms)}, {_best(group)}" for group in ranked]
    return sentences


def _sized(results: Results, name: str) -> str:
    row = results.row(name, "code_size", None)
    return "" if row is None or row.value is None else f" ({_numbers(row.value)})"


def _about_noise(results: Results, names: list[str]) -> bool:
    """Whether a section is about noise: with a model that undoes it or does nothing, unless no section has one."""
    models = {facts["name"]: facts for facts in results.models}
    about = {name for name, facts in models.items() if does_nothing(facts) or trained_for(models, name)}
    return not about or not about.isdisjoint(names)


def _under_noise(results: Results, names: list[str], ends: tuple[int, ...] = (0, -1)) -> list[str]:
    """What models that were trained on clean images make of noise, at the first and the last level of each kind.

    ends: of the levels, the first, the last, or both.
    """
    rows = [r for r in results.rows if (r.seed, r.metric, r.split) == (results.seed, "mse", "test")]
    labels = list(dict.fromkeys(row.corruption for row in rows if row.corruption and row.model in names))
    kinds: dict[str, list[str]] = {}
    for label in labels:
        kinds.setdefault(re.sub(r"\([^,)]*", "(", label), []).append(label)  # without the levels
    sentences = []
    for label in [label for same_kind in kinds.values() for label in dict.fromkeys(same_kind[i] for i in ends)]:
        nothing = untouched(results, label)
        for group in _of(groups(results, label), names):
            if group.terms.trained_for:
                continue
            sentence = f"Under {label}, with {_for_pixels(results, group.terms)} and trained on clean images, "
            sentence += _best(group)
            if nothing and nothing.value is not None:
                less = ", less than any of them" if nothing.value < (group.rows[0].value or 0.0) else ""
                sentence += f" Doing nothing leaves {number(nothing.value)}{less}."
            sentences.append(sentence)
    return sentences


# --- what codes are worth ---


def _pixels_win(results: Results, names: list[str]) -> list[str]:
    """Of each classifier, how many models' codes it does better with than with the pixels themselves."""
    pixels, sentences = pixels_as_codes(results), []
    for metric, words in (("linear_probe", "a linear probe"), ("knn", "10 nearest neighbours")):
        base = results.row(pixels, metric, "test") if pixels else None
        rows = [results.row(name, metric, "test") for name in names if name != pixels]
        known = [row for row in rows if row and row.value is not None]
        if not known or base is None or base.value is None:
            continue
        better = [row for row in known if (row.value or 0) > base.value]
        best = max(better, key=lambda row: row.value or 0) if better else None
        tail = f"; best of {best.model}: {number(best.value, metric)}" if best else ": the pixels win"
        if best and not apart(best, base):
            tail += ", with overlapping intervals"
        sentences.append(
            f"The labels of the test images are told by {words} of the pixels themselves with an accuracy of "
            f"{number(base.value, metric)}; codes of {len(better)} of {counted(len(known), 'model')} do better{tail}."
        )
    return sentences


# --- what is wrong with a model ---


def _overfitting(results: Results, names: list[str]) -> list[str]:
    """Which models reconstruct the images that they were fitted on far better than others."""
    pairs = [(fitted, test) for fitted, test in overfitted(results) if fitted.model in names]
    if not pairs:
        return []
    errors_of = [
        f"{fitted.model} ({number(fitted.value)} fitted, {number(test.value)} unseen)" for fitted, test in pairs
    ]
    verb = "reconstructs" if len(pairs) == 1 else "reconstruct"
    its = "it was" if len(pairs) == 1 else "they were"
    return [f"{_listed(errors_of)} {verb} images that {its} fitted on far better than unseen test images: overfitting."]


def _collapse(results: Results, name: str) -> str:
    """Why a model is as it is. Its sentences were made when it was measured."""
    seen = _facts(results, name)["collapsed"]
    return f"{name} has collapsed: {seen['what']}. Likely cause: {seen['cause']}. What to change: {seen['instead']}."


def _switches(results: Results, name: str) -> list[str]:
    with_switches, alone = results.row(name, "mse", "test"), results.row(name, "mse_code_only", "test")
    if with_switches is None or alone is None:
        return []
    return [
        f"The decoder of {name} also sees where the encoder's maxima were: with these switches its MSE is "
        f"{number(with_switches.value)}, from the code alone {number(alone.value)}."
    ]


def _sparsity(results: Results, names: list[str]) -> list[str]:
    """How many units are on, of the models that were to be sparse: where not all are."""
    sentences = []
    for name in names:
        on, dead = results.row(name, "l0", "test"), results.row(name, "dead_units", "test")
        if on is None or dead is None or on.value is None or dead.value is None or _facts(results, name)["collapsed"]:
            continue
        n_units = _facts(results, name)["units"]
        if n_units and n_units > 100 and on.value < 0.5 * n_units:
            share = on.value / n_units
            sentences.append(
                f"On average, {on.value:.1f} of the {n_units:,.0f} units of {name} ({share:.1%}) are on for an image; "
                f"{dead.value:,.0f} are off for all test images."
            )
    return sentences


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
