"""Progress of a run, for listeners in its own process or across processes."""

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


class Sender:
    """A listener that sends its calls as plain values to the process of the run, which replays them."""

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
    """Repeat a `Sender`'s call on a listener."""
    arguments = [Epoch(**one) if isinstance(one, dict) else one for one in message["with"]]
    getattr(listener, message["tell"])(*arguments)


def prefixed(listener: Listener, prefix: str) -> Listener:
    """A listener that passes everything on to another, with a prefix before each model's name."""

    def send(message: dict[str, Any]) -> None:
        name, *rest = message["with"]  # a sentence begins with a model's name
        replay(listener, {**message, "with": [prefix + name, *rest]})

    return Sender(send)
