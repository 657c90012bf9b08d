"""Layouts of arrays of images: which axis holds the channels. Models use, and return, the first."""

from __future__ import annotations

import warnings

import numpy as np

from isthmus.data.collections.arrays import channels_first, last_axis_doubt
from isthmus.errors import DataError, DoubtWarning

Shape = tuple[int, int, int]
_USUAL = (1, 3)  # numbers of channels by which an axis is recognised
_OTHER = (2, 4)  # numbers of channels that a last axis may have too, as with transparency


def as_channels_first(X: np.ndarray, expected: Shape | None, *, fitted: bool = False) -> np.ndarray:
    """(n, c, h, w) of an array (n, h, w), (n, c, h, w) or (n, h, w, c).

    expected: the shape of one image, if a model knows it: the axes are then those that fit it, and an array that does
    not fit comes back as it is read, to be refused. fitted: the model that knows of none was fitted on rows of numbers.
    Raises DataError, with the way out, where an array may be read in two ways.
    """
    if X.ndim == 3:
        if expected == (1, *X.shape[1:]):
            return X[:, None]
        if expected is None and not fitted and (sentence := last_axis_doubt(X, "X")):
            warnings.warn(sentence, DoubtWarning, stacklevel=5)  # at the line that calls `fit`
        return channels_first(X, "X")
    first, last = tuple(X.shape[1:]), (X.shape[3], *X.shape[1:3])
    if expected is not None:
        return X if first == expected or last != expected else X.transpose(0, 3, 1, 2)
    if fitted:
        return _of_rows(X)
    if first[0] in _USUAL or first[2] in _USUAL:
        return channels_first(X, "X")
    if first[2] in _OTHER and first[2] < min(first[:2]):
        raise DataError(
            f"X: {X.shape} may be images with {first[2]} channels last; give x.transpose(0, 3, 1, 2) if they are, or "
            f"rows, x.reshape(len(x), -1), if these are {first[0]} channels of {first[1]}×{first[2]}"
        )
    return X


def _of_rows(X: np.ndarray) -> np.ndarray:
    """Images for a model that was fitted on rows of numbers, of unknown layout."""
    if X.shape[3] in _USUAL[1:] and X.shape[1] not in _USUAL:
        raise DataError(
            f"X: the model was fitted on rows of numbers, and knows of no channels; give rows like those, not {X.shape}"
        )
    return X
