"""Tables of errors, and the warning for errors that grew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

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


def error_facts(head: str, rows: Mapping[str, tuple[Estimate, Estimate]], folder: str) -> dict[str, Any]:
    """The same table as JSON values, which a model's folder keeps; `error_rows` reads them.

    folder: its name, with which the first row begins; the bytes of a model do not depend on it.
    """
    errors = [{"name": name, "mse": asdict(mse), "psnr": asdict(psnr)} for name, (mse, psnr) in rows.items()]
    errors[0]["name"] = f"this model{next(iter(rows)).removeprefix(folder)}"
    return {"head": head, "rows": errors}


def error_rows(facts: Any) -> tuple[str, dict[str, tuple[Estimate, Estimate]]]:
    """What `error_facts` was given; ("", {}) for anything else, as in older models and files that were edited.

    >>> rows = {"m, 8 numbers": (Estimate(0.01, None, 2), Estimate(20.0, None, 2))}
    >>> error_rows(error_facts("on 2 images", rows, "m"))[1]["this model, 8 numbers"][0]
    Estimate(value=0.01, ci95=None, n=2)
    """
    try:
        rows = {str(row["name"]): (_estimate(row["mse"]), _estimate(row["psnr"])) for row in facts["rows"]}
        return str(facts["head"]), rows
    except (KeyError, TypeError, ValueError):
        return "", {}


def _estimate(table: Any) -> Estimate:
    value, ends = table["value"], table["ci95"]
    interval = None if ends is None else (float(ends[0]), float(ends[1]))
    return Estimate(None if value is None else float(value), interval, int(table["n"]))


def worse_than_nothing(
    before: float | None,
    after: float | None,
    corruption: Corruption,
    images: str = "these images",
    *,
    fitted: Corruption | None = None,
) -> str:
    """The warning for images whose MSE is larger after than before; "" for others.

    corruption: of the images before. images: in words. fitted: the corruption that the model was trained on.

    >>> from isthmus import Occlusion
    >>> worse_than_nothing(0.01, 0.02, Occlusion(8), fitted=Occlusion(8)).partition(": ")[2]
    'leave them as they are, or fit another of more images'
    """
    if before is None or after is None or after < before:
        return ""
    errors = f"MSE {error_text(before)} before, {error_text(after)} after"
    ways = ["of more images", *(["for this corruption"] if corruption != fitted else [])]
    ways += [] if corruption.takes_one_region else ["with --patches"]
    ways += ["for photographs with --corruption alone"] if corruption.for_denoiser() is not None else []
    listed = f" {ways[0]}"
    if len(ways) > 1:
        listed = f": {', '.join(ways[:-1])}{',' if len(ways) > 2 else ''} or {ways[-1]}"
    return f"the model makes {images} worse ({errors}): leave them as they are, or fit another{listed}"
