"""Standardization: one offset and one scale for each channel, at the two ends of a network.

Inside, a network sees (x - offset) / scale, and what it draws is multiplied and shifted back, so that its samples,
reconstructions and errors stay in the data's units. It is one number for a whole channel, never one for each pixel,
which would enlarge the noise of pixels that hardly vary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import Samples, evenly

# Numbers of images light on black, in [0, 1], have a standard deviation of about 0.3: for these the recipe's learning
# rates were found, and penalties' weights are known. So all data are brought to it.
SPREAD = 0.3
_SAMPLED = 2**20  # numbers of which the median is taken
_CHUNK = 2**18  # numbers that are looked at at a time: as many as a cache holds, in half of the time of 2**22


@dataclass(frozen=True)
class Standardization:
    """The maps of the two ends, each number for one channel: they differ where the output has bounds of its own.

    x → (x - offset) / scale goes in, and what comes out is y · out_scale + out_offset.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    out_offset: tuple[float, ...]
    out_scale: tuple[float, ...]

    def __post_init__(self) -> None:
        n = len(self.offset)
        for name, values in self.table().items():
            if len(values) != n or not n or not all(isinstance(v, float) and math.isfinite(v) for v in values):
                raise ValueError(f"{name} of a standardization must be {n or 'some'} finite numbers, got {values!r}")
        if not all(self.scale) or not all(self.out_scale):
            raise ValueError("the scales of a standardization must not be 0")

    def table(self) -> dict[str, list[float]]:
        """As config.json has it."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Standardization:
        """What `table` gave. Raises ValueError or TypeError for anything else."""
        return cls(**{name: tuple(values) for name, values in table.items()})

    @property
    def unit(self) -> float:
        """A squared error of 1 inside the network, in the data's units squared."""
        return float(np.mean(np.square(self.scale)))

    @property
    def leaves_output(self) -> bool:
        """Whether what comes out is as it is: of a loss that takes numbers in [0, 1]."""
        return not any(self.out_offset) and all(scale == 1 for scale in self.out_scale)

    def of_features(self, n_features: int) -> torch.Tensor:
        """(4, n_features) float32: offset, scale, out_offset and out_scale of each number of a sample."""
        rows = np.array(list(self.table().values()), np.float32)
        if n_features % rows.shape[1]:
            raise ValueError(f"{n_features} numbers are not {rows.shape[1]} channels")
        return torch.from_numpy(rows.repeat(n_features // rows.shape[1], axis=1))


@dataclass(frozen=True)
class Range:
    """Where the numbers of one channel lie."""

    median: float
    deviation: float
    low: float
    high: float


def _centred(channel: Range, scale: float) -> tuple[float, float]:
    """An output without bounds: as the input."""
    return channel.median, scale


def _between(bounds: float) -> Callable[[Range, float], tuple[float, float]]:
    """An output between 0 and 1, or with `bounds` = 2 between -1 and 1: these are the least and the largest number."""

    def ends(channel: Range, _scale: float) -> tuple[float, float]:
        width = channel.high - channel.low or 1.0
        middle = (channel.high + channel.low) / 2
        return (middle - width / 2, width) if bounds == 1 else (middle, width / 2)

    return ends


def _from_background(channel: Range, scale: float) -> tuple[float, float]:
    """An output with a lower bound: the end of the range that most pixels are near to, with the other one above it."""
    dark = channel.median - channel.low <= channel.high - channel.median
    return (channel.low, scale) if dark else (channel.high, -scale)


# By the activation of the output: (offset, scale) of what comes out.
_OUTPUTS: dict[str, Callable[[Range, float], tuple[float, float]]] = {
    "gelu": _from_background,
    "leakyrelu": _centred,
    "linear": _centred,
    "relu": _from_background,
    "sigmoid": _between(1),
    "silu": _from_background,
    "tanh": _between(2),
}


def standardization_of(samples: Samples, channels: int, output: str, *, bounded: bool = False) -> Standardization:
    """Offsets and scales fitted to samples: a channel's median, and its standard deviation over 0.3.

    The median, not the mean, is what becomes 0: where there is a background it is that, and a code that is off draws
    it. output: the activation of the network's output. bounded: the loss takes numbers in [0, 1] as they are ("bce").
    """
    ranges = _ranges(samples, channels)
    varying = [channel.deviation for channel in ranges if channel.deviation > 0]
    # a channel that is the same everywhere has no scale of its own
    usual = math.sqrt(sum(d * d for d in varying) / len(varying)) if varying else SPREAD
    scales = [(channel.deviation or usual) / SPREAD for channel in ranges]
    outs = [(0.0, 1.0) if bounded else _OUTPUTS[output](*pair) for pair in zip(ranges, scales, strict=True)]
    offsets = tuple(channel.median for channel in ranges)
    return Standardization(offsets, tuple(scales), tuple(o for o, _ in outs), tuple(s for _, s in outs))


def _ranges(samples: Samples, channels: int) -> list[Range]:
    n, n_features = len(samples), samples.n_features
    rows = max(1, _CHUNK // n_features)
    total, squares = np.zeros(channels), np.zeros(channels)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    first = _channels(samples.batch(slice(1)), channels).mean(axis=(0, 2))  # subtracted, so that no digits cancel
    for start in range(0, n, rows):
        x = _channels(samples.batch(slice(start, start + rows)), channels)
        low, high = np.minimum(low, x.min(axis=(0, 2))), np.maximum(high, x.max(axis=(0, 2)))
        difference = x - first[:, None]
        total += difference.sum(axis=(0, 2))
        squares += np.square(difference).sum(axis=(0, 2))
    mean, count = total / (n * n_features / channels), n * n_features / channels
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    deviation[deviation <= 1e-6 * np.maximum(abs(low), abs(high))] = 0  # rounding
    some = evenly(samples, max(64, _SAMPLED // n_features))
    medians = np.median(_channels(some, channels), axis=(0, 2))
    return [Range(*map(float, values)) for values in zip(medians, deviation, low, high, strict=True)]


def _channels(x: torch.Tensor, channels: int) -> np.ndarray:
    """Samples (n, n_features) as (n, channels, pixels) float64."""
    return x.cpu().numpy().reshape(len(x), channels, -1).astype(np.float64)
