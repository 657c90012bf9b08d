"""`isthmus evaluate`: how near a model's reconstructions come, clean and under corruptions, with intervals."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from isthmus.commands.options import add_command, add_model_and_data
from isthmus.commands.words import read_words
from isthmus.errors import counted

if TYPE_CHECKING:
    from isthmus.commands.opened import Opened
    from isthmus.commands.seen import Seen
    from isthmus.data.images import Images
    from isthmus.metrics import Estimate
    from isthmus.parts import Part

_TEXT = """
    Measures MSE, PSNR and SSIM between images and what the model makes of them, and statistics of the codes: how many
    units are on (l0), their mean, and how many are on for no image (dead_units). Each is a mean over images with its
    95 % interval. A --corruption is applied to the input, and the output compared with the clean image.
"""
_EXAMPLES = """
    isthmus evaluate my-model digits
    isthmus evaluate denoiser photographs/ --corruption gaussian:0.1 --corruption gaussian:0.2
    isthmus evaluate my-model digits --json > results.json
"""
METRICS = ("mse", "psnr", "ssim", "mse_code_only", "mean_activation", "l0", "dead_units")


def add(commands: Any) -> None:
    """The parser of `isthmus evaluate`."""
    command = add_command(commands, "evaluate", run, "MODEL DATA", "measure a model on images", _TEXT, _EXAMPLES)
    add_model_and_data(command)
    command.add_argument(
        "--corruption",
        metavar="WORDS",
        action="append",
        default=[],
        help="measure under this too, like gaussian:0.3 or masking:0.2+gaussian:0.1; may be given several times",
    )
    command.add_argument("--json", action="store_true", help="print the table as one line of JSON")


def run(options: argparse.Namespace) -> None:
    """Measure clean images, and under each corruption."""
    parts = [read_words("corruption", text, "--corruption") for text in options.corruption]

    from isthmus.commands.opened import images_for, open_model
    from isthmus.corruption import check_corruption

    opened = open_model(options)
    images = images_for(opened, options)
    for part in parts:
        check_corruption(part, images.n_features, images.shape)
    seen = opened.seen(options)
    measured = {part.label if part else None: _measure(opened, images, part) for part in [None, *parts]}
    for part in parts:
        _say_if_worse_than_nothing(measured[part.label]["mse"], images, part)
    print(_json(opened, images, measured, seen) if options.json else table(measured, len(images)))


def _measure(opened: Opened, images: Images, part: Part | None) -> dict[str, Estimate]:
    from isthmus.studies.measure import measure

    return measure(opened.model, images, METRICS, corruption=part).estimates


def _say_if_worse_than_nothing(ours: Estimate, images: Images, part: Part) -> None:
    """A denoiser that adds more error than it takes away had better be left out."""
    from sklearn.preprocessing import FunctionTransformer

    from isthmus import console
    from isthmus.studies.measure import measure

    as_it_is = FunctionTransformer(check_inverse=False)
    before = measure(as_it_is, images, ("mse",), corruption=part).estimates["mse"].value
    if said := worse_than_nothing(before, ours.value):
        console.say(f"{part.label}: {said}")  # type: ignore[attr-defined]


def worse_than_nothing(before: float | None, after: float | None) -> str:
    """The sentence for images that come out with a larger MSE than they went in with; "" for others."""
    if before is None or after is None or after < before:
        return ""
    errors = f"MSE {before:.6f} before, {after:.6f} after"
    return f"the images come out worse than they went in ({errors}): leave them as they are"


def table(measured: dict[str | None, dict[str, Estimate]], n: int) -> str:
    """A line for each metric, a column for each corruption, each with its interval."""
    columns = [[counted(n, "image"), *METRICS]]
    for label, estimates in measured.items():
        cells = [_cell(name, estimates.get(name)) for name in METRICS]
        columns.append([label or "clean", *cells])
    used = [i for i in range(len(METRICS) + 1) if i == 0 or any(column[i] for column in columns[1:])]
    widths = [max(len(column[i]) for i in used) for column in columns]
    lines = ("  ".join(f"{column[i]:<{w}}" for column, w in zip(columns, widths, strict=True)) for i in used)
    return "\n".join(line.rstrip() for line in lines)


def _cell(name: str, estimate: Estimate | None) -> str:
    from isthmus.report.numbers import number

    if estimate is None:
        return ""
    interval = f" ({number(estimate.ci95[0], name)} to {number(estimate.ci95[1], name)})" if estimate.ci95 else ""
    return number(estimate.value, name) + interval


def _json(opened: Opened, images: Images, measured: dict[str | None, dict[str, Estimate]], seen: Seen) -> str:
    rows = [
        {"metric": name, "corruption": label, "value": one.value, "ci95": one.ci95, "n": one.n}
        for label, estimates in measured.items()
        for name, one in estimates.items()
    ]
    facts: dict[str, Any] = {
        "model": str(opened.folder),
        "data": {"source": images.source, "sha256": images.fingerprint},
    }
    facts["seen"] = bool(seen.sentence)
    return json.dumps({**facts, "n": len(images), "rows": rows}, allow_nan=False)
