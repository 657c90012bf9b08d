"""Runs that are refused before anything is written, and disks that are full."""

from __future__ import annotations

import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from isthmus.cli import run_command
from isthmus.errors import RequestError, RunError


def big_pca(tools):
    return tools.HEAD + tools.PCA.replace("n_components = 4", "n_components = 65")


REFUSED = {
    "more components than features": (big_pca, r'small, model "pca-4": n_components must be at most 64 .* got 65'),
    "more components than samples": (
        lambda t: big_pca(t).replace("train = 300", "train = 50"),
        r"at most 50 \(50 samples of 64 numbers\), got 65",
    ),
    "more components than codes": (
        lambda t: t.SMALL.replace("n_components = 2", "n_components = 5"),
        r'"pca-of": n_components must be at most 4 .* got 5',
    ),
    "more images than there are": (
        lambda t: t.SMALL.replace("train = 300", "train = 2000"),
        r"digits has 1,437 training images; train = 2,000 and validation = 60",
    ),
    "a position that there is not": (
        lambda t: t.SMALL + '[[figure]]\nname = "f"\nkind = "images"\nimages = [120]\n',
        r'figure "f": images must be below 120',
    ),
    "a scatter of one number": (
        lambda t: (
            t.SMALL.replace("n_components = 2", "n_components = 1")
            + '[[figure]]\nname = "f"\nkind = "scatter"\nmodels = ["pca-of"]\n'
        ),
        r'figure "f": a scatter of "pca-of", its codes must be of at least 2 numbers, got 1',
    ),
    "a data set that is not here": (
        lambda t: t.SMALL.replace('"digits"', '"kmnist"'),
        r"kmnist is not on this machine .*isthmus data get kmnist.*digits, which is built in",
    ),
    "an unknown model": (lambda t: (t.SMALL, {"only": ("dens-4",)}), r'unknown model "dens-4".*"dense-4"\?'),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_anything_is_written(what, run, folder, tools, monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    make, words = REFUSED[what]
    made = make(tools)
    text, options = made if isinstance(made, tuple) else (made, {})
    with pytest.raises(RequestError, match=words) as refused:
        run(text, **options)
    assert "\n" not in str(refused.value)
    assert not folder.exists()


def test_a_loss_that_is_not_finite_fails_the_run(run, folder, tools):
    text = (
        tools.HEAD
        + tools.PCA
        + tools.DENSE.replace("epochs = 2", 'epochs = 2\noptimizer = "sgd"\nlearning_rate = 1e30')
    )
    with pytest.raises(RunError, match="learning rate") as failed:
        run(text.replace(', output = "sigmoid"', ""))
    assert "\n" not in str(failed.value)
    assert set(tools.written(folder)) == {"pca-4"}  # nothing half-written, and what was finished is kept
    assert {row["model"] for row in tools.read(folder / "results.json")["rows"]} == {"pca-4"}


def test_a_file_where_the_folder_should_be(study, tmp_path, one_line_of):
    (tmp_path / "runs").write_text("in the way")
    code = run_command(["run", str(study()), "--out", str(tmp_path / "runs")])
    line, out = one_line_of(code, 2)
    assert "cannot write to" in line
    assert "--out" in line
    assert out == ""
    assert (tmp_path / "runs").read_text() == "in the way"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to be read-only even for root")
def test_a_read_only_folder(study, one_line_of):
    code = run_command(["run", str(study()), "--out", "/proc/isthmus"])
    line, _ = one_line_of(code, 2)
    assert "cannot write to /proc/isthmus/small" in line


@contextmanager
def files_at_most(size: int):
    """No file of this process may grow beyond `size` bytes: the writes fail as on a full disk, for any user."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_at_the_start(study, tmp_path, one_line_of):
    path = study()
    with files_at_most(1000):
        code = run_command(["run", str(path), "--out", str(tmp_path / "runs")])
    line, _ = one_line_of(code, 2)
    assert "cannot write to" in line
    assert "File too large" in line
    assert not [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]


def test_no_room_left_in_the_middle(study, tmp_path, tools, one_line_of):
    wide = tools.DENSE.replace("bottleneck = 4", "bottleneck = 1024").replace("dense-4", "wide")
    path = study(tools.HEAD + tools.PCA + wide)
    with files_at_most(150_000):  # the weights of 64 → 1024 → 64 are half a megabyte
        code = run_command(["run", str(path), "--out", str(tmp_path / "runs")])
    line, out = one_line_of(code, 1)
    assert "File too large" in line
    assert out == ""
    folder = tmp_path / "runs" / "small"
    assert set(tools.written(folder)) == {"pca-4"}
    assert not list(folder.rglob("*.tmp"))
    assert {row["model"] for row in tools.read(folder / "results.json")["rows"]} == {"pca-4"}
    assert run_command(["run", str(path), "--out", str(tmp_path / "runs")]) == 0
    assert set(tools.written(folder)) == {"pca-4", "wide"}


def test_a_full_disk(study, tmp_path, one_line_of):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    small = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True)
    if not small or small.returncode:
        pytest.skip("this user may not mount a small disk; test_no_room_* hold everywhere")
    try:
        code = run_command(["run", str(study()), "--out", str(disk)])
        line, _ = one_line_of(code, 2)
        assert "MiB free" in line
        assert not [file for file in disk.rglob("*") if file.is_file()]
        (disk / "filler").write_bytes(bytes(disk_free(disk)))
        code = run_command(["run", str(study()), "--out", str(disk)])
        line, _ = one_line_of(code, 2)
        assert "No space left" in line
    finally:
        subprocess.run([shutil.which("umount"), disk], check=True)


def disk_free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
