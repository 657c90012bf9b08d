"""Split images into parts that share no pixel: whole photographs, or, if they are few, regions of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isthmus.data.collections.pieces import file_of
from isthmus.data.images import Dataset, Images
from isthmus.errors import RequestError, counted
from isthmus.rng import numpy_generator

SEVERAL = 6  # photographs of which two can be held out whole, and two thirds are left


def is_cut(images: Images) -> bool:
    """Whether some of the images are patches of one photograph."""
    return images.n_photographs < len(images)


def by_regions(images: Images) -> bool:
    """Whether `split` holds out regions: for patches of too few photographs to hold out whole ones."""
    return images.n_photographs < min(SEVERAL, len(images))


def split(images: Images, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Positions of the images to train on, then of those that each share holds out, by the stream `split`.

    A share counts photographs, at least one. Patches of few photographs are split by regions: each photograph is cut
    across, a share counts its patches, and those that touch two regions are in no part. A photograph too small for that
    is trained on whole. The pages of a file, neighbours in a stack or a film, may be nearly the same image: of several
    files each is in one part; of few, each gives a run of its pages to every share, and those next to a run are in no
    part. Raises RequestError if nothing would be held out, or fewer than two images trained on.
    """
    if by_regions(images):
        held = _regions(images, shares, seed)
    elif by_runs(images):
        held = _runs(images, shares, seed)
    else:
        held = _whole(images, shares, seed)
    parts = [np.flatnonzero(held == part) for part in range(len(shares) + 1)]
    if len(parts[0]) < 2:
        total = " and ".join(f"{share:g}" for share in shares)
        raise RequestError(
            f"holding out {total} leaves {len(parts[0])} of {counted(len(images), 'image')} to train on, "
            "and training needs at least 2; give more"
        )
    return parts


def files_of(images: Images) -> np.ndarray:
    """(n,) integers, equal where images are pages of one file: the number of its first photograph."""
    photographs = images.photographs
    if not images.names:
        return photographs
    _, first, of = np.unique([file_of(name) for name in images.names], return_index=True, return_inverse=True)
    return np.asarray(photographs[first][of])


def together(images: Images) -> np.ndarray:
    """(n,) integers, equal where images are held out together: the patches of a photograph, and of several files the
    pages of each, for neighbours in a stack show much the same.
    """
    if images.are_single:
        return images.photographs
    files = files_of(images)
    return files if len(np.unique(files)) >= SEVERAL else images.photographs


def by_runs(images: Images) -> bool:
    """Whether `split` holds out runs of pages: of stacks that are too few, or too long, for holding out whole files."""
    if images.are_single:
        return False
    pages = np.unique(np.stack([files_of(images), images.photographs]), axis=1)[0]
    counts = np.unique(pages, return_counts=True)[1]
    return counts.max() > 1 and (len(counts) < SEVERAL or counts.max() > len(pages) / 3)


def have_neighbours(parts: Sequence[Images]) -> bool:
    """Whether pages of one file that follow each other are in two of the parts."""
    pages = [{(file, page) for name in part.names for file, page in [_file_and_page(name)] if page} for part in parts]
    return any(
        numbers is not other and (file, page + 1) in other
        for numbers in pages
        for other in pages
        for file, page in numbers
    )


def _file_and_page(name: str) -> tuple[str, int]:
    """A page's file and its number, from 1; 0 for the only one."""
    file = file_of(name)
    return file, 0 if file == name else int(name[len(file) + 1 :])


def _runs(images: Images, shares: Sequence[float], seed: int) -> np.ndarray:
    """As `_whole`; -1 for pages next to a run. Files of one page are held out among themselves, if they are several."""
    chance = numpy_generator(seed, "split")
    photographs, first, of = np.unique(images.photographs, return_index=True, return_inverse=True)
    files, part = files_of(images)[first], np.zeros(len(photographs), np.int64)
    single = []
    for file in np.unique(files):
        pages = np.flatnonzero(files == file)
        pages = pages[np.argsort([_file_and_page(images.names[first[page]])[1] for page in pages], kind="stable")]
        if len(pages) == 1:
            single += pages.tolist()
        elif (run := _run(len(pages), shares, chance)) is not None:
            part[pages] = run
    if len(single) >= SEVERAL:
        part[single] = _chosen(len(single), shares, chance.permutation(len(single)))
    if (part > 0).any():
        return np.asarray(part[of])
    if len(shares) > 1:
        raise RequestError(
            f"{images.source}: too few pages to hold out two runs of them without their neighbours; give longer "
            f"stacks, or {SEVERAL} files"
        )
    return _whole(images, shares, seed)  # optimistic, but better than nothing


def _run(n: int, shares: Sequence[float], chance: np.random.Generator) -> np.ndarray | None:
    """The parts of n pages in a row: a run for each share, somewhere among those to train on, and gaps around them.

    A gap is a twentieth of the pages: a film changes slowly, however many pictures it takes. None if too few are left.
    """
    gap = max(1, n // 20)
    sizes = [max(1, round(n * share)) for share in shares]
    row: list[int] = []
    for number, size in enumerate(sizes, 1):
        row += [*[-1] * (gap if row else 0), *[number] * size]
    if n - len(row) - 2 * gap < max(2, n / 4):
        return None
    row = row[:: 1 if chance.integers(2) else -1]
    start = int(chance.integers(n - len(row) + 1))
    part = np.zeros(n, np.int64)
    part[max(0, start - gap) : start + len(row) + gap] = -1
    part[start : start + len(row)] = row
    return part


def _whole(images: Images, shares: Sequence[float], seed: int) -> np.ndarray:
    """(n,): for each image the number of its part, 0 for those to train on.

    The pages of a file are held out together, if there are several files.
    """
    if images.are_single:
        return _chosen(len(images), shares, numpy_generator(seed, "split").permutation(len(images)))
    first = of = np.arange(len(images))
    groups = together(images)
    if len(np.unique(groups)) < len(images):
        _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    n = len(first)
    shuffled = numpy_generator(seed, "split").permutation(n)
    if n < len(images) and images.names:  # files are in the order of their names, whatever their numbers
        shuffled = np.array(sorted(range(n), key=lambda i: images.names[first[i]]))[shuffled]
    return np.asarray(_chosen(n, shares, shuffled)[of])


def _chosen(n: int, shares: Sequence[float], shuffled: np.ndarray) -> np.ndarray:
    """(n,): the parts, the first of the shuffled for the first share, and so on."""
    part, start = np.zeros(n, np.int8), 0
    for number, share in enumerate(shares, 1):
        stop = start + max(1, round(n * share))
        part[shuffled[start:stop]] = number
        start = stop
    return part


def _regions(images: Images, shares: Sequence[float], seed: int) -> np.ndarray:
    """As `_whole`; -1 for patches that touch two regions."""
    if images.places is None:
        raise RequestError(
            f"{images.source}: it is not known where these patches were cut, so which of them overlap; "
            f"give {SEVERAL} photographs or more, or cut them with open_images"
        )
    chance = numpy_generator(seed, "split")
    part, divided = np.zeros(len(images), np.int64), False
    files = files_of(images)
    for file in np.unique(files):  # the pages of a file are cut at one place, for the next page shows much the same
        which = np.flatnonzero(files == file)
        corners = images.places[which, 1:]
        along = np.argsort(-np.ptp(corners, axis=0), kind="stable")  # the longer side is cut first
        backwards = bool(chance.integers(2))  # what is held out may lie at either end
        for axis in along.tolist():
            region = _cut_across(corners[:, axis], images.shape[1 + axis], shares, backwards)
            if region is not None:
                part[which], divided = region, True
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


# --- of a study ---


def split_dataset(
    dataset: Dataset,
    *,
    train: int | None = None,
    validation: int = 0,
    split: str = "random",
    classes: tuple[int, ...] | None = None,
    seed: int = 0,
) -> dict[str, Images]:
    """The named splits of a study: "train", "test" and, where they were asked for, "validation".

    The validation images are taken from the source's training images: at random by the stream `split` of the seed,
    or, with split="file", those that follow the training images in the order of the file. `classes` keeps these labels
    in every split, after splitting, so that which image lies in which split does not depend on them.
    Raises RequestError if there are fewer images than asked for.
    """
    n = len(dataset.train)
    n_train = n - validation if train is None else train
    if n_train < 1 or n_train + validation > n:
        raise RequestError(
            f"{dataset.name} has {n:,} training images; train = {n_train:,} and validation = {validation:,} do not fit"
        )
    order = np.arange(n) if split == "file" else numpy_generator(seed, "split").permutation(n)
    # within a split, images keep the order of the file: shuffling is the training's business
    chosen = {"train": order[:n_train], "validation": order[n_train : n_train + validation]}
    splits = {
        name: dataset.train if len(which) == n else dataset.train.take(np.sort(which))
        for name, which in chosen.items()
        if len(which)
    }
    splits["test"] = dataset.test
    if not classes:
        return splits
    for name, images in splits.items():
        _check_classes(dataset, name, images, classes)
    return {name: images.only(classes) for name, images in splits.items()}


def _check_classes(dataset: Dataset, name: str, images: Images, classes: tuple[int, ...]) -> None:
    """Raise RequestError for a class that only this split lacks; `Images.only` reports one that does not exist."""
    if dataset.train.labels is None or images.labels is None:
        return
    for label in classes:
        if label in dataset.train.labels and label not in images.labels:
            raise RequestError(
                f'split "{name}" of {dataset.name}, {counted(len(images), "image")}, has none of class {label}; '
                "give it more images, or leave the class out"
            )
