"""What a torch Dataset or DataLoader gives, read once, with its labels.

It is taken in its own order, by its own transforms, sampler and workers, while torch's generator has a seed of its own:
the same one gives the same samples again, shuffled or not, and the global generator stays as it was.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from isthmus.data.collections.stack import memory_limit
from isthmus.errors import DataError


def is_torch_data(x: Any) -> bool:
    """Whether x is a torch Dataset, of either style, or a DataLoader, but not `Samples`. torch is not imported."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(x, data.Dataset | data.DataLoader) and not hasattr(x, "order")


def read_samples(x: Any, name: str) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """All samples in one array, (n, ...); their labels, (n,) int64, and what these are called, as far as that is known.

    name: what errors call x. A sample is a tensor, an array or a Pillow image, or the first of a tuple; the second is
    its label if it is a whole number, and otherwise ignored, as is all else. Raises DataError, with the position, for
    other samples, for several shapes, and for more than half of this machine's memory, before it is full.
    """
    array, labels, n = np.empty((0, 0)), list[Any](), 0
    expected = len(x) if _is_map_style(x) else 1
    with _seeded():
        for n, (sample, label) in enumerate(_each(x, name), 1):
            if n == 1:
                array = _room(max(expected, 1), sample, name)
            if sample.shape != array.shape[1:] or sample.dtype != array.dtype:
                raise DataError(
                    f"{name}: samples of one shape and type are needed, got {_words(array[0])} and, in position "
                    f"{n - 1}, {_words(sample)}; bring them to one size in the Dataset's transform"
                )
            if n > len(array):
                array = np.concatenate([array, _room(n, sample, name, beside=n)])
            array[n - 1] = sample
            labels.append(label)
    if n == 0:
        raise DataError(f"{name}: the {type(x).__name__} gives no samples")
    numbers = np.array(labels, np.int64) if all(label is not None for label in labels) else None
    return array[:n], numbers, _class_names(x, numbers)


def read_list(x: Any, name: str) -> list[np.ndarray]:
    """All samples, of any shapes; otherwise as `read_samples`."""
    samples, total = list[np.ndarray](), 0
    with _seeded():
        for sample, _ in _each(x, name):
            total += sample.nbytes
            _check_memory(total, len(samples) + 1, name)
            samples.append(sample)
    return samples


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def _each(x: Any, name: str) -> Iterator[tuple[np.ndarray, int | None]]:
    """One sample after the other, with its label."""
    is_batched = getattr(x, "batch_sampler", None) is not None  # of a DataLoader, unless batch_size=None
    items = (x[i] for i in range(len(x))) if _is_map_style(x) else iter(x)
    for position, item in enumerate(items):
        is_pair = isinstance(item, tuple) or (isinstance(item, list) and len(item) > 0 and not np.isscalar(item[0]))
        first, label = (*item, None, None)[:2] if is_pair else (item, None)
        sample = _array(first, position, name)
        if is_batched:
            labels = np.asarray(label) if label is not None and np.ndim(label) == 1 else [None] * len(sample)
            yield from zip(sample, map(_label, labels), strict=True)
        else:
            yield sample, _label(label)


def _is_map_style(x: Any) -> bool:
    from torch.utils.data import Dataset, IterableDataset

    return isinstance(x, Dataset) and not isinstance(x, IterableDataset)


def _array(value: Any, position: int, name: str) -> np.ndarray:
    """A tensor, an array or a Pillow image as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() and value.element_size() < 4 else value
    array = np.asarray(value) if value is not None and not isinstance(value, dict | str | bytes) else None
    if array is None or array.dtype.kind not in "buif":
        raise DataError(
            f"{name}: a sample must be a tensor, an array or a Pillow image, or a tuple that begins with one, got a "
            f"{type(value).__name__} in position {position}; wrap it in a Dataset that gives (x, y)"
        )
    return array


def _label(value: Any) -> int | None:
    """A whole number, or None."""
    number = value.item() if getattr(value, "ndim", None) == 0 else value
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _class_names(x: Any, labels: np.ndarray | None) -> tuple[str, ...]:
    """`classes`, as torchvision's data sets have them, if all labels are positions in it."""
    names = getattr(getattr(x, "dataset", x), "classes", None)
    if labels is None or not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        return ()
    return tuple(names) if labels.min() >= 0 and labels.max() < len(names) else ()


def _room(n: int, sample: np.ndarray, name: str, beside: int = 0) -> np.ndarray:
    _check_memory((n + beside) * sample.nbytes, n + beside, name)
    return np.empty((n, *sample.shape), sample.dtype)


def _check_memory(n_bytes: int, n: int, name: str) -> None:
    if n_bytes > (limit := memory_limit()):
        raise DataError(
            f"{name}: {n:,} samples are {n_bytes:,} bytes; the limit is {limit:,}, half of this machine's memory. "
            "Write them to files: `isthmus data convert` makes shards of images or of a .npy, which stay on the disk"
        )


def _words(array: np.ndarray) -> str:
    return f"{'×'.join(map(str, array.shape)) or 'one number'} {array.dtype}"
