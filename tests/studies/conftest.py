"""Small studies on the built-in digits, run for real."""

from __future__ import annotations

import hashlib
import json
import types
from pathlib import Path

import numpy as np
import pytest

# a study with one of each table, for what reads studies and trains nothing
GOOD = """
title = "good"
[data]
name = "digits"
[[model]]
name = "a"
estimator = "autoencoder"
network = {kind = "dense", hidden = [16], bottleneck = 4}
penalty = {kind = "l1", weight = 1e-3}
corruption = {kind = "gaussian", sigma = 0.1}
learning_rate = 1e-3
[[model]]
name = "p"
estimator = "pca"
n_components = 2
[[measure]]
models = ["a"]
metrics = ["mse"]
corruption = {kind = "gaussian"}
levels = [0.1]
[[figure]]
name = "f"
kind = "scatter"
models = ["p"]
[[reference]]
id = "r"
model = "p"
metric = "mse"
value = 0.1
rtol = 0.1
"""

HEAD = """
title = "small"
seed = 3
[data]
name = "digits"
train = 300
validation = 60
test = 120
"""
IDENTITY = """
[[model]]
name = "nothing"
estimator = "identity"
"""
PCA = """
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
"""
DENSE = """
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 2
batch_size = 50
"""
PCA_OF = """
[[model]]
name = "pca-of"
estimator = "pca"
n_components = 2
of = "dense-4"
"""
NOISE = """
[[measure]]
metrics = ["mse", "psnr"]
corruption = {kind = "gaussian"}
levels = [0.2, 0.5]
"""
SMALL = HEAD + IDENTITY + PCA + DENSE + PCA_OF + NOISE


@pytest.fixture
def study(tmp_path):
    """Write a study's TOML to tmp_path/<name>.toml and give its path."""

    def write(text: str = SMALL, name: str = "small") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def run(study, tmp_path):
    """Run a study without its report and give its results; keywords are the request's."""
    from isthmus.console import Lines
    from isthmus.studies.run.scheduler import Request, run_study
    from isthmus.studies.spec.parser import load_study

    def run_it(text: str = SMALL, **request):
        options = {"out": tmp_path / "runs", "threads": 1, "device": "cpu", **request}
        return run_study(load_study(str(study(text))), Request(**options), Lines())

    return run_it


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where `run` leaves the results."""
    return tmp_path / "runs" / "small"


def write_fashion(root: Path, sizes: dict[str, int], side: int) -> None:
    """IDX files of noise where Fashion-MNIST is looked for: {"sample": n}, or {"train": n, "t10k": m} for its whole."""

    def idx(array: np.ndarray) -> bytes:
        lengths = b"".join(n.to_bytes(4, "big") for n in array.shape)
        return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()

    folder = root / ("fashion-mnist-sample" if "sample" in sizes else "fashion-mnist")
    folder.mkdir(parents=True)
    for part, n in sizes.items():
        pixels = np.random.default_rng(n).integers(0, 256, (n, side, side), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """A machine with no data set but the Fashion-MNIST that is written: `fashion(sizes, side)`."""
    for name in ("ISTHMUS_DATA", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    return lambda sizes, side=8: write_fashion(tmp_path / "data", sizes, side)


def weights(folder: Path) -> dict[str, str]:
    """sha256 of every model's weights, by the name of its folder."""
    files = sorted((folder / "models").glob("*/model.safetensors"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def written(folder: Path) -> dict[str, int]:
    """When every model's weights were written, in nanoseconds, by the name of its folder."""
    return {file.parent.name: file.stat().st_mtime_ns for file in (folder / "models").glob("*/model.safetensors")}


def read_strictly(path: Path):
    """JSON without NaN and Infinity, which Python's reader would let pass."""

    def refuse(word: str):
        raise ValueError(f"{word} in {path}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def row_key(row: dict) -> tuple:
    """What tells a row of results.json from every other."""
    return tuple(row[k] for k in ("model", "seed", "metric", "split", "corruption"))


@pytest.fixture(scope="session")
def tools():
    """The functions above, for tests: a folder of tests is no package to import from."""
    names = ("HEAD", "IDENTITY", "PCA", "DENSE", "PCA_OF", "NOISE", "SMALL")
    texts = {name: globals()[name] for name in names}
    return types.SimpleNamespace(
        weights=weights, written=written, read=read_strictly, row_key=row_key, write_fashion=write_fashion, **texts
    )


@pytest.fixture
def good():
    """The text of a study with one of each table."""
    return GOOD


@pytest.fixture
def one_line_of(capsys):
    """one_line_of(code, expected): the last line of stderr, an error's only one, and stdout."""

    def check(code, expected):
        out, err = capsys.readouterr()
        assert code == expected, err
        lines = err.splitlines()
        assert not [line for line in lines if line.startswith("Traceback")]
        assert lines[-1].startswith("isthmus: ")
        return lines[-1], out

    return check
