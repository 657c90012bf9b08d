"""A kind of figure from outside the package, by the public seam: a module of examples/extending."""

from __future__ import annotations

import io
import json
import shutil
import sys
from importlib import import_module, resources
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from isthmus import kinds
from isthmus.cli import run_command
from isthmus.errors import RequestError
from isthmus.fingerprints import code_fingerprint
from isthmus.studies.spec.figures import FIGURES, Curves, register
from isthmus.studies.spec.parser import parse_study

EXAMPLE = Path(__file__).parents[2] / "examples" / "extending" / "figure_of_errors.py"
FIGURE = """
[[figure]]
name = "how-wrong"
kind = "errors"
models = ["pca-4", "dense-4"]
bins = 7
title = "How many images have which error"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of the example's module, which lies where commands are given."""
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "figure_of_errors"
    sys.modules.pop("figure_of_errors", None)
    if "errors" in FIGURES:
        kinds.unregister("figure", FIGURES["errors"])


def test_it_is_asked_for_computed_listed_and_plotted(module, study, tools, tmp_path, capsys):
    path, folder = str(study(tools.SMALL + FIGURE)), tmp_path / "runs" / "small"
    assert run_command(["run", path]) == 2
    assert 'figure "how-wrong": unknown figure kind "errors"' in capsys.readouterr().err
    assert run_command(["run", path, "--import", module, "--threads", "1"]) == 0
    table = json.loads((folder / "results.json").read_text("utf-8"))
    schema = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(table)
    (facts,) = table["figures"]
    assert (facts["kind"], facts["rows"], facts["options"]) == ("errors", ["pca-4", "dense-4"], {"bins": 7})
    mse = {row["model"]: row["value"] for row in table["rows"]
           if (row["metric"], row["split"], row["corruption"]) == ("mse", "test", None)}  # fmt: skip
    with np.load(folder / "figures" / "how-wrong.npz") as arrays:
        for name in facts["rows"]:
            assert arrays[name].mean() == pytest.approx(mse[name], rel=1e-5)
    png = (folder / "figures" / "how-wrong.png").read_bytes()
    with Image.open(io.BytesIO(png)) as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 2
    assert "How many images have which error" in (folder / "report.html").read_text("utf-8")


def test_a_report_is_written_again_where_the_kind_is_known(module, study, tools, tmp_path, capsys):
    assert run_command(["run", str(study(tools.SMALL + FIGURE)), "--import", module, "--threads", "1"]) == 0
    kinds.unregister("figure", FIGURES["errors"])
    del sys.modules[module]
    report = ["report", str(tmp_path / "runs" / "small")]
    assert run_command(report) == 2
    assert '"how-wrong": unknown figure kind "errors"' in capsys.readouterr().err
    assert run_command([*report, "--import", module]) == 0


def test_its_own_keys_are_checked_like_the_package_s(module, tools, tmp_path):
    before = code_fingerprint()
    sys.path.append(str(tmp_path))
    import_module(module)
    assert code_fingerprint() == before, "no model depends on a figure"
    for wrong, words in {
        'bins = "x"': "bins must be an integer, got 'x'",
        "bin = 7": 'unknown key "bin".*Did you mean "bins"',
    }.items():
        with pytest.raises(RequestError, match=f'figure "how-wrong": {words}'):
            parse_study(tools.SMALL + FIGURE.replace("bins = 7", wrong), "small", "small.toml")


def test_a_kind_that_there_is_is_refused():
    with pytest.raises(RequestError, match='figure kind "curves" already stands for Curves'):
        register(Curves, print)
