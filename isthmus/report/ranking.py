"""Which models may be ranked, over a whole study: those that differ in nothing but what is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.studies.results.results_json import Results, Row

_FAR = 1.5
_FAMILIES = (  # of a model's code, the first that is in it
    (r"^PCA\(", "PCA"),
    (r"^FunctionTransformer\(|method='nothing'", "nothing"),
    (r"^ClassicalDenoiser\(", "classical"),
    (r"^DecoderPrior\(", "search"),
    (r"^Denoiser\(", "denoiser"),
    (r"DictionaryLearning\(|network=Dictionary\(", "dictionary"),
    (r"code=Gaussian\(", "variational"),
    (r"code=Quantized\(", "quantized"),
    (r"corruption=", "denoising"),
    (r"network=Conv\(", "convolutional"),
    (r"penalty=", "sparse"),
    (r"network=Dense\(hidden=", "deep"),
    (r"network=Dense\(", "one layer"),
)
FAMILIES = (*dict.fromkeys(name for _, name in _FAMILIES), "other")
Models = Mapping[str, Mapping[str, Any]]  # what results.json says of each, by name


@dataclass(frozen=True)
class Terms:
    """What models must share to be ranked.

    size: numbers of an image that the decoder sees, switches too. trained_for: the corruption that a model, or the one
    that it is of, was trained to undo; None for clean images. fitted_on: the split that it was fitted on. seen,
    selected: whether the images that it is scored on were fitted on, or chosen by.
    """

    size: float
    trained_for: str | None
    fitted_on: str
    seen: bool
    selected: bool


@dataclass(frozen=True)
class Group:
    """Models on the same terms, scored on the same images: their errors from the least to the most.

    rows: at least two, of models that have not collapsed. collapsed: those of models that have.
    """

    terms: Terms
    corruption: str | None
    rows: tuple[Row, ...]
    collapsed: tuple[Row, ...] = ()

    @property
    def names(self) -> set[str]:
        """The models that are ranked, and those that have collapsed."""
        return {row.model for row in (*self.rows, *self.collapsed)}


def groups(results: Results, corruption: str | None = None) -> list[Group]:
    """Every group of a study that can be ranked on test images under a corruption, from the fewest numbers to the most.

    A model that was trained to undo another corruption than it is judged under is in none: neither at another level,
    nor on clean images. One that was trained on clean images is ranked with its like, whatever it is judged under.
    """
    models = {facts["name"]: facts for facts in results.models}
    by_terms: dict[Terms, list[Row]] = {}
    for row in errors(results, corruption).values():
        terms = terms_of(results, models, row)
        if terms is not None and terms.trained_for in (None, corruption):
            by_terms.setdefault(terms, []).append(row)
    ranked = []
    for terms, rows in by_terms.items():
        ordered = sorted(rows, key=lambda row: (row.value, row.model))
        dead = tuple(row for row in ordered if models[row.model]["collapsed"])
        sound = tuple(row for row in ordered if row not in dead)
        if len(sound) > 1:
            ranked.append(Group(terms, corruption, sound, dead))
    return sorted(ranked, key=lambda group: (group.terms.size, group.terms.trained_for is not None))


def errors(results: Results, corruption: str | None = None, split: str = "test") -> dict[str, Row]:
    """The MSE of every model that does anything, of the study's own seed, by name."""
    rows = {facts["name"]: results.row(facts["name"], "mse", split, corruption) for facts in results.models
            if not does_nothing(facts)}  # fmt: skip
    return {name: row for name, row in rows.items() if row is not None and row.value is not None}


def terms_of(results: Results, models: Models, row: Row) -> Terms | None:
    """The terms on which a row was measured; None if the size of the code is not known."""
    size = results.row(row.model, "code_size", None)
    if size is None or size.value is None:
        return None
    fitted_on = models[row.model]["fitted_on"]
    return Terms(size.value, trained_for(models, row.model), fitted_on, row.seen, bool(row.selected))


def trained_for(models: Models, name: str) -> str | None:
    """The corruption that a model, or the model that it is of, was trained to undo."""
    facts = models[name]
    upstream = facts.get("of")
    return facts["corruption"] or (trained_for(models, upstream) if upstream else None)


def does_nothing(facts: Mapping[str, Any]) -> bool:
    """Whether a model is the identity, which alone has no code."""
    return facts["units"] is None


def pixels_as_codes(results: Results) -> str | None:
    """The name of the model that does nothing, whose codes are the pixels, if the study has one."""
    return next((facts["name"] for facts in results.models if does_nothing(facts)), None)


def untouched(results: Results, corruption: str) -> Row | None:
    """The error of the corrupted images themselves, if the study has a model that does nothing."""
    idle = (facts["name"] for facts in results.models if does_nothing(facts))
    return next((row for name in idle if (row := results.row(name, "mse", "test", corruption))), None)


def apart(a: Row, b: Row) -> bool:
    """Whether two intervals do not overlap."""
    return not (a.ci95 and b.ci95) or a.ci95[1] < b.ci95[0] or b.ci95[1] < a.ci95[0]


def overfitted(results: Results) -> list[tuple[Row, Row]]:
    """(where it was fitted, on unseen test images) of each model that is far better there, the farthest first.

    Far is half as much again on the others, beyond both intervals: of as many images as a network needs it is a few per
    cent.
    """
    pairs = []
    for name, there in errors(results).items():
        fitted = next((row for split in ("all", "train") if (row := errors(results, None, split).get(name))), None)
        if fitted is None or fitted.value is None or there.value is None or there.seen or not fitted.seen:
            continue
        if there.value > _FAR * fitted.value and apart(fitted, there):
            pairs.append((fitted, there))
    return sorted(pairs, key=lambda pair: (pair[0].value or 0) / (pair[1].value or 1))


def family(facts: Mapping[str, Any]) -> str:
    """What kind of model one is, a word of `FAMILIES`. A PCA of another model's codes is of a family with none.

    >>> family({"code": "Autoencoder(network=Dense(hidden=(64,), bottleneck=8))", "of": None})
    'deep'
    """
    if facts.get("of") and facts["code"].startswith("PCA("):
        return "other"
    return next((name for pattern, name in _FAMILIES if re.search(pattern, facts["code"])), "other")
