"""What is released: a wheel with all that the package needs, and the same bytes each time."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import isthmus

ROOT = Path(__file__).parent.parent


def wheel(tmp_path):
    """A wheel of a copy of the files that are in the repository, built with what is installed."""
    source = tmp_path / "source"
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        if name.startswith("isthmus/") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q", "."]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([*command, "-w", str(tmp_path)], cwd=source, env=environment, check=True)
    (path,) = tmp_path.glob("isthmus-*.whl")
    return path


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the files are those of the repository")
def test_a_wheel_has_every_file_of_the_package_and_the_same_bytes_each_time(tmp_path):
    (tmp_path / "again").mkdir()
    paths = [wheel(tmp_path), wheel(tmp_path / "again")]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 1
    with zipfile.ZipFile(paths[0]) as archive:
        names = {name for name in archive.namelist() if name.startswith("isthmus/")}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA"))
    listed = subprocess.run(["git", "ls-files", "isthmus"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert names == set(listed.stdout.splitlines())
    assert "License-Expression: Apache-2.0" in metadata


def test_all_say_the_same_version_and_what_pythons_there_are():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"version: {isthmus.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {isthmus.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    pythons = re.findall(r'"(3\.\d+)"', workflow)
    assert project["requires-python"] == f">={pythons[0]}"
    assert {"make browser", "make test"} <= set(re.findall(r"- run: (.*)", workflow))
