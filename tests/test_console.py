"""What a person sees while a study runs: lines in a file, a bar on a terminal."""

from __future__ import annotations

import os
import pty
import sys
import threading

import numpy as np
import pytest

from isthmus.cli import run_command
from isthmus.console import Lines, duration
from isthmus.training.history import Epoch

STUDY = """
title = "tiny"
[data]
name = "digits"
train = 100
validation = 50
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 3
[[model]]
name = "pca-64"
estimator = "pca"
n_components = 64
[[reference]]
id = "tiny.wrong"
model = "dense-4"
metric = "mse"
value = 9.0
rtol = 0.1
"""


OVER_SEEDS = """
[[reference]]
id = "tiny.seeds"
model = "pca-64"
metric = "code_size"
value = {}
rtol = 0.001
over_seeds = [63, 65, 63, 65, 63, 65, 63, 65, 63, 65]
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "tiny.toml").write_text(STUDY)
    return ["run", str(tmp_path / "tiny.toml"), "--out", str(tmp_path), "--threads", "1"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (95, "1 min 35 s"), (3600, "60 min 00 s")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_a_file_gets_the_plan_first_and_a_line_for_each_epoch(command, capsys):
    assert run_command(command) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    plan = next(i for i, line in enumerate(lines) if "2 of 2 models to train" in line)
    assert "100 images × 3 epochs" in "".join(lines[:plan])
    epochs = [line for line in lines[plan:] if line.startswith("dense-4  epoch ")]
    assert [line.split()[2] for line in epochs] == ["1/3", "2/3", "3/3"]
    assert all("validation 0." in line for line in epochs)
    assert "0 of 1 published numbers agree" in out
    assert "differs: tiny.wrong" in out


@pytest.mark.parametrize(("epochs", "each"), [(1, 0.1), (20, 0.1), (21, 0.1), (800, 0.1), (800, 6.0)])
def test_hundreds_of_epochs_have_some_twenty_lines_or_one_in_ten_seconds(epochs, each, monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr("isthmus.console.time.monotonic", lambda: now[0])
    lines = Lines()
    for number in range(1, epochs + 1):
        now[0] += each
        lines.epoch("m", Epoch(number, 0.5, each), epochs)
    shown = [int(line.split()[2].partition("/")[0]) for line in capsys.readouterr().err.splitlines()]
    assert shown[0] == 1
    assert shown[-1] == epochs
    if each < 1:
        assert min(epochs, 11) <= len(shown) <= 22
    else:
        assert max(np.diff(shown)) * each < 20


@pytest.mark.parametrize(("value", "verdict"), [(65.3, "agrees"), (70, "differs")])
def test_the_spread_over_seeds_is_said_with_its_verdict(value, verdict, command, tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(STUDY + OVER_SEEDS.format(value))
    assert run_command([*command, "--only", "pca-64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    agree = int(verdict == "agrees")
    assert f"{agree} of 1 published numbers agree within their tolerance, or for 1 as one more seed would" in lines
    interval = "one more 61.4991 to 66.5009 (95 %)"  # 64 ± 2.2621572 · √(10/9) · √1.1
    assert f"  {verdict}: tiny.seeds, published {value}, seed 0 64; 10 seeds 63 to 65, {interval}" in lines


def test_a_terminal_gets_a_bar(command, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm-256color")
    controller, terminal = pty.openpty()
    seen = []

    def read():
        try:
            while chunk := os.read(controller, 4096):
                seen.append(chunk)
        except OSError:  # how Linux says that the terminal was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(terminal, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        assert run_command(command) == 0
    reader.join(timeout=10)
    os.close(controller)
    text = b"".join(seen).decode()
    assert "\x1b[" in text  # the bar is drawn over and over
    assert "━" in text
    assert "dense-4  epoch" not in text
    assert "dense-4  fitted in" in text
    out = capsys.readouterr().out
    assert out.startswith("model")
    assert "\x1b" not in out  # a result can be piped on
