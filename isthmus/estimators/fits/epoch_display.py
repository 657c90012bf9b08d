"""What a fit with `verbose` shows of its epochs: a line for each, or in a notebook one bar."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from isthmus.decimals import error_text
from isthmus.errors import counted
from isthmus.notebook.live_html import LiveHtml, in_notebook
from isthmus.notebook.markup import bar, line
from isthmus.training.history import Epoch, History


class EpochDisplay:
    """Shows a fit while it runs. is_shown: whether anything is."""

    def __init__(self, title: str, *, is_shown: bool) -> None:
        self.title, self.is_shown = title, is_shown
        self._live = LiveHtml() if is_shown and in_notebook() else None

    def say(self, sentence: str) -> None:
        """Print a line."""
        if self.is_shown:
            print(sentence)

    def shown(self, rows: Iterable[Epoch], epochs: int) -> Generator[Epoch, None, None]:
        """Yield a fit's rows, of so many at most, each once it is shown."""
        last, seconds = None, 0.0
        try:
            for row in rows:
                last, seconds = row, seconds + row.seconds
                if self._live is None:
                    self.say(row.line(epochs))
                else:
                    self._show(row, epochs, seconds)
                yield row
        finally:  # the bar may be behind, for a fit may end early, or be interrupted
            if self._live is not None and last is not None:
                self._show(last, epochs, seconds, at_once=True)

    def _show(self, row: Epoch, epochs: int, seconds: float, *, at_once: bool = False) -> None:
        assert self._live is not None
        validation = "" if row.validation_loss is None else f"validation {error_text(row.validation_loss)}"
        done = f"{self.title} {bar(row.epoch, epochs)} {row.epoch} of {counted(epochs, 'epoch')}"
        markup = line(done, f"loss {error_text(row.loss)}", validation, f"{seconds:.1f} s")
        self._live.show(markup, f"{self.title}: {row.line(epochs)}", at_once=at_once)


def fitted_html(model: Any) -> str:
    """What a fitted model learned, in a line and a curve; "" for one that is not fitted, or not trained in epochs."""
    history = getattr(model, "history_", None)
    if not isinstance(history, History) or not len(history):
        return ""
    size = getattr(getattr(model, "network_", None), "code_size", None)
    code = "" if size is None else f"code of {counted(int(size), 'number')}"
    weights = f"{model.n_parameters_:,} weights"
    return f'<div style="margin:.4em 0">{line("<b>Fitted</b>", code, weights)}{history._repr_html_()}</div>'
