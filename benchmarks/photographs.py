"""Noise in photographs: isthmus beside BM3D, non-local means, total variation and wavelets, which learn nothing.

    make bench-alternatives  # its environment, build/alternatives, has bm3d
    python -m benchmarks.photographs [--model FOLDER] [--images 68] [--levels 15,25,50] [--threads 2] [--seed 0]
                                     [--json FILE] [--readme]

The usual protocol: pixels in [0, 1], noise of σ/255 that is neither clipped nor rounded, σ told, PSNR of each estimate
clipped to [0, 1], the mean over images. All methods see the same noisy images of `bsd68`. The model is trained on
`train400` by the fast recipe for σ 0…55 (or is a saved one: --model). What a classical method leaves open is chosen on
forty images of train400, for each level: the weight of total variation, and h of non-local means. Seconds are of one
image after another, each method in its turn for each image; bm3d and scikit-image use the threads that they use. The
folders lie in $ISTHMUS_DATA/photographs. --readme puts the table into README.md.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import readme
from isthmus import Denoiser, GaussianNoise, IsthmusError, Residual, load
from isthmus.data.photographs.image_list import image_list
from isthmus.estimators.denoising.classical import METHODS, Method

HIGHEST = 55 / 255
CHOSEN_ON = 40  # images of train400


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
    model: Any,
    images: list[np.ndarray],
    levels: list[float],
    values: dict[tuple[str, float], float],
    numbers: Iterable[int] | None = None,
) -> list[dict[str, Any]]:
    """For each image, level and method a row: PSNR and seconds. The model's is told σ, and once estimates it.

    values: of the classical methods, which are left out where it is empty. numbers: of the images, by which their noise
    is drawn; from 0 unless given.
    """
    methods: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
        "isthmus": lambda y, sigma: model.denoise([y], sigma)[0],
        "isthmus, σ estimated": lambda y, _: model.denoise([y])[0],
    }
    for name, (method, _) in CLASSICAL.items() if values else ():
        methods[name] = lambda y, sigma, name=name, method=method: method(y, sigma, values[name, sigma])
    methods["the noisy image"] = lambda y, _: y
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


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Mean PSNR by level, and seconds an image, as Markdown."""
    levels = list(dict.fromkeys(row["sigma"] for row in rows))
    heads = "".join(f" σ = {sigma * 255:g} |" for sigma in levels)
    lines = [f"| PSNR, dB |{heads} s an image | times isthmus' |", "|---|" + "---|" * (len(levels) + 2)]

    def seconds(method: str) -> float:
        return statistics.median(row["seconds"] for row in rows if row["method"] == method)

    for method in dict.fromkeys(row["method"] for row in rows):
        means = [
            statistics.fmean(row["psnr"] for row in rows if (row["method"], row["sigma"]) == (method, sigma))
            for sigma in levels
        ]
        cells = "".join(f" {mean:.2f} |" for mean in means)
        if method == "the noisy image":
            lines.append(f"| {method} |{cells} | |")
        else:
            lines.append(f"| {method} |{cells} {seconds(method):.2g} | {seconds(method) / seconds('isthmus'):.3g} |")
    return lines


def greys(folder: Path) -> list[np.ndarray]:
    """The photographs of a folder, (1, h, w) in [0, 1]."""
    photographs = image_list(folder)
    return [photographs.floats(i).mean(axis=0, keepdims=True) for i in range(len(photographs))]


def main() -> None:
    parser = readme.arguments("benchmarks.photographs", "isthmus and what learns nothing.", 68, "--images")
    parser.add_argument("--model", type=Path, help="a saved Denoiser, in place of training one")
    parser.add_argument("--levels", default="15,25,50", help="σ of 255, with commas (15,25,50)")
    parser.add_argument("--seed", type=int, default=0, help="of the model (0)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    levels = [float(level) / 255 for level in options.levels.split(",")]
    folder = Path(os.environ.get("ISTHMUS_DATA", ".")) / "photographs"
    minutes = None
    try:
        training = greys(folder / "train400")
        images = greys(folder / "bsd68")[: options.images]
        if options.model:
            model = load(options.model)
        else:
            model = Denoiser(Residual(), noise=GaussianNoise((0, HIGHEST)), recipe="fast", random_state=options.seed)
            start = time.perf_counter()
            model.fit(training)
            minutes = (time.perf_counter() - start) / 60
            print(f"trained in {minutes:.1f} minutes", file=sys.stderr)
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    values = chosen(training[:: len(training) // CHOSEN_ON], levels)
    rows = measured(model, images, levels, values)
    trained = f"trained in {minutes:.1f} minutes" if minutes else f"{options.model.name}, trained before"
    lines = [*table(rows), "", f"{readme.conditions(f'{len(images)} images', options.threads)}; isthmus {trained}."]
    print("\n".join(lines))
    if options.json:
        named = {f"{name}, {sigma * 255:g}": value for (name, sigma), value in values.items()}
        options.json.write_text(json.dumps({"minutes": minutes, "chosen": named, "rows": rows}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.photographs", lines)


if __name__ == "__main__":
    main()
