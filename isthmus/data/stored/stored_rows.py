"""Rows of numbers that stay on the disk, as what a training reads."""

from __future__ import annotations

from pathlib import Path

import torch

from isthmus.data.stored.array_file import DTYPES, ArrayFile
from isthmus.data.stored.digests import digests_of
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.data.stored.stored_samples import StoredSamples
from isthmus.errors import DataError


def open_rows(path: str | Path, *, shuffle: bool | str = True, seed: int = 0) -> StoredSamples:
    """The rows of a .npy file, (n, n_features), in place of an array for `fit`, `partial_fit`, `transform` and others.

    uint8, float16 or float32, in any range and taken as they are; they are read when they are needed. shuffle: True for
    an order of each epoch, in blocks of neighbours, "once" for one order, False for that of the file; seed: what it is
    a function of. The first time, and after any change, the file is read to the end for its sha256.

    Raises DataError for another file, and for numbers that are NaN or infinite.

    >>> import tempfile
    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dense, open_rows
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.random.default_rng(0).normal(size=(500, 8)).astype("float32"))
    ...     rows = open_rows(f"{folder}/x.npy")
    ...     Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0).fit(rows).transform(rows).shape
    (500, 2)
    """
    file = ArrayFile.open(Path(path))
    if len(file.shape) != 2 or 0 in file.shape or file.dtype not in DTYPES or not file.dtype.isnative:
        held = f"{'×'.join(map(str, file.shape)) or 'one number'} {file.dtype}"
        raise DataError(f"{path} holds {held}; rows are (n, n_features) of uint8, float16 or float32")
    digest = digests_of([file])[0]
    if not -float("inf") < digest.low <= digest.high < float("inf"):  # which NaN is not either
        raise DataError(f"{path} contains NaN or infinity; remove or repair the rows that do")
    pixels = StoredPixels([file], (1, 1, file.shape[1]), digest.sha256, None, (digest.low, digest.high))
    return StoredSamples(pixels, torch.device("cpu"), shuffle=shuffle, seed=seed, scaled=False)
