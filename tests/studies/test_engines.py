"""Engines: one contract for that of the machine and for two of examples/extending, and a study run by these."""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from isthmus import kinds
from isthmus.cli import run_command
from isthmus.console import Lines
from isthmus.errors import RequestError, RunError
from isthmus.files import sweep
from isthmus.locks import lock
from isthmus.studies.plan.context import Request
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.run import engines
from isthmus.studies.run.engines import Task
from isthmus.studies.run.engines.engine import failure
from isthmus.studies.run.job import Job
from isthmus.studies.run.scheduler import run_study
from isthmus.studies.spec.parser import load_study, parse_study

STUDY = """
title = "small"
seed = 3
[data]
name = "digits"
train = 60
test = 60
"""
MODEL = """
[[model]]
name = "{name}"
estimator = "autoencoder"
network = {{kind = "dense", bottleneck = {width}, output = "sigmoid"}}
epochs = {epochs}
batch_size = 20
"""
OF = '[[model]]\nname = "of-a"\nestimator = "pca"\nn_components = 1\nof = "a"\n'
WILD = """
[[model]]
name = "wild"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 3, activation = "linear"}
epochs = 50
learning_rate = 1e30
optimizer = "sgd"
"""
LONG = 1_000_000  # epochs that no test waits for
TEXT = STUDY + MODEL.format(name="a", width=2, epochs=3) + MODEL.format(name="b", width=3, epochs=3) + OF + WILD
TEXT += MODEL.format(name="long", width=4, epochs=LONG)


SLOW = pytest.param("processes", marks=pytest.mark.slow)  # each has to import torch


@pytest.fixture
def context(tmp_path):
    request = Request(tmp_path, threads=2, device="cpu")
    (tmp_path / "small").mkdir()
    made, _ = prepare(parse_study(TEXT, "small", "small.toml"), request)
    made.plans = (1,)
    return made


@pytest.fixture(params=["local", "threads", SLOW, pytest.param("launched", marks=pytest.mark.slow)])
def engine(request, extension, context):
    """Each of them, with room for two tasks at once."""
    extension("engines")
    if request.param != "launched":
        yield engines.engine(request.param)
        return
    with lock(context.folder):  # by which workers know it
        yield engines.launched("sh -c '\"$@\"; exit $?' sh", [], 2)  # a shell stays between the two


def ended(engine, n: int) -> tuple[dict, dict]:
    """The last message of so many tasks, and what came before it, by model."""
    last, before = {}, {}
    while len(last) < n:
        task, message = engine.receive()
        assert task.model not in last, "nothing comes after the last message"
        assert json.dumps(message, allow_nan=False)
        if "call" in message:
            before.setdefault(task.model, []).append(message)
        else:
            last[task.model] = message
    return last, before


def until_an_epoch_of_long(engine) -> None:
    while (message := engine.receive()[1]).get("call") != "epoch" or message["with"][0] != "long":
        pass


def test_a_task_is_plain_data(context):
    task = Task.of(context, ("a", 3))
    assert Task(**json.loads(json.dumps(task.table()))) == task
    assert (task.pair, task.threads) == (("a", 3), 1)


def test_tasks_are_run_with_progress_a_failure_is_told_in_words_and_leaving_stops_what_runs(engine, context):
    """In one test, for each process of an engine takes two seconds to import torch."""
    with engine.open(2, 1):
        for name in ("a", "wild", "b"):  # more than there are slots
            engine.submit(Task.of(context, (name, 3)))
        last, before = ended(engine, 3)
        assert last["wild"]["error"] == "RunError"
        assert last["wild"]["message"].startswith("wild: diverged")
        for name in ("a", "b"):
            assert [one["call"] for one in before[name]][:4] == ["started", "epoch", "epoch", "epoch"]
            assert {row["model"] for row in last[name]["done"]["rows"]} == {name}
            assert (context.folder / "models" / name / "model.safetensors").exists()
        engine.submit(Task.of(context, ("of-a", 3)))  # whose model another task has fitted
        last, _ = ended(engine, 1)
        assert {row["model"] for row in last["of-a"]["done"]["rows"]} == {"of-a"}
        for name in ("long", "a", "b"):
            engine.submit(Task.of(context, (name, 3)))
        until_an_epoch_of_long(engine)
    sweep(context.folder)  # as the next run does: a model may have been stopped while it was written
    assert not list(context.folder.glob("models/long"))
    assert not list(context.folder.rglob("*.tmp*"))
    with engine.open(1, 1):  # it can be opened again
        engine.submit(Task.of(context, ("b", 3)))
        assert "done" in ended(engine, 1)[0]["b"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("engine", ["local", "processes"], indirect=True)
def test_a_task_that_is_lost_fails_and_the_next_has_another_process(engine, context):
    with engine.open(1, 1):
        engine.submit(Task.of(context, ("long", 3)))
        until_an_epoch_of_long(engine)
        own = os.getpid()
        children = [
            int(pid) for path in Path(f"/proc/{own}/task").iterdir() for pid in (path / "children").read_text().split()
        ]
        (pid,) = (pid for pid in children if b"engines.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(pid, signal.SIGKILL)
        message = ended(engine, 1)[0]["long"]
        assert message["error"] == "RunError"
        assert "9" in message["message"]
        engine.submit(Task.of(context, ("a", 3)))
        assert "done" in ended(engine, 1)[0]["a"]


# --- from outside the package, through the public seam ---


@pytest.fixture(params=["threads", SLOW])
def outside(request, extension):
    extension("engines")
    return request.param


def timeless(value):
    """results.json without what differs from run to run: times, and the command."""
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items() if key not in ("seconds", "command")}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def results_of(folder: Path):
    return timeless(json.loads((folder / "results.json").read_text("utf-8")))


# one of each estimator and network, and the models that they are of: each imports torch
OF_EACH_KIND = ("identity", "pca-8", "vae-8", "conv-8", "dictionary-96", "minibatch-dictionary", "prior-8")


@pytest.mark.slow
@pytest.mark.parametrize(("outside", "only"), [("threads", ()), ("processes", OF_EACH_KIND)], indirect=["outside"])
def test_a_study_has_the_same_results_by_any_engine(outside, only, tmp_path):
    for engine in ("local", outside):
        request = Request(tmp_path / engine, threads=1, device="cpu", quick=True, only=only, engine=engine)
        run_study(load_study("digits"), request, Lines())
    assert results_of(tmp_path / outside / "digits") == results_of(tmp_path / "local" / "digits")


def test_a_failing_model_ends_the_run_as_here(outside, tmp_path):
    text = TEXT.replace(str(LONG), "3")
    for engine in ("local", outside):
        request = Request(tmp_path / engine, threads=1, device="cpu", engine=engine)
        with pytest.raises(RunError, match=r"^wild: diverged"):
            run_study(parse_study(text, "small", "small.toml"), request, Lines())


def test_ctrl_c_leaves_things_whole(outside, tmp_path):
    class Impatient(Lines):
        def epoch(self, name, row, epochs):
            if name == "long":
                raise KeyboardInterrupt

    models = [text for text in TEXT.split("[[model]]") if '"wild"' not in text]
    text = "[[model]]".join(models)
    request = Request(tmp_path, threads=1, device="cpu", engine=outside)
    with pytest.raises(KeyboardInterrupt):
        run_study(parse_study(text, "small", "small.toml"), request, Impatient())
    whole = parse_study(text.replace(str(LONG), "3"), "small", "small.toml")
    assert run_study(whole, request, Lines()).complete
    assert not list(tmp_path.rglob("*.tmp*"))
    run_study(whole, Request(tmp_path / "local", threads=1, device="cpu"), Lines())
    assert results_of(tmp_path / "small") == results_of(tmp_path / "local" / "small")


PART = """
import torch
from dataclasses import dataclass
from typing import ClassVar
from isthmus.corruption import register
from isthmus.parts import Levelled

@dataclass(frozen=True, repr=False)
class Darker(Levelled):
    kind: ClassVar[str] = "darker"
    level: ClassVar[str] = "amount"
    amount: float

def darker(part, x, generator, image_shape):
    return x * (1 - part.amount)
"""
DARKER = MODEL.format(name="d", width=2, epochs=2) + 'corruption = {kind = "darker", amount = 0.5}\n'


@pytest.mark.parametrize("importable", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workers_know_what_is_registered_or_else_it_runs_here(importable, tmp_path, monkeypatch, capsys):
    """A module that is imported and does not register by itself, and what a script or a notebook defines."""
    monkeypatch.setattr("isthmus.studies.plan.workload._START", -1e9)  # side by side, however small
    if importable:
        (tmp_path / "parts_of_mine.py").write_text(PART, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        import_module("parts_of_mine")
        made = vars(sys.modules["parts_of_mine"])
    else:
        made = {"__name__": "__main__"}
        exec(compile(PART, "script.py", "exec", dont_inherit=True), made)
    made["register"](made["Darker"], made["darker"])
    try:
        study = parse_study(STUDY + DARKER + MODEL.format(name="a", width=2, epochs=2), "small", "small.toml")
        results = run_study(study, Request(tmp_path, threads=2, device="cpu"), Lines())
    finally:
        kinds.unregister("corruption", made["Darker"])
        sys.modules.pop("parts_of_mine", None)
    assert results.complete
    assert {row["side_by_side"] for row in results.plan} == {2}
    note = "all models are trained in this process: no other one can import __main__:Darker"
    assert (note in capsys.readouterr().err) is not importable


MODULE = """
from isthmus.studies.run import engines

class Mine(engines.Local):
    def slots(self, tasks, planned):
        print("tasks:", tasks)
        return 0

engines.register("mine", Mine)
"""


def test_the_command_imports_a_module_that_registers_an_engine(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_engine.py").write_text(MODULE, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    command = ["run", "digits", "--quick", "--only", "pca-*", "--threads", "1", "--engine", "mine"]
    assert run_command(command) == 2
    assert (
        'unknown engine "mine"; known: local, ray, slurm; --import MODULE registers others' in capsys.readouterr().err
    )
    assert run_command([*command, "--import", "my_engines"]) == 2
    assert "cannot import the module my_engines: No module named" in capsys.readouterr().err
    try:
        assert run_command([*command, "--import", "my_engine"]) == 0
        assert "tasks: " in capsys.readouterr().out
    finally:
        engines._ENGINES.pop("mine", None)
        sys.modules.pop("my_engine", None)


def test_an_unknown_engine_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r'unknown engine "locl".*Did you mean "local"'):
        run_study(load_study("digits"), Request(tmp_path, engine="locl"), Lines())


def test_a_task_is_taken_up_once_where_it_was_lost_and_never_where_it_failed():
    def received(*messages):
        job, task = object.__new__(Job), SimpleNamespace(pair=("a", 3))
        job.waiting, job.running, job._works, job._lost, job.failed = [], {task.pair}, {task.pair: "work"}, set(), None
        job.progress = Lines()
        for message in messages:
            job.receive(task, message)
        return job

    lost = failure("a: its process was ended")
    once, twice, failed = (
        received(lost),
        received(lost, lost),
        received(failure("a: diverged", RunError("a: diverged"))),
    )
    assert (once.waiting, once.running, once.failed) == (["work"], set(), None)
    assert "the second time" in str(twice.failed)
    assert (failed.waiting, str(failed.failed)) == ([], "a: diverged")
