"""What a number depends on: all code that computes, the versions, and each fact of a fit."""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import isthmus
from isthmus import fingerprints
from isthmus.fingerprints import (
    CODE,
    SHOWING,
    _fingerprint_of_code,
    array_fingerprint,
    code_fingerprint,
    computing_modules,
    differing,
    facts_of_fit,
    table_fingerprint,
    versions,
)

PACKAGE = Path(isthmus.__file__).parent
SHOWN = [f"isthmus.{name.removesuffix('.py')}" for name in SHOWING]


def names_in(source: str) -> set[str]:
    """Every module that a source imports, wherever in it, or names in a string, as workers are."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("isthmus."):
            names.add(node.value.split(":")[0])
    return names


def of_what_shows(names: set[str]) -> set[str]:
    return {name for name in names if any(name == shown or name.startswith(f"{shown}.") for shown in SHOWN)}


@pytest.mark.parametrize("path", list(computing_modules()), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_computes_imports_nothing_that_only_shows(path):
    assert not of_what_shows(names_in(path.read_text("utf-8")))


def test_the_rule_sees_imports_and_workers():
    for source in (
        "from isthmus.commands import fit",
        "def late():\n    import isthmus.report.html_page",
        "from isthmus import console",
        'worker("isthmus.explore.serving.server:serve")',
    ):
        assert of_what_shows(names_in(source))
    assert not of_what_shows(names_in("from isthmus.reporting import x\nfrom isthmus import metrics"))
    for name in SHOWING:
        assert (PACKAGE / name).exists()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The package's modules in a folder, whose code is fingerprinted instead of its own."""
    root = shutil.copytree(PACKAGE, tmp_path / "isthmus", ignore=shutil.ignore_patterns("__pycache__", "page"))
    monkeypatch.setattr(fingerprints, "_PACKAGE", root)

    def fingerprint():
        _fingerprint_of_code.cache_clear()
        return code_fingerprint()

    yield root, fingerprint
    _fingerprint_of_code.cache_clear()


def test_every_module_is_in_the_fingerprint_unless_it_only_shows(copied):
    root, fingerprint = copied
    first, counted = fingerprint(), set()
    for path in sorted(root.rglob("*.py")):
        text = path.read_bytes()
        path.write_bytes(text + b"\n")
        if fingerprint() != first:
            counted.add(path.relative_to(root).as_posix())
        path.write_bytes(text)
    assert fingerprint() == first
    everything = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    assert everything - counted == {name for name in everything if name.split("/")[0] in SHOWING}
    for name in (
        *("metrics.py", "solvers/latent_search.py", "studies/results/measure.py", "estimators/borrowed.py"),
        *("studies/plan/context.py", "parts/arguments.py", "data/images.py"),
    ):
        assert name in counted


def test_a_module_that_is_new_renamed_or_removed_is_other_code(copied):
    root, fingerprint = copied
    seen = [fingerprint()]
    (root / "solvers" / "new.py").write_text("")
    seen.append(fingerprint())
    (root / "solvers" / "new.py").rename(root / "solvers" / "newer.py")
    seen.append(fingerprint())
    (root / "rng.py").unlink()
    seen.append(fingerprint())
    assert len(set(seen)) == 4
    (root / "commands" / "new.py").write_text("")
    assert fingerprint() == seen[-1], "what only shows"


FACTS = {
    "parameters": {"epochs": 3},
    "seed": 0,
    "samples": "a",
    "validation": None,
    "device": "cpu, AVX2",
    "precision": "float32",
    "threads": 1,
}
OTHERS = {
    "parameters": ({"epochs": 4}, "epochs"),
    "seed": (1, "random_state"),
    "samples": ("b", "samples"),
    "validation": ("c", "validation samples"),
    "device": ("cpu, AVX512", "device"),
    "precision": ("bfloat16", "precision"),
    "threads": (2, "threads"),
}


def facts(**changes):
    return facts_of_fit(**{**FACTS, **changes})


@pytest.mark.parametrize("name", FACTS)
def test_each_fact_counts_and_is_named(name):
    value, called = OTHERS[name]
    assert differing(facts(), facts(**{name: value})) == [called]
    assert differing(facts(), facts()) == []


@pytest.mark.parametrize(
    ("package", "name"),
    [("numpy", "numpy"), ("scipy", "scipy"), ("sklearn", "scikit-learn"), ("torch", "torch")],
)
def test_versions_of_what_computes_are_facts(package, name, monkeypatch):
    before = facts()
    monkeypatch.setattr(importlib.import_module(package), "__version__", "0.0.1")
    assert differing(before, facts()) == [name]


def test_so_are_isthmus_its_code_and_pythons_minor_version(monkeypatch):
    before = facts()
    assert before["python"] == ".".join(map(str, sys.version_info[:2]))
    assert set(versions()) == {"isthmus", "numpy", "python", "scikit-learn", "scipy", "torch"}
    monkeypatch.setattr(fingerprints, "__version__", "0.0.1")
    assert differing(before, facts()) == ["isthmus"]
    monkeypatch.setattr(fingerprints, "code_fingerprint", lambda: "other")
    assert differing(before, facts()) == ["isthmus", CODE]


def test_a_fact_that_only_one_side_has_differs():
    assert differing({"a": 1}, {"a": 1, "b": 2}) == ["b"]
    assert differing({"a": 1, "c": None}, {"a": 1}) == [], "what is None is not there"


def test_facts_are_as_json_has_them():
    assert facts(parameters={"hidden": (1, 2)})["hidden"] == [1, 2]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="one kind of vectors")
def test_the_instructions_of_a_cpu_are_a_fact():
    """Products with other vectors have other bits; ATEN_CPU_CAPABILITY says which torch uses."""
    code = "import torch; from isthmus.training.hardware import processor_of; print(processor_of(torch.device('cpu')))"
    from isthmus.training.hardware import processor_of

    own = processor_of(torch.device("cpu"))
    other = "avx2" if own == "cpu, DEFAULT" else "default"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": other}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    names = {own, done.stdout.strip()}
    assert "cpu, DEFAULT" in names
    assert len(names) == 2


# --- hashes ---


def test_arrays_have_the_same_fingerprint_if_they_are_the_same():
    x = np.random.default_rng(0).random((20, 16)).astype(np.float32)
    assert array_fingerprint(x) == array_fingerprint(x.copy()) == array_fingerprint(np.asfortranarray(x))
    others = (x[::-1], x.reshape(10, 32), x.astype(np.float64), np.nextafter(x, np.float32(9)))
    assert len({array_fingerprint(other) for other in (x, *others)}) == 5
    assert array_fingerprint(x) == hashlib.sha256(b"float32(20, 16)" + x.tobytes()).hexdigest()


def test_tables_have_the_same_fingerprint_if_they_are_the_same():
    assert table_fingerprint({"a": 1, "b": [1, 2]}) == table_fingerprint({"b": (1, 2), "a": 1})
    tables = ({"a": 1}, {"a": 1.5}, {"a": "1"}, {"b": 1}, [{"a": 1}], None)
    assert len({table_fingerprint(table) for table in tables}) == len(tables)
    assert table_fingerprint([]) == hashlib.sha256(b"[]").hexdigest()


def test_the_codes_fingerprint_is_one_and_quick():
    _fingerprint_of_code.cache_clear()
    start = time.perf_counter()
    first = code_fingerprint()
    assert time.perf_counter() - start < 0.5  # 5 ms where nothing else runs
    assert len(first) == 64
    _fingerprint_of_code.cache_clear()
    assert code_fingerprint() == first
