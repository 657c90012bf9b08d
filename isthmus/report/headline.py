"""What a run found, before anything else: who is best, by how much, whether that may be chance, and what stands beside.

An error is compared with that of PCA of as many numbers; under noise, with the best of PCA and of what learns nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from isthmus.decimals import level_text
from isthmus.errors import counted
from isthmus.report import psnr_by_level
from isthmus.report import sentences as words
from isthmus.report.numbers import number, percent
from isthmus.report.ranking import Models, apart, errors, family, groups, trained_for
from isthmus.studies.results.examples import main_corruption
from isthmus.studies.results.results_json import Results, Row

PLAIN = ("PCA", "classical")  # families that no gradient trains


@dataclass(frozen=True)
class Contest:
    """The best model, and the one it is held against, by their errors on the same images.

    corruption: of the images; None as they are. against: PCA or what learns nothing, if there is one, else the next
    best. nothing: the error of the corrupted images themselves. n: models that were compared. size: numbers that each
    of them keeps of an image; None where codes of any size are compared, as under noise.
    """

    corruption: str | None
    best: Row
    against: Row
    nothing: Row | None = None
    n: int = 2
    size: float | None = None

    @property
    def less(self) -> float:
        """The share of the other's error that the best model does without."""
        return 1 - (self.best.value or 0.0) / (self.against.value or math.inf)


def contests(results: Results) -> list[Contest]:
    """Who is best with codes of one size on images as they are, and who is best under noise: those that there are."""
    if results.quick:
        return []
    return [contest for contest in (_of_one_size(results), _under_noise(results)) if contest]


def sentences(results: Results) -> list[str]:
    """At most three, in plain words."""
    if results.quick:
        return ["This was a quick run, of little training on few images: it only shows that everything works."]
    ranked = contests(results)
    first = [_who(results, ranked[0]), _chance(results, ranked[0])] if ranked else _unranked(results)
    beside = [_who(results, ranked[1], with_chance=True)] if len(ranked) > 1 else []
    beside += _likelihood(results)
    beside += psnr_by_level.beside_published(results) if psnr_by_level.is_of_photographs(results) else []
    beside += words.collapsed(results) + words.reproduced(results)
    return (first + beside)[:3]


def in_words(results: Results, corruption: str) -> str:
    """A corruption of a study as one says it: of photographs by its level in grey levels of 255."""
    if psnr_by_level.is_of_photographs(results):
        return level_text(corruption)
    if known := re.fullmatch(r"gaussian\(([\d.]+)(,clip=\w+)?(,relative=true)?\)", corruption):
        unit = " times an image's root mean square" if known[3] else ""
        return f"Gaussian noise of σ = {float(known[1]):.3g}{unit}"
    known = re.fullmatch(r"masking\(([\d.]+)\)", corruption)
    return f"{percent(float(known[1]))} of the pixels missing" if known else corruption


def _families(results: Results) -> dict[str, str]:
    return {facts["name"]: family(facts) for facts in results.models}


def _of_one_size(results: Results) -> Contest | None:
    """In the group that was held out, has a PCA, and is the largest."""
    families = _families(results)
    ranked = [group for group in groups(results) if group.terms.trained_for is None]
    if not ranked:
        return None

    def pca(rows: tuple[Row, ...]) -> Row | None:
        return next((row for row in rows if families[row.model] == "PCA"), None)

    group = max(
        ranked,
        key=lambda g: (not g.terms.seen, not g.terms.selected, pca(g.rows) is not None, len(g.rows)),
    )
    best, *others = group.rows
    networks = [row for row in others if families[row.model] != "PCA"]
    against = (networks or others)[0] if families[best.model] == "PCA" else pca(group.rows) or others[0]
    return Contest(None, best, against, n=len(group.rows), size=group.terms.size)


def _under_noise(results: Results) -> Contest | None:
    """Among all that were held out, whatever the size of their codes: what is wanted is the image without noise."""
    label, families = main_corruption(results), _families(results)
    if label is None:
        return None
    models = {facts["name"]: facts for facts in results.models}
    rows = [row for name in models if (row := results.row(name, "mse", "test", label)) and row.value is not None]
    nothing = next((row for row in rows if families[row.model] == "nothing"), None)
    sound = sorted(
        (row for row in rows if row.held_out and not models[row.model]["collapsed"] and row is not nothing),
        key=lambda row: (row.value, row.model),
    )
    trained = [row for row in sound if families[row.model] not in PLAIN]
    plain = [row for row in sound if families[row.model] in PLAIN]
    if not trained or len(sound) < 2:
        return None
    best, against = sorted((trained[0], (plain or trained[1:])[0]), key=lambda row: row.value or 0.0)
    return Contest(label, best, against, nothing, len(sound))


def _who(results: Results, contest: Contest, *, with_chance: bool = False) -> str:
    """The best model, and by how many percent."""
    families, best, against = _families(results), contest.best.model, contest.against.model
    models: Models = {facts["name"]: facts for facts in results.models}
    if contest.corruption is None:
        pixels = math.prod(results.data["image_shape"])
        scope = f"Of {contest.n} models that keep {_numbers(contest.size)} of an image of {pixels:,} pixels, "
        other = f"PCA of the same size ({against})" if families[against] == "PCA" else f"the next, {against}"
    else:
        scope = f"With {in_words(results, contest.corruption)}, "
        other = {"PCA": _pca_of_fewer(results, contest), "classical": f"{against}, the best that learns nothing"}.get(
            families[against], against
        )
    if number(contest.best.value) == number(contest.against.value):
        return f"{scope}{best} and {other} are level: an error of {number(contest.best.value)}."
    trained = ", trained for it," if contest.corruption and trained_for(models, best) == contest.corruption else ""
    if families[best] in PLAIN:
        winner = "PCA" if families[best] == "PCA" else "what learns nothing"
        others = "" if families[against] in PLAIN else ", the best of the others"
        sentence = f"{scope}{winner} wins: {best} leaves {percent(contest.less)} less error than {against}{others}"
    else:
        sentence = f"{scope}{best}{trained} leaves {percent(contest.less)} less error than {other}"
        if contest.corruption is None and families[against] != "PCA":
            sentence += " (no PCA keeps as many)"
    if with_chance and not _is_sure(results, contest):
        sentence += ", which may be chance"
    return f"{sentence}{_beside_nothing(contest)}."


def _pca_of_fewer(results: Results, contest: Contest) -> str:
    """PCA, with what it keeps where that is less: more components might take out more of the noise."""
    few, many = (results.value(row.model, "code_size", None) for row in (contest.against, contest.best))
    fewer = f", {_numbers(few)} in place of {many:,.0f}" if few and many and few < many else ""
    return f"PCA ({contest.against.model}{fewer})"


def _beside_nothing(contest: Contest) -> str:
    """How the best model stands to doing nothing."""
    if contest.nothing is None or not contest.nothing.value or not contest.best.value:
        return ""
    share = 1 - contest.best.value / contest.nothing.value
    if share < 0:
        return f"; doing nothing is better than any, by {percent(1 - contest.nothing.value / contest.best.value)}"
    return f", and {percent(share)} less than doing nothing"


def _is_sure(results: Results, contest: Contest) -> bool:
    """Whether a paired interval excludes zero or, without one, the two intervals do not overlap."""
    pair = {contest.best.model, contest.against.model}
    for comparison in results.comparisons:
        same = set(comparison["models"]) == pair and comparison["corruption"] == contest.corruption
        if same and comparison.get("split", "test") == "test" and comparison["ci95"]:
            low, high = comparison["ci95"]
            return bool(low > 0 or high < 0)
    return apart(contest.best, contest.against)


def _chance(results: Results, contest: Contest) -> str:
    """Whether the difference is more than chance."""
    kind = "photograph" if psnr_by_level.is_of_photographs(results) else "image"
    state = "" if contest.best.held_out else "that they were fitted on or chosen by "
    images = counted(contest.best.n or 0, f"{'unseen ' if contest.best.held_out else ''}test {kind}")
    if _is_sure(results, contest):
        return f"That is more than chance on {images} {state}(95 % intervals)."
    return f"That may be chance: {images} {state}do not show which is better (95 % intervals)."


def _unranked(results: Results) -> list[str]:
    """Of models that cannot be ranked, the one that keeps least and the one that keeps most."""
    sized = [
        (size, row)
        for name, row in errors(results).items()
        if (size := results.value(name, "code_size", None)) is not None
    ]
    if not sized:
        return []
    sized.sort(key=lambda pair: (pair[0], pair[1].value))
    (few, least), (many, most) = sized[0], sized[-1]
    sentence = f"{least.model} leaves an error of {number(least.value)} with {_numbers(few)} for an image"
    if few == many:
        return [f"{sentence}; no other model is to be compared with it."]
    change = (most.value or 0.0) / (least.value or math.inf) - 1
    return [
        f"{sentence}, and {most.model} {percent(abs(change))} {'less' if change < 0 else 'more'} with {many:,.0f}.",
        "No two models were trained and scored alike with codes of one size, so none is ranked.",
    ]


def _likelihood(results: Results) -> list[str]:
    """Which model gives test images the highest probability, of those with one loss: of the most.

    In nats, not as a share: of a density they may be negative, and that of one loss says nothing of another's.
    """
    by_loss: dict[str, list[Row]] = {}
    for facts in results.models:
        row = results.row(facts["name"], "nll", "test")
        if row and row.value is not None and row.held_out:
            loss = re.search(r"\bloss=(\w+)", facts["code"])
            by_loss.setdefault(loss[1] if loss else "", []).append(row)
    most = max(by_loss.values(), key=len, default=[])
    if len(most) < 2:
        return []
    best, second = sorted(most, key=lambda row: row.value or 0.0)[:2]
    fewer = number((second.value or 0.0) - (best.value or 0.0), "nll")
    doubt = "" if apart(best, second) else ", which may be chance"
    nats = f"{number(best.value, 'nll')} nats for an image"
    return [f"{best.model} finds test images most probable: {nats}, {fewer} fewer than {second.model}{doubt}."]


def _numbers(size: float | None) -> str:
    return counted(int(size or 0), "number")
