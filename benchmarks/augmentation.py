"""What augmentation costs: `python -m benchmarks.augmentation [--repeats 200]`.

Interleaved in one run: `isthmus.augmentation.warped`, by torch's `grid_sample`; the same maps gathered by hand, in
pixels; the whole of `augment` for half of a batch; and its share of an epoch, by training with and without it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from isthmus import Affine, Autoencoder, Dense
from isthmus.augmentation import augment, drawn, warped

_SHAPES = ((128, 1, 28, 28), (64, 3, 32, 32), (16, 1, 96, 64))


def gathered(images: torch.Tensor, matrix: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """What `warped` computes, from four gathers of an image with a border of zeros."""
    n, channels, height, width = images.shape
    wide = width + 2
    padded = functional.pad(images, (1, 1, 1, 1)).view(n, channels, (height + 2) * wide)
    x = torch.arange(width).repeat(height) - (width - 1) / 2
    y = torch.arange(height).repeat_interleave(width) - (height - 1) / 2
    place = torch.baddbmm(shift[:, :, None], matrix, torch.stack([x, y]).expand(n, 2, -1))
    at_x = place[:, :1].add_((width + 1) / 2).clamp_(0, width + 1)
    at_y = place[:, 1:].add_((height + 1) / 2).clamp_(0, height + 1)
    left, top = at_x.floor().clamp_(max=width), at_y.floor().clamp_(max=height)
    corner = top.to(torch.int64).mul_(wide).add_(left.to(torch.int64)).expand(n, channels, -1)
    upper, lower = (
        torch.lerp(padded.gather(2, corner + row), padded.gather(2, corner + row + 1), at_x - left) for row in (0, wide)
    )
    return torch.lerp(upper, lower, at_y - top).view(images.shape)


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each call, one after the other in each round, so that all have the same machine."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def epoch_seconds(augmentation: Affine | None) -> float:
    """Training steps of an epoch of 12,800 images, by the narrow network of study thirty."""
    x = np.random.default_rng(0).random((12_800, 1, 28, 28), dtype=np.float32)
    network = Dense((512, 512), 30, activation="silu", code_activation="linear", output="sigmoid")
    model = Autoencoder(network, augmentation=augmentation, epochs=2, batch_size=128, random_state=0)
    return min(row.seconds for row in model.fit(x).history_)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    generator = torch.Generator().manual_seed(0)
    print(f"{torch.get_num_threads()} threads, medians of {repeats}, in ms")
    for shape in _SHAPES:
        images = torch.rand(shape, generator=generator)
        maps = drawn(Affine(), shape[0], generator, images)
        flat = images.view(shape[0], -1)
        calls: dict[str, Callable[[], object]] = {
            "warped": partial(warped, images, *maps),
            "gathered": partial(gathered, images, *maps),
            "augment half": partial(augment, Affine(), flat, generator, shape[1:]),
        }
        found = medians(calls, repeats)
        print("×".join(map(str, shape)), ", ".join(f"{name} {1e3 * value:.2f}" for name, value in found.items()))
    pairs = [(epoch_seconds(None), epoch_seconds(Affine())) for _ in range(3)]
    print(f"an epoch takes {statistics.median(b / a for a, b in pairs):.2f} times as long with half of it augmented")


if __name__ == "__main__":
    main()
