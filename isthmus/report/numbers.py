"""Rows of results found and printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.decimals import error_text, interval_text

_ERRORS = {"mse", "mse_code_only"}
_DIGITS = {
    "psnr": ".2f",
    "ssim": ".4f",
    "explained_variance": ".4f",
    "mean_activation": ".4f",
    "l0": ".1f",
    "dead_units": ",.0f",
    "nll": ".2f",
    "n_parameters": ",.0f",
    "code_size": ",.0f",
    "published_sse": ".4f",
    "linear_probe": ".3f",
    "knn": ".3f",
    "silhouette": ".3f",
    "trustworthiness": ".3f",
    "effective_rank": ".1f",
}


def number(value: float | None, metric: str = "mse", scale: float | None = None) -> str:
    """A value as the page shows it; a dash for what is not defined. scale: of an error, as for `error_text`."""
    if value is None:
        return "–"
    return error_text(value, scale) if metric in _ERRORS else format(value, _DIGITS[metric])


def published(value: Any) -> str:
    """A published number, or a list of them."""
    if isinstance(value, list):
        return ", ".join(f"{number:.6g}" for number in value)
    return "–" if value is None else f"{value:.6g}"


def extent(values: Sequence[float]) -> str:
    """From where to where: the range of some seeds, or an interval."""
    low, high = values
    return interval_text((low, high), (low + high) / 2)


def difference(comparison: Mapping[str, Any]) -> list[str]:
    """A difference of two errors and, where it has one, the ends of its interval, all written alike."""
    values = [comparison["difference"], *(comparison["ci95"] or [])]
    if comparison.get("metric") == "psnr":
        return [gain(value) for value in values]
    scale = 10 * max(map(abs, values))  # differences are smaller than what they are of
    return [error_text(value, scale, sign="+") for value in values]


def gain(value: float) -> str:
    """A difference in dB.

    >>> gain(0.034), gain(-1.5), gain(-0.001)
    ('+0.03', '−1.50', '+0.00')
    """
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def width(spread: Mapping[str, Any]) -> str:
    """How far one more seed may fall from the mean of those that were measured, as a share of it."""
    low, high = spread["interval"]
    mean = spread["mean"]
    return f"± {(high - low) / 2 / abs(mean):.0%} of the mean" if mean else f"± {error_text((high - low) / 2)}"
