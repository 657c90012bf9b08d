"""Small pieces of HTML for notebooks. Colours are the notebook's, so that dark ones are readable too."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence

_ACCENT = "#3b82d6"  # which is seen on white and on black
_NUMBERS = "font-variant-numeric:tabular-nums"


def line(*pieces: str) -> str:
    """Pieces of HTML in a line, with dots between them."""
    return f'<div style="{_NUMBERS}">{" · ".join(piece for piece in pieces if piece)}</div>'


def bar(done: int, total: int) -> str:
    """A bar of progress.

    >>> bar(3, 20)[:32]
    '<progress value="3" max="20" sty'
    """
    style = f"width:14em;max-width:40%;vertical-align:middle;accent-color:{_ACCENT}"
    return f'<progress value="{done}" max="{max(1, total)}" style="{style}"></progress>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, n_text: int = 1) -> str:
    """A table of text, which is escaped. n_text: columns at the left that are words, not numbers.

    >>> table(["model", "MSE"], [["<a>", "0.1"]]).count("&lt;a&gt;")
    1
    """
    words, number = "text-align:left;padding:.2em 1em .2em 0", f"text-align:right;padding:.2em 0 .2em 1.5em;{_NUMBERS}"

    def cells(tag: str, row: Sequence[str]) -> str:
        styles = [words if place < n_text else number for place in range(len(row))]
        return "".join(
            f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for cell, style in zip(row, styles, strict=True)
        )

    head, body = cells("th", header), "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def picture(png: bytes, alt: str, *, width: int | None = None) -> str:
    """A PNG, with its pixels as squares where it is enlarged. width: in the page's pixels, at most the page's."""
    data = base64.b64encode(png).decode()
    style = f"max-width:100%;image-rendering:pixelated{f';width:{width}px' if width else ''}"
    return f'<img alt="{html.escape(alt)}" style="{style}" src="data:image/png;base64,{data}">'


def curves(values: Sequence[Sequence[float]], label: str) -> str:
    """Small curves on a logarithmic scale where all are positive, the second dashed; "" for fewer than two points.

    >>> curves([[1.0, 0.1, 0.01]], "loss").count("polyline")
    1
    >>> curves([[1.0]], "loss")
    ''
    """
    shown = [list(row) for row in values if sum(math.isfinite(value) for value in row) > 1]
    if not shown:
        return ""
    finite = [value for row in shown for value in row if math.isfinite(value)]
    scale = math.log if min(finite) > 0 else float
    low, high = scale(min(finite)), scale(max(finite))
    width, height, edge = 220, 56, 3
    lines = []
    for place, row in enumerate(shown):
        step = (width - 2 * edge) / (len(row) - 1)
        points = " ".join(
            f"{edge + i * step:.1f},{edge + (height - 2 * edge) * (high - scale(value)) / ((high - low) or 1):.1f}"
            for i, value in enumerate(row)
            if math.isfinite(value)
        )
        dashes = ' stroke-dasharray="4 3" opacity="0.7"' if place else ""
        lines.append(f'<polyline points="{points}" fill="none" stroke="{_ACCENT}" stroke-width="1.6"{dashes}/>')
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    frame = f'<path d="M1 0V{height - 1}H{width}" fill="none" stroke="currentColor" opacity="0.35"/>'
    return f'<svg {size} role="img" aria-label="{html.escape(label)}">{frame}{"".join(lines)}</svg>'
