"""The site: it has every public name, its examples are as promised, and it builds without a warning."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import isthmus
import isthmus.callbacks
import isthmus.displays
from isthmus.cli import parser
from isthmus.errors import RequestError
from isthmus.studies.spec.parser import parse_study
from isthmus.training.history import History

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples" / "gallery").glob("*/plot_*.py"))
NAMES = set(re.findall(r"^   ([\w.]+)$", (DOCS / "api" / "index.md").read_text("utf-8"), re.M))
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"auto_examples", "generated"} & set(path.parts))
BUILT = ("plot_autoencoder_or_pca", "plot_collapse", "plot_study")


def module(path):
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_api_has_every_public_name():
    public = {*isthmus.__all__, *(f"displays.{name}" for name in isthmus.displays.__all__ if name != "run")}
    public |= {f"callbacks.{name}" for name in isthmus.callbacks.__all__}
    assert public - NAMES == set()
    assert len(NAMES) > 80


def test_every_example_is_short_and_asks_or_says_what_it_does():
    assert len(EXAMPLES) >= 25
    for path in EXAMPLES:
        text = path.read_text("utf-8")
        title, underline, *_ = (ast.get_docstring(ast.parse(text)) or "\n").split("\n")
        assert underline == "=" * len(title), path
        code = [line for line in text.split('"""', 2)[2].split("\n") if line.strip() and not line.startswith("#")]
        assert 15 <= len(code) <= 50, (path, len(code))
        assert "load_digits" in text or "load_sample_image" in text or "isthmus.run" in text, path
    names = [path.stem for path in EXAMPLES]
    assert len(set(names)) == len(names)


def test_every_example_and_picture_that_a_page_names_is_there():
    text = "\n".join(path.read_text("utf-8") for path in DOCS.rglob("*.md"))
    examples = set(re.findall(r"/auto_examples/(\w+/plot_\w+)", text))
    assert examples
    assert examples <= {f"{path.parent.name}/{path.stem}" for path in EXAMPLES}
    drawn = set(re.findall(r"\{picture\} (\w+\.\w+)", text))
    there = {
        f"{path.stem}.{node.name}"
        for path in (DOCS / "pictures").glob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and path.stem != "shared"
    }
    assert drawn == there  # nor is one drawn that no page shows


def test_every_study_with_traps_has_them_explained():
    page = (DOCS / "explanation" / "traps.md").read_text("utf-8")
    for path in (ROOT / "isthmus" / "studies" / "catalog").glob("*.toml"):
        if tomllib.loads(path.read_text("utf-8")).get("trap"):
            assert path.stem in page, path


def blocks(language, path):
    """The blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_and_imports_of_a_page_are_right(path):
    for line in "".join(blocks("sh", path)).splitlines():
        words = shlex.split(line, comments=True)
        if "isthmus" in words:  # also behind torchrun ... -m
            parser().parse_args(words[words.index("isthmus") + 1 :])
    for block in blocks("python", path):
        source = doctest.script_from_examples(block) if block.startswith(">>>") else block
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                assert all(hasattr(importlib.import_module(node.module), alias.name) for alias in node.names), block


def test_the_study_of_the_teachers_page_is_one():
    (study,) = blocks("toml", DOCS / "tutorials" / "teacher.md")
    parsed = parse_study(study, "wider", "wider.toml")
    assert [model.name for model in parsed.models] == ["narrow", "wide"]
    page = (DOCS / "tutorials" / "teacher.md").read_text("utf-8")
    with pytest.raises(RequestError) as refused:
        parse_study(
            study.replace('kind = "dense", bottleneck = 16', 'kind = "dens", bottleneck = 16'), "w", "wider.toml"
        )
    assert f"isthmus: {refused.value}" in page


@pytest.mark.slow
@pytest.mark.parametrize(("page", "width"), [("index.md", 8), ("start.md", 16)])
def test_python_of_the_first_pages_runs(page, width, capsys):
    names = {}
    for block in blocks("python", DOCS / page):
        exec(compile(block, page, "exec"), names)
    assert f", {width})" in capsys.readouterr().out


def test_docstrings_get_sections():
    sections = module(DOCS / "extensions" / "docstrings.py").sections
    given = "Add.\n\nx, y: numbers. Not |x|, nor x_. z: `a_`.\n\nRaises ValueError for text; RunError if full."
    given += "\n\n>>> 1\n1"
    assert sections(given, ["x", "y", "z"]) == (
        "Add.\n\nParameters\n----------\nx, y\n    numbers. Not \\|x\\|, nor x\\_.\nz\n    `a_`.\n\n"
        "Raises\n------\nValueError\n    for text\nRunError\n    if full.\n\nExamples\n--------\n>>> 1\n1"
    )
    shown = sections(isthmus.Autoencoder.__doc__, [])
    assert "\nnetwork\n    a network part;" in shown
    assert "\nhistory_\n    a `History`" in shown
    assert shown.count("\nExamples\n---") == 1
    assert sections("No argument: of these.", ["x"]) == "No argument: of these."
    kept = sections(History.__doc__)
    assert "Attributes\n----------\nkept_start\n    whether the weights" in kept
    assert "\nkept_end\n" in kept


def test_every_command_and_option_has_its_place():
    pages = module(DOCS / "extensions" / "command_line.py").pages()
    table = (DOCS / "command_line.md").read_text("utf-8")
    assert {name for name in pages if f"(commands/{name}.rst)" not in table} == set()
    assert {"--noisy", "--corruption WORDS", "-o MODEL, --out MODEL"} <= set(re.findall("``(.+?)``", pages["fit"]))
    assert "isthmus data convert\n------" in pages["data"]
    assert not any("%(" in page for page in pages.values())


def test_broken_links_are_found(tmp_path):
    faults = module(DOCS / "links.py").faults
    (tmp_path / "b.html").write_text('<p id="here">')
    page = tmp_path / "a.html"
    page.write_text('<a href="b.html#here">1</a><a href="https://example.org">2</a><a href="#">3</a>')
    assert faults(tmp_path) == []
    page.write_text('<a href="c.html">1</a><a href="b.html#there">2</a><img src="d.png"><script src="https://x/y.js">')
    assert [line.split()[0] for line in faults(tmp_path)] == ["a.html"] * 4


def wider_than_a_phone(folder):
    """The pages that must be moved sideways on a screen of 390 pixels; none where there is no browser."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        return []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})

        def is_wide(path):
            page.goto(path.as_uri(), wait_until="domcontentloaded")
            return page.evaluate("document.documentElement.scrollWidth") > 390

        paths = [path for path in folder.rglob("*.html") if not {"_static", "generated"} & set(path.parts)]
        return [str(path) for path in [*paths, *folder.rglob("isthmus.Autoencoder.html")] if is_wide(path)]


@pytest.mark.slow
def test_it_builds_with_three_examples(tmp_path):
    if importlib.util.find_spec("sphinx_gallery") is None:
        pytest.skip("needs the extra docs, which make test-all installs: pip install '.[docs]'")
    generated = shutil.ignore_patterns("auto_examples", "generated", "backreferences")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=generated)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    environment = os.environ | {"ISTHMUS_EXAMPLES": "|".join(BUILT), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", tmp_path / "docs", tmp_path / "site"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert module(DOCS / "links.py").faults(tmp_path / "site") == []
    assert wider_than_a_phone(tmp_path / "site") == []
    pages = (tmp_path / "site" / "auto_examples").glob("*/plot_*.html")
    ran = [path.stem for path in pages if "sphx-glr-script-out" in path.read_text("utf-8")]
    assert sorted(ran) == sorted(BUILT)
    page = (tmp_path / "site" / "api" / "generated" / "isthmus.Autoencoder.html").read_text("utf-8")
    assert "validation_fraction" in page
    assert "Examples with Autoencoder" in page
