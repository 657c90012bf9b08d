"""`isthmus evaluate`: measure a model's reconstructions, of clean and of corrupted images, with intervals."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_command, add_model_and_data
from isthmus.commands.shared.part_syntax import read_words, unit_note
from isthmus.errors import counted, require

if TYPE_CHECKING:
    from isthmus.commands.images.labelled import Labelled
    from isthmus.commands.images.leakage import Seen
    from isthmus.commands.images.model_folder import Opened
    from isthmus.metrics import Estimate
    from isthmus.parts import Corruption

_TEXT = """
    Measures MSE, PSNR and SSIM between images and their reconstructions, and statistics of the codes: how many units
    are on (l0), their mean, and how many are never on (dead_units). Each is a mean over images with its 95 % interval.
    Of a gaussian code, silent_units is how many units tell less than 0.01 nats of an image; of a quantized one,
    vectors_in_use are those that any image needs, and perplexity is as if so many were, all alike.
    A --corruption is applied to the input, and the output compared with the clean image, as is the input as it is.
    Reconstructions are not clipped to 0..1.

    With a code that has a prior, such as gaussian, nll is there too: -log p of an image in nats, by --n-samples
    weighted draws of its code, of which more bring it down to the true one; with loss bce of pixels drawn as 0 or 1.

    Of images with labels the codes are judged by these too, beside the pixels as codes: the accuracy of a linear probe
    and of 10 nearest neighbours, silhouette, trustworthiness and effective rank. Classifiers are fitted on images that
    the model was trained on, and score the others; where there are not both, they are fitted on other folds.

    With a model of patches, whole photographs are measured, assembled as by `isthmus denoise`; statistics of the codes
    are over patches. Means and intervals are over photographs. There is no nll of them, and their labels say nothing.
"""
_EXAMPLES = """
    isthmus evaluate my-model digits
    isthmus evaluate denoiser photographs/ --corruption gaussian:0.1 --corruption gaussian:0.2
    isthmus evaluate my-model digits --json > results.json
"""
_SAMPLED = 20  # photographs that are checked for noise
_DRAWS = 200  # of the code of each image, for its likelihood: seconds for hundreds of small images
_ERRORS, _OF_CODES = ("mse", "psnr", "ssim", "mse_code_only"), ("mean_activation", "l0", "dead_units")
METRICS = (*_ERRORS, *_OF_CODES)
_DIGITS = {
    **{"psnr": ".2f", "ssim": ".4f", "mean_activation": ".4f", "l0": ".1f", "dead_units": ",.0f", "nll": ".2f"},
    **{"linear_probe": ".3f", "knn": ".3f", "silhouette": ".3f", "trustworthiness": ".3f", "effective_rank": ".1f"},
}  # of errors as many as they need


def add(commands: Any) -> None:
    """The parser of `isthmus evaluate`."""
    command = add_command(commands, "evaluate", run, "MODEL DATA", "measure a model on images", _TEXT, _EXAMPLES)
    add_model_and_data(command)
    command.add_argument(
        "--corruption",
        metavar="WORDS",
        action="append",
        default=[],
        help="corrupt the images too, like gaussian:0.3 or masking:0.2+gaussian:0.1; may be given several times; "
        "what is unsaid is as in the training",
    )
    command.add_argument(
        "--n-samples", type=int, metavar="N", help=f"weighted draws for each image's likelihood, nll ({_DRAWS})"
    )
    command.add_argument("--json", action="store_true", help="print the table as one line of JSON")


@dataclass(frozen=True)
class _Evaluated:
    """The measurements of one collection, by corruption. before: MSE and PSNR of the model's input.

    n_patches: of all photographs; None for whole images. seen: what the model's folder knows of the images. noise: a
    note on images that look noisy. labelled: what their labels say of the codes. n_samples: the draws of nll. omitted:
    why a metric is not measured. worse: that, and by how much, clean images are reconstructed worse than their mean.
    """

    source: str
    sha256: str
    n: int
    n_patches: int | None
    measured: dict[str | None, dict[str, Estimate]]
    before: dict[str | None, dict[str, Estimate]]
    seen: Seen
    noise: str = ""
    labelled: Labelled | None = None
    n_samples: int = _DRAWS
    omitted: dict[str, str] = field(default_factory=dict)
    worse: str = ""


def run(options: argparse.Namespace) -> None:
    """Measure clean images, then each corruption."""
    for text in options.corruption:
        read_words("corruption", text, "--corruption")  # before the model is opened
    require(options.n_samples is None or options.n_samples > 0, "--n-samples", "at least 1", options.n_samples)

    from isthmus import console
    from isthmus.commands.images.model_folder import open_model
    from isthmus.commands.shared.tables import worse_than_nothing
    from isthmus.estimators.adapters import adapter_of

    opened = open_model(options)
    parts = [opened.corruption(text) for text in options.corruption]
    for part in parts:
        if units := unit_note(part, opened.framing.value_range):
            console.say(units)
    any_size = adapter_of(opened.model).takes_any_size
    whole = any_size or (opened.framing.patches is not None and opened.shape is not None)
    result = (_of_photographs if whole else _of_images)(opened, options, parts)
    if result.noise:
        console.say(result.noise)
    if result.seen.sentence:
        console.say(result.seen.sentence)
    if result.worse:
        console.say(result.worse)
    for part in parts:
        after = result.measured[part.label]["mse"].value
        before = result.before[part.label]["mse"].value
        if warning := worse_than_nothing(before, after, part, fitted=opened.trained_on):
            console.say(f"{part.label}: {warning}")
    for reason in dict.fromkeys(result.omitted.values()):
        console.say(
            f"not measured: {', '.join(name for name, why in result.omitted.items() if why == reason)}: {reason}"
        )
    for sentence in result.labelled.sentences if result.labelled else ():
        console.say(sentence)
    print(_json(opened, result) if options.json else _tables(result))


def _of_images(opened: Opened, options: argparse.Namespace, parts: list[Corruption]) -> _Evaluated:
    """Measure images of the model's own size, in memory."""
    from sklearn.preprocessing import FunctionTransformer

    from isthmus import console
    from isthmus.analysis.collapse import worse_than_mean
    from isthmus.commands.images.labelled import labelled
    from isthmus.commands.images.model_folder import images_for
    from isthmus.data.noise_estimate import noise_in
    from isthmus.studies.results.measure import measure, nll

    images = images_for(opened, options)
    for part in parts:
        part.check(images.n_features, images.shape)
    clean = measure(opened.model, images, METRICS)
    worse = None
    if (clean.unexplained or 0) > 1:  # which takes another pass
        worse = worse_than_mean(opened.model, images, opened.held_out_mse)
    measured: dict[str | None, dict[str, Estimate]] = {None: clean.estimates}
    before: dict[str | None, dict[str, Estimate]] = {}
    n_samples, omitted = options.n_samples or _DRAWS, dict[str, str]()
    with console.progress("measuring the likelihood") as on_progress:
        likelihood = nll(opened.model, images, n_samples, on_progress)
    if likelihood is not None:
        measured[None]["nll"] = likelihood
    elif options.n_samples is not None:
        omitted["nll"] = f"{opened.folder} has no likelihood; a model with --code gaussian has one"
    for part in parts:
        measured[part.label] = measure(opened.model, images, METRICS, corruption=part).estimates
        as_it_is = measure(FunctionTransformer(check_inverse=False), images, ("mse", "psnr"), corruption=part)
        before[part.label] = as_it_is.estimates
    n = images.n_photographs
    n_patches = len(images) if images.places is not None else None
    noise = noise_in(images.pixels)
    memory = opened.memory(options)
    known = memory.of_all(images)
    seen, codes = memory.about(known), labelled(opened, options, images, known)
    of = (images.source, images.fingerprint, n, n_patches)
    return _Evaluated(*of, measured, before, seen, noise, codes, n_samples, omitted, worse or "")


def _of_photographs(opened: Opened, options: argparse.Namespace, parts: list[Corruption]) -> _Evaluated:
    """Measure photographs of any size, read one after the other, once for each corruption."""
    from isthmus.commands.images.photographs import measure_photographs
    from isthmus.commands.images.pictures import pictures_of
    from isthmus.data.noise_estimate import noise_in
    from isthmus.estimators.adapters import adapter_of
    from isthmus.estimators.denoising.denoiser_adapter import with_level_of
    from isthmus.studies.results.measure import has_likelihood
    from isthmus.studies.spec.quantities import REPRESENTATION

    pictures = pictures_of(options, opened)
    shape, stride = opened.shape, opened.framing.stride
    clean = measure_photographs(opened.model, shape, pictures, METRICS, stride=stride, name=str(opened.folder))
    measured: dict[str | None, dict[str, Estimate]] = {None: clean.estimates()}
    before: dict[str | None, dict[str, Estimate]] = {}
    for part in parts:
        name = f"{opened.folder}, {part.label}"
        model = with_level_of(opened.model, part)
        noisy = measure_photographs(model, shape, pictures, METRICS, part, stride=stride, name=name)
        measured[part.label] = noisy.estimates()
        before[part.label] = noisy.before
    sampled = [(picture.x, picture.label) for picture in itertools.islice(pictures.read(), _SAMPLED)]
    noise, omitted = opened.noisy_target or noise_in([x for x, _ in sampled]), dict[str, str]()
    if has_likelihood(opened.model):
        omitted["nll"] = "it is of a patch, and photographs are put together of patches that overlap"
    if adapter_of(opened.model).has_code and any(label for _, label in sampled):
        omitted |= dict.fromkeys(REPRESENTATION, "labels are of photographs, and codes of patches of them")
    n, n_patches = len(clean.values["mse"]), None if shape is None else clean.n_patches
    seen = pictures.seen(opened.memory(options))
    of = (options.data, clean.sha256, n, n_patches)
    return _Evaluated(*of, measured, before, seen, noise, omitted=omitted)


def _tables(result: _Evaluated) -> str:
    """Columns of each corruption, beside the images as they are; of labels, a table of the codes beside the pixels."""
    columns: dict[str, dict[str, Estimate]] = {}
    for label, estimates in result.measured.items():
        if label is not None:
            columns[f"{label}, as it is"] = result.before[label]
        columns[label or "clean"] = estimates
    notes = dict.fromkeys(_ERRORS, "") | {"nll": f", nats by {result.n_samples:,} draws"} | dict.fromkeys(_OF_CODES, "")
    notes |= dict.fromkeys((name for name in result.measured[None] if name not in notes), "")  # of its kind of code
    table = _table(_head(result), notes, columns)
    if result.labelled is None:
        return table
    columns = {name: representation.estimates for name, representation in result.labelled.columns.items()}
    sizes = {name: estimate.n for estimates in columns.values() for name, estimate in estimates.items()}
    n = max(sizes.values(), default=0)
    notes = {name: "" if sizes[name] == n else f", {sizes[name]:,} images" for name in sizes}
    return f"{table}\n\n{_table(f'{n:,} with labels', notes, columns)}"


def _table(head: str, metrics: Mapping[str, str], columns: Mapping[str, Mapping[str, Estimate]]) -> str:
    """A line for each metric that there is, with a note, each with its interval."""
    notes = {name: note for name, note in metrics.items() if any(name in estimates for estimates in columns.values())}
    cells = [[head, *map("".join, notes.items())]]
    cells += [[label, *(_cell(name, estimates.get(name)) for name in notes)] for label, estimates in columns.items()]
    widths = [max(map(len, column)) for column in cells]
    rows = zip(*cells, strict=True)
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _head(result: _Evaluated) -> str:
    if result.n_patches is None:
        return counted(result.n, "image") + result.seen.words
    return f"{counted(result.n, 'photograph')}{result.seen.words}, {counted(result.n_patches, 'patch', 'patches')}"


def _cell(name: str, estimate: Estimate | None) -> str:
    from isthmus.decimals import interval_text
    from isthmus.metrics import possible

    if estimate is None:
        return ""
    ends = possible(estimate.ci95, name)
    if not ends:
        return _number(estimate.value, name)
    interval = interval_text(ends, estimate.value) if name == "mse" else " to ".join(_number(end, name) for end in ends)
    return f"{_number(estimate.value, name)} ({interval})"


def _number(value: float | None, name: str) -> str:
    from isthmus.decimals import error_text

    if value is None or name in ("mse", "mse_code_only"):
        return error_text(value)
    return format(value, _DIGITS.get(name, ",.0f" if float(value).is_integer() else ",.4g"))


def _json(opened: Opened, result: _Evaluated) -> str:
    def rows(measured: Mapping[str | None, Mapping[str, Estimate]]) -> list[dict[str, Any]]:
        return [
            {"metric": name, "corruption": label, "value": estimate.value, "ci95": estimate.ci95, "n": estimate.n}
            | ({"n_samples": result.n_samples} if name == "nll" else {})
            for label, estimates in measured.items()
            for name, estimate in estimates.items()
        ]

    facts: dict[str, Any] = {
        "model": str(opened.folder),
        "data": {"source": result.source, "sha256": result.sha256},
    }
    seen = result.seen
    facts |= {
        "seen": bool(seen.n_trained_on or (seen.sentence and seen.n_trained_on is None)),
        "selected": None if seen.n_selected_on is None else seen.n_selected_on > 0,
        "n_seen": seen.n_trained_on,
        "n_selected": seen.n_selected_on,
    }
    if result.labelled is not None:
        facts["representation"] = result.labelled.table()
    if result.n_patches is not None:
        facts["patches"] = result.n_patches
    if result.omitted:
        facts["omitted"] = result.omitted
    if result.before:
        facts["as_it_is"] = rows(result.before)
    return json.dumps({**facts, "n": result.n, "rows": rows(result.measured)}, allow_nan=False)
