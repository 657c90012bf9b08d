"""Doubts about the numbers of images that a denoiser is given, and the type of those that it gives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from isthmus.errors import DoubtWarning, OtherNumbersWarning, RequestError

_FAR = 5  # times the numbers that the model has seen: noise of σ = 1 adds as much to a span of 1
_NEAR = 1e-3  # of them: what is less is no noise, or images in fractions of white where it has seen counts


def doubt_units(model: Any, span: float, sigma: float | None, stacklevel: int) -> None:
    """Warn of images, or a sigma, that seem to be in other numbers than those of the training.

    model: a fitted `Denoiser`. span: how far the images' numbers go. stacklevel: of the warning, from here.
    """
    least = 0.0 if model.noise.shot_and_read[0] else _NEAR * model.scale_  # shot noise grows with the brightness
    if are_others(span, model.scale_):
        warnings.warn(OtherNumbersWarning(span, model.scale_), stacklevel=stacklevel)
    elif sigma and not least <= sigma <= _FAR * model.scale_:
        given = f"sigma is {sigma:g}, and the images' numbers span {model.scale_:g}: it is in their unit"
        warnings.warn(given, DoubtWarning, stacklevel=stacklevel)


def are_others(span: float, scale: float) -> bool:
    """Whether images, whose numbers go so far, seem to be in other numbers than those of the training did."""
    return span > _FAR * scale or 0 < span < _NEAR * scale


def rounded_type(dtype: Any) -> np.dtype | None:
    """The type that results are rounded to; None for float32, and for None. Raises RequestError for others."""
    try:
        wanted = np.dtype(dtype or np.float32)
    except TypeError:
        wanted = None
    if wanted not in (np.float32, np.uint8, np.uint16):
        raise RequestError(f'dtype must be "uint8", "uint16" or None, which is float32, got {dtype!r}')
    return None if wanted == np.float32 else wanted


def check_rounded(rounded: np.dtype | None, low: float, high: float) -> None:
    """Raise RequestError where results are rounded that are not in [0, 1], as far as noise alone does not tell."""
    if rounded is not None and max(-low, high) > _FAR:
        raise RequestError(
            f'dtype="{rounded}" is of images in [0, 1], and the numbers of Y go from {low:g} to {high:g}: divide them, '
            "so that white is 1, or leave out dtype"
        )
