"""Runs that are stopped or killed, in processes of their own: the same command completes them."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from isthmus.cli import run_command

LONG = """
[[model]]
name = "long"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 8, output = "sigmoid"}
epochs = 100
batch_size = 10
"""


@pytest.fixture
def running(forked):
    """`isthmus run` in a process of its own, in the middle of training `long`."""

    @contextmanager
    def started(path: Path, out: Path, until: str = "long  epoch 5/"):
        with forked("run", path, "--out", out, "--threads", "1", "--device", "cpu") as process:
            try:
                for line in process.stderr:
                    if line.startswith(until):
                        break
                else:
                    pytest.fail(f"it ended with {process.wait()} before it was stopped")
                yield process
            finally:
                process.kill()

    return started


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, tools):
    """The study of the tests below, its file, and the sha256 of its models' weights when nothing stops it."""
    where = tmp_path_factory.mktemp("uninterrupted")
    path = where / "small.toml"
    path.write_text(tools.HEAD + tools.PCA + LONG)
    assert run_command(["run", str(path), "--out", str(where), "--threads", "1", "--device", "cpu"]) == 0
    return path, tools.weights(where / "small")


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_run_is_completed_by_the_same_command(
    running, sent, expected, uninterrupted, tmp_path, tools, capsys
):
    path, sums = uninterrupted
    folder = tmp_path / "small"
    with running(path, tmp_path) as process:
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    assert process.returncode == expected
    assert out == ""
    if sent != signal.SIGKILL:
        message = [line for line in err.splitlines() if not line.startswith("long  epoch")]
        assert len(message) == 1, err
        assert message[0].startswith("isthmus: " + ("interrupted" if sent == signal.SIGINT else "terminated"))
        assert f"isthmus run {path}" in message[0]
        assert not list(folder.rglob("*.tmp"))
    left = tools.read(folder / "results.json")
    assert {row["model"] for row in left["rows"]} == {"pca-4"}
    assert not left["complete"]
    assert set(tools.weights(folder)) == {"pca-4"}
    before = tools.written(folder)

    assert run_command(["run", str(path), "--out", str(tmp_path), "--threads", "1", "--device", "cpu"]) == 0
    assert "1 of 2 models to train" in capsys.readouterr().err
    assert tools.written(folder)["pca-4"] == before["pca-4"]
    assert tools.weights(folder) == sums
    assert tools.read(folder / "results.json")["complete"]
    assert not list(folder.rglob("*.tmp"))


def test_two_runs_in_one_folder(running, uninterrupted, tmp_path, tools, one_line_of):
    path, _ = uninterrupted
    with running(path, tmp_path) as process:
        before = (tmp_path / "small" / "results.json").read_bytes()
        code = run_command(["run", str(path), "--out", str(tmp_path), "--threads", "1"])
        line, out = one_line_of(code, 1)
        assert f"is in use by process {process.pid} on " in line
        assert out == ""
        assert process.poll() is None
        assert (tmp_path / "small" / "results.json").read_bytes() == before
    assert run_command(["run", str(path), "--out", str(tmp_path), "--threads", "1", "--only", "pca-4"]) == 0


def test_what_a_killed_run_left_is_swept(run, folder):
    run(only=("pca-4",))
    leftovers = [
        folder / "results.json.99.tmp",
        folder / "models" / "dense-4.99.tmp",
        folder / "figures" / "x.npz.9.tmp",
    ]
    leftovers[1].mkdir()
    (leftovers[1] / "model.safetensors").write_bytes(b"half")
    for file in (leftovers[0], leftovers[2]):
        file.write_bytes(b"half")
    run(only=("pca-4",))
    assert not [path for path in leftovers if path.exists()]


HOLD = """
import sys, time
from pathlib import Path
from isthmus.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_model_that_an_orphan_still_trains_is_waited_for(run, folder, tools, capsys):
    """As the worker of a run that was cut off from its machine, until that ends."""
    text = tools.HEAD + tools.DENSE
    place = folder / "checkpoints" / "dense-4"
    place.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, place, "2"], stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout.readline() == b"held\n"
        assert run(text).complete
        assert orphan.poll() == 0
    words = f"dense-4: {place} is in use by process {orphan.pid} on "
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith(words)]
    assert line.endswith("waiting until that ends, or is stopped")
    assert not place.exists()
