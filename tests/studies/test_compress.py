"""The first published study on MNIST, whole: every published number agrees, in little memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest


@pytest.mark.mnist
@pytest.mark.slow
def test_compress_agrees_with_every_published_number(tmp_path):
    assert os.environ.get("ISTHMUS_DATA"), "set ISTHMUS_DATA to a folder that holds MNIST"
    # a process of its own, so that its memory can be told from pytest's; run_command is what it calls
    program = "import sys; from isthmus.cli import run_command; sys.exit(run_command(sys.argv[1:]))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    command = [sys.executable, "-c", program, "run", "compress", "--out", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout)
    assert results == json.loads((tmp_path / "compress" / "results.json").read_text())
    verdicts = {reference["id"]: reference["agrees"] for reference in results["references"]}
    assert len(verdicts) == 9
    assert set(verdicts.values()) == {True}, results["references"]
    assert results["complete"]
    # what is done right is measured on images that were not fitted, and those are harder than the fitted ones
    test_rows = {r["model"]: r for r in results["rows"] if (r["metric"], r["split"]) == ("mse", "test")}
    assert {name: row["seen"] for name, row in test_rows.items()} == {
        name: not name.endswith("-right") for name in test_rows
    }
    assert test_rows["pca-32"]["value"] < test_rows["pca-32-right"]["value"]
    assert (tmp_path / "compress" / "report.html").stat().st_size < 10e6
    # RUSAGE_CHILDREN has the largest of all children so far: this one's, if it is more than before
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert peak > before
    assert peak < 1.2 * 2**30, f"{peak / 2**30:.2f} GiB"
