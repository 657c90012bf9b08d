"""Noise in photographs: isthmus beside BM3D, non-local means, total variation and wavelets, which learn nothing.

    make bench-alternatives  # its environment, build/alternatives, has bm3d
    python -m benchmarks.photographs [--seeds 3] [--with long,noisy] [--models FOLDER] [--images 68]
                                     [--levels 15,25,50] [--threads 2] [--json FILE] [--readme]

The usual protocol: pixels in [0, 1], noise of σ/255 that is neither clipped nor rounded, σ told, PSNR of each estimate
clipped to [0, 1], the mean over images, and of several models the median. All methods see the same noisy images of
`bsd68`. The models are trained on `train400`, by the fast recipe for σ 0…55, from several seeds; "long" for four times
as many epochs; "noisy" on noisy photographs alone, σ = 25. --models keeps them in a folder, and takes those that it
has. What a classical method leaves open is chosen on forty images of train400, for each level: the weight of total
variation, and h of non-local means. Seconds are of one image after another, each method in its turn for each image;
bm3d and scikit-image use the threads that they use. The folders lie in $ISTHMUS_DATA/photographs. --readme puts the
table into README.md.
"""

from __future__ import annotations

import copy
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from isthmus import Denoiser, GaussianNoise, IsthmusError, load
from isthmus.data.photographs.image_list import image_list
from isthmus.errors import counted
from isthmus.estimators.denoising.classical import METHODS, Method
from isthmus.estimators.denoising.denoiser_fit import training_of

Estimate = Callable[[np.ndarray, float], np.ndarray]  # (noisy image, σ) → without its noise
HIGHEST = 55 / 255
CHOSEN_ON = 40  # images of train400
NOISY = 25 / 255  # of the photographs of "noisy"
_LONGER, _OTHERS = 4, 1000  # epochs of "long" for one of the recipe; the first number of other noise than bsd68's


def bm3d(y: np.ndarray, sigma: float, _: float) -> np.ndarray:
    """Dabov, Foi, Katkovnik, Egiazarian 2007, by the package of its authors."""
    from bm3d import bm3d as denoise

    return denoise(y[0].astype(np.float64), sigma)[None]


CLASSICAL: dict[str, tuple[Method, tuple[float, ...]]] = {  # with the values to choose from
    "bm3d": (bm3d, (1.0,)),
    "non-local means": METHODS["non-local-means"],
    "total variation": METHODS["total-variation"],
    "wavelets": METHODS["wavelets"],
}


def noisy(x: np.ndarray, sigma: float, number: int) -> np.ndarray:
    """The image (1, h, w) with noise of its own seed, its number."""
    noise = np.random.default_rng(number).normal(size=x.shape).astype(np.float32)
    return x + np.float32(sigma) * noise


def psnr(x_hat: np.ndarray, x: np.ndarray) -> float:
    """In dB, of an estimate that is clipped to [0, 1]."""
    return float(-10 * np.log10(np.square(np.clip(x_hat, 0, 1) - x).mean(dtype=np.float64)))


def chosen(images: list[np.ndarray], levels: list[float]) -> dict[tuple[str, float], float]:
    """The value of each method and level that is best on these images."""
    best = {}
    for name, (method, values) in CLASSICAL.items():
        for sigma in levels:
            if len(values) == 1:
                best[name, sigma] = values[0]
                continue
            scores = {
                value: statistics.fmean(psnr(method(noisy(x, sigma, i), sigma, value), x) for i, x in enumerate(images))
                for value in values
            }
            best[name, sigma] = max(scores, key=lambda value: scores[value])
    return best


def measured(
    methods: Mapping[str, Estimate],
    images: list[np.ndarray],
    levels: list[float],
    numbers: Iterable[int] | None = None,
) -> list[dict[str, Any]]:
    """For each image, level and method a row: PSNR and seconds.

    numbers: of the images, by which their noise is drawn; from 0 unless given.
    """
    rows = []
    for number, x in zip(range(len(images)) if numbers is None else numbers, images, strict=True):
        for sigma in levels:
            y = noisy(x, sigma, number)
            for name, method in methods.items():
                start = time.perf_counter()
                x_hat = method(y, sigma)
                seconds = time.perf_counter() - start
                rows.append(
                    {"method": name, "sigma": sigma, "image": number, "psnr": psnr(x_hat, x), "seconds": seconds}
                )
        print(f"image {number + 1} of {len(images)}", file=sys.stderr, end="\r", flush=True)
    print(file=sys.stderr)
    return rows


def of_model(model: Any, *, told: bool = True) -> Estimate:
    """A denoiser as `measured` takes methods; untold it estimates the level."""
    return lambda y, sigma: model.denoise([y], sigma if told else None)[0]


def methods_of(model: Any, values: Mapping[tuple[str, float], float] | None = None) -> dict[str, Estimate]:
    """A model, told and untold, and with what is `chosen` for them the methods that learn nothing."""
    methods = {"isthmus": of_model(model), "isthmus, σ estimated": of_model(model, told=False)}
    if values is None:
        return methods
    for name, (method, _) in CLASSICAL.items():
        methods[name] = lambda y, sigma, name=name, method=method: method(y, sigma, values[name, sigma])
    return {**methods, "the noisy image": lambda y, _: y}


def table(rows: list[dict[str, Any]], minutes: Mapping[str, float]) -> list[str]:
    """PSNR by level, and seconds an image, as Markdown: of a method its mean over the images.

    Of models that differ in "seed" alone, which the rows of all but the first have, it is the median of the means, and
    seconds are the first one's, which was measured in turn with the others. minutes: of training, the first one's too.
    """
    levels = list(dict.fromkeys(row["sigma"] for row in rows))
    heads = "".join(f" σ = {sigma * 255:g} |" for sigma in levels)
    lines = [
        f"| PSNR, dB |{heads} training, min | s an image | times isthmus' |",
        "|---|" + "---|" * (len(levels) + 3),
    ]

    def seconds(method: str) -> float:
        return statistics.median(row["seconds"] for row in rows if row["method"] == method and "seed" not in row)

    def mean(method: str, sigma: float) -> float:
        of = [row for row in rows if (row["method"], row["sigma"]) == (method, sigma)]
        by_seed = [[row["psnr"] for row in of if row.get("seed") == seed] for seed in {row.get("seed") for row in of}]
        return statistics.median(map(statistics.fmean, by_seed)) if of else math.nan

    for method in dict.fromkeys(row["method"] for row in rows):
        means = [mean(method, sigma) for sigma in levels]
        cells = "".join(" |" if math.isnan(value) else f" {value:.2f} |" for value in means)
        trained = f" {minutes[method]:.1f} |" if method in minutes else " |"
        is_timed = method != "the noisy image"
        took = f" {seconds(method):.2g} | {seconds(method) / seconds('isthmus'):.3g} |" if is_timed else " | |"
        lines.append(f"| {method} |{cells}{trained}{took}")
    return lines


def greys(folder: Path) -> list[np.ndarray]:
    """The photographs of a folder, (1, h, w) in [0, 1]."""
    photographs = image_list(folder)
    return [photographs.floats(i).mean(axis=0, keepdims=True) for i in range(len(photographs))]


def trained(kind: str, seed: int, training: list[np.ndarray], kept: Path) -> tuple[Denoiser, float]:
    """A model, and the minutes of its `fit`: from the folder, or trained and saved there."""
    folder = kept / f"{kind}-{seed}"
    if not folder.exists():
        model = Denoiser(noise=GaussianNoise((0, HIGHEST)), recipe="fast", random_state=seed)
        if kind == "long":
            model.set_params(epochs=_LONGER * training_of(model).epochs)
        if kind == "noisy":
            model.set_params(target="noisy")
            training = [noisy(x, NOISY, _OTHERS + i) for i, x in enumerate(training)]
        start = time.perf_counter()
        model.fit(training)
        minutes = (time.perf_counter() - start) / 60
        print(f"{folder.name}: trained in {minutes:.1f} minutes", file=sys.stderr)
        model.save(folder)
        folder.with_suffix(".json").write_text(json.dumps(minutes), "utf-8")
    return load(folder), json.loads(folder.with_suffix(".json").read_text("utf-8"))


def main() -> None:
    parser = readme.arguments("benchmarks.photographs", "isthmus and what learns nothing.", 68, "--images")
    parser.add_argument("--seeds", type=int, default=3, help="so many models of the fast recipe (3)")
    parser.add_argument("--with", dest="others", default="", help="and these, with commas: long, noisy")
    parser.add_argument("--models", type=Path, help="the folder where models are kept (one that is removed)")
    parser.add_argument("--levels", default="15,25,50", help="σ of 255, with commas (15,25,50)")
    options = parser.parse_args()
    others = [name for name in options.others.split(",") if name]
    if unknown := set(others) - {"long", "noisy"}:
        parser.error(f"--with takes long and noisy, not {min(unknown)}")
    torch.set_num_threads(options.threads)
    levels = [float(level) / 255 for level in options.levels.split(",")]
    folder = Path(os.environ.get("ISTHMUS_DATA", ".")) / "photographs"
    try:
        training = greys(folder / "train400")
        images = greys(folder / "bsd68")[: options.images]
        with tempfile.TemporaryDirectory() as removed:
            kept = options.models or Path(removed)
            models = [trained("fast", seed, training, kept) for seed in range(options.seeds)]
            long, from_noisy = (
                trained(kind, 0, training, kept) if kind in others else None for kind in ("long", "noisy")
            )
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    values = chosen(training[:: len(training) // CHOSEN_ON], levels)
    first, minutes = models[0][0], {"isthmus": models[0][1]}
    rows = measured(methods_of(first, values), images, levels)
    for seed, (model, _) in enumerate(models[1:], 1):
        rows += [{**row, "seed": seed} for row in measured(methods_of(model), images, levels)]
    ensemble = copy.copy(first).set_params(self_ensemble=True)
    beside = {"isthmus, mean of eight views": of_model(ensemble)}
    if long is not None:
        minutes["isthmus, trained longer"] = long[1]
        beside["isthmus, trained longer"] = of_model(long[0])
        minutes["the same, mean of eight views"] = long[1]
        beside["the same, mean of eight views"] = of_model(copy.copy(long[0]).set_params(self_ensemble=True))
    rows += measured(beside, images, levels)
    if from_noisy is not None:
        name = "isthmus, from noisy ones of σ = 25 alone"
        minutes[name] = from_noisy[1]
        rows += measured({name: of_model(from_noisy[0])}, images, [NOISY])
    of = f"{counted(len(images), 'image')}, of isthmus {counted(options.seeds, 'model')}"
    lines = [*table(rows, minutes), "", f"{readme.conditions(of, options.threads)}."]
    print("\n".join(lines))
    if options.json:
        named = {f"{name}, {sigma * 255:g}": value for (name, sigma), value in values.items()}
        options.json.write_text(json.dumps({"minutes": minutes, "chosen": named, "rows": rows}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.photographs", lines)


if __name__ == "__main__":
    main()
