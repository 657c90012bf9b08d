"""What a training reads: samples in batches of float32 on a device, in an order for each epoch.

`Pixels` live on the device themselves: no worker processes, no per-item Python.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from isthmus.data.images import Images
from isthmus.data.stored.stored_samples import StoredSamples
from isthmus.fingerprints import array_fingerprint, table_fingerprint
from isthmus.rng import content_generators, generator


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor, without a copy unless it is not contiguous or is read-only (which torch cannot be)."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


class Samples(Protocol):
    """n samples of n_features numbers, wherever they are kept; batches are on `device`.

    Everything in it is a function of what it was made of and of its arguments, so that a training can be repeated.
    """

    @property
    def n_features(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def fingerprint(self) -> str:
        """sha256 of the samples, one of the facts of a fit."""

    def __len__(self) -> int: ...

    def batch(self, which: torch.Tensor | slice) -> torch.Tensor:
        """A new float32 tensor of these samples, (len(which), n_features)."""

    def order(self, epoch: int) -> torch.Tensor | None:
        """Which sample an epoch (from 1) takes when: a permutation on `device`, or None for 0, 1, 2, ..."""


def is_samples(x: Any) -> bool:
    """Whether x follows `Samples`, as arrays and `Images` do not."""
    return callable(getattr(x, "batch", None)) and callable(getattr(x, "order", None))


def samples_on(
    x: Any, device: torch.device, *, shuffle: bool | str = False, seed: int = 0, drawn: int | None = None
) -> Samples:
    """What a training reads of x: `Samples` as they are, arrays and `Images` as `Pixels`, unless they are stored.

    drawn: the seed by which each number is drawn as 0 or 1; None to take numbers as they are.
    """
    if is_samples(x):
        samples: Samples = x
    elif isinstance(x, Images) and x.stored is not None:
        samples = StoredSamples(x.stored, device, shuffle=shuffle, seed=seed)
    else:
        samples = Pixels(x, device, shuffle=shuffle, seed=seed)
    if drawn is None:
        return samples
    return samples.drawn(drawn) if isinstance(samples, Pixels) else BlackAndWhite(samples, drawn)


def black_and_white(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples (n, n_features) of numbers in [0, 1], each drawn as 0 or 1 with that as the probability.

    A sample's drawing is a function of the seed and of its own numbers in float32.

    >>> black_and_white(torch.tensor([[0.0, 0.4, 0.6, 1.0]]), seed=0)
    tensor([[0., 0., 1., 1.]])
    """
    streams = content_generators(seed, "noise", x.float().cpu().numpy())
    u = torch.stack([torch.rand(x.shape[1], generator=stream) for stream in streams])
    return u.to(x).lt(x).to(x.dtype)


def floats(x: Any, which: slice) -> torch.Tensor:
    """These samples of an array of floats, of `Images` or of `Samples`, as floats (n, n_features)."""
    if is_samples(x):
        return x.batch(which)
    return as_tensor(x.floats(which) if isinstance(x, Images) else x[which])


def fingerprint_of(x: Any) -> str:
    """sha256 of samples: of their type, shape and numbers, or what `Samples` say themselves."""
    if isinstance(x, Images):
        x = x.pixels
    return array_fingerprint(x) if isinstance(x, np.ndarray) else x.fingerprint


class Pixels:
    """All samples on one device, as uint8 or float32, (n, n_features); a batch is scaled when it is used.

    From `Images`, uint8 pixels are divided by 255. An array is numbers: taken as they are. shuffle: True for an order
    of each epoch, "once" for one order, False for that of x; seed: what it is a function of.
    """

    def __init__(
        self, x: Images | np.ndarray, device: torch.device, *, shuffle: bool | str = False, seed: int = 0
    ) -> None:
        self.source, self.shuffle, self.seed = x.pixels if isinstance(x, Images) else x, shuffle, seed
        flat = as_tensor(self.source.reshape(len(self.source), -1))
        self.scale = 1 / 255 if isinstance(x, Images) and flat.dtype == torch.uint8 else None
        if self.scale is None:
            flat = flat.to(torch.float32)
        self.values = flat.to(device)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the numbers as they were given."""
        return array_fingerprint(self.source)

    def drawn(self, seed: int) -> Pixels:
        """The same in `black_and_white`, for good: a drawing takes as long as a small step."""
        bits = [black_and_white(x, seed).to(torch.uint8) for x in in_chunks(self)]
        drawn = copy.copy(self)
        drawn.values, drawn.scale = torch.cat(bits), 1.0
        return drawn

    def order(self, epoch: int) -> torch.Tensor | None:
        """The order of an epoch, by `epoch_order`."""
        return epoch_order(len(self), self.shuffle, self.seed, epoch, self.device)

    def batch(self, which: torch.Tensor | slice) -> torch.Tensor:
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


class BlackAndWhite:
    """Other samples in `black_and_white`, drawn whenever they are asked for: such as do not fit into memory."""

    def __init__(self, samples: Samples, seed: int) -> None:
        self.samples, self.seed, self.device, self.n_features = samples, seed, samples.device, samples.n_features

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def fingerprint(self) -> str:
        """That of the samples as they are."""
        return self.samples.fingerprint

    def order(self, epoch: int) -> torch.Tensor | None:
        """That of the other samples."""
        return self.samples.order(epoch)

    def batch(self, which: torch.Tensor | slice) -> torch.Tensor:
        return black_and_white(self.samples.batch(which), self.seed)


class Subset:
    """Some of other samples, by their positions there, in the order that those have."""

    def __init__(self, samples: Samples, which: np.ndarray) -> None:
        self.samples, self.device, self.n_features = samples, samples.device, samples.n_features
        self.which = torch.from_numpy(which).to(samples.device)
        self.places = torch.full((len(samples),), -1, device=samples.device)  # of each among these
        self.places[self.which] = torch.arange(len(which), device=samples.device)

    def __len__(self) -> int:
        return len(self.which)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of those samples' fingerprint, and of which these are."""
        return table_fingerprint([self.samples.fingerprint, self.which.tolist()])

    def order(self, epoch: int) -> torch.Tensor | None:
        """That of the other samples, without those that are not among these."""
        if (order := self.samples.order(epoch)) is None:
            return None
        places = self.places[order]
        return places[places >= 0]

    def batch(self, which: torch.Tensor | slice) -> torch.Tensor:
        return self.samples.batch(self.which[which])


_TOGETHER = 2**24  # numbers, 64 MiB in float32


def at_a_time(most: int, n_features: int, numbers: int = _TOGETHER) -> int:
    """How many samples to have in memory at a time: `most`, or of large ones fewer.

    >>> at_a_time(1000, 784), at_a_time(1000, 3 * 224 * 224)
    (1000, 111)
    """
    return max(1, min(most, numbers // n_features))


def evenly(samples: Samples, most: int) -> torch.Tensor:
    """Samples taken evenly from all, (n, n_features): `most`, or all of fewer."""
    n = min(len(samples), most)
    return samples.batch(torch.arange(n, device=samples.device) * len(samples) // n)


def batches(
    samples: Samples, batch_size: int, order: torch.Tensor | None, rows: Callable[[int], slice] | None = None
) -> Iterator[torch.Tensor]:
    """The samples in this order, in batches; the last one is what is left. rows: which of a batch of n are wanted."""
    for start in range(0, len(samples), batch_size):
        stop = min(start + batch_size, len(samples))
        if rows is not None:
            wanted = rows(stop - start)
            start, stop = start + wanted.start, start + wanted.stop
        if start == stop:
            yield torch.empty(0, samples.n_features, device=samples.device)
        else:
            yield samples.batch(slice(start, stop) if order is None else order[start:stop])


def in_chunks(samples: Samples, most: int = 1000) -> Iterator[torch.Tensor]:
    """All samples in their order, as many as `at_a_time` has."""
    return batches(samples, at_a_time(most, samples.n_features), None)


def hashes_of(chunks: Iterable[torch.Tensor]) -> np.ndarray:
    """A hash of each sample's numbers in float32, (n,) uint64, by which it is known again wherever it stands.

    chunks: such as `batches` gives.
    """
    rows = (np.ascontiguousarray(row) for x in chunks for row in x.cpu().numpy())
    digests = (hashlib.blake2b(row.data, digest_size=8).digest() for row in rows)
    return np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
