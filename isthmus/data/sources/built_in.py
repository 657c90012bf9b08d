"""Data sets that need no download: scikit-learn's digits, and letters, which are drawn in Matplotlib's typefaces."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from isthmus.data.images import Dataset, Images
from isthmus.errors import DataError

LETTERS_FILE = Path(__file__).with_name("letters.npz")  # `tools/letters.py` drew it; letters.txt says from what
_N_TEST_DIGITS = 360


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8×8, with 17 grey levels; the last 360 of the file are the test set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images[:, None] / 16).astype(np.float32)
    images = Images(pixels, digits.target.astype(np.int64), "digits, built into scikit-learn")
    title = "Digits: 1,797 handwritten digits, 8×8, built into scikit-learn"
    return _split("digits", title, images, len(images) - _N_TEST_DIGITS)


def letters() -> Dataset:
    """3,900 capital letters, 28×28, light on black, in 23 typefaces; 25 of each letter are the test set.

    Raises DataError for a file that is damaged.
    """
    try:
        with LETTERS_FILE.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pixels, labels, n_train = arrays["images"], arrays["labels"], int(arrays["n_train"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{LETTERS_FILE} is damaged ({error}); install isthmus again") from None
    names = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    images = Images(pixels[:, None], labels.astype(np.int64), "letters, built into isthmus", names)
    title = f"Letters: {len(images):,} capital letters in 23 typefaces, 28×28, built into isthmus"
    return _split("letters", title, images, n_train)


def _split(name: str, title: str, images: Images, n_train: int) -> Dataset:
    return Dataset(name, title, images.take(slice(0, n_train)), images.take(slice(n_train, None)))


# by name: what reads it, and a line about it
BUILT_IN = {
    "digits": (digits, "Digits: 1,797 handwritten digits, 8×8"),
    "letters": (letters, "Letters: 3,900 capital letters in 23 typefaces, 28×28"),
}
