"""What a run tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from isthmus.studies.results import Results
from isthmus.training.history import Epoch


class Listener(Protocol):
    """The console is one."""

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None: ...
    def started(self, name: str, epochs: int) -> None: ...
    def epoch(self, name: str, row: Epoch, epochs: int) -> None: ...
    def finished(self, name: str, sentence: str) -> None: ...
    def note(self, sentence: str) -> None: ...
