"""Models that train side by side: the same bytes as one after the other, and nothing lost when something ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isthmus.studies.results.results_json import read_results

HEAD = """
title = "small"
seed = 3
[data]
name = "digits"
train = 60
validation = 30
test = 60
"""
# steps enough that the plan puts them side by side, small enough that they take a second or two
MODEL = """
[[model]]
name = "{name}"
estimator = "autoencoder"
network = {{kind = "dense", bottleneck = {width}, output = "sigmoid"}}
corruption = {{kind = "gaussian", sigma = 0.1}}
epochs = {epochs}
batch_size = 20
"""
OF = """
[[model]]
name = "b-searched"
estimator = "decoder-prior"
of = "b"
max_iter = 5
[[model]]
name = "pca"
estimator = "pca"
n_components = 2
[[measure]]
corruption = {kind = "gaussian"}
levels = [0.2]
[[compare]]
models = ["a", "b-searched"]
corruption = {kind = "gaussian"}
levels = [0.2]
"""


def text(epochs: int = 1800) -> str:
    models = "".join(MODEL.format(name=name, width=i, epochs=epochs) for i, name in enumerate("abc", 2))
    return HEAD + models + OF


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("models/*/model.safetensors"))}


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """The folder of the study run with one thread, and so one model at a time."""
    from isthmus.console import Lines
    from isthmus.studies.run.scheduler import Request, run_study
    from isthmus.studies.spec.parser import parse_study

    out = tmp_path_factory.mktemp("one-by-one")
    run_study(parse_study(text(), "small", "small.toml"), Request(out, threads=1, device="cpu"), Lines())
    return out / "small"


@pytest.mark.slow
def test_the_same_bytes_and_numbers_as_one_after_the_other(one_by_one, run, folder, capsys):
    results = run(text(), threads=2)
    assert {row["side_by_side"] for row in results.plan} == {2}
    assert {row["threads"] for row in results.plan} == {1}
    assert "2 at a time" in capsys.readouterr().err
    assert weights(folder) == weights(one_by_one)
    before = read_results(one_by_one)
    assert [row.table() for row in results.rows] == [row.table() for row in before.rows]
    assert results.comparisons == before.comparisons
    assert len(results.comparisons) == 1
    assert {t["side_by_side"] for t in results.timings} == {2}
    assert not list(folder.glob("checkpoints"))
    # and with fewer models asked for, the finished ones are used again, whatever the plan
    again = run(text(), threads=2, only=("a",))
    assert {row["side_by_side"] for row in again.plan} == {1}
    assert "already finished" in capsys.readouterr().err


def start(study: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "isthmus", "run", str(study), "--out", str(out), "--threads", "2"]
    return subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.PIPE, text=True, start_new_session=True)


def until(process: subprocess.Popen, word: str) -> None:
    """Wait for a line with this word."""
    assert process.stderr
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"ended without {word}")


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    """Whether none of these is left after a while, zombies aside."""

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_takes_its_processes_along(sent, expected, one_by_one, run, study, tmp_path):
    out = tmp_path / "runs"
    with start(study(text()), out) as process:
        until(process, "epoch 90/")
        started = children(process.pid)
        assert len(started) == 2
        process.send_signal(sent)
        assert process.stderr
        said = [line for line in process.stderr if "epoch" not in line]
        assert process.wait() == expected
    assert gone(started)
    assert "Traceback" not in "".join(said)
    run(text(), threads=2 if sent == signal.SIGKILL else 1)  # one is enough to see what was left, and starts none
    assert weights(out / "small") == weights(one_by_one)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_process_that_is_killed_is_named_and_its_model_given_to_another(one_by_one, study, tmp_path):
    out = tmp_path / "runs"
    with start(study(text()), out) as process:
        until(process, "epoch 90/")
        os.kill(children(process.pid)[0], signal.SIGKILL)
        assert process.stderr
        said = process.stderr.read()
        assert process.wait() == 0
    (lost,) = [line for line in said.splitlines() if "was ended by signal 9" in line]
    assert "--threads 1" in lost
    assert lost.endswith("another one takes it up, at its last checkpoint if there is one")
    assert weights(out / "small") == weights(one_by_one)
