"""Models of a study that train side by side, each in a process of its own with few threads.

Two processes of one thread do more than one of two threads, and two processes of two threads far less than either. A
process answers in lines of JSON, so that nothing is unpickled, and ends as soon as whoever started it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import threadpoolctl

from isthmus.errors import DataError, RequestError, RunError
from isthmus.machine import worker
from isthmus.studies.context import Context, Request
from isthmus.studies.finish import finish
from isthmus.studies.listener import Listener
from isthmus.studies.outcome import Outcome
from isthmus.studies.plan import chains
from isthmus.studies.prepare import prepare
from isthmus.studies.reading import parse_study
from isthmus.studies.results import Results
from isthmus.training.hardware import using_threads
from isthmus.training.history import Epoch

Pair = tuple[str, int]  # a model's name, and a seed
_ERRORS = {kind.__name__: kind for kind in (DataError, RequestError, RunError)}


def outcomes(context: Context, pairs: list[Pair], listener: Listener) -> Iterator[Outcome]:
    """Train and measure these models, `context.side_by_side` at a time, and give each outcome when it is there.

    The longest chains of models first. Raises what a model's training raised; the others are then stopped where they
    are, and go on from their checkpoints in the next run.
    """
    works = [context.work(context.study.model(name), seed) for name, seed in pairs]
    waiting = sorted(chains(works), key=lambda chain: -sum(work.seconds(context.threads_each) for work in chain))
    with contextlib.ExitStack() as stack:
        said: queue.SimpleQueue[tuple[_Process, dict[str, Any]]] = queue.SimpleQueue()
        count = min(context.side_by_side, len(waiting))
        processes = [stack.enter_context(_Process(context, said)) for _ in range(count)]
        for process in processes:
            process.begin(waiting.pop(0))
        while any(process.chain for process in processes):
            process, answer = said.get()
            match answer:
                case {"done": table}:
                    process.chain.pop(0)
                    if waiting and not process.chain:
                        process.begin(waiting.pop(0))
                    yield Outcome.from_table(table)
                case {"error": kind, "message": message}:
                    raise _ERRORS[kind](message)
                case {"ended": code} if process.chain:  # else it had done its part
                    raise RunError(_ended(process, code))
                case {"tell": name, "with": arguments}:
                    _tell(listener, name, arguments)


def _tell(listener: Listener, name: str, arguments: list[Any]) -> None:
    if name == "epoch":
        label, row, epochs = arguments
        arguments = [label, Epoch(**row), epochs]
    getattr(listener, name)(*arguments)


def _ended(process: _Process, code: int) -> str:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    why = "; the machine may be out of memory: --threads 1 trains one model at a time" if code == -9 else ""
    return f"{process.chain[0].model}: the process that trained it was ended {how}{why}; what is finished is kept"


class _Process:
    """A process that fits and measures one model after another. chain: what it is to do, first what it does now."""

    def __init__(self, context: Context, said: queue.SimpleQueue[tuple[_Process, dict[str, Any]]]) -> None:
        self.context, self.said = context, said
        self.chain: list[Any] = []

    def __enter__(self) -> _Process:
        each = str(self.context.threads_each)
        # a pool of threads is as large as this from its birth, and one that waits must not keep another from its core
        environment = {"OMP_NUM_THREADS": each, "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = worker("isthmus.studies.side_by_side:serve", environment)
        study, request = self.context.study, asdict(self.context.request)
        paths = {name: str(request[name]) for name in ("out", "data_dir") if request[name] is not None}
        head = {"study": [study.text, study.name], "request": request | paths}
        self._send(head | {"side_by_side": self.context.side_by_side})
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        return self

    def begin(self, chain: list[Any]) -> None:
        self.chain = list(chain)
        for work in chain:
            self._send({"model": work.model, "seed": work.seed})

    def _send(self, table: dict[str, Any]) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # that it is gone is seen where its answers are read
            self.process.stdin.write(json.dumps(table).encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # the last line of a process that was killed
                self.said.put((self, json.loads(line)))
        self.said.put((self, {"ended": self.process.wait()}))

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # at which it ends
        self.process.terminate()
        self.reader.join()
        assert self.process.stdout
        self.process.stdout.close()


# --- in the process ---


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
    head = json.loads(sys.stdin.buffer.readline() or b"null")
    if head is None:
        return
    threading.Thread(target=_take_orders, args=(orders,), daemon=True).start()
    try:
        _work(head, orders, teller)
    except tuple(_ERRORS.values()) as error:
        kind = next(name for name, kind in _ERRORS.items() if isinstance(error, kind))
        teller.say({"error": kind, "message": str(error)})
        threading.Event().wait()  # until stdin ends


def _take_orders(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    os._exit(0)  # the run is over, or was killed: in the middle of a step, too, for files are written whole


def _work(head: dict[str, Any], orders: queue.SimpleQueue[dict[str, Any]], teller: _Teller) -> None:
    table = head["request"]
    paths = {name: Path(table[name]) if table[name] is not None else None for name in ("out", "data_dir")}
    request = Request(**{**table, **paths, "only": tuple(table["only"])})
    text, name = head["study"]
    context, _ = prepare(parse_study(text, name, f"{name}.toml"), request)
    context.side_by_side = head["side_by_side"]
    threads = context.threads_each
    with threadpoolctl.threadpool_limits(threads), using_threads(threads):
        while True:
            order = orders.get()
            model, seed = context.study.model(order["model"]), order["seed"]
            teller.say({"done": finish(context, model, seed, teller, again=True).table()})
            context.fitted.clear()  # bounded memory, however many models there are
            context.errors.clear()
