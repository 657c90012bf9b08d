"""The program for a lent GPU: it names what is missing before anything else, and runs where nothing is installed."""

import subprocess
import sys

import pytest
import torch

from benchmarks import gpu


def test_a_bare_python_is_told_all_that_it_lacks():
    done = subprocess.run([sys.executable, "-I", "-S", gpu.__file__], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"benchmarks/gpu.sh: {sys.executable} lacks {', '.join(gpu.NEEDED.values())}\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_machine_without_cuda_is_told_so(tmp_path):
    done = subprocess.run(["bash", "benchmarks/gpu.sh"], capture_output=True, text=True, env={"PYTHON": sys.executable})
    assert (done.returncode, done.stderr) == (1, "benchmarks/gpu.sh: torch sees no CUDA device\n")


def test_both_are_timed_and_what_there_is_no_time_for_is_told(monkeypatch, capsys):
    images = torch.arange(200 * 28 * 28).remainder(251).to(torch.uint8).view(200, 28, 28)
    monkeypatch.setattr(gpu, "BATCHES", (64,))
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    clock = iter([0.0, 0.0, 9.0])  # before each case
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(clock))
    rows = gpu.timed("cpu", 5.0, images)
    assert [(row["model"], row["precision"]) for row in rows] == [("dense-64", "float32"), ("dense-64", "bfloat16")]
    assert all(seconds > 0 for row in rows for pair in row["rounds"] for seconds in pair)
    assert "no time is left for dense-256, 64, float32" in capsys.readouterr().out
