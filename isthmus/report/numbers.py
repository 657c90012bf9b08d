"""Measured numbers as a report shows them: three significant digits, and intervals as short as what they belong to.

`results.json` has all digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.studies.results.results_json import Row

_WHOLE = {"dead_units", "code_size", "silent_units", "vectors_in_use"}
_MOST_DIGITS = 6


def significant(value: float, digits: int = 3, *, sign: str = "") -> str:
    """A number with so many significant digits, without an exponent unless it is very small.

    sign: "+" to write the sign of positive numbers too.

    >>> significant(0.0249596), significant(1234.5), significant(4.1e-7), significant(0.99996), significant(0.0)
    ('0.0250', '1,230', '4.10e-07', '1.00', '0')
    """
    if not value:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))  # of the rounded number: 0.9996 is 1.00
    if exponent < -5:
        return f"{value:{sign}.{digits - 1}e}"
    places = digits - 1 - exponent
    return f"{round(value, places):{sign},.{max(0, places)}f}"


def number(value: float | None, metric: str = "mse") -> str:
    """A value as the page shows it; a dash for what is not defined.

    A hundredth of a dB is what a third digit of an error is: so many a PSNR has.

    >>> number(0.0249596), number(21.3249, "psnr"), number(34248, "n_parameters"), number(1024, "code_size")
    ('0.0250', '21.32', '34.2k', '1,024')
    """
    if value is None:
        return "–"
    if metric == "psnr":
        return f"{value:.2f}"
    if metric in _WHOLE:
        return f"{value:,.0f}"
    if metric == "n_parameters" and value >= 1000:
        return f"{significant(value / 1e6)}M" if value >= 999_500 else f"{significant(value / 1e3)}k"
    return f"{value:,.0f}" if metric == "n_parameters" else significant(value)


def margin(row: Row, metric: str) -> str:
    """Half the width of a row's 95 % interval, to the last place of its value; "" without one.

    >>> margin(Row("a", 0, "mse", "test", None, False, 0.0249596, (0.02382, 0.0261), 360), "mse")
    '± 0.0011'
    """
    if row.value is None or not row.ci95:
        return ""
    half = (row.ci95[1] - row.ci95[0]) / 2
    places = len(number(row.value, metric).partition(".")[2])
    text = significant(half, 2) if "e" in number(row.value, metric) else f"{half:,.{places}f}"
    return f"± {text if float(text.replace(',', '')) else significant(half, 1)}"


def quoted(reference: Mapping[str, Any]) -> tuple[str, str]:
    """A published number and what was measured here; with as many digits as show that they differ, where they do.

    >>> quoted({"published": 0.0172, "measured": 0.017234, "agrees": True})
    ('0.0172', '0.0172')
    >>> quoted({"published": [13.97, 14.0], "measured": [13.972, 14.0], "agrees": False})
    ('13.97, 14', '13.972, 14')
    """
    values = [reference["published"], reference["measured"]]
    for digits in range(3, _MOST_DIGITS + 1):
        published, measured = (_listed(value, digits) for value in values)
        if reference["agrees"] is not False or published != measured:
            break
    return published, measured


def _listed(value: Any, digits: int) -> str:
    if isinstance(value, list):
        return ", ".join(_listed(number, digits) for number in value)
    return "–" if value is None else f"{value:.{digits}g}"


def extent(values: Sequence[float]) -> str:
    """From where to where: the range of some seeds, or an interval."""
    return " to ".join(significant(value) for value in values)


def difference(comparison: Mapping[str, Any]) -> list[str]:
    """A difference of two errors and, where it has one, the ends of its interval, all to one place.

    >>> difference({"difference": -0.00412, "ci95": [-0.0051, -0.00311]})
    ['−0.00412', '−0.00510', '−0.00311']
    """
    values = [comparison["difference"], *(comparison["ci95"] or [])]
    if comparison.get("metric") == "psnr":
        return [gain(value) for value in values]
    largest = significant(max(map(abs, values)))
    places = len(largest.partition(".")[2])
    texts = [f"{value:+.2e}" if "e" in largest else f"{value:+.{places}f}" for value in values]
    return [text.replace("-", "−", 1) if text.startswith("-") else text for text in texts]


def gain(value: float) -> str:
    """A difference in dB.

    >>> gain(0.034), gain(-1.5), gain(-0.001)
    ('+0.03', '−1.50', '+0.00')
    """
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage of at most two digits, never 0 for what is not nothing.

    >>> percent(0.6369), percent(0.0312), percent(0.0004), percent(0.9996)
    ('64 %', '3.1 %', '0.04 %', '99.96 %')
    """
    value = 100 * share
    if 99 < value < 100:
        return f"{100 - float(f'{100 - value:.1g}'):g} %"
    return f"{value:,.0f} %" if value >= 9.95 else f"{float(f'{value:.2g}'):g} %"


def width(spread: Mapping[str, Any]) -> str:
    """How far one more seed may fall from the mean of those that were measured, as a share of it."""
    low, high = spread["interval"]
    mean = spread["mean"]
    return f"± {(high - low) / 2 / abs(mean):.0%} of the mean" if mean else f"± {significant((high - low) / 2)}"
