"""Progress of a run, as it is told to a listener."""

from __future__ import annotations

from typing import Protocol

from isthmus.studies.results.results_json import Results
from isthmus.training.history import Epoch


class Listener(Protocol):
    """The console is one."""

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None: ...
    def started(self, name: str, epochs: int) -> None: ...
    def epoch(self, name: str, row: Epoch, epochs: int) -> None: ...
    def finished(self, name: str, sentence: str) -> None: ...
    def note(self, sentence: str) -> None: ...


class Named:
    """A listener that passes everything on to another, with a word before each model's name."""

    def __init__(self, listener: Listener, word: str) -> None:
        self.listener, self.word = listener, word

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None:
        self.listener.planned(results, finished)

    def started(self, name: str, epochs: int) -> None:
        self.listener.started(self.word + name, epochs)

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        self.listener.epoch(self.word + name, row, epochs)

    def finished(self, name: str, sentence: str) -> None:
        self.listener.finished(self.word + name, sentence)

    def note(self, sentence: str) -> None:
        self.listener.note(self.word + sentence)  # it begins with a model's name
