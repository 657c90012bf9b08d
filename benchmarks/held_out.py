"""README's command on six photographs that come with scikit-learn and scikit-image, two held out at a time.

    python -m benchmarks.held_out [--pairs 3] [--held-out flower] [--levels 0.05,0.1,0.2] [--threads 2] [--json FILE]
                                  [--readme]

For each pair `isthmus fit photographs/ -o restorer --corruption gaussian:0..0.2 --test 0` sees the other four. Noise is
not clipped, one draw for each photograph and level, and PSNR that of the estimate clipped to [0, 1]; of the grey
photograph the noise is grey too. Non-local means is told the level, and has for each the strength that is best for the
same four photographs; what it has with the best for the very photograph, which only who has the clean one knows, is
said beside it. A model of a pair takes a quarter of an hour; --json keeps what is measured, and what is there already
is not measured again. --readme puts the table into README.md, and crops of chelsea and coffee, when their model is
trained, into docs/photographs.jpg.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from benchmarks.photographs import noisy, psnr
from isthmus import load
from isthmus.cli import run_command
from isthmus.data.formats.writers import write_like
from isthmus.estimators.denoising.classical import METHODS

PAIRS = (("chelsea", "coffee"), ("astronaut", "flower"), ("china", "camera"))
CROPS = {"chelsea": (70, 150), "coffee": (40, 230)}  # of the picture: where a crop begins, row and column
SIDE, SHOWN = 150, 0.2  # pixels of a crop, and the level of its noise
Row = dict[str, Any]


def photographs() -> dict[str, np.ndarray]:
    """The six, (c, h, w) in [0, 1]."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    arrays = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    arrays |= {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "camera")}
    return {name: np.atleast_3d(x).transpose(2, 0, 1).astype(np.float32) / 255 for name, x in arrays.items()}


def fitted(pair: tuple[str, ...], images: dict[str, np.ndarray], threads: int) -> Any:
    """README's model of the photographs that are not in the pair."""
    with tempfile.TemporaryDirectory() as folder:
        for name, x in images.items():
            if name not in pair:
                write_like(None, x, Path(folder, "photographs", f"{name}.png"))
        model = Path(folder, "restorer")
        words = ["fit", f"{folder}/photographs", "-o", str(model), "--corruption", "gaussian:0..0.2", "--test", "0"]
        if run_command([*words, "--threads", str(threads)]):
            sys.exit("benchmarks: the fit has failed")
        return load(model)


def strengths_of(others: list[np.ndarray], levels: list[float]) -> list[float]:
    """Of non-local means, the strength that is best for these photographs, for each level."""
    method, strengths = METHODS["non-local-means"]

    def mean_psnr(sigma: float, strength: float) -> float:
        return statistics.fmean(psnr(method(noisy(x, sigma, 1), sigma, strength), x) for x in others)

    return [max(strengths, key=lambda strength, sigma=sigma: mean_psnr(sigma, strength)) for sigma in levels]


def measured(model: Any, name: str, x: np.ndarray, levels: list[float], strengths: list[float]) -> list[Row]:
    """For each level the PSNR of the model, told and blind, and of non-local means of a strength, and at its best."""
    rows, (method, _) = [], METHODS["non-local-means"]
    for sigma, strength in zip(levels, strengths, strict=True):
        y = noisy(x, sigma, 0)
        seen = y if len(y) == model.n_channels_ else np.repeat(y, model.n_channels_, axis=0)
        told, blind = (model.denoise([seen], level)[0] for level in (sigma, None))
        values = {"noisy": y, "told": told, "blind": blind}
        values = {key: value.mean(axis=0, keepdims=True) if len(x) == 1 else value for key, value in values.items()}
        row = {key: psnr(value, x) for key, value in values.items()}
        nlm, best = (psnr(x_hat, x) for x_hat in (method(y, sigma, strength), best_of_non_local_means(y, sigma, x)))
        rows.append({"image": name, "sigma": sigma, **row, "non-local means": nlm, "at its best": best})
    return rows


def best_of_non_local_means(y: np.ndarray, sigma: float, x: np.ndarray) -> np.ndarray:
    """Its estimate of x with the strength that is best, which only who has x knows."""
    method, strengths = METHODS["non-local-means"]
    return max((method(y, sigma, strength) for strength in strengths), key=lambda x_hat: psnr(x_hat, x))


def picture(model: Any, images: dict[str, np.ndarray], path: Path) -> None:
    """Crops of a pair, a photograph to a line: noisy, by non-local means, by the model, and as it was."""
    from matplotlib import pyplot

    figure, lines = pyplot.subplots(len(CROPS), 4, figsize=(10, 5.4), squeeze=False)
    for line, (name, (top, left)) in zip(lines, CROPS.items(), strict=True):
        x = images[name]
        y = noisy(x, SHOWN, 0)
        estimates = {
            "noisy": y,
            "non-local means": best_of_non_local_means(y, SHOWN, x),
            "isthmus": model.denoise([y])[0],
        }
        for axes, (title, estimate) in zip(line, {**estimates, "as it was": x}.items(), strict=True):
            crop = estimate[:, top : top + SIDE, left : left + SIDE].clip(0, 1).transpose(1, 2, 0)
            axes.imshow(crop, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(title if estimate is x else f"{title}, {psnr(estimate, x):.1f} dB", fontsize=11)
    figure.tight_layout(pad=0.4, h_pad=0.9)
    figure.savefig(path, dpi=120, pil_kwargs={"quality": 88})
    pyplot.close(figure)


def table(rows: list[Row]) -> list[str]:
    """PSNR by photograph and level, the model's told and blind beside non-local means, as Markdown."""
    levels = list(dict.fromkeys(row["sigma"] for row in rows))
    lines = ["| PSNR, dB: told / σ estimated / non-local means |" + "".join(f" σ = {s:g} |" for s in levels)]
    lines.append("|---|" + "---|" * len(levels))
    for name in dict.fromkeys(row["image"] for row in rows):
        mine = [row for row in rows if row["image"] == name]
        cells = [" / ".join(f"{row[key]:.2f}" for key in ("told", "blind", "non-local means")) for row in mine]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def conclusion(rows: list[Row]) -> str:
    """Where the model loses, and how it stands where non-local means is at its best for the very photograph."""

    def behind(key: str) -> str:
        lost = [f"{row['image']} at {row['sigma']:g}" for row in rows if min(row["told"], row["blind"]) < row[key]]
        return f"is behind it on {', '.join(lost)}" if lost else "is ahead of it everywhere"

    return (
        "One draw of the noise for each photograph and level. Non-local means has the strength that is best for the "
        f"four photographs: isthmus {behind('non-local means')}. With the best one for the very photograph, isthmus "
        f"{behind('at its best')}."
    )


def main() -> None:
    parser = readme.arguments(
        "benchmarks.held_out", "README's photograph command, two of six held out at a time.", 3, "--pairs"
    )
    parser.add_argument("--levels", default="0.05,0.1,0.2", help="of black to white, with commas (0.05,0.1,0.2)")
    parser.add_argument("--held-out", metavar="NAME,...", help="hold these out together, in place of the pairs")
    options = parser.parse_args()
    if options.held_out and options.readme:
        parser.error("README's table has all pairs: --readme goes without --held-out")
    images = photographs()
    groups = [tuple(options.held_out.split(","))] if options.held_out else list(PAIRS[: options.pairs])
    if unknown := sorted(set().union(*groups) - set(images)):
        parser.error(f"unknown photograph {unknown[0]}; known: {', '.join(images)}")
    if any(len(set(group)) == len(images) for group in groups):
        parser.error("--held-out names all photographs, and leaves none to train on")
    torch.set_num_threads(options.threads)
    levels = [float(level) for level in options.levels.split(",")]
    rows = list[Row]()
    if options.json and options.json.exists():
        rows = json.loads(options.json.read_text("utf-8"))
    for pair in groups:
        if any(row["held_out"] == list(pair) for row in rows):
            continue
        model = fitted(pair, images, options.threads)
        strengths = strengths_of([x for name, x in images.items() if name not in pair], levels)
        measured_now = [row for name in pair for row in measured(model, name, images[name], levels, strengths)]
        rows += [{**row, "held_out": list(pair)} for row in measured_now]
        if options.readme and set(pair) == set(CROPS):
            picture(model, images, readme.README.parent / "docs" / "photographs.jpg")
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1), "utf-8")
    rows = [row for pair in groups for row in rows if row["held_out"] == list(pair)]
    lines = [*table(rows), "", conclusion(rows)]
    print("\n".join(lines))
    if options.readme:
        readme.put("benchmarks.held_out", lines)


if __name__ == "__main__":
    main()
