"""Rows of results found and printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.studies.results import Results, Row

_DIGITS = {
    "mse": ".6f",
    "mse_code_only": ".6f",
    "psnr": ".2f",
    "ssim": ".4f",
    "explained_variance": ".4f",
    "mean_activation": ".4f",
    "l0": ".1f",
    "dead_units": ",.0f",
    "n_parameters": ",.0f",
    "code_size": ",.0f",
    "published_sse": ".4f",
}


def number(value: float | None, metric: str = "mse") -> str:
    """A value as the page shows it; a dash for what is not defined."""
    return "–" if value is None else format(value, _DIGITS[metric])


def published(value: Any) -> str:
    """A published number, or a list of them."""
    if isinstance(value, list):
        return ", ".join(f"{one:.6g}" for one in value)
    return "–" if value is None else f"{value:.6g}"


def extent(values: Sequence[float]) -> str:
    """From where to where: the range of some seeds, or an interval."""
    low, high = values
    return f"{low:.6f} to {high:.6f}"


def width(spread: Mapping[str, Any]) -> str:
    """How far one more seed may fall from the mean of those that were measured, as a share of it."""
    low, high = spread["interval"]
    mean = spread["mean"]
    return f"± {(high - low) / 2 / abs(mean):.0%} of the mean" if mean else f"± {(high - low) / 2:.6f}"


def find(results: Results, model: str, metric: str, split: str | None, corruption: str | None = None) -> Row | None:
    """A row of the study's own seed, or None."""
    wanted = (model, results.seed, metric, split, corruption)
    rows = (row for row in results.rows if (row.model, row.seed, row.metric, row.split, row.corruption) == wanted)
    return next(rows, None)
