"""Progress of a study in a notebook: a table with a bar for each model, updated in place."""

from __future__ import annotations

import html

from isthmus import console
from isthmus.decimals import error_text
from isthmus.notebook.live_html import LiveHtml, in_notebook
from isthmus.notebook.markup import bar
from isthmus.studies.results.results_json import Results
from isthmus.training.history import Epoch

_CELL = "text-align:left;padding:.15em 1.2em .15em 0;font-variant-numeric:tabular-nums"


class NotebookTable(console.Lines):
    """Shows each model in a row: its bar and loss while it trains, then what came of it; notes stand below."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.rows: dict[str, str] = {}  # HTML by model
        self.notes: list[str] = []
        self._live = LiveHtml()

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None:
        self.title = f"{results.title}: {results.data['title']}"
        for row in results.plan:
            label = row["model"] if row["seed"] == results.seed else f"{row['model']}.seed-{row['seed']}"
            self.rows[label] = "already finished" if (row["model"], row["seed"]) in finished else ""
        self._show(at_once=True)

    def started(self, name: str, epochs: int) -> None:
        self.rows[name] = bar(0, epochs) if epochs else "…"
        self._show(at_once=True)

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        self.rows[name] = f"{bar(row.epoch, epochs)} {row.epoch}/{epochs} · loss {error_text(row.loss)}"
        self._show()

    def finished(self, name: str, sentence: str) -> None:
        self.rows[name] = html.escape(sentence)
        self._show(at_once=True)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)
        self._show(at_once=True)

    def _show(self, *, at_once: bool = False) -> None:
        rows = "".join(
            f'<tr><td style="{_CELL};white-space:nowrap"><b>{html.escape(name)}</b></td>'
            f'<td style="{_CELL}">{state}</td></tr>'
            for name, state in self.rows.items()
        )
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        markup = f'<div>{html.escape(self.title)}</div><table style="border-collapse:collapse">{rows}</table>{notes}'
        self._live.show(markup, self.title, at_once=at_once)

    def __exit__(self, *_: object) -> None:
        self._show(at_once=True)


def training_progress() -> console.Lines:
    """In a notebook a table of bars, else bars on a terminal, else lines."""
    return NotebookTable() if in_notebook() else console.training_progress()
