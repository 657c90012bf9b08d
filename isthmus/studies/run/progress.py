"""Progress of a run: listeners are told of it, in the run's process or from another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from isthmus.studies.results.results_json import Results
from isthmus.training.history import Epoch


class Listener(Protocol):
    """The console is one."""

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None: ...
    def started(self, name: str, epochs: int) -> None: ...
    def epoch(self, name: str, row: Epoch, epochs: int) -> None: ...
    def finished(self, name: str, sentence: str) -> None: ...
    def note(self, sentence: str) -> None: ...


class Prefixed:
    """A listener that passes everything on to another, with a prefix before each model's name."""

    def __init__(self, listener: Listener, prefix: str) -> None:
        self.listener, self.prefix = listener, prefix

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None:
        self.listener.planned(results, finished)

    def started(self, name: str, epochs: int) -> None:
        self.listener.started(self.prefix + name, epochs)

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        self.listener.epoch(self.prefix + name, row, epochs)

    def finished(self, name: str, sentence: str) -> None:
        self.listener.finished(self.prefix + name, sentence)

    def note(self, sentence: str) -> None:
        self.listener.note(self.prefix + sentence)  # it begins with a model's name


class Sender:
    """A listener that sends what it is told, in plain values, to the process of the run, which calls `replay`."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self.send = send

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None:
        raise AssertionError("the run itself says what is planned")

    def started(self, name: str, epochs: int) -> None:
        self.send({"tell": "started", "with": [name, epochs]})

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        self.send({"tell": "epoch", "with": [name, {**asdict(row), "step_losses": []}, epochs]})

    def finished(self, name: str, sentence: str) -> None:
        self.send({"tell": "finished", "with": [name, sentence]})

    def note(self, sentence: str) -> None:
        self.send({"tell": "note", "with": [sentence]})


def replay(listener: Listener, message: dict[str, Any]) -> None:
    """Tell a listener what a `Sender` was told."""
    arguments = [Epoch(**one) if isinstance(one, dict) else one for one in message["with"]]
    getattr(listener, message["tell"])(*arguments)
