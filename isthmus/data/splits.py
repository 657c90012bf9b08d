"""Images split into parts of which no two share a pixel: whole photographs, or, of few, a region of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isthmus.data.images import Images
from isthmus.data.pieces import file_of
from isthmus.errors import RequestError, counted
from isthmus.rng import numpy_generator

SEVERAL = 6  # photographs of which two can be held out whole, and two thirds are left


def is_cut(images: Images) -> bool:
    """Whether some of the images are patches of one photograph."""
    return len(np.unique(images.photographs)) < len(images)


def by_regions(images: Images) -> bool:
    """Whether `split` holds out regions: of patches of too few photographs for holding out whole ones."""
    return is_cut(images) and len(np.unique(images.photographs)) < SEVERAL


def split(images: Images, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Positions of the images to train on, then of those that each share holds out, by the stream `split`.

    A share counts photographs, at least one. Patches of few photographs are split by regions: each photograph is cut
    across, a share counts its patches, and those that touch two regions are in no part. A photograph too small for that
    is trained on whole. Raises RequestError if nothing would be held out, or fewer than two images trained on.
    """
    held = _regions(images, shares, seed) if by_regions(images) else _whole(images, shares, seed)
    parts = [np.flatnonzero(held == part) for part in range(len(shares) + 1)]
    if len(parts[0]) < 2:
        total = " and ".join(f"{share:g}" for share in shares)
        raise RequestError(
            f"holding out {total} leaves {len(parts[0])} of {counted(len(images), 'image')} to train on, "
            "and training needs at least 2; give more"
        )
    return parts


def together(images: Images) -> np.ndarray:
    """(n,) integers, equal where images are held out together: the patches of a photograph, and of several files the
    pages of each, for neighbours in a stack show much the same.
    """
    files = np.unique([file_of(name) for name in images.names], return_inverse=True)[1]
    n = len(np.unique(files))
    return files if SEVERAL <= n < len(np.unique(images.photographs)) else images.photographs


def _whole(images: Images, shares: Sequence[float], seed: int) -> np.ndarray:
    """(n,): for each image the number of its part, 0 for those to train on."""
    first = of = np.arange(len(images))
    groups = together(images)
    if len(np.unique(groups)) < len(images):
        _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    n = len(first)
    shuffled = numpy_generator(seed, "split").permutation(n)
    if n < len(images) and images.names:  # files are in the order of their names, whatever their numbers
        shuffled = np.array(sorted(range(n), key=lambda i: images.names[first[i]]))[shuffled]
    part, start = np.zeros(n, np.int64), 0
    for number, share in enumerate(shares, 1):
        stop = start + max(1, round(n * share))
        part[shuffled[start:stop]] = number
        start = stop
    return np.asarray(part[of])


def _regions(images: Images, shares: Sequence[float], seed: int) -> np.ndarray:
    """As `_whole`; -1 for patches that touch two regions."""
    if images.places is None:
        raise RequestError(
            f"{images.source}: it is not known where these patches were cut, so which of them overlap; "
            f"give {SEVERAL} photographs or more, or cut them with open_images"
        )
    chance = numpy_generator(seed, "split")
    part, divided = np.zeros(len(images), np.int64), False
    for number in np.unique(images.photographs):
        which = np.flatnonzero(images.photographs == number)
        corners = images.places[which, 1:]
        along = np.argsort(-np.ptp(corners, axis=0), kind="stable")  # the longer side is cut first
        backwards = bool(chance.integers(2))  # what is held out may lie at either end
        for axis in along.tolist():
            found = _cut_across(corners[:, axis], images.shape[1 + axis], shares, backwards)
            if found is not None:
                part[which], divided = found, True
                break
    if not divided:
        size = "×".join(map(str, images.shape[1:]))
        raise RequestError(
            f"{images.source}: too small to hold out patches of {size} that share no pixel with those to train on; "
            f"choose smaller patches, or give {SEVERAL} photographs or more, or larger ones"
        )
    return part


def _cut_across(starts: np.ndarray, length: int, shares: Sequence[float], backwards: bool) -> np.ndarray | None:
    """The parts of one photograph's patches, which lie at [start, start + length) on one side of it.

    The last share holds out the outermost patches, the one before those next to it. None if a part would be empty.
    """
    lows = -(starts + length) if backwards else starts  # then the outermost begin highest
    part, edge = np.zeros(len(starts), np.int64), np.inf
    for number in range(len(shares), 0, -1):
        edges, counts = np.unique(lows[lows + length <= edge], return_counts=True)
        if not len(edges):
            return None
        inside = np.cumsum(counts[::-1])[::-1]  # patches from each edge outwards
        low = edges[np.abs(inside - shares[number - 1] * len(starts)).argmin()]
        part[(lows >= low) & (lows + length <= edge)] = number
        edge = low
    part[(part == 0) & (lows + length > edge)] = -1
    return part if (part == 0).any() else None
