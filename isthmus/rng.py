"""One seed, many independent random streams, each named by its purpose.

A stream is a function of (seed, purpose, epoch), or of (seed, purpose, content), and of nothing else: a new measurement
does not change the random numbers of training, and a resumed run uses those of an uninterrupted one. No global
generator is read or set.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

PURPOSES = (
    "split",
    "init",
    "order",
    "augment",
    "noise",
    "test-noise",
    "latent",
    "patch",
    "cycle",
    "module",
    "crop",
    "probe",
)


def stream_seed(seed: int, purpose: str, epoch: int = 0, shard: int | None = None) -> int:
    """A 63-bit seed for the stream (seed, purpose, epoch): the head of a BLAKE2b hash. shard: of a batch in shards.

    Hashing, rather than adding, keeps the streams of neighbouring seeds and epochs unrelated.
    """
    assert purpose in PURPOSES, purpose
    text = f"isthmus/{seed}/{purpose}/{epoch}" + ("" if shard is None else f"/{shard}")
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def content_seeds(seed: int, purpose: str, rows: np.ndarray) -> Iterator[int]:
    """A 63-bit seed for each row, from its bytes alone. rows: C-contiguous, (n, ...)."""
    assert purpose in PURPOSES, purpose
    key = hashlib.blake2b(f"isthmus/{seed}/{purpose}/content".encode(), digest_size=32).digest()
    for row in rows:
        digest = hashlib.blake2b(row.data, digest_size=8, key=key).digest()
        yield int.from_bytes(digest, "big") >> 1


def content_generators(seed: int, purpose: str, rows: np.ndarray) -> list[torch.Generator]:
    """A torch generator on the CPU for each row, from its bytes alone. rows: as of `content_seeds`."""
    import torch

    return [torch.Generator().manual_seed(each) for each in content_seeds(seed, purpose, rows)]


def generator(seed: int, purpose: str, epoch: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device` for the stream (seed, purpose, epoch)."""
    import torch

    return torch.Generator(device).manual_seed(stream_seed(seed, purpose, epoch))


def numpy_generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """A NumPy generator for the stream (seed, purpose, epoch)."""
    return np.random.default_rng(stream_seed(seed, purpose, epoch))


def seed_from(random_state: Any) -> int:
    """The seed that a scikit-learn `random_state` stands for: None, an int, a RandomState or a Generator.

    None asks the operating system, never NumPy's global state. Raises ValueError for anything else.
    """
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    raise ValueError(f"random_state must be None, an int, a RandomState or a Generator, got {random_state!r}")
