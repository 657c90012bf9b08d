"""Commands on a model of one's own modules: the function that it names is imported only with --allow-imports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import isthmus
from isthmus import Autoencoder, Gaussian, Module
from isthmus.cli import run_command
from isthmus.errors import DataError
from isthmus.explore.shelf_loader import shelve

MODULES = """from torch import nn

def build(shape, width=6):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width)), nn.Linear(width // 2, 64)
"""


@pytest.fixture
def own(tmp_path, monkeypatch, digits):
    """A variational model of modules that lie in this folder, saved there, and nothing imported."""
    (tmp_path / "own_modules.py").write_text(MODULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it is written again within a second
    monkeypatch.setattr("isthmus.kinds._imports_are_allowed", False)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        build = __import__("own_modules").build
    network, code = Module(build), Gaussian(noise="learned")
    Autoencoder(network, code=code, epochs=2, random_state=0).fit(isthmus.open_images(digits)).save("own")
    del sys.modules["own_modules"]
    yield "own"
    sys.modules.pop("own_modules", None)


@pytest.mark.parametrize(
    "words",
    [
        "evaluate own",
        "reconstruct own -o out",
        "encode own -o codes.npz",
        "score own -o out",
        "denoise own -o out",
        "fit --from own -o tuned --epochs 1 --threads 1",
    ],
)
def test_the_function_is_imported_only_if_that_is_allowed(words, own, digits, done, refused):
    command = [*words.split(), digits]
    line = refused(*command)
    assert "own has the weights of modules that own_modules:build built, and no code: add --allow-imports" in line
    assert "own_modules" not in sys.modules, "nothing was imported"
    _, err = done(*command, "--allow-imports")
    assert "own_modules" in sys.modules
    if words.startswith("fit"):
        assert err.splitlines()[-1].endswith(f" {digits} --allow-imports"), "what comes next needs it too"


def test_the_page_asks_for_it_too(own, monkeypatch):
    with pytest.raises(DataError, match="add --allow-imports"):
        shelve(Path(own))
    assert "own_modules" not in sys.modules
    monkeypatch.setattr("isthmus.explore.serving.server.serve", lambda path, **_: shelve(path))
    assert run_command(["explore", own]) == 2
    assert run_command(["explore", own, "--allow-imports"]) == 0


def test_what_cannot_be_imported_or_builds_other_weights_is_named(own, digits, tmp_path, refused):
    (tmp_path / "own_modules.py").write_text(MODULES.replace("width=6", "width=8"))
    line = refused("evaluate", own, digits, "--allow-imports")
    assert "own has other weights than own_modules:build makes: " in line
    assert "of shape (3,), expected F32 of shape (4,)" in line
    sys.modules.pop("own_modules")
    (tmp_path / "own_modules.py").unlink()
    line = refused("evaluate", own, digits, "--allow-imports")
    assert "cannot import own_modules:build: No module named 'own_modules'; it must be on PYTHONPATH or in" in line
