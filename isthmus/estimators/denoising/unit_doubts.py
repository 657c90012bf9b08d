"""Doubts about the numbers of images that a denoiser is given."""

from __future__ import annotations

import warnings
from typing import Any

from isthmus.errors import DoubtWarning, OtherNumbersWarning

_FAR = 5  # times the numbers that the model has seen: noise of σ = 1 adds as much to a span of 1
_NEAR = 1e-3  # of them: what is less is no noise, or images in fractions of white where it has seen counts


def doubt_units(model: Any, span: float, sigma: float | None) -> None:
    """Warn of images, or a sigma, that seem to be in other numbers than those of the training.

    model: a fitted `Denoiser`. span: how far the images' numbers go.
    """
    least = 0.0 if model.noise.shot_and_read[0] else _NEAR * model.scale_  # shot noise grows with the brightness
    if are_others(span, model.scale_):
        warnings.warn(OtherNumbersWarning(span, model.scale_), stacklevel=4)
    elif sigma and not least <= sigma <= _FAR * model.scale_:
        given = f"sigma is {sigma:g}, and the images' numbers span {model.scale_:g}: it is in their unit"
        warnings.warn(given, DoubtWarning, stacklevel=4)


def are_others(span: float, scale: float) -> bool:
    """Whether images, whose numbers go so far, seem to be in other numbers than those of the training did."""
    return span > _FAR * scale or 0 < span < _NEAR * scale
