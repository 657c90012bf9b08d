"""Progress in a notebook: whether there is one, and HTML that is updated in place.

IPython is no dependency: where a notebook runs, it has been imported already.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

_INTERVAL = 0.1  # seconds between two updates, for epochs may last milliseconds


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, whose cells show HTML; IPython in a terminal does not."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class LiveHtml:
    """HTML in the output of a cell, replaced in place."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last_time = -math.inf

    def show(self, markup: str, text: str, *, at_once: bool = False) -> None:
        """Show this in place of what was shown. text: for front ends without HTML. at_once: however recent that is."""
        now = time.monotonic()
        if not at_once and now - self._last_time < _INTERVAL:
            return
        self._last_time = now
        bundle = {"text/html": markup, "text/plain": text}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
