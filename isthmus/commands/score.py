"""`isthmus score`: rank images by how unusual they are for a model, for screening."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from isthmus.commands.screening.separation import Areas, areas, facts_of
from isthmus.commands.shared.options import add_command, add_model_and_data, check_target, printable
from isthmus.decimals import error_text
from isthmus.errors import require

if TYPE_CHECKING:
    import numpy as np

    from isthmus.commands.images.model_folder import Opened
    from isthmus.commands.images.pictures import Picture, Pictures
    from isthmus.commands.screening.scores import Score, Scores
    from isthmus.commands.screening.unusual import HeldOut

_TEXT = """
    A model reconstructs well what it was trained on, so an image with a large error is unusual. Fit a model on normal
    images only; this command then prints the images with the largest reconstruction errors first. --by says which
    error: mse, the mean of all pixels, or spot, that of the 5x5 neighbouring pixels in which it is largest, for flaws
    that are small. What reconstructs best need not detect best: patches reconstruct flaws too. A
    small error does not make an image normal: what is smoother than the images of the fit, or inverted, or turned, may
    be reconstructed as well.

    p is an image's place among those that were held out of the fit: the share of them, and of itself, with as large an
    error. Of normal images one in twenty has a p of 0.05 or less; the error above which an image has is printed.

    -o writes a folder: scores.csv with every image, the most unusual first, and, if known, whether the model was
    trained on it ("seen") or its best epoch chosen by it ("selected"); maps/ with the errors of the most unusual as
    pictures, all on one scale; and most-unusual.png. White is an error that one pixel in a thousand of an image
    exceeds, in the image where that is largest, and whatever is more: one odd pixel would leave all others black. With
    --normal, if images have labels or sub-folders, AUROC measures how well the error separates the normal class from
    the others: 0.5 is chance, 1 perfect.
"""
_EXAMPLES = """
    isthmus fit parts/good -o good-parts
    isthmus score good-parts parts/ -o scores/ --normal good
    isthmus fit digits -o zeros --classes 0
    isthmus score zeros digits --normal 0
"""
_HEADS = {"mse": "MSE", "spot": "worst 5x5"}
SHEET = "most-unusual.png"
_SMALL = 0.01  # of a largest error below it three decimals leave a digit or none
_SHEET = 12  # images on most-unusual.png


def add(commands: Any) -> None:
    """The parser of `isthmus score`."""
    summary = "find the images that are unusual for a model"
    command = add_command(commands, "score", run, "MODEL DATA", summary, _TEXT, _EXAMPLES)
    add_model_and_data(command)
    command.add_argument("-o", "--out", type=Path, metavar="OUT", help="folder for the table and the maps")
    command.add_argument("--force", action="store_true", help="replace existing results")
    command.add_argument("--normal", metavar="CLASS", help="the normal class: a label, or the name of a sub-folder")
    command.add_argument(
        "--by", choices=("mse", "spot"), default="mse", help="the error that ranks: of all pixels, or of 5x5 (mse)"
    )
    command.add_argument("--top", type=int, default=20, metavar="N", help="print the N most unusual (20)")
    command.add_argument(
        "--maps", type=int, default=100, metavar="N", help="write error maps of the N most unusual into -o (100)"
    )
    command.add_argument("--json", action="store_true", help="print all as one line of JSON")


def run(options: argparse.Namespace) -> None:
    """Score every image; write the table and the maps if a folder is given."""
    from isthmus.commands.shared.output_folder import check_free

    require(options.top >= 1, "--top", "at least 1", options.top)
    require(options.maps >= 0, "--maps", "at least 0", options.maps)
    if options.out is not None:
        check_target(options.out, options.data)
        check_free(options.out, force=options.force)

    from isthmus import console
    from isthmus.commands.images.model_folder import open_model
    from isthmus.commands.images.passage import through
    from isthmus.commands.images.pictures import pictures_of
    from isthmus.commands.screening.scores import Scores
    from isthmus.commands.screening.unusual import HeldOut, score_of

    opened = open_model(options)
    pictures = pictures_of(options, opened)
    memory = opened.memory(options)
    results = through(opened.model, opened.shape, pictures, stride=opened.framing.stride, task="scoring")
    scores = Scores.of(score_of(result, memory) for result in results).ranked(options.by)
    if held_out := HeldOut.of(opened, options.by):
        scores = held_out.place(scores)
    if opened.noisy_target:
        console.say(opened.noisy_target)
    if warning := pictures.seen(memory).sentence:
        console.say(warning)
    ranking = _Ranking(scores, options.by, options.normal, held_out)
    # before the maps, which may take longer than the numbers
    console.show(ranking.json() if options.json else ranking.text(options.top))
    if options.out is not None:
        _write(options, opened, pictures, ranking)
        white = _white_words(scores)
        console.say(f"written: scores.csv, maps/ ({white}) and most-unusual.png in {options.out.resolve()}")
        if len(scores) > options.maps:
            most = f"the {options.maps:,} most unusual of {len(scores):,} images" if options.maps else "none"
            console.say(f"maps written: {most}; --maps N writes more")


@dataclass(frozen=True)
class _Ranking:
    """Scores, the most unusual `by` this error first, and how well they tell the class `normal` from others."""

    scores: Scores
    by: str
    normal: str | None
    held_out: HeldOut | None

    @cached_property
    def areas(self) -> dict[str, Areas]:
        """By each kind of error. Raises RequestError for a class that there is not."""
        from isthmus.commands.screening.unusual import KINDS

        return {} if self.normal is None else {kind: areas(self.scores, self.normal, kind) for kind in KINDS}

    def text(self, top: int) -> str:
        """For people: the first `top`, and what is to be said of all."""
        from isthmus.commands.screening.unusual import KINDS

        shown = self.scores[:top]
        width = max(4, *(len(score.name) for score in shown)) + 2
        labels = max(5, *(len(score.label) for score in shown)) + 2
        p = "" if self.held_out is None else f"{'p':>8}"
        heads = f"{_HEADS['mse']:>10}{_HEADS['spot']:>12}{'largest error':>15}{p}"
        lines = [f"{'rank':>4}  {'name':<{width}}{'label':<{labels}}{heads}"]
        for rank, score in enumerate(shown, 1):
            known = "  trained on" if score.seen else "  selected on" if score.selected else ""
            largest = f"{score.largest:.3f}" if score.largest >= _SMALL else f"{score.largest:.2e}"
            p = "" if score.p is None else f"{score.p:>8.2g}"
            errors = f"{error_text(score.mse):>10}{error_text(score.spot):>12}{largest:>15}{p}"
            lines.append(f"{rank:>4}  {score.name:<{width}}{score.label:<{labels}}{errors}{known}")
        if len(self.scores) > top:
            lines.append(f"      ... and {len(self.scores) - top:,} more")
        lines += self.held_out.sentences(self.scores) if self.held_out else []
        if self.areas:
            lines.append(self.areas[self.by].sentence())
            lines += [
                f"AUROC {area.best_known:.4f} by the {KINDS[kind]}: --by {kind}"
                for kind, area in self.areas.items()
                if kind != self.by
            ]
        return "\n".join(lines)

    def caption(self, score: Score) -> str:
        """The error that ranks, for a picture."""
        return f"{_HEADS[self.by]} {error_text(getattr(score, self.by))}"

    def facts(self) -> dict[str, Any]:
        """What is known of all."""
        by_kind = {kind: facts_of(area)["auroc"] for kind, area in self.areas.items()}
        return {"by": self.by, **facts_of(self.areas.get(self.by)), "auroc_by": by_kind or None}

    def json(self) -> Iterator[str]:
        """As JSON, in pieces that are one line together: of a million images it is long."""
        yield json.dumps({**self.facts(), "images": []}, allow_nan=False).removesuffix("]}")
        for i, s in enumerate(self.scores):
            row = {
                "name": s.name,
                "label": s.label,
                "seen": s.seen,
                "selected": s.selected,
                "mse": s.mse,
                "spot": s.spot,
                "largest_error": s.largest,
                "p": s.p,
            }
            yield f"{', ' * (i > 0)}{json.dumps(row, allow_nan=False)}"
        yield "]}"


# --- the folder ---


def _white(scores: Scores) -> float:
    """The error that is white on all maps: not the largest, for one odd pixel would leave all others black."""
    return float(scores.column("bright").max() or scores.column("largest").max() or 1.0)


def _white_words(scores: Scores) -> str:
    """What is white on all maps, and whether there are errors beyond it."""
    scale = _white(scores)
    return f"white: {scale:.2g}{' and more' if scores.column('largest').max() > scale else ''}"


def _write(options: argparse.Namespace, opened: Opened, pictures: Pictures, ranking: _Ranking) -> None:
    """Write the maps and tables, in a second pass over the most unusual images: now the scale is known."""
    import numpy as np

    from isthmus.analysis.screening import error_map
    from isthmus.commands.images.passage import through
    from isthmus.commands.images.pictures import Pictures
    from isthmus.commands.shared.output_folder import result_folder
    from isthmus.data.collections.listing import ACCOUNT
    from isthmus.data.formats.writers import write_like
    from isthmus.files import write_json

    scores = ranking.scores
    scale = _white(scores)
    ranks = {result.name: rank for rank, result in enumerate(scores[:_SHEET], 1)}
    rows, names = {}, set(scores.names)
    mapped = set(scores.names[: options.maps])
    drawn = mapped | set(ranks)
    unusual = Pictures(len(drawn), pictures.dtype, lambda: _only(pictures, drawn))
    with result_folder(options.out, force=options.force) as building:
        for result in through(opened.model, opened.shape, unusual, stride=opened.framing.stride, task="writing maps"):
            errors = np.clip(error_map(result.picture.x, result.x_hat) / scale, 0, 1)[None]
            if printable(result.picture.name) in mapped:
                write_like(None, errors, building / "maps" / map_name(result.picture.name, names))
            if rank := ranks.get(printable(result.picture.name)):
                caption = f"{rank}: {_short(result.picture.name)}, {ranking.caption(scores[rank - 1])}"
                rows[rank] = (caption, [result.picture.x, result.x_hat, errors])
        with open(building / "scores.csv", "w", encoding="utf-8", newline="") as file:
            _write_csv(file, scores)
        _plot_sheet(building / SHEET, [rows[rank] for rank in sorted(rows)], _white_words(scores))
        facts = {"command": options.command, "model": opened.facts(), **ranking.facts(), "normal": options.normal}
        if pictures.left_out:
            facts["left_out"] = [printable(name) for name in pictures.left_out]
        write_json(
            building / ACCOUNT,
            {**facts, "n": len(scores), "maps": {"black": 0.0, "white": scale}, "drawn": ["maps", SHEET]},
        )


def _only(pictures: Pictures, names: Collection[str]) -> Iterator[Picture]:
    return (picture for picture in pictures.read() if printable(picture.name) in names)


def map_name(name: str, names: Collection[str]) -> str:
    """The name of an image's map: the image's own, with .png after any other ending.

    >>> [map_name(name, ["a.png", "b.jpg"]) for name in ("a.png", "b.jpg")]
    ['a.png', 'b.jpg.png']
    """
    if name.lower().endswith(".png"):
        return name
    return f"{name}.map.png" if f"{name}.png" in names else f"{name}.png"


def _plot_sheet(path: Path, rows: list[tuple[str, list[np.ndarray]]], white_words: str) -> None:
    """Plot a row for each image: the original, its reconstruction, and the error, with what is white in it."""
    from isthmus.commands.shared.previews import captioned, smaller, stacked, stretched, white_of, write_preview

    white = white_of(smaller(x) for _, (x, _, _) in rows)
    shown = [[*(stretched(smaller(image), white) for image in (x, x_hat)), error] for _, (x, x_hat, error) in rows]
    cells = stacked([image for images in shown for image in images])
    lines = {caption: cells[3 * i : 3 * i + 3] for i, (caption, _) in enumerate(rows)}
    model = "model" if white == 1 else "model\n(same)"  # three numbers side by side would run into each other
    write_preview(
        path, lines, [captioned("original", white), model, f"error\n({white_words})".replace(" and", "\nand")]
    )


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 28 else f"…{name[-27:]}"


def _write_csv(file: IO[str], scores: Scores) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["rank", "name", "label", "mse", "largest_error", "seen", "selected", "spot", "p"])
    for rank, score in enumerate(scores, 1):
        writer.writerow(
            [
                rank,
                score.name,
                score.label,
                f"{score.mse:.9g}",
                f"{score.largest:.9g}",
                *({True: "yes", False: "no", None: ""}[known] for known in (score.seen, score.selected)),
                f"{score.spot:.9g}",
                "" if score.p is None else f"{score.p:.6g}",
            ]
        )
