"""Several studies in one command: the next is begun where one leaves a core idle, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.console import Lines
from isthmus.errors import RequestError, RunError
from isthmus.studies.results.results_json import read_results
from isthmus.studies.run.scheduler import Request, run_studies
from isthmus.studies.spec.parser import parse_study

HEAD = """
title = "{title}"
seed = 3
[data]
name = "digits"
train = 60
validation = 30
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


@pytest.fixture(autouse=True)
def side_by_side(monkeypatch):
    """Models that take a moment are put side by side, as those are that take longer than the start of a process."""
    monkeypatch.setattr("isthmus.studies.plan.workload._START", 0.0)


def study(name: str, widths: tuple[int, ...], extra: str = "", epochs: int = 100):
    models = "".join(MODEL.format(name=f"m-{width}", width=width, epochs=epochs) for width in widths)
    return parse_study(HEAD.format(title=name) + models + extra, name, f"{name}.toml")


WILD = MODEL.format(name="wild", width=3, epochs=100) + "learning_rate = 1e30\noptimizer = 'sgd'\n"
DIVERGING = WILD.replace('output = "sigmoid"', 'output = "linear", activation = "linear"')


class Diary(Lines):
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def planned(self, results, finished) -> None:
        self.lines.append(f"planned {results.study}")

    def started(self, name, epochs) -> None:
        self.lines.append(f"started {name}")

    def epoch(self, name, row, epochs) -> None:
        pass

    def finished(self, name, sentence) -> None:
        self.lines.append(f"finished {name}")

    def note(self, sentence) -> None:
        self.lines.append(sentence)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("models/*/model.safetensors"))}


def rows(results) -> list:
    return [row.table() for row in results.rows]


def plan(results) -> list:
    return [{**row} for row in results.plan]


@pytest.mark.slow
def test_the_same_as_each_on_its_own_and_the_second_is_begun_before_the_first_is_over(tmp_path):
    studies = [study("first", (2, 3, 4)), study("second", (5, 6))]
    diary, together = Diary(), Request(tmp_path / "together", threads=2, device="cpu")
    seen = []
    for results in run_studies(studies, together, diary):
        diary.lines.append(f"over {results.study}")
        seen.append(results)
    assert [results.study for results in seen] == ["first", "second"]
    assert all(results.complete for results in seen)
    assert diary.lines.index("planned second") < diary.lines.index("over first")
    assert {"finished first/m-2", "finished second/m-5"} <= set(diary.lines)
    alone = Request(tmp_path / "alone", threads=2, device="cpu")
    for one, results in zip(studies, seen, strict=True):
        (own,) = run_studies([one], alone, Lines())
        assert rows(own) == rows(results)
        assert plan(own) == plan(results)
        assert weights(alone.out / one.name) == weights(together.out / one.name)
        assert read_results(together.out / one.name).complete
    again = Diary()
    assert [one.study for one in run_studies(studies, together, again)] == ["first", "second"]
    assert not [line for line in again.lines if line.startswith("started")]


def test_what_fails_in_the_second_ends_it_by_the_models_name_and_does_not_spoil_the_first(tmp_path):
    studies = [study("first", (2, 3, 4)), study("second", (5,), DIVERGING)]
    over = []
    with pytest.raises(RunError, match="wild: diverged"):
        over.extend(r.study for r in run_studies(studies, Request(tmp_path, threads=2, device="cpu"), Lines()))
    assert over == ["first"]
    assert read_results(tmp_path / "first").complete
    assert not read_results(tmp_path / "second").complete


@pytest.mark.slow
def test_a_second_that_cannot_be_run_is_refused_when_the_first_is_over(tmp_path):
    second = study("second", (5, 6))
    second = parse_study(second.text.replace("train = 60", "train = 60000"), "second", "second.toml")
    studies, over = [study("first", (2, 3, 4)), second], []
    with pytest.raises(RequestError, match="60,000"):
        over.extend(r.study for r in run_studies(studies, Request(tmp_path, threads=2, device="cpu"), Lines()))
    assert over == ["first"]


def test_those_that_train_one_model_at_a_time_are_one_after_the_other(tmp_path):
    studies = [study(name, (2, 3), epochs=2) for name in ("first", "second", "third")]
    diary = Diary()
    for results in run_studies(studies, Request(tmp_path, threads=1, device="cpu"), diary):
        diary.lines.append(f"over {results.study}")
        assert {row["side_by_side"] for row in results.plan} == {1}
    assert diary.lines.index("over first") < diary.lines.index("planned second")
    assert [line for line in diary.lines if line.startswith("over")] == ["over first", "over second", "over third"]


@pytest.mark.slow
def test_one_at_a_time_between_those_side_by_side(tmp_path):
    studies = [study("first", (2, 3, 4)), study("small", (2,)), study("third", (5, 6))]
    over = [results.study for results in run_studies(studies, Request(tmp_path, threads=2, device="cpu"), Lines())]
    assert over == ["first", "small", "third"]
    assert all(read_results(tmp_path / name).complete for name in over)
