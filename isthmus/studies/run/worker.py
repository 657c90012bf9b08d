"""A worker: a process that fits and measures the models that it is told to, of one study or another.

Orders come as lines of JSON on stdin, and answers go the same way on stdout, so that nothing is unpickled. It ends as
soon as whoever started it does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from isthmus import kinds
from isthmus.errors import DataError, RequestError, RunError
from isthmus.studies.plan.context import Context, Request
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.plan.workload import Pair
from isthmus.studies.results.results_json import Results
from isthmus.studies.run.task import finish
from isthmus.studies.spec.parser import parse_study
from isthmus.training.hardware import using_threads_everywhere
from isthmus.training.history import Epoch

ERRORS = {kind.__name__: kind for kind in (DataError, RequestError, RunError)}


def order(context: Context, pair: Pair) -> dict[str, Any]:
    """What such a process is told for one model of a study."""
    study, request = context.study, asdict(context.request)
    paths = {name: str(request[name]) for name in ("out", "data_dir") if request[name] is not None}
    plan = [context.side_by_side, *context.plans]
    head = {"study": [study.text, study.name], "request": request | paths, "plan": plan, "kinds": kinds.registered()}
    return {"head": head, "model": pair[0], "seed": pair[1]}


class _Teller:
    """A listener that passes on what it is told."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out = out

    def say(self, table: dict[str, Any]) -> None:
        try:
            self.out.write(json.dumps(table).encode() + b"\n")
            self.out.flush()
        except OSError:
            os._exit(0)  # nobody listens: the run was killed

    def planned(self, results: Results, finished: set[Pair]) -> None:
        raise AssertionError("the run itself says what is planned")

    def started(self, name: str, epochs: int) -> None:
        self.say({"tell": "started", "with": [name, epochs]})

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        self.say({"tell": "epoch", "with": [name, {**asdict(row), "step_losses": ()}, epochs]})

    def finished(self, name: str, sentence: str) -> None:
        self.say({"tell": "finished", "with": [name, sentence]})

    def note(self, sentence: str) -> None:
        self.say({"tell": "note", "with": [sentence]})


def serve() -> None:
    """Fit and measure the models that are asked for on stdin, tell on stdout, and end when stdin does."""
    teller = _Teller(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever prints is not to get between the lines
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_take_orders, args=(orders,), daemon=True).start()
    try:
        _work(orders, teller)
    except tuple(ERRORS.values()) as error:
        kind = next(name for name, kind in ERRORS.items() if isinstance(error, kind))
        teller.say({"error": kind, "message": str(error)})
        threading.Event().wait()  # until stdin ends


def _take_orders(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    os._exit(0)  # the run is over, or was killed: in the middle of a step, too, for files are written whole


def _work(orders: queue.SimpleQueue[dict[str, Any]], teller: _Teller) -> None:
    head, context = None, None
    while True:
        asked = orders.get()
        if context is None or asked["head"] != head:  # the images of one study at a time
            head, context = asked["head"], None
            context = _context(asked["head"])
        model, seed, threads = context.study.model(asked["model"]), asked["seed"], context.threads_each
        with using_threads_everywhere(threads):
            teller.say({"done": finish(context, model, seed, teller, again=True).table()})
        context.fitted.clear()  # bounded memory, however many models there are
        context.errors.clear()


def _context(head: dict[str, Any]) -> Context:
    kinds.register_all(head["kinds"])
    table = head["request"]
    paths = {name: Path(table[name]) if table[name] is not None else None for name in ("out", "data_dir")}
    request = Request(**{**table, **paths, "only": tuple(table["only"])})
    text, name = head["study"]
    context, _ = prepare(parse_study(text, name, f"{name}.toml"), request)
    context.side_by_side, *plans = head["plan"]
    context.plans = tuple(plans)
    return context
