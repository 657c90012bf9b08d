"""README's command on six photographs that come with scikit-learn and scikit-image, two held out at a time.

    python -m benchmarks.held_out [--pairs 3] [--levels 0.05,0.1,0.2] [--threads 2] [--json FILE] [--readme]

For each pair `isthmus fit photographs/ -o restorer --corruption gaussian:0..0.2 --test 0` sees the other four. Noise is
not clipped, one draw for each photograph and level, and PSNR that of the estimate clipped to [0, 1]; of the grey
photograph the noise is grey too. Non-local means is told the level, and has the best strength for each photograph,
which the model has not. A model of a pair takes a quarter of an hour; --json keeps what is measured, and
what is there already is not measured again. --readme puts the table into README.md.
"""

from __future__ import annotations

import json
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


def measured(model: Any, name: str, x: np.ndarray, levels: list[float]) -> list[Row]:
    """For each level the PSNR of the model, told and blind, and of non-local means at its best."""
    method, strengths = METHODS["non-local-means"]
    rows = []
    for sigma in levels:
        y = noisy(x, sigma, 0)
        seen = y if len(y) == model.n_channels_ else np.repeat(y, model.n_channels_, axis=0)
        told, blind = (model.denoise([seen], level)[0] for level in (sigma, None))
        values = {"noisy": y, "told": told, "blind": blind}
        values = {key: value.mean(axis=0, keepdims=True) if len(x) == 1 else value for key, value in values.items()}
        row = {key: psnr(value, x) for key, value in values.items()}
        nlm = max(psnr(method(y, sigma, strength), x) for strength in strengths)
        rows.append({"image": name, "sigma": sigma, **row, "non-local means": nlm})
    return rows


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


def main() -> None:
    parser = readme.arguments(
        "benchmarks.held_out", "README's photograph command, two of six held out at a time.", 3, "--pairs"
    )
    parser.add_argument("--levels", default="0.05,0.1,0.2", help="of black to white, with commas (0.05,0.1,0.2)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    levels = [float(level) for level in options.levels.split(",")]
    images, rows = photographs(), list[Row]()
    if options.json and options.json.exists():
        rows = json.loads(options.json.read_text("utf-8"))
    for pair in PAIRS[: options.pairs]:
        if all(any(row["image"] == name for row in rows) for name in pair):
            continue
        model = fitted(pair, images, options.threads)
        rows += [row for name in pair for row in measured(model, name, images[name], levels)]
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1), "utf-8")
    lines = [
        *table(rows),
        "",
        "One draw of the noise for each photograph and level; non-local means with its best strength for each.",
    ]
    print("\n".join(lines))
    if options.readme:
        readme.put("benchmarks.held_out", lines)


if __name__ == "__main__":
    main()
