"""docs/scale.md: its figures follow from what was measured, and its commands run."""

from __future__ import annotations

import doctest
import json
import math
import re
import shlex

import pytest

from benchmarks import scale_page
from isthmus.cli import run_command

TEXT = scale_page.PAGE.read_text("utf-8")
FIGURES = json.loads(scale_page.FIGURES.read_text("utf-8"))


def test_every_table_is_that_of_the_measured_figures():
    assert set(FIGURES["steps"]) == set(scale_page.LARGE)
    assert len(FIGURES["checks"]) >= 2
    assert scale_page.page(TEXT, FIGURES) == TEXT


def test_another_step_makes_another_page():
    steps = {name: {**figures, "step": 2 * figures["step"]} for name, figures in FIGURES["steps"].items()}
    for name, large in scale_page.LARGE.items():
        before, after = (scale_page.hours(large, each[name], 1) for each in (FIGURES["steps"], steps))
        assert after == pytest.approx(2 * before)
    assert scale_page.page(TEXT, {**FIGURES, "steps": steps}) != TEXT


def test_the_sets_are_as_large_as_the_page_says():
    photographs, vectors = scale_page.LARGE["autoencoder"], scale_page.LARGE["dictionary"]
    assert photographs.samples * photographs.item == 1_281_167 * 224 * 224 * 3
    assert vectors.samples * vectors.item == 10**9 * 768 * 2
    assert vectors.steps == math.ceil(10**9 / 1024)
    atoms = 16_384
    assert FIGURES["steps"]["dictionary"]["weights"] == 2 * 768 * atoms + atoms  # encoder, its offset, and atoms


def test_nodes_that_share_a_training_are_faster_by_less_than_they_are_many():
    for name, large in scale_page.LARGE.items():
        one, *more = (scale_page.hours(large, FIGURES["steps"][name], nodes) for nodes in scale_page.NODES)
        for nodes, shared in zip(scale_page.NODES[1:], more, strict=True):
            assert one / nodes < shared < one


def test_its_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert len(commands) == 3
    for program, *arguments in commands:
        assert program == "isthmus"
        short = ["--quick", "--seconds", "0.001", "--device", "cpu", "--only", "dense-8"]
        single = [] if "--threads" in arguments else ["--threads", "1"]
        assert run_command([*arguments, *short, *single]) == 0, capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_its_python_is_right():
    failed, tried = doctest.testfile(str(scale_page.PAGE), module_relative=False)
    assert (failed, tried) == (0, 3)
