"""Pixels that live on the device, handed out in batches of float32: no worker processes, no per-item Python."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from isthmus.data.images import Images
from isthmus.rng import generator


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor, without a copy unless it is not contiguous or is read-only (which torch cannot be)."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


class Pixels:
    """All samples on one device, as uint8 or float32, (n, n_features); a batch is scaled when it is used.

    From `Images`, uint8 pixels are divided by 255. An array is numbers: taken as they are.
    """

    def __init__(self, x: Images | np.ndarray, device: torch.device) -> None:
        values = x.pixels if isinstance(x, Images) else x
        flat = as_tensor(values.reshape(len(values), -1))
        self.scale = 1 / 255 if isinstance(x, Images) and flat.dtype == torch.uint8 else None
        if self.scale is None:
            flat = flat.to(torch.float32)
        self.values = flat.to(device)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self.values.device

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    def batch(self, which: torch.Tensor | slice) -> torch.Tensor:
        """A new float32 tensor of these samples, (len(which), n_features)."""
        if isinstance(which, slice):
            part = self.values[which]
        else:
            part = self.values.index_select(0, which)
        if self.scale is not None:
            return part.to(torch.float32).mul_(self.scale)
        return part.clone() if isinstance(which, slice) else part


def epoch_order(n: int, shuffle: bool | str, seed: int, epoch: int, device: torch.device) -> torch.Tensor | None:
    """The order in which an epoch (from 1) visits n samples: a permutation on `device`, or None for 0, 1, 2, ...

    Drawn on the CPU, so that it is the same on every device.
    """
    if shuffle is False:
        return None
    stream = generator(seed, "order", 0 if shuffle == "once" else epoch)
    return torch.randperm(n, generator=stream).to(device)


def batches(pixels: Pixels, batch_size: int, order: torch.Tensor | None) -> Iterator[torch.Tensor]:
    """The samples in this order, in batches; the last one is what is left."""
    for start in range(0, len(pixels), batch_size):
        stop = min(start + batch_size, len(pixels))
        yield pixels.batch(slice(start, stop) if order is None else order[start:stop])
