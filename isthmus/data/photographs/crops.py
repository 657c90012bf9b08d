"""Crops of photographs of any size, as samples: where, and how turned, is a function of (seed, epoch, position)."""

from __future__ import annotations

import functools

import numpy as np
import torch

from isthmus.data.photographs.image_list import ImageList
from isthmus.rng import numpy_generator

_TURNS = 8  # four rotations, each with its mirror image


class Crops:
    """Random square crops of photographs (c, h, w), `n` in an epoch, in the eight flips and turns.

    Each photograph is cropped as often as any other, whatever its size. scale: what its numbers are divided by.
    any_colour: a crop's channels come in any order, for what is learned of the colours of few photographs is theirs.
    Position i of epoch e has the number e · n + i, so that a batch is a function of its numbers alone. A photograph
    that is smaller than a crop is continued by its mirror image.
    """

    def __init__(
        self,
        photos: ImageList,
        size: int,
        n: int,
        device: torch.device,
        *,
        scale: float = 1.0,
        seed: int = 0,
        any_colour: bool = False,
    ) -> None:
        self.any_colour = any_colour
        self.photos, self.size, self.n, self.device, self.seed = photos, size, n, device, seed
        self.unit, self.channels = photos.unit / scale, photos.channels
        self.n_features = self.channels * size * size
        self._places = functools.lru_cache(maxsize=2)(self._all_places)

    def __len__(self) -> int:
        return self.n

    @property
    def fingerprint(self) -> str:
        """sha256 of the photographs."""
        return self.photos.fingerprint

    def order(self, epoch: int) -> torch.Tensor:
        """The numbers of an epoch's crops."""
        return torch.arange(self.n) + epoch * self.n

    def batch(self, which: torch.Tensor | slice) -> torch.Tensor:
        """These crops, (len(which), n_features)."""
        numbers = range(*which.indices(self.n)) if isinstance(which, slice) else which.tolist()
        crops = torch.empty(len(numbers), self.channels, self.size, self.size)
        into = crops.numpy()
        for i, number in enumerate(numbers):
            epoch, position = divmod(number, self.n)
            index, rows, columns, turns, orders = self._places(epoch)
            crop = self._crop(self.photos.arrays[index[position]], rows[position], columns[position])
            turn = int(turns[position])
            crop = np.rot90(crop, turn % 4, axes=(1, 2))
            crop = crop[:, :, ::-1] if turn >= 4 else crop
            into[i] = crop if orders is None else crop[orders[position]]
        return crops.mul_(self.unit).flatten(1).to(self.device)

    def _crop(self, photo: np.ndarray, row: float, column: float) -> np.ndarray:
        """The crop whose upper left corner is this share of the way down and across."""
        h, w = photo.shape[1:]
        top, left = int(row * max(1, h - self.size + 1)), int(column * max(1, w - self.size + 1))
        crop = photo[:, top : top + self.size, left : left + self.size]
        if min(h, w) < self.size:
            below, beside = (max(0, self.size - side) for side in (h, w))
            crop = np.pad(crop, ((0, 0), (0, below), (0, beside)), mode="symmetric")
        return crop

    def _all_places(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Of each position of an epoch: the photograph, the corner as shares of height and width, the turn, and the
        order of the channels, if it is any.
        """
        stream, n_photos = numpy_generator(self.seed, "crop", epoch), len(self.photos)
        rounds = [stream.permutation(n_photos) for _ in range(-(-self.n // n_photos))]
        corners = stream.random((2, self.n))
        turns, orders = stream.integers(_TURNS, size=self.n), None
        if self.any_colour and self.channels > 1:
            orders = stream.permuted(np.tile(np.arange(self.channels), (self.n, 1)), axis=1)
        return np.concatenate(rounds)[: self.n], *corners, turns, orders
