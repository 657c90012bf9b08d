"""Progress of a run, reported in its own process or across processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from isthmus.studies.results.results_json import Results
from isthmus.training.history import Epoch


class Progress(Protocol):
    """Reports what a run does: `console.Lines` and `console.Bars` print it."""

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None: ...
    def started(self, name: str, epochs: int) -> None: ...
    def epoch(self, name: str, row: Epoch, epochs: int) -> None: ...
    def finished(self, name: str, sentence: str) -> None: ...
    def note(self, sentence: str) -> None: ...


class Sender:
    """Sends the calls of `Progress` as plain values to the process of the run, which replays them."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self.send = send

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None:
        raise AssertionError("the run itself says what is planned")

    def started(self, name: str, epochs: int) -> None:
        self.send({"call": "started", "with": [name, epochs]})

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        self.send({"call": "epoch", "with": [name, {**asdict(row), "step_losses": []}, epochs]})

    def finished(self, name: str, sentence: str) -> None:
        self.send({"call": "finished", "with": [name, sentence]})

    def note(self, sentence: str) -> None:
        self.send({"call": "note", "with": [sentence]})


def replay(progress: Progress, message: dict[str, Any]) -> None:
    """Repeat a `Sender`'s call."""
    arguments = [Epoch(**value) if isinstance(value, dict) else value for value in message["with"]]
    getattr(progress, message["call"])(*arguments)


def prefixed(progress: Progress, prefix: str) -> Progress:
    """Pass everything on to `progress`, with a prefix before each model's name."""

    def send(message: dict[str, Any]) -> None:
        name, *rest = message["with"]  # a sentence begins with a model's name
        replay(progress, {**message, "with": [prefix + name, *rest]})

    return Sender(send)
