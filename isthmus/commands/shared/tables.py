"""Tables of errors, and the warning for errors that grew."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.decimals import error_text, interval_text
from isthmus.metrics import Estimate, possible
from isthmus.parts import Corruption


def error_table(head: str, rows: Mapping[str, tuple[Estimate, Estimate]]) -> str:
    """A line per name with its MSE, the interval, and its PSNR.

    >>> print(error_table("2 images", {"denoised": (Estimate(0.01, None, 2), Estimate(20.0, None, 2))}))
    2 images         MSE  95 % interval            PSNR
    denoised    0.010000                          20.00
    """
    width = max(len(name) for name in [head, *rows]) + 2
    lines = [f"{head:<{width}}{'MSE':>10}  {'95 % interval':<22}{'PSNR':>7}"]
    for name, (mse, psnr) in rows.items():
        ends = possible(mse.ci95)
        interval = interval_text(ends, mse.value)
        shown = "–" if psnr.value is None else f"{psnr.value:.2f}"
        lines.append(f"{name:<{width}}{error_text(mse.value):>10}  {interval:<22}{shown:>7}")
    return "\n".join(lines)


def worse_than_nothing(before: float | None, after: float | None, corruption: Corruption) -> str:
    """The warning for images whose MSE is larger after than before; "" for others. corruption: of the images before."""
    if before is None or after is None or after < before:
        return ""
    errors = f"MSE {error_text(before)} before, {error_text(after)} after"
    ways = ["of more images", "for this corruption"]
    ways += [] if corruption.takes_one_region else ["with --patches"]
    ways += ["for photographs with --corruption alone"] if corruption.for_denoiser() is not None else []
    listed = f"{', '.join(ways[:-1])}{',' if len(ways) > 2 else ''} or {ways[-1]}"
    return f"the model makes these images worse ({errors}): leave them as they are, or fit another: {listed}"
