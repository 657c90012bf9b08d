"""Mean squared errors and losses as text, for tables and progress."""

from __future__ import annotations

import re

_SMALL = 1e-4  # below it six decimals show fewer than three digits


def error_text(value: float | None, scale: float | None = None, *, sign: str = "") -> str:
    """Six decimals, or three significant digits where six decimals would show fewer; a dash for None.

    scale: the number that decides, so that the ends of an interval look like its mean. sign: "+" to write the sign of
    positive numbers too.

    >>> error_text(0.0025), error_text(4.1e-7), error_text(0.0), error_text(0.0, 4.1e-7)
    ('0.002500', '4.10e-07', '0.000000', '0')
    """
    if value is None:
        return "–"
    scale = abs(value if scale is None else scale)
    if scale == 0 or not scale < _SMALL:  # NaN too
        return f"{value:{sign}.6f}"
    return f"{value:{sign}.2e}" if value else "0"


def interval_text(ends: tuple[float, float] | list[float] | None, mean: float | None) -> str:
    """An interval as text; "" for none. mean: its centre, which decides the format.

    >>> interval_text((0.0, 3e-6), 1e-6), interval_text((0.001, 0.003), 0.002), interval_text(None, 1.0)
    ('0 to 3.00e-06', '0.001000 to 0.003000', '')
    """
    return f"{error_text(ends[0], mean)} to {error_text(ends[1], mean)}" if ends else ""


def level_text(label: str) -> str:
    """The label of Gaussian noise as photographers count it, in grey levels of 255; another label as it is.

    >>> level_text("gaussian(0.0980392,clip=false)"), level_text("masking(0.2)")
    ('σ = 25', 'masking(0.2)')
    """
    known = re.fullmatch(r"gaussian\(([\d.e-]+),clip=false\)", label)
    return f"σ = {255 * float(known[1]):.3g}" if known else label
